"""Any log, data frame or list of rows becomes predictions."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from muscle_llm.errors import InputError
from muscle_llm.predictions.build import build, check_unique
from muscle_llm.predictions.folders import choose_parts, one_part
from muscle_llm.predictions.kinds import saved_dataset
from muscle_llm.predictions.mapping import auto_map, parse_map
from muscle_llm.predictions.raw import ArrowRows, JsonRows, RawRows
from muscle_llm.predictions.readers import Part, Reader, ReadOptions, choose_reader, only_adds
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import Source, find_source

__all__ = ["folder_readers", "locate", "parts_of", "read_many", "read_predictions"]

_PLAIN = (
    *(".parquet", ".arrow", ".feather", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab"),
    *(".gz", ".zip", ".eval"),
)


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
            polars
            frame, an Arrow table, or a list of dicts. ``PATH#PART`` is the same as ``select=PART``.
        columns: which column holds what: ``"id=question_id,answer=pred,reference=answer"`` or a mapping of
            the same; dotted paths lead into nested fields. Without it, the format's own names or obvious
            ones.
        format: name of the reader; without it the content decides.
        filter: which of lm-evaluation-harness's filters to read.
        metric: which of the log's metrics decides ``correct``.
        extract: ``{"answer": regex}``, also for ``"reference"``: the last match's first group is the answer.
        select: which part of a file or folder that holds several: a task, a run, a provider, a side.
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
    options = ReadOptions(roles, filter, metric, dict(extract or {}), select)
    if isinstance(source, Predictions):
        predictions = source
        check_unique(predictions, name or "predictions")
    elif isinstance(source, str | os.PathLike):
        predictions = _read_path(source, format, options)
    else:
        raw = _rows_in_memory(source)
        roles = {**auto_map(raw.columns()), **roles} if only_adds(options) else roles
        predictions = build(raw, roles, Provenance(format="table"), options.extract)
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
            its one
            task. The other arguments are those of `read_predictions` and hold for all tasks.
        columns: which column holds what.
        format: name of the reader.
        filter: which of lm-evaluation-harness's filters to read.
        metric: which of the logs' metrics decides ``correct``.
        extract: role -> regular expression.
        select: which runs: a model, a time, ``last`` or ``first`` of each task.
        name: name of the model.

    Returns:
        Task -> predictions, in the folder's order.

    Raises:
        InputError: there is no log, a task has several runs and none is chosen, or a log cannot be used.
    """
    roles = parse_map([columns]) if isinstance(columns, str) else dict(columns or {})
    options = ReadOptions(roles, filter, metric, dict(extract or {}), select)
    found, options = locate(path, options)
    if found.container != "directory":
        predictions = _read_file(found, format, options)
        results = {predictions.provenance.task or found.stem: predictions}
    else:
        results = {task: read() for task, read in _task_readers(found, format, options).items()}
    if name is None:
        return results
    return {task: _named(p, name) for task, p in results.items()}


def _named(predictions: Predictions, name: str) -> Predictions:
    provenance = dataclasses.replace(predictions.provenance, model=name)
    return dataclasses.replace(predictions, provenance=provenance)


def folder_readers(
    path: str | os.PathLike[str], format: str | None, options: ReadOptions
) -> dict[str, Callable[[], Predictions]] | None:
    """Return, for every task in a folder, the function that reads it; ``None`` where ``path`` is no folder.

    Nothing is read before it is called, so that a folder of many large tasks fits in memory.

    Raises:
        InputError: there is no log, or a task has several runs and none is chosen.
    """
    found, options = locate(path, options)
    return _task_readers(found, format, options) if found.container == "directory" else None


def _task_readers(
    found: Source, format: str | None, options: ReadOptions
) -> dict[str, Callable[[], Predictions]]:
    reader, parts = parts_of(found, format, options)
    chosen = choose_parts(parts, options.select, found.label)
    if not chosen:
        raise InputError(f"{found.label}: holds no log this program knows.")
    return {
        task: functools.partial(_read_part, reader, part, format, options) for task, part in chosen.items()
    }


def locate(path: str | os.PathLike[str], options: ReadOptions) -> tuple[Source, ReadOptions]:
    """Return the source at ``path`` and the options, with the part that ``PATH#PART`` names taken over.

    Raises:
        InputError: there is nothing, or a part is named twice.
    """
    text = os.fspath(path)
    if "#" in text and not Path(text).exists():
        for at in (i for i, c in enumerate(text) if c == "#"):
            if not Path(text[:at]).exists() or not text[at + 1 :]:
                continue
            if options.select is not None:
                raise InputError(f"{text}: a part is named by '#' and by --select; name it once.")
            return find_source(text[:at]), dataclasses.replace(options, select=text[at + 1 :])
    return find_source(Path(text)), options


def parts_of(source: Source, format: str | None, options: ReadOptions) -> tuple[Reader | None, list[Part]]:
    """Return the reader of a folder and the tasks and runs in it; no reader for a folder of plain files.

    Raises:
        InputError: the folder holds no log.
    """
    if saved_dataset(source.path):
        raise InputError(
            f"{source.label}: is a dataset as datasets.save_to_disk leaves it; name its .arrow file, or save "
            "the rows with dataset.to_parquet('rows.parquet')."
        )
    plain = [
        Part(inner.stem, inner, (path.name,))
        for path in sorted(source.path.iterdir())
        if path.is_file() and path.suffix.lower() in _PLAIN and path.stat().st_size
        for inner in [find_source(path)]
    ]
    try:
        reader = choose_reader(source, format, options)
    except InputError:
        if format is not None or not plain or _of_a_tool(source, options):
            raise
        return None, plain
    if reader.parts is None:
        if not plain:
            raise InputError(f"{source.label}: the folder holds no file of predictions.")
        return reader, plain
    return reader, reader.parts(source)


def _of_a_tool(source: Source, options: ReadOptions) -> bool:
    """Whether more than one reader knows the folder (then the choice is the user's)."""
    from muscle_llm.predictions.readers import READERS, load_reader

    return sum(load_reader(n).detect(source) for n in READERS) > 1


def _read_path(path: str | os.PathLike[str], format: str | None, options: ReadOptions) -> Predictions:
    found, options = locate(path, options)
    if found.container != "directory":
        return _read_file(found, format, options)
    reader, parts = parts_of(found, format, options)
    return _read_part(reader, one_part(parts, options.select, found.label), format, options)


def _read_file(source: Source, format: str | None, options: ReadOptions) -> Predictions:
    reader = choose_reader(source, format, options)
    if options.select not in (None, "first", "last") and not reader.selects:
        raise InputError(
            f"{source.label}: is read as {reader.name!r} and holds one part only; {options.select!r} is none "
            "to choose. Leave --select (or what follows the '#') out."
        )
    return reader.read(source, options)


def _read_part(reader: Reader | None, part: Part, format: str | None, options: ReadOptions) -> Predictions:
    options = dataclasses.replace(options, select=None)
    chosen = reader or choose_reader(part.source, format, options)
    return chosen.read(part.source, options)


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
