"""Clicking through the page as a person would."""

from __future__ import annotations

import json
import re

import pytest

from muscle_llm.report.definitions import QUADRANTS


def test_figures_in_the_page_are_those_of_the_json(open_page, page_file, comparison):
    document = json.loads(json.dumps(comparison.to_dict()))
    opened = open_page(page_file)
    assert json.loads(opened.page.text_content("#comparison")) == document
    seen = opened.page.eval_on_selector_all(
        "[data-path][data-value]",
        "all => all.map(e => [e.dataset.path, Number(e.dataset.value), e.innerText])",
    )
    by_path = {path: value for path, value, _ in seen}
    assert by_path["metrics.nfr"] == document["metrics"]["nfr"]["value"]
    assert by_path["counts.negative_flips"] == document["counts"]["negative_flips"]
    against = document["candidates"]["muscle"]["against_new"]
    assert by_path["candidates.muscle.against_new.metrics.d_nfr"] == against["metrics"]["d_nfr"]["value"]
    texts = {path: text for path, _, text in seen if text}
    assert texts["metrics.nfr"] == f"{100 * document['metrics']['nfr']['value']:.1f}%"
    points = opened.page.eval_on_selector_all(
        "#remedies .point",
        "all => all.map(e => [e.dataset.version, Number(e.dataset.x), Number(e.dataset.y)])",
    )
    assert {name for name, _, _ in points} == {"new", *document["candidates"]}
    for name, x, y in points:
        metrics = document["metrics"] if name == "new" else document["candidates"][name]["metrics"]
        assert (x, y) == (metrics["accuracy_new"]["value"], metrics["nfr"]["value"])


@pytest.mark.parametrize(
    "quadrant", [q for q in QUADRANTS if q.name != "both_right_changed"], ids=lambda q: q.name
)
def test_a_click_on_a_quadrant_shows_its_instances(open_page, page_file, comparison, quadrant):
    opened = open_page(page_file)
    opened.page.click(f".quadrants [data-kinds='{quadrant.name}']")
    key = {"regression": "negative_flips", "gain": "positive_flips"}.get(quadrant.name, quadrant.name)
    assert opened.shown() == comparison.counts[key]
    assert opened.kinds() == {quadrant.label}
    opened.page.click(f".quadrants [data-kinds='{quadrant.name}']")
    assert opened.shown() == comparison.counts["n"]


def test_fates_of_a_remedy_filter_to_their_counts(open_page, page_file, comparison):
    opened = open_page(page_file)
    counts = comparison.candidates["muscle"].against_new.counts
    for label, name in (
        ("Recovered", "recovered"),
        ("Newly broken", "newly_broken"),
        ("Gains lost", "lost_gains"),
    ):
        opened.page.click(f".fate-item:has-text('{label}')")
        assert opened.shown() == counts[name]


def test_bars_of_the_distribution_filter_to_their_counts(open_page, page_file):
    opened = open_page(page_file)
    data = json.loads(opened.page.text_content("#vocabulary"))["distributions"]["rouge1"]
    for at in (12, 20, 39):
        if data["counts"][at]:
            opened.page.locator(".distribution svg rect").nth(at).click(position={"x": 2, "y": 1})
            assert opened.shown() == data["counts"][at]


