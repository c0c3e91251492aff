"""What `compare` shows: on a terminal of any width, and in a comment."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from muscle_llm import compare
from muscle_llm.report.escaping import escape_markdown
from muscle_llm.report.markdown import render_markdown
from muscle_llm.report.terminal import print_comparison


def versions(n=40, lost=8, **more):
    """Old right everywhere; new wrong on the first instances, of which one in two has no answer."""
    old = [{"id": f"q{i}", "answer": "1", "reference": "1", **more} for i in range(n)]
    new = [{**row, "answer": "1" if i >= lost else ("0" if i % 2 else None)} for i, row in enumerate(old)]
    for row in new:
        row["output"] = "a text"
    return old, new


def shown(comparison, width=80):
    text = io.StringIO()
    print_comparison(comparison, Console(file=text, width=width))
    return text.getvalue()


def test_the_first_instances_that_broke_and_why_are_on_the_first_screen():
    text = shown(compare(*versions()))
    assert "right before, wrong now: q0, q1, q2, q3, q4 and 3 more" in text
    assert "causes of the negative flips: 4 extraction failed, 4 answer changed" in text


def test_nothing_is_said_to_be_broken_where_nothing_is():
    old, _ = versions()
    text = shown(compare(old, old)) + render_markdown(compare(old, old))
    assert "wrong now" not in text
    assert "causes" not in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_long_names_of_versions_stay_apart_on_a_narrow_terminal(width):
    old, new = versions()
    names = [f"a-rather-long-name-of-a-model-{v}" for v in ("3.1", "3.2")]
    text = shown(compare(old, new, dict.fromkeys(names, new)), width)
    column = text.partition("against old")[2]
    assert "…" not in column
    if width == 80:
        assert "3.1" in column
        assert "3.2" in column


def test_the_comment_lists_what_broke_with_both_answers():
    text = render_markdown(compare(*versions(60, 50)))
    assert "<details><summary>Right before, wrong now: 50, the first 20</summary>\n\n| instance |" in text
    assert "| q1 | 1 | 1 | 0 |" in text
    assert "| q0 | 1 | 1 | – |" in text
    assert "q20 " not in text
    assert text.count("\n\n</details>") == 1


HOSTILE = (
    "@user \U000e0041 #12 https://a.example www.b.example mailto:c ftp://d GH-7 <img src=x> "
    "![i](http://e) | ```"
)


def test_text_of_models_links_nothing_mentions_nobody_and_stays_in_its_cell():
    old, new = versions(10, 10, slice_kind=HOSTILE, prompt=HOSTILE)
    new = [{**row, "answer": HOSTILE} for row in new]
    text = render_markdown(compare(old, new)).replace("&#8203;", "_")  # an invisible space
    assert not re.search(r"@[a-z]|\U000e0041|#\d|https?:/|ftp:/|mailto:|www\.|GH-\d|<img|!\[|[^\\]`", text)
    for line in text.splitlines():
        if line.startswith("| q"):
            assert line.replace("\\|", "").count("|") == 5


def test_long_texts_are_cut_so_that_a_comment_stays_small():
    old, new = versions(60, 50)
    new = [{**row, "answer": "<" * 5000} for row in new]
    sliced = [[{**row, "slice_name": "x" * 500} for row in side] for side in (old, new)]
    assert len(render_markdown(compare(*sliced))) < 20_000
    assert escape_markdown("abcdef", 3) == "ab…"
