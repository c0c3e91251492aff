"""A comparison as a short Markdown text, for a pull request or a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muscle_llm.comparison import Comparison
from muscle_llm.metrics.definitions import DEFINITIONS, SMOOTH_DEFINITIONS, Definition
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.report.escaping import escape_markdown
from muscle_llm.report.terminal import broken_rows, format_estimate, shown_metrics, version_rows

__all__ = ["render_markdown"]

_MOST_SLICES = 10
_MOST_BROKEN = 20  # a comment on GitHub holds 65,536 characters
_NAME, _CELL = 80, 120  # characters of a name, and of an answer
_COLUMNS = {
    "id": "instance",
    "references": "reference",
    "answer:old": "old answer",
    "answer:new": "new answer",
}


def render_markdown(comparison: Comparison) -> str:
    """Return sentence, figures, candidates, slices that got worse, and notes, as GitHub's Markdown.

    Example:
        >>> from muscle_llm.comparison import compare
        >>> rows = [{"id": 1, "correct": True}, {"id": 2, "correct": False}]
        >>> "| negative flips (NFR) | 0.00 % (0.00 % to 65.76 %) |" in render_markdown(compare(rows, rows))
        True
    """
    parts = [escape_markdown(comparison.sentence)]
    level = f"{round(100 * comparison.confidence, 3):g} % interval"
    if any(e.defined for e in comparison.metrics.values()):
        title = f"n = {comparison.counts['n']}"
        parts.append(_metrics(title, shown_metrics(comparison), DEFINITIONS, level))
    for name, metrics in comparison.scores.items():
        parts.append(_metrics(f"score {escape_markdown(name)}", metrics, SMOOTH_DEFINITIONS, level))
    if comparison.candidates:
        parts.append(_candidates(comparison))
    worse = [s for s in comparison.slices if s.worse]
    if worse:
        named = [escape_markdown(f"{s.name} = {s.value}", _NAME) for s in worse[:_MOST_SLICES]]
        more = f" and {len(worse) - _MOST_SLICES} more" if len(worse) > _MOST_SLICES else ""
        parts.append(f"Slices that got worse (false discoveries controlled): {', '.join(named)}{more}.")
    parts += _broken(comparison)
    if comparison.warnings:
        parts.append("\n".join(f"- {escape_markdown(w)}" for w in comparison.warnings))
    return "\n\n".join(parts) + "\n"


def _broken(comparison: Comparison) -> list[str]:
    """Return the first instances that were right and are wrong, folded away."""
    rows, count = broken_rows(comparison, _MOST_BROKEN)
    if not rows:
        return []
    shown = [c for c in _COLUMNS if any(r.get(c) is not None for r in rows)]
    lines = [f"| {' | '.join(_COLUMNS[c] for c in shown)} |", "|" + "---|" * len(shown)]
    lines += [f"| {' | '.join(_cell(r[c]) for c in shown)} |" for r in rows]
    first = "" if count == len(rows) else f", the first {len(rows)}"
    summary = f"<details><summary>Right before, wrong now: {count}{first}</summary>"
    return [summary, "\n".join(lines), "</details>"]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return escape_markdown(" / ".join(map(str, value)) if isinstance(value, list) else str(value), _CELL)


def _metrics(
    title: str, metrics: Mapping[str, Estimate], definitions: Mapping[str, Definition], level: str
) -> str:
    rows = [
        f"| {definitions[name].label} | {format_estimate(estimate, definitions[name])} |"
        for name, estimate in metrics.items()
    ]
    return "\n".join([f"| {title} | value ({level}) |", "|---|---|", *rows])


def _candidates(comparison: Comparison) -> str:
    quality, rows = version_rows(comparison)
    lines = [
        f"| version | {escape_markdown(quality)} | NFR | change of NFR | recovered / broken |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        change = "" if row.change is None else format_estimate(row.change, DEFINITIONS["d_nfr"])
        flips = "" if row.change is None else "–" if row.flips is None else " / ".join(map(str, row.flips))
        lines.append(f"| {escape_markdown(row.name)} | {row.quality} | {row.nfr} | {change} | {flips} |")
    return "\n".join(lines)
