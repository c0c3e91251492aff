"""What a file or folder of predictions holds, before anything is compared."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from muscle_llm.errors import InputError, MissingExtraError
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.finding import locate, parts_of
from muscle_llm.predictions.readers import Part, Reader, ReadOptions, choose_reader
from muscle_llm.predictions.reading import read_predictions
from muscle_llm.predictions.schema import COLUMNS, Predictions
from muscle_llm.predictions.source import Source

__all__ = ["Description", "describe", "summarise"]

_SLICE_VALUES = 12


@dataclass(frozen=True)
class Description:
    """What a file or folder holds.

    Attributes:
        path: as the user wrote it.
        format: the reader that knows it; ``None`` for a folder of plain files.
        container: ``plain``, ``gzip``, ``zip`` or ``directory``.
        size: bytes of a file.
        tasks: of a folder: task, what tells its run from others, and the file.
        choices: what can be chosen: option -> names.
        columns: role -> where in the log it comes from.
        summary: what `summarise` says of the predictions read; ``None`` where they could not be read.
        problem: why they could not.
    """

    path: str
    format: str | None
    container: str
    size: int | None = None
    tasks: tuple[Mapping[str, Any], ...] = ()
    choices: Mapping[str, list[str]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Any] | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "path": self.path,
            "format": self.format,
            "container": self.container,
            "size": self.size,
            "tasks": [dict(t) for t in self.tasks],
            "choices": {name: list(values) for name, values in self.choices.items()},
            "columns": dict(self.columns),
            "summary": None if self.summary is None else dict(self.summary),
            "problem": self.problem,
        }


def describe(
    path: str | os.PathLike[str], options: ReadOptions | None = None, format: str | None = None
) -> Description:
    """Return what a file or folder holds, also where it cannot be read without a further choice.

    Args:
        path: a file or folder; ``PATH#PART`` names a part of it.
        options: as for reading.
        format: name of the reader; without it the content decides.

    Raises:
        InputError: there is nothing, or nothing this program knows.
        MissingExtraError: the format needs a package that is not installed.
    """
    source, options = locate(path, options or ReadOptions())
    tasks: list[Part] = []
    if source.container == "directory":
        reader, tasks = parts_of(source, format, options)
    else:
        reader = choose_reader(source, format, options)
    predictions, problem = None, None
    try:
        predictions = read_predictions(
            source.path,
            columns=options.columns,
            format=format,
            filter=options.filter,
            metric=options.metric,
            extract=options.extract,
            select=options.select,
        )
    except MissingExtraError:
        raise
    except InputError as error:
        problem = str(error)
    return Description(
        path=os.fspath(path),
        format=reader.name if reader else None,
        container=source.container,
        size=None if source.container == "directory" else source.path.stat().st_size,
        tasks=tuple({"task": t.task, "labels": list(t.labels), "path": str(t.source.path)} for t in tasks),
        choices=_choices(reader, source, tasks),
        columns=_columns(reader, predictions),
        summary=None if predictions is None else summarise(predictions),
        problem=problem,
    )


def _choices(reader: Reader | None, source: Source, tasks: list[Part]) -> dict[str, list[str]]:
    if reader is None or reader.choices is None or len(tasks) > 1:
        return {}
    try:
        found = reader.choices(tasks[0].source if tasks else source)
    except InputError:
        return {}
    return {option: names for option, names in found.items() if names}


def _columns(reader: Reader | None, predictions: Predictions | None) -> dict[str, str]:
    """Return which fields of the log became which columns; of a table, as they were named or guessed."""
    told = predictions.provenance.extra.get("columns") if predictions else None
    if told:
        pairs = (part.partition("=") for part in told.split(", "))
        return {role: path for role, equals, path in pairs if equals}
    uses = dict(reader.uses) if reader else {}
    if predictions is None:
        return uses
    present = set(predictions.table.column_names)
    return {role: path for role, path in uses.items() if role in present}


def summarise(predictions: Predictions) -> dict[str, Any]:
    """Return counts, scores, slices and one row of predictions as plain JSON types.

    Example:
        >>> p = Predictions.from_columns({"id": ["a", "b"], "correct": [True, None], "answer": ["x", "x"]})
        >>> s = summarise(p)
        >>> s["rows"], s["ids"], s["correct"], s["distinct_answers"]
        (2, 2, {'right': 1, 'wrong': 0, 'unknown': 1}, 1)
    """
    table = predictions.table
    ids = pc.count_distinct(table["id"]).as_py()
    summary: dict[str, Any] = {
        "rows": table.num_rows,
        "ids": ids,
        "repeats": max(Counter(table["id"].to_pylist()).values()) if ids < table.num_rows else 1,
        "provenance": predictions.provenance.to_dict(),
        "known": {n: table.num_rows - table[n].null_count for n in table.column_names},
    }
    if "correct" in table.column_names:
        right = pc.sum(table["correct"]).as_py() or 0
        unknown = table["correct"].null_count
        summary["correct"] = {"right": right, "wrong": table.num_rows - unknown - right, "unknown": unknown}
    if "answer" in table.column_names:
        summary["distinct_answers"] = pc.count_distinct(table["answer"]).as_py()
    if "error" in table.column_names:
        summary["errors"] = _most_common(table["error"])
    if "finish_reason" in table.column_names:
        summary["finish_reasons"] = _most_common(table["finish_reason"])
    summary["scores"] = {
        n: _score(pc.struct_field(_whole(table["scores"]), n)) for n in predictions.score_names
    }
    summary["slices"] = {
        n: _most_common(pc.struct_field(_whole(table["slices"]), n)) for n in predictions.slice_names
    }
    summary["sample"] = _sample(table)
    return summary


def _whole(column: pa.ChunkedArray) -> Any:
    return column.combine_chunks()


def _most_common(column: Any) -> dict[str, Any]:
    """Return how many different values there are, and the most frequent ones."""
    counts = pc.value_counts(column.drop_null())
    pairs = [(c["values"], c["counts"]) for c in counts.to_pylist()]
    pairs.sort(key=lambda pair: (-pair[1], pair[0]))
    return {"different": len(pairs), "counts": dict(pairs[:_SLICE_VALUES])}


def _score(values: Any) -> dict[str, float | int | None]:
    numbers = values.drop_null().to_numpy(zero_copy_only=False)
    if not len(numbers):
        return {"known": 0, "mean": None, "min": None, "max": None}
    figures = {"mean": np.mean(numbers), "min": np.min(numbers), "max": np.max(numbers)}
    return {"known": len(numbers), **{name: float(value) for name, value in figures.items()}}


def _sample(table: pa.Table) -> dict[str, Any]:
    """Return the first row, without the columns it does not know."""
    row = table.slice(0, 1).to_pylist()[0]
    return {n: row[n] for n in COLUMNS if row.get(n) is not None}
