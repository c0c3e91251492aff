"""A verdict as Markdown, to stand above the comparison in a pull-request comment."""

from __future__ import annotations

from collections.abc import Iterable

from muscle_llm.gate.clauses import show
from muscle_llm.gate.decide import Outcome
from muscle_llm.gate.verdict import ClauseResult, Verdict
from muscle_llm.report.escaping import escape_markdown
from muscle_llm.report.verdict import worth_showing
from muscle_llm.text import counted

__all__ = ["render_verdict_markdown"]

_CLAUSES = 40  # a comment on GitHub holds 65,536 characters
_IDS = 20
_MARKS = {Outcome.PASS: "✅ pass", Outcome.INCONCLUSIVE: "❓ inconclusive", Outcome.FAIL: "❌ **fail**"}


def render_verdict_markdown(verdict: Verdict) -> str:
    """Return a verdict as Markdown: the sentence, a row per clause, and the instances that broke.

    Example:
        >>> name, text = "must_not_break", "'a|b' is broken."
        >>> clause = ClauseResult(name, "must not break", Outcome.FAIL, text, ids=("a|b",))
        >>> print(render_verdict_markdown(Verdict((clause,))))
        ## ❌ FAIL
        <BLANKLINE>
        must\\_not\\_break: 'a\\|b' is broken.
        <BLANKLINE>
        | | clause | where | figure | margin |
        |---|---|---|---:|---:|
        | ❌ **fail** | must not break | all | – | – |
        <BLANKLINE>
        <details><summary>must not break: 1 instance</summary>
        <BLANKLINE>
        - a\\|b
        <BLANKLINE>
        </details>
        <BLANKLINE>
    """
    shown, left = worth_showing(verdict, _CLAUSES)
    mark = _MARKS[verdict.outcome].split()[0]
    task = f" on {escape_markdown(verdict.task)}" if verdict.task else ""
    sentence = verdict.sentence.partition(": ")[2]
    parts = [f"## {mark} {verdict.outcome.value.upper()}{task}", "", escape_markdown(sentence), ""]
    parts += ["| | clause | where | figure | margin |", "|---|---|---|---:|---:|", *map(_row, shown), ""]
    if left:
        parts += [f"{left} more clauses are not listed here.", ""]
    for clause in shown:
        if clause.outcome is Outcome.INCONCLUSIVE:
            parts += [f"- {escape_markdown(clause.title)}: {escape_markdown(clause.text)}"]
    parts += [f"- {escape_markdown(note)}" for note in verdict.notes]
    if parts[-1]:
        parts.append("")
    for clause in shown:
        parts += _ids(clause)
    return "\n".join(parts).rstrip() + "\n"


def _row(clause: ClauseResult) -> str:
    figure = margin = "–"
    if clause.harm is not None and clause.harm.defined:
        figure = show(clause.harm.value, clause.unit)
        if clause.harm.low == clause.harm.low:
            bounds = (show(b, clause.unit) for b in (clause.harm.low, clause.harm.high))
            figure += f" ({' to '.join(bounds)})"
    elif clause.harm is None and clause.unit == "count" and clause.n is not None:
        figure = f"{clause.n:,}"
    if clause.margin is not None:
        margin = show(clause.margin, clause.unit)
    where = escape_markdown(clause.scope, 80) or "all"
    return f"| {_MARKS[clause.outcome]} | {escape_markdown(clause.label)} | {where} | {figure} | {margin} |"


def _ids(clause: ClauseResult) -> Iterable[str]:
    if not clause.ids:
        return
    count = len(clause.ids)
    total = counted(count, "instance", "instances")
    yield f"<details><summary>{escape_markdown(clause.label)}: {total}</summary>"
    yield ""
    for name in clause.ids[:_IDS]:
        yield f"- {escape_markdown(name, 80)}"
    if count > _IDS:
        yield f"- and {count - _IDS} more"
    yield from ("", "</details>", "")
