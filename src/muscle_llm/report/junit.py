"""Verdicts as JUnit XML, which GitLab, Jenkins and others show beside the tests: one test case per clause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from muscle_llm.gate.decide import Outcome
from muscle_llm.gate.verdict import ClauseResult, Verdict
from muscle_llm.text import printable

__all__ = ["render_junit"]

_NO_XML = re.compile("[\ufffe\uffff]")
_IDS = 100


def render_junit(verdicts: Sequence[Verdict]) -> str:
    r"""Return verdicts as JUnit XML: a suite per verdict, a case per clause.

    A clause that fails is a failure. One that stays open is an error, or what the policy's
    ``on_inconclusive`` says: a failure, or skipped. Characters that XML cannot hold become escapes.

    Example:
        >>> clause = ClauseResult("must_not_break", "must not break", Outcome.FAIL, "'a\x00' is broken.")
        >>> text = render_junit([Verdict((clause,))])
        >>> ElementTree.fromstring(text).find("testsuite/testcase/failure").get("message")
        "'a\\x00' is broken."
    """
    root = ElementTree.Element("testsuites", {"name": "muscle-llm policy"})
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for verdict in verdicts:
        suite = _suite(verdict)
        for name in totals:
            totals[name] += int(suite.get(name, "0"))
        root.append(suite)
    root.attrib.update({name: str(count) for name, count in totals.items()})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(verdict: Verdict) -> ElementTree.Element:
    name = _clean(verdict.task or "comparison")
    suite = ElementTree.Element("testsuite", {"name": f"muscle-llm policy: {name}"})
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in (
        ("outcome", verdict.outcome.value),
        ("confidence", f"{verdict.confidence:g}"),
        ("sentence", verdict.sentence),
        *(("note", note) for note in verdict.notes),
    ):
        ElementTree.SubElement(properties, "property", {"name": key, "value": _clean(value)})
    kinds = [_kind(clause, verdict) for clause in verdict.clauses]
    for clause, kind in zip(verdict.clauses, kinds, strict=True):
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": f"muscle-llm.{name}", "name": _clean(clause.title), "time": "0"},
        )
        text = _clean(clause.text)
        if kind is None:
            ElementTree.SubElement(case, "system-out").text = text
            continue
        found = ElementTree.SubElement(case, kind, {"message": text})
        if kind != "skipped":
            found.set("type", clause.outcome.value)
        found.text = "\n".join([text, *(f"instance {_clean(i)}" for i in clause.ids[:_IDS])])
    counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.set("tests", str(len(kinds)))
    for attribute, kind in counts.items():
        suite.set(attribute, str(kinds.count(kind)))
    return suite


def _kind(clause: ClauseResult, verdict: Verdict) -> str | None:
    """Return the element under the test case, ``None`` for a clause that holds."""
    if clause.outcome is Outcome.PASS:
        return None
    if clause.outcome is Outcome.FAIL or verdict.on_inconclusive == "fail":
        return "failure"
    return "skipped" if verdict.on_inconclusive == "pass" and clause.measured else "error"


def _clean(text: str) -> str:
    """Return text without what XML 1.0 cannot hold."""
    return _NO_XML.sub(lambda m: f"\\u{ord(m.group()):04x}", printable(text))
