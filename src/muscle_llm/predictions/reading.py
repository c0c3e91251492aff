"""Any log, data frame or list of rows becomes predictions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from muscle_llm.errors import InputError
from muscle_llm.predictions.build import build_guessed, check_unique
from muscle_llm.predictions.convert import to_arrow
from muscle_llm.predictions.finding import check_filter, find_log, find_logs, where_taken
from muscle_llm.predictions.given import with_options
from muscle_llm.predictions.mapping import as_roles
from muscle_llm.predictions.raw import ArrowRows, JsonRows, RawRows
from muscle_llm.predictions.readers import ReadOptions, load_reader, refuse_unused
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.selected import choose_rows

__all__ = ["read_many", "read_predictions"]


def read_predictions(
    source: str | os.PathLike[str] | Iterable[Mapping[str, Any]] | Any,
    *,
    columns: str | Mapping[str, str] | None = None,
    format: str | None = None,
    filter: str | None = None,
    metric: str | None = None,
    extract: Mapping[str, str] | None = None,
    select: str | None = None,
    name: str | None = None,
) -> Predictions:
    """Read one model's predictions on one task from a file, a folder, a data frame or rows.

    Args:
        source: path of a log in any known format, or of a folder in which a tool left one; or a pandas or
            polars frame (a named index is a column), an Arrow table, or a list of dicts. ``PATH#PART`` is the
            same as ``select=PART``.
        columns: which column holds what: ``"id=question_id,answer=pred,reference=answer"`` or a mapping of
            the same; dotted paths lead into nested fields. Without it, the format's own names or obvious
            ones; ``id``, ``repeat`` and ``error`` are found by obvious names even so.
        format: name of the reader; without it the content decides.
        filter: which of lm-evaluation-harness's filters to read.
        metric: which of the log's metrics decides ``correct``.
        extract: ``{"answer": regex}``, also for ``"reference"``: the last match's first group is the answer.
        select: which part of a file or folder that holds several: a task, a run, a provider, a side.
        name: name of the model, shown instead of what the log says.

    Returns:
        The predictions, with their provenance.

    Raises:
        InputError: the source cannot be used, or an option means nothing to it; the message names file, row,
            cause and fix.

    Example:
        >>> rows = [{"id": 1, "answer": "B", "reference": "B"}, {"id": 2, "answer": "A", "reference": "B"}]
        >>> p = read_predictions(rows)
        >>> p.table["correct"].to_pylist()
        [True, False]
    """
    options = ReadOptions(as_roles(columns), filter, metric, dict(extract or {}), select)
    if isinstance(source, Predictions):
        predictions = _given(source, format, options)
    elif isinstance(source, str | os.PathLike):
        predictions = find_log(source, format, options).read()
    else:
        predictions = _in_memory(source, format, options)
    if name is None:
        return predictions
    return _named(predictions, name)


def read_many(
    path: str | os.PathLike[str],
    *,
    columns: str | Mapping[str, str] | None = None,
    format: str | None = None,
    filter: str | None = None,
    metric: str | None = None,
    extract: Mapping[str, str] | None = None,
    select: str | None = None,
    name: str | None = None,
) -> dict[str, Predictions]:
    """Read one model's predictions on every task in a folder.

    Args:
        path: a folder in which a tool left its logs, or a folder of predictions files; of a single file,
            its one task. The other arguments are those of `read_predictions` and hold for all tasks.
        columns: which column holds what.
        format: name of the reader.
        filter: which of lm-evaluation-harness's filters to read, where a task has several.
        metric: which of the logs' metrics decides ``correct``.
        extract: role -> regular expression.
        select: which runs: a model, a time, ``last`` or ``first`` of each task.
        name: name of the model.

    Returns:
        Task -> predictions, in the folder's order.

    Raises:
        InputError: there is no log, a task has several runs and none is chosen, or a log cannot be used.
    """
    options = ReadOptions(as_roles(columns), filter, metric, dict(extract or {}), select)
    tasks = find_logs(path, format, options)
    if tasks is None:
        log = find_log(path, format, options)
        predictions = log.read()
        results = {predictions.provenance.task or log.source.stem: predictions}
    else:
        logs = where_taken([find() for find in tasks.values()])
        results = {task: log.read() for task, log in zip(tasks, logs, strict=True)}
        check_filter(filter, [p.provenance.filter for p in results.values()])
    if name is None:
        return results
    return {task: _named(p, name) for task, p in results.items()}


def _named(predictions: Predictions, name: str) -> Predictions:
    provenance = dataclasses.replace(predictions.provenance, model=name)
    return dataclasses.replace(predictions, provenance=provenance)


def _given(predictions: Predictions, format: str | None, options: ReadOptions) -> Predictions:
    """Return predictions that are read already, under further options."""
    for option, value in (("format", format), ("extract", options.extract), ("select", options.select)):
        if value:
            raise InputError(
                f"{option}: these predictions are read already; give it where their log is read."
            )
    check_unique(predictions, "predictions")
    return with_options(predictions, options, "predictions")


def _in_memory(source: Any, format: str | None, options: ReadOptions) -> Predictions:
    """Return the predictions in a frame or in rows."""
    if format not in (None, "table"):
        raise InputError(f"format: rows and frames are read as 'table', not as {format!r}.")
    refuse_unused(load_reader("table"), options, "the data")
    rows = choose_rows(_rows_in_memory(source), options.select, "the data")
    return build_guessed(rows, options.columns, lambda _: Provenance(format="table"), options.extract)


def _rows_in_memory(source: Any) -> Callable[[], RawRows]:
    """Return what opens the rows of a frame or of an iterable of mappings; pandas and polars stay
    unimported."""
    module = type(source).__module__.split(".")[0]
    if isinstance(source, pa.Table):
        return lambda: ArrowRows.of_table(source, "the table")
    if module in ("pandas", "polars") and hasattr(type(source), "columns"):  # not a series
        table = _of_pandas(source) if module == "pandas" else _of_polars(source)
        return lambda: ArrowRows.of_table(table, "the data frame")
    if module in ("pandas", "polars") or isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise InputError(
            f"predictions cannot be read from a {type(source).__name__}; give a path, a frame or rows."
        )
    rows = list(source)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise InputError(
                f"row {number}: is a {type(row).__name__}, not a mapping of column names to values."
            )
    return lambda: JsonRows((dict(r) for r in rows), "the rows")


def _of_polars(source: Any) -> pa.Table:
    frame = source.collect() if hasattr(source, "collect") else source
    return frame.to_arrow()


def _of_pandas(frame: Any) -> pa.Table:
    """Return a pandas frame as a table; a named index is a column, values of several kinds are texts."""
    names = [str(n) for n in frame.columns]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise InputError(f"the data frame: two columns are called {twice!r}; rename one of them.")
    index = [n for n in frame.index.names if n is not None and str(n) not in names]
    frame = frame.reset_index(level=index) if index else frame
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.table({str(name): to_arrow(frame[name].tolist()) for name in frame.columns})
