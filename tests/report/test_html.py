"""The page as text: self-contained, deterministic, and with the figures of the comparison document."""

from __future__ import annotations

import html
import re

import pytest

from muscle_llm.report.html import render_html, write_html


def figures(page: str) -> dict[str, float]:
    """Path -> value of every figure that stands in the page."""
    pairs = re.findall(r'data-path="([^"]*)" data-value="([^"]*)"', page)
    return {html.unescape(path): float(value) for path, value in pairs}


def look_up(document, path):
    parts = path.split(".")
    while parts:
        # Names of versions may hold dots: take the longest key that fits.
        for size in range(len(parts), 0, -1):
            key = ".".join(parts[:size])
            if key in document:
                document, parts = document[key], parts[size:]
                break
        else:
            raise KeyError(path)
    return document["value"] if isinstance(document, dict) else document


def test_figures_on_the_page_are_those_of_the_document(comparison):
    document = comparison.to_dict()
    shown = figures(render_html(comparison))
    assert {"metrics.nfr", "counts.negative_flips", "counts.both_wrong_changed"} <= shown.keys()
    assert any(path.startswith("candidates.muscle.against_new.metrics.d_nfr") for path in shown)
    for path, value in shown.items():
        assert value == look_up(document, path)


def test_page_is_one_file_without_any_address(comparison):
    page = render_html(comparison)
    for tag in re.findall(r"<(?:link|img|script|iframe|object|embed|a)\b[^>]*>", page):
        assert not re.search(r"\b(src|href)=\"(?!data:|#)", tag), tag
    assert "url(" not in page.split("</style>")[0]
    assert "@import" not in page.split("</style>")[0]
    assert 'http-equiv="Content-Security-Policy"' in page
    assert " style=" not in page.split("<script")[0]
    assert not re.search(r"<[^>]+\son[a-z]+=", page.split("<script")[0])


def test_no_name_hides_or_reorders_text(make_comparison):
    page = render_html(make_comparison(new_name="new\u202egnp.exe\x1b[31m", task="a\u2066b"))
    assert "new\\u202egnp.exe\\x1b[31m" in page
    assert not {"\u202e", "\u2066", "\x1b"} & set(page)


def scored_only(shift: float):
    from muscle_llm.comparison import compare
    from muscle_llm.predictions.schema import Predictions

    scores = [0.1, 0.5, 0.9, 0.4]
    old = Predictions.from_columns({"id": list("abcd"), "scores": [{"rouge1": s} for s in scores]})
    new = Predictions.from_columns({"id": list("abcd"), "scores": [{"rouge1": s + shift} for s in scores]})
    return render_html(compare(old, new))


def test_a_task_with_scores_only_has_nothing_left_out_and_signed_changes():
    page = scored_only(0.05)
    assert "nothing tells whether it is right" not in page
    assert "its mean changes by +0.0500" in page
    assert ">+0.0500</span>" in page


def test_one_instance_is_not_plural():
    from muscle_llm.comparison import compare

    page = render_html(compare([{"id": 1, "correct": True}], [{"id": 1, "correct": False}]))
    assert "<span>1 instance</span>" in page
    assert "1 of 1 instance<" in page


def test_same_comparison_gives_the_same_page(comparison):
    assert render_html(comparison) == render_html(comparison)


def test_write_html_writes_what_render_html_gives(comparison, tmp_path):
    path = tmp_path / "folder" / "page.html"
    write_html(comparison, path)
    assert path.read_text(encoding="utf-8") == render_html(comparison)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\"><img src=x onerror='x()'>", "a & b"])
def test_names_are_text(make_comparison, name):
    page = render_html(make_comparison(new_name=name, task=name))
    assert name not in page
    assert html.escape(name, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page
