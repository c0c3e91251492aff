"""Whatever a model wrote is text: nothing of it runs, nothing leaves the page."""

from __future__ import annotations

import pytest

from muscle_llm.report.html import write_html

HOSTILE = [
    "<script>window.hit=1</script>",
    "</script><script>window.hit=2</script>",
    "<!--<script>",
    "--><script>window.hit=3</script>",
    "<img src=x onerror='window.hit=4'>",
    "<svg/onload=window.hit=5>",
    "\"'><iframe srcdoc='<script>parent.hit=6</script>'>",
    "<a href=javascript:window.hit=7>x</a>",
    "javascript:window.hit=8",
    "{{ 7 * 7 }} {% raw %} ${window.hit=9}",
    "]]><![CDATA[<script>window.hit=10</script>",
    "\u202egnp.exe\u202c and \u2066isolated\u2069",
    "\u2028line\u2029paragraph",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "null\x00byte",
    "\x85\x9b31m\x7f",
    "a\r\nb\rc",
    "\ufeffmark \ufffe \uffff",
    "<style>*{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=http://example.invalid/'>",
    "<link rel=stylesheet href=http://example.invalid/x.css>",
    "<base href=http://example.invalid/>",
    "&lt;script&gt; &amp; &#0;",
    "</textarea></title></style></noscript>",
    "`" * 7 + " ```js",
]


@pytest.fixture(scope="module")
def hostile_page(make_comparison, tmp_path_factory):
    def edit(questions):
        for i in range(len(questions["id"])):
            text = HOSTILE[i % len(HOSTILE)]
            questions["prompt"][i] = f"{text} ({i})"
            questions["category"][i] = text[:40]
        questions["prompt"][3] = "word " * 200_000
        questions["prompt"][4] = "x" * 1_000_000

    comparison = make_comparison(200, edit=edit, new_name=HOSTILE[0], task=HOSTILE[1])
    table = comparison.instances
    outputs = [f"{HOSTILE[i % len(HOSTILE)]} {i}" for i in range(table.num_rows)]
    outputs[7] = "</script>" * 120_000
    for version in ("old", "new", "muscle"):
        at = table.column_names.index(f"output:{version}")
        table = table.set_column(at, f"output:{version}", [outputs if version != "old" else outputs[::-1]])
    import dataclasses

    comparison = dataclasses.replace(comparison, instances=table)
    path = tmp_path_factory.mktemp("hostile") / "page.html"
    write_html(comparison, path)
    return path, comparison, outputs


def test_two_hundred_hostile_outputs_are_text(open_page, hostile_page):
    path, comparison, outputs = hostile_page
    opened = open_page(path)
    page = opened.page
    ids = comparison.instances["id"].to_pylist()
    for i, output in enumerate(outputs):
        page.evaluate("id => { location.hash = new URLSearchParams({row: id}).toString(); }", ids[i])
        page.wait_for_function(
            "id => document.querySelector('#detail h3 .id')?.textContent === id", arg=ids[i]
        )
        text = page.locator("#detail .panel[data-version=new] .model-text").evaluate("e => e.textContent")
        assert not set(text) & set("\x00\x1b\x07\x85\x9b\u202e\u2066\u2028\ufeff")
        if not any(ord(c) < 32 or ord(c) > 126 for c in output) and len(output) < 1000:
            assert text == output
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.querySelectorAll('iframe, img, link[rel=stylesheet], base').length") == 0
    assert opened.complaints == []
    assert opened.requests == [path.as_uri()]


def test_names_and_hidden_characters_are_shown_by_name(open_page, hostile_page):
    path, _, _ = hostile_page
    opened = open_page(path, "#search=gnp.exe")
    opened.page.keyboard.press("n")
    opened.page.wait_for_selector("#detail .panels")
    assert "‹U+202E›" in opened.text("#detail")
    opened.page.fill("#search", "\x1b[31mred")
    assert opened.searched("\x1b[31mred").shown() > 0
    assert HOSTILE[0] in opened.text(".versions")


def test_long_texts_are_cut_until_asked_for(open_page, hostile_page):
    path, comparison, _ = hostile_page
    opened = open_page(path, f"#row={comparison.instances['id'][7].as_py()}")
    opened.page.wait_for_selector("#detail .panels")
    panel = opened.page.locator("#detail .panel[data-version=new] .model-text")
    assert panel.evaluate("e => e.textContent.length") < 21_000
    panel.locator("button.more").click()
    assert panel.evaluate("e => e.textContent") == "</script>" * 120_000
    assert opened.complaints == []


def test_the_policy_refuses_scripts_markup_and_network(open_page, page_file):
    opened = open_page(page_file)
    page = opened.page
    policy = page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    outcome = page.evaluate(
        """async () => {
          const out = {};
          const script = document.createElement('script');
          try { script.textContent = 'window.hit = 1'; document.body.append(script); } catch { out.text = 1; }
          try { document.body.innerHTML = '<b>x</b>'; } catch (e) { out.markup = e.name; }
          try { await fetch('http://example.invalid/'); } catch (e) { out.fetch = e.name; }
          out.hit = window.hit ?? null;
          return out;
        }"""
    )
    assert outcome["hit"] is None
    assert outcome["markup"] == "TypeError"
    assert outcome["fetch"] == "TypeError"
