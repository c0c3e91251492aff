"""What stands on the page before any script runs: every figure, already written out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from muscle_llm.report.clauses import clause_groups
from muscle_llm.report.definitions import QUADRANTS, Term, Unit, term
from muscle_llm.report.headline import headline
from muscle_llm.report.numbers import count, figure, interval, is_number
from muscle_llm.report.provenance import excluded, plain, sources
from muscle_llm.report.slice_rows import slice_rows

__all__ = ["Cell", "Column", "Group", "KeyFigure", "QuadrantCell", "Row", "page_context"]

_ROLE_LABELS: dict[str, str] = {
    "remedy": "remedy",
    "control": "control",
    "noise_floor": "noise floor",
    "new": "no remedy",
}
_ROLE_ORDER = {"remedy": 0, "control": 1, "noise_floor": 2}

_FLIPS = ("accuracy_new", "accuracy_difference", "nfr", "pfr", "nfr_mc")
_CONSISTENCY = ("btc", "bec", "agreement", "churn")
_AGAINST = ("d_nfr", "d_nfr_percent", "d_accuracy", "d_pfr", "d_nfr_mc")
_AGAINST_COUNTS = ("recovered", "newly_broken", "lost_gains", "new_gains")
_CHANCE = ("mcnemar_p", "nfr_relative", "nfr_floor", "noise_floor", "detectable_difference")
_SCORES = ("mean_new", "mean_difference", "nfr", "regress", "pfr", "gain")


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure as written, with the path and value it has in the JSON."""

    text: str
    interval: str = ""
    reason: str = ""
    path: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One figure for every version."""

    term: Term
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together; secondary ones are folded away at first."""

    title: str
    rows: tuple[Row, ...]
    secondary: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One version: the key in the data, the name shown, what it is."""

    key: str
    name: str
    role: str
    role_label: str


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One of the few figures on top."""

    term: Term
    cell: Cell
    note: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class QuadrantCell:
    """One cell of the quadrants."""

    name: str
    label: str
    text: str
    count: str
    share: str
    path: str
    value: int | None


