"""The pictures as files: all there, the same each time, and no name breaks them."""

from __future__ import annotations

import sys

import pytest

from muscle_llm.errors import MissingExtraError
from muscle_llm.report.plots import write_plots

NAMES = {"quadrants", "remedies", "slices", "change-rouge1", "flow-muscle", "flow-no-mask"}


@pytest.fixture(autouse=True)
def _matplotlib():
    pytest.importorskip("matplotlib")


def test_every_picture_in_both_formats_and_reproducible(comparison, tmp_path):
    first = write_plots(comparison, tmp_path / "a")
    assert {p.name for p in first} == {f"{n}.{k}" for n in NAMES for k in ("svg", "png")}
    for path in first:
        content = path.read_bytes()
        assert content[:5] in (b"<?xml", b"\x89PNG\r")
        assert len(content) > 3000
    second = write_plots(comparison, tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_of_many_slices_the_worst_are_drawn(tmp_path):
    from muscle_llm.comparison import compare
    from muscle_llm.predictions.schema import Predictions

    n = 1400  # 70 slices of 20 instances; the later the slice, the more of them break
    columns = {"id": list(map(str, range(n))), "slices": [{"part": f"p{i // 20:02d}"} for i in range(n)]}
    old = Predictions.from_columns({**columns, "correct": [True] * n})
    new = Predictions.from_columns({**columns, "correct": [i % 20 >= i // 20 // 4 for i in range(n)]})
    write_plots(compare(old, new), tmp_path)
    drawn = (tmp_path / "slices.svg").read_text(encoding="utf-8")
    assert "part = p69" in drawn
    assert "part = p00" not in drawn
    assert "10 slices with fewer left out" in drawn


def test_names_are_not_read_as_mathematics(make_comparison, tmp_path):
    comparison = make_comparison(60, new_name="$x^2_{$ \\frac <b>&")
    assert write_plots(comparison, tmp_path)


def test_without_matplotlib_the_extra_is_named(comparison, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"muscle-llm\[plots\]"):
        write_plots(comparison, tmp_path)
