"""A verdict as JUnit, as Markdown and in the terminal; ids and names are untrusted."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from muscle_llm.gate import ClauseResult, Outcome, Policy, Rules, Verdict, judge
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.report.clauses import clause_groups
from muscle_llm.report.junit import render_junit
from muscle_llm.report.verdict import print_verdict, worth_showing
from muscle_llm.report.verdict_markdown import render_verdict_markdown

HOSTILE = "a\x00\x1b[31m\u202e<script>|@user\ufffe\ud800\n]]>&#0;`*_ https://a.example"


def clauses(text: str = "says so") -> tuple[ClauseResult, ...]:
    held = ClauseResult(
        "nfr", "negative flips", Outcome.PASS, text, harm=Estimate(0.1, 0.05, 0.2), margin=0.3
    )
    label = "inconsistent errors"
    open_ = ClauseResult("nfr_mc", label, Outcome.INCONCLUSIVE, text, measured=False)
    failed = ClauseResult(
        "must_not_break",
        "must not break",
        Outcome.FAIL,
        text,
        f"x = {text}",
        Estimate(1.0),
        0,
        "count",
        ids=(text,),
    )
    return held, open_, failed


def shown(verdict: Verdict) -> str:
    out = io.StringIO()
    print_verdict(verdict, Console(file=out, width=100, markup=False, highlight=False, emoji=False))
    return out.getvalue()


def test_junit_counts_what_it_holds():
    root = ElementTree.fromstring(render_junit([Verdict(clauses(), task="gsm8k"), Verdict(clauses()[:1])]))
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    first, second = root.findall("testsuite")
    assert first.get("name") == "muscle-llm policy: gsm8k"
    assert [c.get("name") for c in first.findall("testcase")] == [
        "nfr",
        "nfr_mc",
        "must_not_break [x = says so]",
    ]
    assert second.find("testcase/failure") is None
    assert "instance says so" in (first.find("testcase/failure").text or "")


@pytest.mark.parametrize(
    ("on_inconclusive", "measured", "kind"),
    [
        ("inconclusive", True, "error"),
        ("fail", True, "failure"),
        ("pass", True, "skipped"),
        ("pass", False, "error"),
        ("fail", False, "failure"),
    ],
)
def test_an_open_clause_is_what_the_policy_makes_of_it(on_inconclusive, measured, kind):
    clause = ClauseResult("nfr", "negative flips", Outcome.INCONCLUSIVE, "open", measured=measured)
    root = ElementTree.fromstring(render_junit([Verdict((clause,), on_inconclusive)]))
    case = root.find("testsuite/testcase")
    assert case is not None
    assert [child.tag for child in case] == [kind]


@given(st.text(st.characters(categories=["Cc", "Cs", "Cn", "Cf", "Lu", "Po", "Sm"]), max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_text_gives_well_formed_and_harmless_outputs(text):
    verdict = Verdict(clauses(text), task=text, notes=(text,))
    xml = render_junit([verdict])
    ElementTree.fromstring(xml.encode())
    for output in (xml, render_verdict_markdown(verdict), shown(verdict)):
        assert not {c for c in output if ord(c) < 32 and c != "\n"}
        assert "\x7f" not in output


def test_hostile_text_stays_text():
    verdict = Verdict(clauses(HOSTILE), task=HOSTILE)
    root = ElementTree.fromstring(render_junit([verdict]).encode())
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "\\x1b[31m" in (failure.text or "")
    assert "<script>" in (failure.text or "")
    markdown = render_verdict_markdown(verdict)
    assert "<script>" not in markdown
    assert "@user" not in markdown
    assert "<b>" not in markdown
    assert "https:/" not in markdown
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") == 6
    assert "\x1b" not in shown(verdict)


def test_markdown_says_verdict_clauses_and_what_broke():
    text = render_verdict_markdown(Verdict(clauses(), task="gsm8k", notes=("a note",)))
    assert text.startswith("## ❌ FAIL on gsm8k\n")
    assert "| ✅ pass | negative flips | all | 10.00 % (5.00 % to 20.00 %) | 30.00 % |" in text
    assert "| ❌ **fail** | must not break | x = says so | 1 | 0 |" in text
    assert "| ❓ inconclusive | inconsistent errors | all | – | – |" in text
    assert "<details><summary>must not break: 1 instance</summary>" in text
    assert "- a note" in text


def test_a_notebook_and_print_show_the_verdict_as_text():
    verdict = Verdict(clauses(HOSTILE), task=HOSTILE, notes=("a note",))
    lines = str(verdict).splitlines()
    assert lines[0].startswith("FAIL: 1 of ")
    assert (len(lines), lines[-1]) == (len(verdict.clauses) + 2, "- note: a note")
    for text in (str(verdict), verdict._repr_html_()):
        assert not {c for c in text if ord(c) < 32 and c != "\n"}
    assert "<script>" not in verdict._repr_html_()


def test_failing_clauses_are_listed_first_to_stay():
    many = tuple(ClauseResult(f"c{i}", "c", Outcome.PASS, "") for i in range(30))
    failing = ClauseResult("last", "last", Outcome.FAIL, "")
    listed, left = worth_showing(Verdict((*many, failing)), 5)
    assert [c.name for c in listed] == ["c0", "c1", "c2", "c3", "last"]
    assert left == 26
    assert "and 11 more clauses" in shown(Verdict((*many, failing)))


def test_the_terminal_shows_each_clause_and_the_verdict(flips):
    verdict = judge(Policy(all=Rules(nfr=0.05, must_not_break=("q0",))), flips(1, 0, 300))
    text = " ".join(shown(verdict).split())
    assert "PASS nfr: negative flips 0.33 % (0.06 % to 1.86 %): within the margin of 5.00 %." in text
    assert "FAIL must_not_break: 1 of 1 instances that must not break is broken: 'q0'." in text
    assert "verdict: FAIL: 1 of 2 clauses fails" in text


def test_an_undecided_clause_has_one_name_everywhere():
    verdict = Verdict(clauses())
    (failed, undecided, held) = clause_groups(verdict.to_dict())
    assert [g.title for g in (failed, undecided, held)] == [
        "1 clause fails",
        "1 clause is inconclusive",
        "1 clause holds",
    ]
    for text in (shown(verdict), render_verdict_markdown(verdict), render_junit([verdict])):
        assert "inconclusive" in text.lower()
        assert "stays open" not in text
