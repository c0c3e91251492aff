"""The logs at a path: which reader reads them, which of several are meant, and which options they take."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from muscle_llm.errors import InputError, did_you_mean
from muscle_llm.predictions.folders import choose_parts, one_part
from muscle_llm.predictions.kinds import saved_dataset
from muscle_llm.predictions.readers import (
    READERS,
    Part,
    Reader,
    ReadOptions,
    choose_reader,
    load_reader,
    refuse_unused,
)
from muscle_llm.predictions.schema import Predictions
from muscle_llm.predictions.source import Source, find_source

__all__ = ["Log", "check_filter", "find_log", "find_logs", "locate", "parts_of", "where_taken"]

_PLAIN = (
    *(".parquet", ".arrow", ".feather", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab"),
    *(".gz", ".zip", ".eval"),
)


@dataclass(frozen=True, slots=True)
class Log:
    """One log of one task, found but not read yet.

    Attributes:
        reader: the format's reader.
        source: the file, or the folder of one run.
        options: what the user says about it.
    """

    reader: Reader
    source: Source
    options: ReadOptions

    def read(self) -> Predictions:
        """Return the predictions in it.

        Raises:
            InputError: it cannot be used, or the reader has no use for an option.
        """
        refuse_unused(self.reader, self.options, self.source.label)
        return self.reader.read(self.source, self.options)


def find_log(path: str | os.PathLike[str], format: str | None, options: ReadOptions) -> Log:
    """Return the one log at ``path``.

    Raises:
        InputError: there is none this program knows, or there are several.
    """
    found, options = locate(path, options)
    if found.container != "directory":
        return Log(choose_reader(found, format, options), found, options)
    reader, parts = parts_of(found, format, options)
    return _log_of_part(reader, one_part(parts, options.select, found.label), format, options)


def find_logs(
    path: str | os.PathLike[str], format: str | None, options: ReadOptions
) -> dict[str, Callable[[], Log]] | None:
    """Return, for every task in a folder, the function that finds its log; ``None`` where ``path`` is no
    folder.

    ``filter`` is for the tasks with several filters. Nothing is read, so that a folder of many large tasks
    fits in memory.

    Raises:
        InputError: there is no log, or a task has several runs and none is chosen.
    """
    found, options = locate(path, options)
    if found.container != "directory":
        return None
    reader, parts = parts_of(found, format, options)
    chosen = choose_parts(parts, options.select, found.label)
    if not chosen:
        raise InputError(f"{found.label}: holds no log this program knows.")
    options = dataclasses.replace(options, filter_where_several=len(chosen) > 1)
    return {
        task: functools.partial(_log_of_part, reader, part, format, options) for task, part in chosen.items()
    }


def where_taken(logs: Sequence[Log]) -> list[Log]:
    """Return logs that share their options, without a filter and a metric where only others have such.

    Where none has, they stay, and reading refuses them.
    """
    for option in ("filter", "metric"):
        if any(option in log.reader.takes for log in logs):
            logs = [
                log
                if option in log.reader.takes
                else dataclasses.replace(log, options=dataclasses.replace(log.options, **{option: None}))
                for log in logs
            ]
    return list(logs)


def check_filter(wanted: str | None, read: Iterable[str | None]) -> None:
    """Refuse a filter by which none of a folder's tasks was read.

    Args:
        wanted: the filter that the user named.
        read: the filter by which each task was read.

    Raises:
        InputError: it is not among them.

    Example:
        >>> check_filter("strict-match", ["none", "strict-match"])
    """
    known = {f: None for f in read if f is not None}
    if wanted is not None and wanted not in known:
        raise InputError(
            f"--filter {wanted}: no task has a filter of that name. {did_you_mean(wanted, known)}"
        )


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
        if format is not None or not plain or _of_a_tool(source):
            raise
        return None, plain
    if reader.parts is None:
        if not plain:
            raise InputError(f"{source.label}: the folder holds no file of predictions.")
        return reader, plain
    return reader, reader.parts(source)


def _of_a_tool(source: Source) -> bool:
    """Whether more than one reader knows the folder (then the choice is the user's)."""
    return sum(load_reader(n).detect(source) for n in READERS) > 1


def _log_of_part(reader: Reader | None, part: Part, format: str | None, options: ReadOptions) -> Log:
    options = dataclasses.replace(options, select=None)
    return Log(reader or choose_reader(part.source, format, options), part.source, options)
