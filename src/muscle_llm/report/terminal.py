"""A comparison as a short table and one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muscle_llm.comparison import Comparison
from muscle_llm.metrics.definitions import DEFINITIONS, SMOOTH_DEFINITIONS, Definition
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.text import printable

__all__ = [
    "VersionRow",
    "broken_rows",
    "format_estimate",
    "format_value",
    "print_comparison",
    "shown_metrics",
    "version_rows",
]

_MOST_SLICES = 10
_MOST_BROKEN = 5
_NAME = 80  # characters of a name, which logs decide
_WIDE = 140  # columns of a terminal that leave room for what each figure means
_SHOWN = (
    "accuracy_old",
    "accuracy_new",
    "accuracy_difference",
    "nfr",
    "pfr",
    "nfr_mc",
    "btc",
    "churn",
    "nfr_floor",
    "nfr_relative",
    "mcnemar_p",
    "detectable_difference",
)


def format_value(value: float, definition: Definition) -> str:
    """Return a figure as text in its own unit.

    Example:
        >>> format_value(0.0667, DEFINITIONS["nfr"]), format_value(-0.013, DEFINITIONS["d_nfr"])
        ('6.67 %', '-1.30 points')
        >>> format_value(float("nan"), DEFINITIONS["nfr"])
        '–'
    """
    if math.isnan(value):
        return "–"
    match definition.unit:
        case "share":
            return f"{100 * value:.2f} %"
        case "difference":
            return f"{100 * value:+.2f} points"
        case "distance":
            return f"{100 * value:.2f} points"
        case "percent":
            return f"{value:+.1f} %"
        case "p-value":
            return f"{value:.2g}"
        case "ratio":
            return f"{value:.3f}"
        case _:
            return f"{value:.4g}"


def format_estimate(estimate: Estimate, definition: Definition) -> str:
    """Return a figure with its interval as text, or why there is none.

    Example:
        >>> format_estimate(Estimate(0.5, 0.25, 0.75), DEFINITIONS["nfr"])
        '50.00 % (25.00 % to 75.00 %)'
    """
    if not estimate.defined:
        return f"– ({estimate.reason})" if estimate.reason else "–"
    text = format_value(estimate.value, definition)
    if math.isnan(estimate.low):
        return text
    return f"{text} ({format_value(estimate.low, definition)} to {format_value(estimate.high, definition)})"


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the sentence, the metrics with their intervals, the candidates, and what the reader must know."""
    console.print(Text(printable(comparison.sentence), style="bold"))
    wide = console.width >= _WIDE
    level = f"{round(100 * comparison.confidence, 3):g} % interval"
    if any(e.defined for e in comparison.metrics.values()):
        title = f"n = {comparison.counts['n']}"
        console.print(_metric_table(title, shown_metrics(comparison), DEFINITIONS, level, meanings=wide))
    for name, metrics in comparison.scores.items():
        console.print(
            _metric_table(f"score {printable(name)}", metrics, SMOOTH_DEFINITIONS, level, meanings=wide)
        )
    if comparison.candidates:
        console.print(_candidate_table(comparison))
    _print_slices(comparison, console)
    _print_broken(comparison, console)
    for warning in comparison.warnings:
        console.print(Text(f"note: {printable(warning)}", style="yellow"))


def shown_metrics(comparison: Comparison) -> dict[str, Estimate]:
    """Return the figures of the short table, in its order."""
    shown = {n: comparison.metrics[n] for n in _SHOWN if n in comparison.metrics}
    if comparison.excess_nfr is not None:
        shown["noise_floor"] = comparison.metrics["noise_floor"]
        shown["excess_nfr"] = comparison.excess_nfr
    return shown


def _metric_table(
    title: str,
    metrics: Mapping[str, Estimate],
    definitions: Mapping[str, Definition],
    level: str,
    *,
    meanings: bool,
) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column(level, justify="right")
    if meanings:
        table.add_column("meaning", style="dim")
    for name, estimate in metrics.items():
        definition = definitions[name]
        bounds = ""
        if estimate.defined and not math.isnan(estimate.low):
            bounds = f"{format_value(estimate.low, definition)} to {format_value(estimate.high, definition)}"
        elif not estimate.defined:
            bounds = printable(estimate.reason or "undefined")
        cells = [definition.label, format_value(estimate.value, definition), bounds]
        table.add_row(*cells, *([definition.text] if meanings else []))
    return table


def _print_slices(comparison: Comparison, console: Console) -> None:
    worse = [s for s in comparison.slices if s.worse]
    if worse:
        names = ", ".join(printable(f"{s.name} = {s.value}", limit=_NAME) for s in worse[:_MOST_SLICES])
        more = f" and {len(worse) - _MOST_SLICES} more" if len(worse) > _MOST_SLICES else ""
        console.print(Text(f"slices that got worse, of {len(comparison.slices)}: {names}{more}", style="red"))
    elif comparison.slices:
        console.print(Text(f"no slice of {len(comparison.slices)} is shown to be worse", style="dim"))


