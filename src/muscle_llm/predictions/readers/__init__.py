"""Readers of log formats: one file each, one line each in the registry.

A package of a third party adds one through the entry point group ``muscle_llm.readers``, whose values are
`Reader` objects.
"""

from __future__ import annotations

import importlib

from muscle_llm.errors import InputError, did_you_mean
from muscle_llm.predictions.readers.base import Reader, ReadOptions
from muscle_llm.predictions.source import Source

__all__ = ["READERS", "ReadOptions", "Reader", "choose_reader", "reader_names"]

# name -> module with a constant READER. In the order of detection: the most particular format first.
READERS: dict[str, str] = {
    "muscle": "muscle_llm.predictions.readers.muscle",
    "lm-eval": "muscle_llm.predictions.readers.lm_eval",
    "table": "muscle_llm.predictions.readers.table",
}

_GROUP = "muscle_llm.readers"


def reader_names() -> list[str]:
    """Return the names ``--format`` accepts."""
    return [*READERS, *_others()]


def _others() -> dict[str, object]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=_GROUP)}


def load_reader(name: str) -> Reader:
    """Return the reader of that name.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    if name in READERS:
        reader = importlib.import_module(READERS[name]).READER
    else:
        others = _others()
        if name not in others:
            raise InputError(
                f"--format: no reader is called {name!r}. {did_you_mean(name, [*READERS, *others])}"
            )
        reader = others[name].load()  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(reader, Reader):
        raise InputError(f"the reader {name!r} is not a muscle_llm.predictions.readers.Reader.")
    return reader


def choose_reader(source: Source, name: str | None, options: ReadOptions) -> Reader:
    """Return the reader for a source: the named one, else the first whose detector says yes.

    Columns named by the user (``--map``) mean a table, whatever the file looks like.

    Raises:
        InputError: no reader knows the content.
    """
    if name is not None:
        return load_reader(name)
    if options.columns:
        return load_reader("table")
    for known in [n for n in READERS if n != "table"]:
        reader = load_reader(known)
        if reader.detect(source):
            return reader
    for other in _others():
        reader = load_reader(other)
        if reader.detect(source):
            return reader
    table = load_reader("table")
    if table.detect(source):
        return table
    what = (
        "the folder holds no log this program knows" if source.container == "directory" else "unknown content"
    )
    raise InputError(
        f"{source.label}: {what}. Readable are: {', '.join(reader_names())}; a table is JSONL, JSON, "
        f"CSV, TSV or Parquet."
    )
