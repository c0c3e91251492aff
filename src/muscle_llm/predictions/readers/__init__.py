"""Readers of log formats: one file each, one line each in the registry.

A package of a third party adds one through the entry point group ``muscle_llm.readers``, whose values are
`Reader` objects.
"""

from __future__ import annotations

import codecs
import functools
import importlib

from muscle_llm.errors import InputError, did_you_mean
from muscle_llm.predictions.kinds import foreign_kind
from muscle_llm.predictions.mapping import only_adds
from muscle_llm.predictions.readers.base import Part, Reader, ReadOptions, refuse_unused
from muscle_llm.predictions.source import Source

__all__ = [
    "READERS",
    "Part",
    "ReadOptions",
    "Reader",
    "choose_reader",
    "load_reader",
    "reader_names",
    "refuse_unused",
]

# name -> module with a constant READER. In the order of detection: the most particular format first.
READERS: dict[str, str] = {
    "muscle-llm": "muscle_llm.predictions.readers.muscle",
    "lm-eval": "muscle_llm.predictions.readers.lm_eval",
    "inspect": "muscle_llm.predictions.readers.inspect_ai",
    "promptfoo": "muscle_llm.predictions.readers.promptfoo",
    "every_eval_ever": "muscle_llm.predictions.readers.every_eval_ever",
    "llm-comparator": "muscle_llm.predictions.readers.llm_comparator",
    "helm": "muscle_llm.predictions.readers.helm",
    "lighteval": "muscle_llm.predictions.readers.lighteval",
    "table": "muscle_llm.predictions.readers.table",
}

_GROUP = "muscle_llm.readers"


def reader_names() -> list[str]:
    """Return the names ``--format`` accepts."""
    return [*READERS, *_others()]


@functools.cache
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

    Columns named by the user (``--map``) mean a table, whatever the file looks like; unless they only add
    slices, a cluster, scores or the prompt to what the format tells, or an archive of several files cannot
    be a table.

    Raises:
        InputError: no reader knows the content, or in a folder several do.
    """
    if name is not None:
        return load_reader(name)
    if not only_adds(options.columns) and len(source.members) < 2:
        return load_reader("table")
    found: list[Reader] = []
    for known in [*(n for n in READERS if n != "table"), *_others(), "table"]:
        reader = load_reader(known)
        if reader.detect(source):
            if source.container != "directory":
                return reader
            found.append(reader)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{source.label}: the folder holds logs of several formats "
            f"({', '.join(r.name for r in found)}); name "
            "a folder in it, or choose one with --format."
        )
    what = (
        "the folder holds no log this program knows" if source.container == "directory" else "unknown content"
    )
    kind = foreign_kind(source.head)
    if kind is not None:
        raise InputError(f"{source.label}: {kind}.")
    if source.head.lstrip()[:1] == b"<":
        what = "is a page of HTML or XML, not a log"
    elif source.head and _is_text(source.head):
        what = "is text without rows or columns, not a log"
    raise InputError(
        f"{source.label}: {what}. Readable are: {', '.join(reader_names())}; a table is JSONL, JSON, "
        "CSV, TSV, Parquet or Arrow."
    )


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head
