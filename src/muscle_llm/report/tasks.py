"""Several tasks on one screen: a row per task, then the mean over tasks and over all instances."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muscle_llm.comparison import Comparison, TaskSummary
from muscle_llm.gate.decide import Outcome
from muscle_llm.gate.tasks import TasksVerdict
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.report.escaping import escape_markdown
from muscle_llm.report.verdict_markdown import render_verdict_markdown
from muscle_llm.text import printable

__all__ = ["TaskTable", "candidate_table", "file_names", "print_tasks", "render_tasks_markdown", "task_table"]

_STYLES = {"pass": "green", "inconclusive": "yellow", "fail": "bold red"}
MACRO, POOLED = "mean over tasks", "all instances"


@dataclass(frozen=True, slots=True)
class TaskTable:
    """A table as text: headings, a row per task, and the rows that sum them up."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, ...], ...]


def task_table(
    comparisons: Mapping[str, Comparison], summary: TaskSummary, verdict: TasksVerdict | None = None
) -> TaskTable:
    """Return the tasks as rows: instances, accuracy (or the first score's mean), negative flips, verdict.

    Example:
        >>> from muscle_llm.comparison import compare, summarise_tasks
        >>> rows = [{"id": i, "correct": True} for i in range(4)]
        >>> same = {"piqa": compare(rows, rows)}
        >>> task_table(same, summarise_tasks(same)).rows[0][:4]
        ('piqa', '4', '100.0', '100.0')
    """
    level = f"[{round(100 * summary.confidence, 3):g} %]"
    headings = ("task", "instances", "old", "new", f"change {level}", f"NFR {level}")
    rows = []
    for task, comparison in comparisons.items():
        name, figures = _figures(comparison)
        shown = printable(task if name is None else f"{task} ({name})")
        rows.append((shown, str(comparison.counts["n"] or 0), *figures))
    totals = []
    for label, metrics in ((MACRO, summary.figures.macro), (POOLED, summary.figures.pooled)):
        if metrics:
            totals.append((label, str(summary.n), *_cells(metrics, "accuracy")))
    if verdict is not None:
        headings = (*headings, "verdict")
        rows = [(*r, _word(verdict, task)) for r, task in zip(rows, comparisons, strict=True)]
        totals = [(*t, "") for t in totals]
    return TaskTable(headings, tuple(rows), tuple(totals))


def candidate_table(summary: TaskSummary) -> TaskTable:
    """Return the candidates as rows: their NFR, and what they change against new, over the tasks."""
    headings = ("version", "over", "accuracy", "NFR", "change of NFR", "change of accuracy", "tasks")
    rows = []
    for name, across in summary.candidates.items():
        for label, metrics in ((MACRO, across.macro), (POOLED, across.pooled)):
            if "nfr" not in metrics:
                continue
            rows.append(
                (
                    name,
                    label,
                    _percent(metrics["accuracy_new"], interval=False),
                    _percent(metrics["nfr"], interval=False),
                    _percent(metrics.get("d_nfr"), signed=True),
                    _percent(metrics.get("d_accuracy"), signed=True),
                    str(across.tasks["nfr"]),
                )
            )
    return TaskTable(headings, tuple(rows), ())


def print_tasks(
    comparisons: Mapping[str, Comparison],
    summary: TaskSummary,
    console: Console,
    verdict: TasksVerdict | None = None,
) -> None:
    """Print the sentence, a row per task with the sums, the candidates, what the reader must know, and the
    verdict."""
    console.print(Text(printable(summary.sentence), style="bold"))
    console.print(_table(task_table(comparisons, summary, verdict)))
    if summary.candidates:
        console.print(_table(candidate_table(summary)))
    console.print(
        Text(
            f"{MACRO}: every task counts the same; {POOLED}: every instance does. Intervals: other instances "
            "of these tasks, not other tasks.",
            style="dim",
        )
    )
    for warning in _warnings(comparisons, summary):
        console.print(Text(f"note: {printable(warning)}", style="yellow"))
    if verdict is not None:
        for note in verdict.notes:
            console.print(Text(f"note: {printable(note)}", style="yellow"))
        said = printable(verdict.sentence, limit=400)
        console.print(Text("verdict: ").append(said, style=_STYLES[verdict.outcome.value]))