def page_context(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template shows, from a comparison document.

    Args:
        document: what `Comparison.to_dict` gives.
    """
    digits = 2 if (document["counts"].get("n") or 0) >= 1000 else 1
    columns = _columns(document)
    return {
        "headline": headline(document),
        "sentence": document.get("sentence") or "",
        "verdict": document.get("verdict"),
        "clauses": tuple(clause_groups(document.get("verdict") or {})),
        "repeats": document["counts"].get("repeats"),
        "task": document.get("task"),
        "names": {"old": document["old"]["name"], "new": document["new"]["name"]},
        "n": _instances(document["counts"].get("n")),
        "confidence": figure(document.get("confidence"), "share", digits=0),
        "keys": tuple(_key_figures(document, digits)),
        "quadrants": {q.name: q for q in _quadrant_cells(document, digits)},
        "has_quadrants": is_number(document["counts"].get("both_right")),
        "columns": columns,
        "groups": tuple(_groups(document, columns, digits)),
        "sources": tuple(sources(document)),
        "excluded": tuple(excluded(document)),
        "settings": tuple((str(k), plain(v)) for k, v in (document.get("settings") or {}).items()),
        "warnings": tuple(document.get("warnings") or ()),
        "has_candidates": bool(document.get("candidates")),
        "slices": tuple(slice_rows(document)),
        "scores": tuple(document.get("scores") or ()),
    }


def _columns(document: Mapping[str, Any]) -> tuple[Column, ...]:
    candidates = sorted(
        (document.get("candidates") or {}).items(), key=lambda item: _ROLE_ORDER.get(item[1]["role"], 0)
    )
    new = Column("new", document["new"]["name"], "new", _ROLE_LABELS["new"] if candidates else "")
    return (
        new,
        *(
            Column(name, name, c["role"], _ROLE_LABELS.get(c["role"], str(c["role"])))
            for name, c in candidates
        ),
    )


def _cell(estimate: Mapping[str, Any] | None, unit: Unit, digits: int, path: str) -> Cell:
    if estimate is None:
        return Cell("")
    value = estimate.get("value")
    return Cell(
        figure(value, unit, digits=digits),
        interval(estimate, unit, digits=digits),
        str(estimate.get("reason") or ""),
        path,
        value if is_number(value) else None,
    )


def _key_figures(document: Mapping[str, Any], digits: int) -> Iterable[KeyFigure]:
    metrics, counts = document["metrics"], document["counts"]

    def key(name: str, note: str, tone: str = "") -> Iterable[KeyFigure]:
        estimate = metrics.get(name)
        if estimate and is_number(estimate.get("value")):
            yield KeyFigure(
                term(name), _cell(estimate, term(name).unit, digits, f"metrics.{name}"), note, tone
            )

    old = (metrics.get("accuracy_old") or {}).get("value")
    change = (metrics.get("accuracy_difference") or {}).get("value")
    change_text = figure(change, "points", digits=digits)
    yield from key("accuracy_new", f"{figure(old, 'share', digits=digits)} before, {change_text} points")
    yield from key("nfr", _of_all(counts, "negative"), "loss")
    yield from key("pfr", _of_all(counts, "positive"), "gain")
    yield from key("nfr_mc", "negative flips and changed wrong answers")
    excess = document.get("excess_nfr")
    if excess and is_number(excess.get("value")):
        unit = term("excess_nfr").unit
        tone = "loss" if (excess.get("low") or 0) > 0 else ""
        yield KeyFigure(term("excess_nfr"), _cell(excess, unit, digits, "excess_nfr"), "points of NFR", tone)
    if not is_number(old):
        yield from _score_keys(document, digits)


def _of_all(counts: Mapping[str, Any], direction: str) -> str:
    """The count behind a rate of flips; with repeats the rate is averaged, and reliable flips are counted."""
    n = _instances(counts.get("n"))
    if is_number(counts.get("repeats")):
        reliable = count(counts.get(f"reliable_{direction}_flips"))
        return f"averaged over the answers; {reliable} of {n} reliably"
    return f"{count(counts.get(f'{direction}_flips'))} of {n}"


def _instances(n: int | None) -> str:
    return f"{count(n)} instance{'' if n == 1 else 's'}"


def _score_keys(document: Mapping[str, Any], digits: int) -> Iterable[KeyFigure]:
    for name, block in list((document.get("scores") or {}).items())[:1]:
        for metric, note, tone in (
            ("mean_new", f"mean {name}", ""),
            ("mean_difference", f"{name}, new minus old", ""),
            ("nfr", f"{name} falls", "loss"),
            ("pfr", f"{name} rises", "gain"),
            ("regress", f"mean fall of {name}", ""),
        ):
            known = term(f"score.{metric}")
            estimate = block["metrics"].get(metric)
            if estimate:
                path = f"scores.{name}.metrics.{metric}"
                yield KeyFigure(known, _cell(estimate, known.unit, digits, path), note, tone)


def _quadrant_cells(document: Mapping[str, Any], digits: int) -> Iterable[QuadrantCell]:
    counts = document["counts"]
    names = {"regression": "negative_flips", "gain": "positive_flips"}
    whole = ("both_right", "Both right", ""), ("both_wrong", "Both wrong", "")
    for name, label, text in [*((q.name, q.label, q.text) for q in QUADRANTS), *whole]:
        key = names.get(name, name)
        value, n = counts.get(key), counts.get("rows") or counts.get("n")
        share = figure(value / n, "share", digits=digits) if is_number(value) and n else "–"
        yield QuadrantCell(name, label, text, count(value), share, f"counts.{key}", value)


def _groups(document: Mapping[str, Any], columns: tuple[Column, ...], digits: int) -> Iterable[Group]:
    yield from _group("Against the old version", _FLIPS, document, columns, digits)
    yield from _group("Against the new version", _AGAINST, document, columns, digits)
    yield from _count_group(document, columns)
    yield from _group("Consistency", _CONSISTENCY, document, columns, digits, secondary=True)
    yield from _group("Significance", _CHANCE, document, columns, digits, secondary=True)
    for score in document.get("scores") or {}:
        yield from _group(str(score), _SCORES, document, columns, digits, score=score)


def _group(
    title: str,
    names: tuple[str, ...],
    document: Mapping[str, Any],
    columns: tuple[Column, ...],
    digits: int,
    score: str | None = None,
    secondary: bool = False,
) -> Iterable[Group]:
    rows = []
    for name in names:
        known = term(name) if score is None else term(f"score.{name}")
        cells = []
        for column in columns:
            block, path = _metric_block(document, column, name, score)
            cells.append(_cell(block.get(name), known.unit, digits, f"{path}.{name}"))
        if any(cell.text for cell in cells):
            rows.append(Row(known, tuple(cells)))
    # A task without right and wrong leaves whole groups undefined.
    if any(cell.value is not None for row in rows for cell in row.cells):
        yield Group(title, tuple(rows), secondary)


def _metric_block(
    document: Mapping[str, Any], column: Column, name: str, score: str | None
) -> tuple[Mapping[str, Any], str]:
    """The metrics that hold ``name`` for a version, and their path in the document."""
    source: Any = document if column.role == "new" else document["candidates"][column.key]
    path = "" if column.role == "new" else f"candidates.{column.key}."
    if name in _AGAINST:
        if column.role == "new":
            return {}, path
        return source["against_new"].get("metrics") or {}, f"{path}against_new.metrics"
    if score is not None:
        return ((source.get("scores") or {}).get(score) or {}).get(
            "metrics"
        ) or {}, f"{path}scores.{score}.metrics"
    return source.get("metrics") or {}, f"{path}metrics"


def _count_group(document: Mapping[str, Any], columns: tuple[Column, ...]) -> Iterable[Group]:
    rows = []
    for name in _AGAINST_COUNTS:
        cells = []
        for column in columns:
            if column.role == "new":
                cells.append(Cell(""))
                continue
            value = document["candidates"][column.key]["against_new"].get(name)
            path = f"candidates.{column.key}.against_new.{name}"
            cells.append(Cell(count(value) if is_number(value) else "–", path=path, value=value))
        if any(is_number(cell.value) for cell in cells):
            rows.append(Row(term(name), tuple(cells)))
    if rows:
        yield Group("Instances, against the new version", tuple(rows))