def test_quadrant_slice_instance_difference_link_gives_the_same_view(open_page, page_file, comparison):
    opened = open_page(page_file, "", permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    page.click("[data-kinds='regression']")
    before = opened.shown()
    page.locator("#filters select", has_text="category: all").select_option("geometry")
    assert 0 < opened.shown() < before
    page.click("[role=columnheader] >> text=Margin")
    page.locator("#table .rows .row").nth(1).click()
    page.wait_for_selector("#detail .panels")
    panel = page.inner_text("#detail .panel[data-version=new] .model-text")
    assert "So the answer is" in panel
    assert page.locator("#detail .panel[data-version=new] ins").count() > 0
    assert page.locator("#detail .panel[data-version=old] del").count() > 0
    page.click("[data-do=link]")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    assert "kind=regression" in link
    view = {s: page.inner_text(s) for s in ("#shown", "#chips", "#table .rows", "#detail")}
    again = open_page(page_file, "#" + link.split("#", 1)[1])
    again.page.wait_for_selector("#detail .panels")
    assert {s: again.text(s) for s in view} == view
    assert not opened.complaints


def test_keys_step_through_the_list(open_page, page_file):
    opened = open_page(page_file, "#kind=regression")
    page = opened.page
    for key, place in (("n", "1"), ("n", "2"), ("n", "3"), ("p", "2")):
        page.keyboard.press(key)
        page.wait_for_selector(f"#detail .place:text-matches('^{place} of ')")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("nothing has this text n n")
    assert opened.searched("nothing has this text n n").shown() == 0
    assert page.is_visible("#nothing")


def test_search_finds_every_text_that_holds_the_words(open_page, page_file, comparison):
    opened = open_page(page_file)
    table = comparison.instances
    for query in ("Train leaves", "q-00017", "answer is 45."):
        opened.page.fill("#search", query)
        opened.searched(query)
        columns = ["id", "prompt", *(f"{k}:{v}" for k in ("answer", "output") for v in comparison.versions)]
        texts = [
            "\n".join(filter(None, row)).lower()
            for row in zip(*(table[c].to_pylist() for c in columns), strict=True)
        ]
        references = ["\n".join(r).lower() for r in table["references"].to_pylist()]
        low = query.lower()
        assert opened.shown() == sum(low in t or low in r for t, r in zip(texts, references, strict=True))


def test_sorting_by_change_puts_the_largest_fall_first(open_page, page_file, comparison):
    opened = open_page(page_file, "#sort=change:rouge1")
    old, new = (comparison.instances[f"score:rouge1:{v}"].to_pylist() for v in ("old", "new"))
    order = sorted(range(len(old)), key=lambda i: round(new[i] - old[i], 6))
    ids = opened.page.eval_on_selector_all("#table .rows .id", "all => all.map(e => e.innerText)")
    assert ids[:8] == [comparison.instances["id"][i].as_py() for i in order[:8]]
    opened.page.click("[role=columnheader] >> text=Δ rouge1")
    assert "sort=-change" in opened.page.url


def test_markdown_and_jsonl_leave_the_page_whole(open_page, page_file, comparison):
    opened = open_page(page_file, "#kind=regression", permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    page.keyboard.press("n")
    page.wait_for_selector("[data-do=markdown]")
    page.click("[data-do=markdown]")
    page.wait_for_selector("#said:not(:empty)")
    markdown = page.evaluate("navigator.clipboard.readText()")
    assert markdown.startswith("### Regression: `q-")
    assert markdown.count("So the answer is") == len(comparison.versions)
    with page.expect_download() as download:
        page.click("#export")
    rows = [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]
    assert len(rows) == comparison.counts["negative_flips"]
    table = comparison.instances.to_pylist()
    first = next(r for r in table if r["id"] == rows[0]["id"])
    assert rows[0]["kind"] == "regression"
    assert rows[0]["prompt"] == first["prompt"]
    assert rows[0]["versions"]["muscle"]["output"] == first["output:muscle"]
    assert rows[0]["versions"]["new"]["correct"] is False


def test_repeats_stand_as_a_strip(open_page, make_comparison, tmp_path):
    from muscle_llm.report.html import write_html

    path = tmp_path / "repeats.html"
    write_html(make_comparison(160, repeats=4), path)
    opened = open_page(path)
    opened.page.keyboard.press("n")
    opened.page.wait_for_selector(".strip")
    assert opened.page.locator(".strip").first.locator(".square").count() == 4
    opened.page.locator(".strip").first.locator(".square").nth(2).click()
    opened.page.wait_for_url(re.compile(r"row=q-\d+%232"))


def test_definitions_show_on_hover_and_on_focus(open_page, page_file):
    opened = open_page(page_file)
    opened.page.hover(".keys .term[data-term=nfr]")
    assert "mean c(1 − d)" in opened.text("#tip")
    opened.page.keyboard.press("Escape")
    assert not opened.page.is_visible("#tip")
    opened.page.focus(".keys .term[data-term=accuracy_new]")
    assert opened.page.is_visible("#tip")


def test_scores_alone_make_a_page(open_page, tmp_path):
    from muscle_llm.comparison import compare
    from muscle_llm.predictions.schema import Predictions
    from muscle_llm.report.html import write_html

    old = Predictions.from_columns(
        {"id": list("abcd"), "scores": [{"rouge1": s} for s in (0.1, 0.5, 0.9, 0.4)]}
    )
    new = Predictions.from_columns(
        {"id": list("abcd"), "scores": [{"rouge1": s} for s in (0.3, 0.2, 0.9, 0.1)]}
    )
    path = tmp_path / "scores.html"
    write_html(compare(old, new), path)
    opened = open_page(path)
    assert not opened.complaints
    assert opened.page.locator(".distribution").count() == 1
    assert opened.shown() == 4
    assert opened.page.inner_text("#table .rows .row >> nth=0").split()[-1] in ("−0.300",)