def render_tasks_markdown(
    comparisons: Mapping[str, Comparison], summary: TaskSummary, verdict: TasksVerdict | None = None
) -> str:
    """Return several tasks as GitHub's Markdown: verdict, sentence, table, notes, and every task that does
    not pass in full."""
    parts = []
    if verdict is not None:
        said = escape_markdown(verdict.sentence.partition(": ")[2])
        parts += [f"## {verdict.outcome.value.upper()}", said]
    parts += [escape_markdown(summary.sentence), _markdown_table(task_table(comparisons, summary, verdict))]
    if summary.candidates:
        parts.append(_markdown_table(candidate_table(summary)))
    notes = [*_warnings(comparisons, summary), *(verdict.notes if verdict else ())]
    if notes:
        parts.append("\n".join(f"- {escape_markdown(n)}" for n in notes))
    if verdict is not None:
        open_ = [v for v in verdict.verdicts.values() if v.outcome is not Outcome.PASS]
        parts += [render_verdict_markdown(v).rstrip() for v in open_]
    return "\n\n".join(parts) + "\n"


def file_names(tasks: Iterable[str]) -> dict[str, str]:
    """Return a name per task that is safe as a file's name, and different for different tasks.

    Example:
        >>> file_names(["piqa", "../a b", "..:a:b"])
        {'piqa': 'piqa', '../a b': 'a_b', '..:a:b': 'a_b_2'}
    """
    names: dict[str, str] = {}
    taken = {"index"}
    for task in tasks:
        stem = re.sub(r"[^A-Za-z0-9._=-]+", "_", task).strip("._")[:80] or "task"
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.lower())
        names[task] = name
    return names


def _warnings(comparisons: Mapping[str, Comparison], summary: TaskSummary) -> list[str]:
    """Return the summary's warnings and every task's own, with its name."""
    return [*summary.warnings, *(f"{task}: {w}" for task, c in comparisons.items() for w in c.warnings)]


def _figures(comparison: Comparison) -> tuple[str | None, tuple[str, ...]]:
    """Return the score the figures are of (``None``: right and wrong), and the figures."""
    if comparison.metrics["nfr"].defined or not comparison.scores:
        return None, _cells(comparison.metrics, "accuracy")
    score, metrics = next(iter(comparison.scores.items()))
    return score, _cells(metrics, "mean")


def _cells(metrics: Mapping[str, Estimate], quality: str) -> tuple[str, ...]:
    """Return the figures as written: shares in percent, means of scores as they are."""
    show = _percent if quality == "accuracy" else _score
    return (
        show(metrics.get(f"{quality}_old"), interval=False),
        show(metrics.get(f"{quality}_new"), interval=False),
        show(metrics.get(f"{quality}_difference"), signed=True),
        _percent(metrics.get("nfr")),
    )


def _percent(estimate: Estimate | None, *, interval: bool = True, signed: bool = False) -> str:
    return _written(estimate, 100, ".1f", interval, signed)


def _score(estimate: Estimate | None, *, interval: bool = True, signed: bool = False) -> str:
    return _written(estimate, 1, ".4g", interval, signed)


def _written(estimate: Estimate | None, scale: float, digits: str, interval: bool, signed: bool) -> str:
    if estimate is None or not estimate.defined:
        return "–"
    form = f"{'+' if signed else ''}{digits}"
    low, high = (f"{scale * bound:{form}}" for bound in (estimate.low, estimate.high))
    shown = interval and math.isfinite(estimate.low)
    return f"{scale * estimate.value:{form}}" + (f" [{low}, {high}]" if shown else "")


def _word(verdict: TasksVerdict, task: str) -> str:
    found = verdict.verdicts.get(task)
    return "–" if found is None else found.outcome.value


def _table(content: TaskTable) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in content.headings:
        left = heading in ("task", "version", "over", "verdict")
        table.add_column(Text(printable(heading)), justify="left" if left else "right")
    for row in content.rows:
        table.add_row(*(Text(printable(cell), style=_STYLES.get(cell, "")) for cell in row))
    for row in content.totals:
        table.add_row(*(Text(printable(cell)) for cell in row), style="bold")
    return table


def _markdown_table(content: TaskTable) -> str:
    def line(cells: Sequence[Any]) -> str:
        return f"| {' | '.join(escape_markdown(str(c)) for c in cells)} |"

    rules = "|" + "---|" * len(content.headings)
    return "\n".join([line(content.headings), rules, *map(line, (*content.rows, *content.totals))])