def broken_rows(comparison: Comparison, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return the first instances that were right and are wrong, and how many rows there are.

    Example:
        >>> from muscle_llm.comparison import compare
        >>> old, new = [{"id": i, "correct": True} for i in "ab"], [{"id": i, "correct": False} for i in "ab"]
        >>> rows, count = broken_rows(compare(old, new), 1)
        >>> rows[0]["id"], count
        ('a', 2)
    """
    if not comparison.counts.get("negative_flips") or "quadrant" not in comparison.instances.column_names:
        return [], 0
    table = comparison.flips_table("negative")
    return table.slice(0, limit).to_pylist(), table.num_rows


def _print_broken(comparison: Comparison, console: Console) -> None:
    """Print why answers broke, where the logs tell more than that they changed, and the first that did."""
    causes = {cause: n for cause, n in comparison.causes.get("negative_flips", {}).items() if n}
    if set(causes) - {"unknown", "answer_changed"}:
        parts = [f"{count} {cause.replace('_', ' ')}" for cause, count in causes.items()]
        console.print(Text(f"causes of the negative flips: {', '.join(parts)}"))
    rows, count = broken_rows(comparison, _MOST_BROKEN)
    if rows:
        names = [printable(str(row["id"]), limit=_NAME // 2) for row in rows]
        names = [f"{n} ({r['repeat']})" if r.get("repeat") else n for n, r in zip(names, rows, strict=True)]
        more = f" and {count - len(rows)} more" if count > len(rows) else ""
        console.print(Text(f"right before, wrong now: {', '.join(names)}{more}"))


@dataclass(frozen=True, slots=True)
class VersionRow:
    """What a version scores against old, and how it differs from new (not told of new itself).

    Attributes:
        name: the version, a candidate with its role where it is no remedy.
        quality: accuracy, or the mean of the first score where there is no right and wrong.
        nfr: its negative flips against old.
        change: the change of NFR against new.
        percent: the same in per cent of new's.
        flips: how many negative flips it recovered, and how many it newly broke.
    """

    name: str
    quality: str
    nfr: str
    change: Estimate | None = None
    percent: str = ""
    flips: tuple[int | None, int | None] | None = None


def version_rows(comparison: Comparison) -> tuple[str, list[VersionRow]]:
    """Return what ``quality`` is, and a row for new and for each candidate.

    Example:
        >>> from muscle_llm.comparison import compare
        >>> rows = [{"id": 1, "correct": True}, {"id": 2, "correct": False}]
        >>> quality, (new, mend) = version_rows(compare(rows, rows, {"mend": rows}))
        >>> quality, mend.name, mend.quality, mend.flips
        ('accuracy', 'mend', '50.00 %', (0, 0))
    """
    graded = comparison.metrics["nfr"].defined
    score = None if graded or not comparison.scores else next(iter(comparison.scores))
    if score is None:
        names, definitions, metrics = ("accuracy_new", "nfr"), DEFINITIONS, comparison.metrics
    else:
        names, definitions, metrics = ("mean_new", "nfr"), SMOOTH_DEFINITIONS, comparison.scores[score]

    def shown(figures: Mapping[str, Estimate]) -> tuple[str, str]:
        quality, nfr = (format_value(figures[n].value, definitions[n]) for n in names)
        return quality, nfr

    rows = [VersionRow(comparison.new.name, *shown(metrics))]
    for name, candidate in comparison.candidates.items():
        own = candidate.metrics if score is None else candidate.scores.get(score)
        change = candidate.against_new.metrics if score is None else candidate.against_new.scores.get(score)
        if own is None or change is None:
            continue
        counts = candidate.against_new.counts
        rows.append(
            VersionRow(
                name if candidate.role == "remedy" else f"{name} ({candidate.role.replace('_', ' ')})",
                *shown(own),
                change["d_nfr"],
                format_value(change["d_nfr_percent"].value, definitions["d_nfr_percent"]),
                (counts["recovered"], counts["newly_broken"]) if "recovered" in counts else None,
            )
        )
    return "accuracy" if graded else f"mean {score or ''}", rows


def _candidate_table(comparison: Comparison) -> Table:
    """Return one row per version: what it scores against old, and how it differs from new."""
    table = Table(
        title="against old, and the change against new", title_justify="left", box=None, pad_edge=False
    )
    quality, rows = version_rows(comparison)
    for heading in ("version", printable(quality), "NFR", "change of NFR", "in %", "recovered/broken"):
        table.add_column(heading, justify="left" if heading == "version" else "right", overflow="fold")
    for row in rows:
        cells = [printable(row.name), row.quality, row.nfr]
        if row.change is not None:
            flips = "–" if row.flips is None else "/".join(map(str, row.flips))
            cells += [_short_interval(row.change), row.percent, flips]
        table.add_row(*cells)
    return table


def _short_interval(estimate: Estimate) -> str:
    if not estimate.defined:
        return "–"
    value, low, high = (f"{100 * x:+.2f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"
