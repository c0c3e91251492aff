"""Clicking through the page as a person would."""

from __future__ import annotations

import csv
import io
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
    assert texts["metrics.nfr"] == f"{100 * document['metrics']['nfr']['value']:.1f}\xa0%"
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
    # The flow begins with the remedy that the headline names.
    best = "no mask"
    assert f"“{best}” reduces that" in opened.text("h1")
    counts = comparison.candidates[best].against_new.counts
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
    falls = sum(data["counts"][:20])
    for label, shown in (
        (f"{falls} fall", falls),
        (f"{data['unchanged']} unchanged", data["unchanged"]),
        (f"{sum(data['counts'][20:])} rise", sum(data["counts"][20:])),
    ):
        opened.page.click(f".legend button:text-is('{label}')")
        assert opened.shown() == shown


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
        page.click("[data-export=jsonl]")
    rows = [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]
    assert len(rows) == comparison.counts["negative_flips"]
    table = comparison.instances.to_pylist()
    first = next(r for r in table if r["id"] == rows[0]["id"])
    assert rows[0]["kind"] == "regression"
    assert rows[0]["prompt"] == first["prompt"]
    assert rows[0]["versions"]["muscle"]["output"] == first["output:muscle"]
    assert rows[0]["versions"]["new"]["correct"] is False


def test_shown_instances_leave_as_a_table_and_as_ids(open_page, write_pair):
    old = {"id": ["a", "b", "c"], "answer": ["=1+1", "-5", "x"], "correct": [True] * 3}
    new = {"id": ["a", "b", "c"], "answer": ['say "no",\nthen', "-6", "x"], "correct": [False, False, True]}
    opened = open_page(write_pair(old, new), "#kind=regression")
    saved = {}
    for kind in ("csv", "ids"):
        with opened.page.expect_download() as download:
            opened.page.click(f"[data-export={kind}]")
        saved[kind] = download.value.path().read_bytes().decode()
    assert saved["ids"] == "a\nb\n"
    rows = list(csv.DictReader(io.StringIO(saved["csv"], newline="")))
    assert [(r["id"], r["kind"], r["correct:new"]) for r in rows] == [
        ("a", "regression", "false"),
        ("b", "regression", "false"),
    ]
    # What a spreadsheet would run is text; a number stays one.
    assert [r["answer:old"] for r in rows] == ["'=1+1", "-5"]
    assert rows[0]["answer:new"] == 'say "no",\nthen'


def test_back_and_forward_undo_and_redo_filters(open_page, page_file, comparison):
    opened = open_page(page_file)
    page, all_, flips = opened.page, comparison.counts["n"], comparison.counts["negative_flips"]
    page.click(".quadrants [data-kinds='regression']")
    page.keyboard.press("n")
    page.keyboard.press("n")  # stepping through the list is no step of the browser's
    page.fill("#search", "q-0000")
    opened.searched("q-0000")
    found = opened.shown()
    assert 0 < found < flips
    for way, shown in (
        (page.go_back, flips),
        (page.go_back, all_),
        (page.go_forward, flips),
        (page.go_forward, found),
    ):
        way()
        page.wait_for_selector(f"#shown:text-is('{shown}')")
    assert page.input_value("#search") == "q-0000"
    assert not opened.complaints


def test_a_link_to_an_instance_opens_at_it(open_page, page_file, comparison):
    opened = open_page(page_file, f"#row={comparison.instances['id'][5].as_py()}")
    opened.page.wait_for_selector("#detail .panels")
    assert opened.page.evaluate("document.querySelector('#instances').getBoundingClientRect().top") < 100


