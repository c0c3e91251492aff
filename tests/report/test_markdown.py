"""A comparison as a comment says what the terminal says."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from muscle_llm import compare
from muscle_llm.report.terminal import print_comparison, version_rows


@pytest.mark.parametrize("graded", [True, False])
def test_comment_and_terminal_have_the_same_versions(graded):
    def rows(lost: set[int]):
        told = [(i, 0.2 if i in lost else 0.8) for i in range(40)]
        return [{"id": i, "correct": s > 0.5} if graded else {"id": i, "score_f": s} for i, s in told]

    roles = {"again": "noise_floor"}
    candidates = {"fix|it": rows({1}), "again": rows(set())}
    comparison = compare(rows(set()), rows({1, 2, 3}), candidates, roles=roles)
    quality, found = version_rows(comparison)
    assert quality == ("accuracy" if graded else "mean f")
    assert [row.name for row in found] == ["new", "fix|it", "again (noise floor)"]
    screen = io.StringIO()
    print_comparison(comparison, Console(file=screen, width=160))
    comment = comparison.to_markdown()
    assert re.search(rf"\| version \| {quality} \| NFR \|", comment)
    for row in found:
        for text in (row.quality, row.nfr):
            assert text in screen.getvalue()
            assert re.search(rf"\| {re.escape(row.name).replace('fix', 'fix.?')} \|.* {text} \|", comment)
    assert found[1].flips == ((2, 0) if graded else None)
    assert ("| 2 / 0 |" if graded else "| – |") in comment
