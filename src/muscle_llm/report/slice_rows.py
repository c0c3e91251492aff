"""The slices as a plain table, which stands on the page before any script draws it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from muscle_llm.report.definitions import Unit
from muscle_llm.report.numbers import count, figure, interval

__all__ = ["SliceRow", "slice_rows"]


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice as written: its name, how many instances, and (figure, interval) of each column."""

    name: str
    n: str
    cells: tuple[tuple[str, str], ...]
    worse: str


def slice_rows(document: Mapping[str, Any]) -> Iterator[SliceRow]:
    r"""Return the slices of a comparison document, the largest NFR first.

    Example:
        >>> metrics = {"nfr": {"value": 0.1, "low": 0.05, "high": 0.2}, "accuracy_difference": {"value": 0.0}}
        >>> piece = {"slice": "level", "value": "5", "counts": {"n": 40}, "metrics": metrics, "worse": False}
        >>> row = next(slice_rows({"slices": [piece]}))
        >>> row.name, row.cells, row.worse
        ('level 5', (('10.0\xa0%', '5.0 – 20.0'), ('+0.0', '')), 'no')
    """
    columns: tuple[tuple[str, Unit], ...] = (("nfr", "share"), ("accuracy_difference", "points"))

    def nfr(piece: Mapping[str, Any]) -> float:
        value = (piece["metrics"].get("nfr") or {}).get("value")
        return -1.0 if value is None else value

    for piece in sorted(document.get("slices") or (), key=nfr, reverse=True):
        estimates: list[tuple[Mapping[str, Any], Unit]] = [
            (piece["metrics"].get(name) or {}, unit) for name, unit in columns
        ]
        yield SliceRow(
            f"{piece['slice']} {piece['value']}",
            count((piece.get("counts") or {}).get("n")),
            tuple((figure(e.get("value"), u, digits=1), interval(e, u, digits=1)) for e, u in estimates),
            {True: "worse", False: "no"}.get(piece.get("worse"), ""),
        )
