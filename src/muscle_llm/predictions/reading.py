"""Any log, data frame or list of rows becomes predictions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from muscle_llm.errors import InputError
from muscle_llm.predictions.build import build, check_unique
from muscle_llm.predictions.mapping import auto_map, parse_map
from muscle_llm.predictions.raw import ArrowRows, JsonRows, RawRows
from muscle_llm.predictions.readers import ReadOptions, choose_reader
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import find_source

__all__ = ["read_predictions"]


def read_predictions(
    source: str | os.PathLike[str] | Iterable[Mapping[str, Any]] | Any,
    *,
    columns: str | Mapping[str, str] | None = None,
    format: str | None = None,
    filter: str | None = None,
    metric: str | None = None,
    extract: Mapping[str, str] | None = None,
    name: str | None = None,
) -> Predictions:
    """Read one model's predictions from a file, a data frame or rows.

    Args:
        source: path of a log in any known format; or a pandas or polars frame, an Arrow table, or a list of
            dicts.
        columns: which column holds what: ``"id=question_id,answer=pred,reference=answer"`` or a mapping of
            the same; dotted paths lead into nested fields. Without it, the format's own names or obvious
            ones.
        format: name of the reader; without it the content decides.
        filter: which of lm-evaluation-harness's filters to read.
        metric: which of the log's metrics decides ``correct``.
        extract: ``{"answer": regex}``, also for ``"reference"``: the last match's first group is the answer.
        name: name of the model, shown instead of what the log says.

    Returns:
        The predictions, with their provenance.

    Raises:
        InputError: the source cannot be used; the message names file, row, cause and fix.

    Example:
        >>> rows = [{"id": 1, "answer": "B", "reference": "B"}, {"id": 2, "answer": "A", "reference": "B"}]
        >>> p = read_predictions(rows)
        >>> p.table["correct"].to_pylist()
        [True, False]
    """
    roles = parse_map([columns]) if isinstance(columns, str) else dict(columns or {})
    options = ReadOptions(roles, filter, metric, dict(extract or {}))
    if isinstance(source, Predictions):
        predictions = source
        check_unique(predictions, name or "predictions")
    elif isinstance(source, str | os.PathLike):
        found = find_source(Path(source))
        predictions = choose_reader(found, format, options).read(found, options)
    else:
        raw = _rows_in_memory(source)
        roles = roles or auto_map(raw.columns())
        predictions = build(raw, roles, Provenance(format="table"), options.extract)
    if name is None:
        return predictions
    return Predictions(predictions.table, dataclasses.replace(predictions.provenance, model=name))


def _rows_in_memory(source: Any) -> RawRows:
    """Return the rows of a frame or of an iterable of mappings, without importing pandas or polars."""
    module = type(source).__module__.split(".")[0]
    if isinstance(source, pa.Table):
        return ArrowRows.of_table(source, "the table")
    if module == "pandas":
        return ArrowRows.of_table(pa.Table.from_pandas(source, preserve_index=False), "the data frame")
    if module == "polars":
        frame = source.collect() if hasattr(source, "collect") else source
        return ArrowRows.of_table(frame.to_arrow(), "the data frame")
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise InputError(
            f"predictions cannot be read from a {type(source).__name__}; give a path, a frame or rows."
        )
    rows = list(source)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise InputError(
                f"row {number}: is a {type(row).__name__}, not a mapping of column names to values."
            )
    return JsonRows([dict(r) for r in rows], "the rows")