def test_long_ids_are_told_apart_in_the_list_and_whole_in_the_detail(open_page, write_pair):
    ids = [f"benchmark-of-something-test-split-number-{i:03d}" for i in range(30)]
    columns = {"id": ids, "answer": ["1"] * 30, "correct": [True] * 30}
    opened = open_page(write_pair(columns, columns), permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    listed = page.eval_on_selector_all(
        "#table .rows .id", "all => all.map(e => [e.innerText, e.scrollWidth <= e.clientWidth])"
    )
    assert listed[0][0].endswith("number-000")
    assert all(whole for _, whole in listed)
    page.keyboard.press("n")
    page.wait_for_selector("#detail .panels")
    assert opened.text("#detail h3 .id") == ids[0]
    page.click("[data-do=id]")
    page.wait_for_selector("#said:not(:empty)")
    assert page.evaluate("navigator.clipboard.readText()") == ids[0]


def marks(opened, version):
    return opened.page.eval_on_selector_all(
        f"#detail .panel[data-version={version}] .model-text :is(ins, del)",
        "all => all.map(e => e.innerText)",
    )


def test_differences_are_passages_and_not_confetti(open_page, write_pair):
    old = [
        "The shop sells 3 apples and 4 pears a day, so in a week it sells 49.",
        "We first add the two numbers, and the sum of the two is 12.\n\nSo the answer is 12.",
    ]
    new = [
        "The shop sells 3 apples and 4 pears a day, so in a week it sells 35.",
        "A train moves, and with speed the distance is 80 of 90.\n\nSo the answer is 12.",
    ]
    rows = [{"id": ["a", "b"], "output": texts, "correct": [True, True]} for texts in (old, new)]
    opened = open_page(write_pair(*rows))
    opened.page.keyboard.press("n")
    opened.page.wait_for_selector("#detail .panels")
    assert (marks(opened, "old"), marks(opened, "new")) == (["49"], ["35"])
    opened.page.keyboard.press("n")
    opened.page.wait_for_selector("#detail .place:text-matches('^2 of ')")
    (gone,), (come,) = marks(opened, "old"), marks(opened, "new")
    assert gone.startswith("We first add the two numbers")
    assert come.startswith("A train moves, and with speed")
    assert "So the answer" not in gone + come


def test_words_searched_for_are_marked_in_the_instance(open_page, page_file):
    opened = open_page(page_file, "#search=So+the+ANSWER")
    opened.page.keyboard.press("n")
    opened.page.wait_for_selector("#detail .panels")
    panels = opened.page.locator("#detail .panel").count()
    assert opened.page.evaluate("CSS.highlights.get('found').size") == panels
    opened.page.fill("#search", "")
    opened.page.wait_for_selector("#clear", state="hidden")
    opened.page.keyboard.press("Tab")
    opened.page.locator("#table .rows .row").first.click()
    opened.page.wait_for_selector("#detail .panels")
    assert not opened.page.evaluate("CSS.highlights.has('found')")


def test_code_is_shown_in_letters_of_one_width(open_page, write_pair):
    code = "def f(x):\n    if x:\n        return 1\n    return 0\n"
    rows = {"id": ["a", "b"], "output": [code, "Plain\n\n    words."], "correct": [True, True]}
    opened = open_page(write_pair(rows, rows))
    for family in (True, False):
        opened.page.keyboard.press("n")
        opened.page.wait_for_selector(f"#detail .place:text-matches('^{1 if family else 2} of ')")
        shown = opened.page.locator("#detail .panel .model-text").first
        assert ("mono" in shown.evaluate("e => getComputedStyle(e).fontFamily")) is family


def test_choices_tell_who_took_which(open_page, write_pair):
    choices = [["red", "green", "blue"], ["1", "2", "3"]]
    old = {"id": ["a", "b"], "choices": choices, "references": [["B"], ["2"]], "answer": ["B", "2"]}
    new = {**old, "answer": ["C", "3"]}
    flags = [{**side, "correct": c} for side, c in ((old, [True, True]), (new, [False, False]))]
    opened = open_page(write_pair(*flags))
    for right, took in (("B", "C"), ("B", "C")):
        opened.page.keyboard.press("n")
        opened.page.wait_for_selector("#detail .choices")
        rows = opened.page.eval_on_selector_all(
            ".choices tbody tr",
            "all => all.map(e => [e.querySelector('.letter').innerText, e.className, "
            "...[...e.cells].slice(1).map(c => c.innerText.trim())])",
        )
        assert [r[0] for r in rows if r[1] == "right"] == [right]
        assert [r[0] for r in rows if "answered" in r[2]] == [right]
        assert [r[0] for r in rows if "answered" in r[3]] == [took]


def test_many_slices_fold_and_the_chosen_one_stays(open_page, write_pair):
    n = 2000
    columns = {
        "id": list(map(str, range(n))),
        "answer": ["1"] * n,
        "slices": [{"subject": f"subject {i % 50}"} for i in range(n)],
    }
    old = {**columns, "correct": [True] * n}
    new = {**columns, "correct": [i % 50 % 7 > 1 for i in range(n)]}
    opened = open_page(write_pair(old, new), "#slice.subject=subject+48")
    rows = opened.page.locator(".slices tbody tr")
    assert rows.count() == 21
    assert rows.last.inner_text().startswith("subject subject 48")
    opened.page.click("text=Show all 50 slices")
    assert rows.count() == 50
    opened.page.hover(".slices th .sort[data-term=nfr]")
    assert "Share that old gets right and new gets wrong" in opened.text("#tip")


def test_a_short_list_leaves_no_empty_space(open_page, write_pair):
    columns = {"id": ["a", "b"], "answer": ["1", "2"], "correct": [True, True]}
    opened = open_page(write_pair(columns, columns))
    assert opened.page.locator("#table").bounding_box()["height"] < 120


def test_a_broken_instance_of_the_policy_is_one_click_away(open_page, comparison, tmp_path):
    from muscle_llm.gate import Policy, Rules, judge
    from muscle_llm.report.html import write_html

    at = comparison.instances["quadrant"].to_pylist().index("regression")
    broken = comparison.instances["id"][at].as_py()
    path = tmp_path / "page.html"
    policy = Policy(all=Rules(must_not_break=(broken,), accuracy_drop=0.5))
    write_html(comparison, path, verdict=judge(policy, comparison))
    opened = open_page(path)
    assert [e.strip() for e in opened.page.locator(".clauses summary").all_inner_texts()] == [
        "1 clause fails",
        "1 clause holds",
    ]
    opened.page.click(f".clauses a:text-is('{broken}')")
    opened.page.wait_for_selector("#detail .panels")
    assert broken in opened.text("#detail h3")
    assert not opened.complaints


def test_repeats_stand_as_a_strip(open_page, make_comparison, tmp_path):
    from muscle_llm.report.html import write_html

    path = tmp_path / "repeats.html"
    write_html(make_comparison(160, repeats=4), path)
    opened = open_page(path)
    opened.page.keyboard.press("n")
    opened.page.wait_for_selector(".strip")
    assert opened.page.locator(".strip").first.locator(".square").count() == 4
    # Each bar is as long as its share of all answers.
    bars = opened.page.eval_on_selector_all(
        ".quadrants .cell",
        "all => all.map(e => [e.querySelector('.share').innerText, "
        "[...e.querySelectorAll('.fill')].reduce((sum, f) => sum + parseFloat(f.style.width), 0)])",
    )
    for share, width in bars:
        assert abs(float(share.rstrip("%")) - width) < 0.1
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
