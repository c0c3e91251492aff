"""Rows that a reader has understood become predictions."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from muscle_llm.errors import InputError, clip, did_you_mean
from muscle_llm.predictions.convert import trim, value_text
from muscle_llm.predictions.mapping import ADDABLE, look_up
from muscle_llm.predictions.raw import json_paths, unknown_column
from muscle_llm.predictions.readers.base import ReadOptions
from muscle_llm.predictions.schema import COLUMNS, Predictions, Provenance
from muscle_llm.text import counted

__all__ = ["Row", "assemble", "choose_metric", "extra", "not_addable"]


@dataclass(slots=True)
class Row:
    """One answer to one instance, with the names of the predictions table (see `COLUMNS`).

    Attributes:
        place: how messages name the row, such as ``"log.json, item 3"``.
        raw: the log's own row, where ``--map slice.topic=...`` finds its columns.
    """

    place: str
    raw: Mapping[str, Any]
    id: str | None
    repeat: int = 0
    prompt: str | None = None
    answer: str | None = None
    output: str | None = None
    references: list[str | None] | None = None
    choices: list[str | None] | None = None
    choice_scores: list[float] | None = None
    correct: bool | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    slices: dict[str, str | None] = field(default_factory=dict)
    cluster: str | None = None
    prompt_hash: str | None = None
    reference_hash: str | None = None
    instance_hash: str | None = None
    error: str | None = None
    finish_reason: str | None = None


# Columns where one null among known values would mean "differs" rather than "not told".
_ALL_OR_NONE = ("prompt_hash", "reference_hash", "instance_hash", "cluster")
# What tells answers apart: as in a table, without outer white space.
_TRIMMED = ("answer", "choices")


def assemble(
    rows: Sequence[Row],
    label: str,
    provenance: Provenance,
    options: ReadOptions,
    *,
    keep: Sequence[str] = (),
    twice: str = "",
) -> Predictions:
    """Return the predictions made of ``rows``; columns that no row knows are left out.

    A score that is infinite somewhere is left out, and the provenance says so.

    Args:
        rows: the rows, in the log's order.
        label: how messages name the file.
        provenance: where the rows come from.
        options: what the user said; of ``--map`` only slices, clusters, scores and the prompt can be added.
        keep: columns to keep even where every value is null.
        twice: what to do when an (id, repeat) occurs twice, as the end of the message.

    Raises:
        InputError: there are no rows, an id is missing or occurs twice, or an option does not fit.
    """
    if not rows:
        raise InputError(f"{label}: holds no rows.")
    _add(rows, label, options)
    _check_ids(rows, label, twice)
    columns: dict[str, pa.Array] = {
        "id": pa.array([r.id for r in rows], pa.string()),
        "repeat": pa.array([r.repeat for r in rows], pa.int32()),
    }
    for name in COLUMNS:
        if name in ("id", "repeat", "scores", "slices"):
            continue
        values = [getattr(r, name) for r in rows]
        known = all if name in _ALL_OR_NONE else any
        if name in keep or known(v is not None for v in values):
            array = pa.array(values, COLUMNS[name][0])
            columns[name] = trim(array) if name in _TRIMMED else array
    scores, left_out = _scores(rows)
    if scores:
        columns["scores"] = _struct(scores, pa.float64())
    slices = {n: [r.slices.get(n) for r in rows] for n in _names(r.slices for r in rows)}
    if slices:
        columns["slices"] = _struct(slices, pa.string())
    if left_out:
        told = {"left_out": f"scores with infinite values: {', '.join(left_out)}"}
        provenance = dataclasses.replace(provenance, extra={**provenance.extra, **told})
    table = pa.table({n: columns[n] for n in COLUMNS if n in columns})
    return Predictions(table, provenance, unique=True)


def _struct(fields: Mapping[str, list[Any]], kind: pa.DataType) -> pa.StructArray:
    return pa.StructArray.from_arrays([pa.array(v, kind) for v in fields.values()], list(fields))


def _names(rows: Any) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _scores(rows: Sequence[Row]) -> tuple[dict[str, list[float | None]], list[str]]:
    """Return the values of each score, and the names of those left out because of an infinite value."""
    found: dict[str, list[float | None]] = {}
    left_out: list[str] = []
    for name in _names(r.scores for r in rows):
        values = [r.scores.get(name) for r in rows]
        values = [None if v is None or math.isnan(v) else v for v in values]
        if any(v is not None and math.isinf(v) for v in values):
            left_out.append(name)
        elif any(v is not None for v in values):
            found[value_text(name) or ""] = values
    return found, left_out


def _add(rows: Sequence[Row], label: str, options: ReadOptions) -> None:
    """Add the columns that ``--map`` names, and refuse what a log of its own format cannot take."""
    missing: Any = object()
    for role, path in options.columns.items():
        base, _, name = role.partition(".")
        if base not in ADDABLE:
            raise not_addable(label, role)
        values = [look_up(r.raw, path, missing) for r in rows]
        if all(v is missing for v in values):
            known = dict.fromkeys(p for r in rows[:50] for p in json_paths(r.raw))
            raise unknown_column(label, path, known)
        for row, value in zip(rows, values, strict=True):
            _set(row, base, name, None if value is missing else value, path)


def not_addable(label: str, role: str) -> InputError:
    """Return the error for a role that a log of its own format fills itself."""
    return InputError(
        f"{label}: --map {role}= does not fit: this log says itself what that is. Add slices, a cluster, a "
        "score or the prompt with --map, or read the file with --format table."
    )


def _set(row: Row, base: str, name: str, value: Any, path: str) -> None:
    if base == "slice":
        row.slices[value_text(name) or ""] = value_text(value)
    elif base == "score":
        if value is not None and not isinstance(value, bool | int | float):
            raise InputError(
                f"{row.place}: {path!r} is {clip(value_text(value) or '')!r}, which is not a number."
            )
        try:
            row.scores[name] = None if value is None else float(value)
        except OverflowError as error:
            raise InputError(f"{row.place}: {path!r} is too large for a score.") from error
    else:
        setattr(row, base, value_text(value))


def _check_ids(rows: Sequence[Row], label: str, twice: str) -> None:
    for row in rows:
        if row.id is None:
            raise InputError(f"{row.place}: the id is missing.")
    counts = Counter((r.id, r.repeat) for r in rows)
    if len(counts) == len(rows):
        return
    (doubled, repeat), times = counts.most_common(1)[0]
    places = [r.place.removeprefix(f"{label}, ") for r in rows if (r.id, r.repeat) == (doubled, repeat)][:3]
    ids = counted(sum(n > 1 for n in counts.values()), "id occurs", "ids occur")
    raise InputError(
        f"{label}: {ids} more than once; {str(doubled)[:80]!r} occurs {times} times "
        f"({', '.join(places)}). {twice or 'Remove the duplicates.'}"
    )


def choose_metric(
    values: Mapping[str, Sequence[float | None]],
    wanted: str | None,
    preferred: Sequence[str],
    label: str,
    graded: Callable[[str], bool] = lambda name: False,
) -> str | None:
    """Return the metric that decides right or wrong: the named one, else the first preferred one, else the
    first, among those whose values are all 0 or 1.

    Args:
        values: metric -> its value per row.
        wanted: what ``--metric`` names.
        preferred: names to take first.
        label: how messages name the file.
        graded: whether a metric of that name is a similarity even where all its values happen to be 0 or 1.

    Raises:
        InputError: the named metric does not exist.

    Example:
        >>> choose_metric({"f1": [0.5, 1.0], "em": [0.0, 1.0]}, None, ("em",), "log.json")
        'em'
    """
    if wanted is not None:
        if wanted not in values:
            raise InputError(f"{label}: there is no metric {wanted!r}. {did_you_mean(wanted, values)}")
        return wanted
    binary = [
        n
        for n, v in values.items()
        if all(x in (0.0, 1.0, None) for x in v) and any(x is not None for x in v)
    ]
    for name in preferred:
        if name in binary:
            return name
    return next((n for n in binary if not graded(n)), None)


def extra(**values: Any) -> dict[str, str]:
    """Return the values that are known, as text, for `Provenance.extra`.

    Example:
        >>> extra(seed=1, split=None)
        {'seed': '1'}
    """
    texts = {name: value_text(value) for name, value in values.items()}
    return {name: text for name, text in texts.items() if text}
