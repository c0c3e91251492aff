"""The page for everyone: axe finds nothing serious, keyboards reach everything, phones and print show it."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_serious(open_page, page_file, comparison, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    opened = open_page(
        page_file,
        f"#kind=regression&row={comparison.instances['id'][0].as_py()}",
        color_scheme=scheme,
        viewport={"width": width, "height": 844},
    )
    opened.page.wait_for_selector("#detail .panels")
    found = axe.run(opened.page).response["violations"]
    serious = [
        (v["id"], n["html"][:160], n["failureSummary"][:300])
        for v in found
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"][:3]
    ]
    assert serious == []


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_wider_than_the_window(open_page, page_file, width):
    opened = open_page(page_file, "#kind=regression", viewport={"width": width, "height": 844})
    opened.page.keyboard.press("n")
    opened.page.wait_for_selector("#detail .panels")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_labels_of_the_pictures_do_not_meet_on_a_phone(open_page, page_file):
    opened = open_page(page_file, viewport={"width": 360, "height": 800})
    boxes = opened.page.eval_on_selector_all(
        "#flow text.on-band",
        "all => all.map(e => e.getBoundingClientRect()).map(b => [b.left, b.right, b.top, b.bottom])",
    )
    assert len(boxes) == 6
    for k, (left, right, top, bottom) in enumerate(boxes):
        for other in boxes[:k]:
            apart = right < other[0] or other[1] < left or bottom <= other[2] or other[3] <= top
            assert apart, (boxes[k], other)
    starts = opened.page.eval_on_selector_all(
        "#remedies text.name", "all => all.map(e => e.getBoundingClientRect().left)"
    )
    edge = opened.page.evaluate("document.querySelector('#remedies svg').getBoundingClientRect().left")
    assert min(starts) >= edge


def test_figures_that_are_not_known_say_why(open_page, write_pair):
    columns = {"id": list(map(str, range(20))), "output": ["text"] * 20, "correct": [True, False] * 10}
    opened = open_page(write_pair(columns, columns))
    row = opened.page.locator("table.figures tr", has_text="Inconsistent errors")
    assert "no answers in the logs" in row.inner_text()


def test_without_scripts_the_figures_are_there(browser, page_file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert "%" in page.inner_text(".keys")
    assert page.locator("table.figures tbody tr").count() > 15
    assert page.locator("table.slices tbody tr").count() == 4
    assert not page.is_visible("#instances")
    context.close()


def test_print_shows_the_figures_and_hides_the_controls(open_page, page_file):
    opened = open_page(page_file)
    opened.page.emulate_media(media="print")
    assert opened.page.is_visible("table.figures")
    assert not opened.page.is_visible(".toolbar")
    assert not opened.page.is_visible("#table")
    # Nothing is left of the list but what was chosen in it.
    assert not opened.page.is_visible("#instances")
    opened.page.keyboard.press("n")
    opened.page.wait_for_selector("#detail .panels")
    assert opened.page.is_visible("#instances")


def test_print_is_dark_on_light_whatever_the_theme(open_page, page_file):
    opened = open_page(page_file, color_scheme="dark")
    opened.page.click("#theme")
    opened.page.click("#theme")
    colours = "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    assert opened.page.evaluate(colours)[0] == "rgb(236, 235, 230)"
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate(colours) == ["rgb(26, 26, 24)", "rgb(255, 255, 255)"]


def test_the_skip_link_keeps_the_filters(open_page, page_file, comparison):
    opened = open_page(page_file, "#kind=regression")
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_function("document.activeElement.id === 'search'")
    assert opened.shown() == comparison.counts["negative_flips"]
    assert opened.page.url.endswith("#kind=regression")


def test_theme_button_overrides_the_system(open_page, page_file):
    opened = open_page(page_file, color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = opened.page.evaluate(colour)
    opened.page.click("#theme")
    assert opened.page.evaluate(colour) == light
    opened.page.click("#theme")
    assert opened.page.evaluate(colour) != light
