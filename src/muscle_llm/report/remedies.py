"""The remedy table: what each remedy and each control won and lost, on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from muscle_llm.text import printable

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["RemedyRow", "remedy_cells", "remedy_headings", "remedy_rows", "remedy_table", "what_it_is"]

_WHAT = {
    "old": "baseline",
    "new": "no remedy",
    "noise_floor": "noise floor",
    "control": "control",
    "remedy": "remedy",
}
_WIDE = 106  # columns that the whole remedy table takes
_ORDER = ("old", "new", "noise_floor", "control", "remedy")


@dataclass(frozen=True, slots=True)
class RemedyRow:
    """One version in the remedy table. Every figure is ``(value, low, high)`` or None where undefined.

    Attributes:
        name: name of the version.
        kind: ``old``, ``new``, ``noise_floor``, ``control`` or ``remedy``.
        quality: accuracy, or the mean score of a task without right and wrong.
        nfr: share of instances that got worse than with the old version.
        change: ``nfr`` minus that of the new version without a remedy, paired on the same instances.
        change_percent: the same in percent of the new version's.
        recovered: negative flips of the new version that this one has right.
        newly_broken: instances right in old and new that this one has wrong.
        score: what ``quality`` is the mean of; ``None``: accuracy.
    """

    name: str
    kind: str
    quality: tuple[float, float, float] | None
    nfr: tuple[float, float, float] | None = None
    change: tuple[float, float, float] | None = None
    change_percent: tuple[float, float, float] | None = None
    recovered: int | None = None
    newly_broken: int | None = None
    score: str | None = None


def remedy_rows(document: Mapping[str, Any]) -> list[RemedyRow]:
    """Return the rows of the remedy table of a comparison document.

    Args:
        document: what ``Comparison.to_dict()`` gives.

    Returns:
        Old, new, noise floor, controls, remedies, in this order. Where the task has no right and wrong, the
        smooth metrics of its first score are used.

    Example:
        >>> figure = {"value": 0.5, "low": 0.4, "high": 0.6}
        >>> metrics = {"accuracy_old": figure, "accuracy_new": figure, "nfr": figure}
        >>> [(r.name, r.kind, r.nfr) for r in remedy_rows({"metrics": metrics})]
        [('old', 'old', None), ('new', 'new', (0.5, 0.4, 0.6))]
    """
    score = _score_of(document)
    quality = "accuracy" if score is None else "mean"
    new = _metrics(document, score)
    names = [document.get(side, {}).get("name", side) for side in ("old", "new")]
    rows = [
        RemedyRow(names[0], "old", _figure(new, f"{quality}_old"), score=score),
        RemedyRow(names[1], "new", _figure(new, f"{quality}_new"), _figure(new, "nfr"), score=score),
    ]
    for name, candidate in document.get("candidates", {}).items():
        found = _metrics(candidate, score)
        against = candidate["against_new"]
        differences = _metrics(against, score)
        rows.append(
            RemedyRow(
                name,
                candidate["role"],
                _figure(found, f"{quality}_new"),
                _figure(found, "nfr"),
                _figure(differences, "d_nfr"),
                _figure(differences, "d_nfr_percent"),
                against.get("recovered"),
                against.get("newly_broken"),
                score,
            )
        )
    return sorted(rows, key=lambda row: _ORDER.index(row.kind))


def remedy_table(document: Mapping[str, Any], *, title: str = "", width: int = 120) -> Table:
    """Return the remedy table for a terminal.

    Args:
        document: what ``Comparison.to_dict()`` gives.
        title: stands above the table.
        width: columns of the terminal; under 106 the NFR's interval and the relative change are left out.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    wide = width >= _WIDE
    table.add_column("version", overflow="fold", min_width=9)
    table.add_column("role")
    quality, nfr, change, relative, *counts = remedy_headings(document)
    figures = (
        (quality, nfr, change, relative, *counts)
        if wide
        else (quality, "NFR", change.replace("of NFR ", ""), *counts)
    )
    for heading in figures:
        table.add_column(printable(heading), justify="right", no_wrap=True)
    for row in remedy_rows(document):
        style = "bold" if row.kind == "remedy" else "dim" if row.kind in ("old", "noise_floor") else ""
        quality, nfr, change, relative, *counts = remedy_cells(row)
        short = _percent(row.nfr, interval=False)
        figures = (quality, nfr, change, relative, *counts) if wide else (quality, short, change, *counts)
        table.add_row(*(Text(cell) for cell in (printable(row.name), what_it_is(row), *figures)), style=style)
    return table


def remedy_headings(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the headings over the figures of `remedy_cells`."""
    percent = round(100 * document.get("confidence", 0.95))
    score = _score_of(document)
    quality = "accuracy" if score is None else score
    return (quality, f"NFR [{percent} %]", f"change of NFR [{percent} %]", "relative", "recovered", "broken")


def remedy_cells(row: RemedyRow) -> tuple[str, ...]:
    """Return the figures of a row: shares in percent, differences in points, means of scores as they are."""
    return (
        _percent(row.quality, interval=False) if row.score is None else _plain(row.quality),
        _percent(row.nfr),
        _percent(row.change, signed=True),
        "" if row.change_percent is None else f"{row.change_percent[0]:+.0f} %",
        "" if row.recovered is None else str(row.recovered),
        "" if row.newly_broken is None else str(row.newly_broken),
    )


def what_it_is(row: RemedyRow) -> str:
    """Return what a version is, in words."""
    return _WHAT[row.kind]


def _score_of(document: Mapping[str, Any]) -> str | None:
    nfr = document.get("metrics", {}).get("nfr", {})
    if nfr.get("value") is not None:
        return None
    return next(iter(document.get("scores", {})), None)


def _metrics(document: Mapping[str, Any], score: str | None) -> Mapping[str, Any]:
    if score is None:
        return document.get("metrics", {})
    return document.get("scores", {}).get(score, {}).get("metrics", {})


def _figure(metrics: Mapping[str, Any], name: str) -> tuple[float, float, float] | None:
    found = metrics.get(name)
    if found is None or found["value"] is None:
        return None
    nan = float("nan")
    low, high = (nan if found[bound] is None else found[bound] for bound in ("low", "high"))
    return (found["value"], low, high)


def _plain(figure: tuple[float, float, float] | None) -> str:
    return "" if figure is None else f"{figure[0]:.4g}"


def _percent(
    figure: tuple[float, float, float] | None, *, interval: bool = True, signed: bool = False
) -> str:
    if figure is None:
        return ""
    value, low, high = (100 * x for x in figure)
    sign = "+" if signed else ""
    bounds = f" [{low:{sign}.1f}, {high:{sign}.1f}]" if interval and low == low else ""
    return f"{value:{sign}.1f}{bounds}"
