"""A JSON document as a table: a list of objects, an object around one, or an object of columns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from muscle_llm.errors import InputError
from muscle_llm.predictions.raw import JsonRows
from muscle_llm.predictions.readers.fields import kind_of
from muscle_llm.predictions.source import Source

__all__ = ["check_utf8", "json_table", "line_of", "object_lists", "rows_of_columns"]

_BOM = b"\xef\xbb\xbf"


def json_table(source: Source) -> JsonRows:
    """Return the rows of a JSON document.

    Raises:
        InputError: the content is not JSON, or no table; it names the place.
    """
    with source.open() as stream:
        data = stream.read().removeprefix(_BOM)
    check_utf8(data, source.label)
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        text = data.decode("utf-8")
        fix = ""
        if error.msg == "Extra data" and text[error.pos] == ",":
            fix = " In JSON lines no comma stands between the rows; a list of rows stands in [ ]."
        raise InputError(
            f"{source.label}, line {error.lineno}: broken JSON at character {error.colno}"
            f"{_items_before(text, error.pos)}: {error.msg}.{fix}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source.label}: JSON that cannot be read ({line_of(error)}).") from error
    rows, word = _row_list(document, source.label)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"{source.label}, {word} {number}: is {kind_of(row)}, not an object {{...}}.")
    return JsonRows(rows, source.label, word)


def _items_before(text: str, position: int) -> str:
    """Return how many whole items of a list come before ``position``, as words for the message."""
    decoder = json.JSONDecoder()
    at, count = text.find("[") + 1, 0
    while 0 < at < position:
        match = re.compile(r"[\s,]*").match(text, at)
        at = match.end() if match else at
        try:
            _, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        count += 1
    return f" (in item {count + 1})"


def _row_list(document: Any, label: str) -> tuple[Sequence[Any], str]:
    if isinstance(document, list):
        return document, "item"
    if not isinstance(document, dict):
        raise InputError(f"{label}: holds {kind_of(document)}, not a list of objects.")
    if str(document.get("schema")).startswith("muscle-llm/comparison"):
        raise InputError(
            f"{label}: holds the figures of a comparison, not one model's answers; name the logs it was "
            "made of."
        )
    lists = object_lists(document)
    columns = rows_of_columns(document)
    if columns is not None and len(lists) < len(document):
        return columns, "row"
    if len(lists) == 1:
        name, rows = next(iter(lists.items()))
        return rows, f"{name} item"
    if not lists:
        return [document], "document"
    found = ", ".join(repr(k) for k in lists)
    raise InputError(
        f"{label}: an object with one list of objects is needed; these are lists of objects: {found}. "
        "Save the rows as a JSON list or as JSON lines."
    )


def rows_of_columns(document: Any) -> list[dict[str, Any]] | None:
    """Return the rows of an object of columns, as data frames write it; ``None`` for anything else.

    A column is a list, or an object whose keys are the numbers of the rows; all are of the same rows.

    Example:
        >>> rows_of_columns({"id": {"0": 7, "1": 8}, "answer": {"0": "a", "1": "b"}})
        [{'id': 7, 'answer': 'a'}, {'id': 8, 'answer': 'b'}]
        >>> rows_of_columns({"id": [7, 8], "answer": ["a"]}) is None
        True
    """
    if not isinstance(document, dict) or len(document) < 2:
        return None
    columns = list(document.values())
    if all(isinstance(c, dict) and c and all(k.isdecimal() for k in c) for c in columns):
        if any(list(c) != list(columns[0]) for c in columns):
            return None
        columns = [list(c.values()) for c in columns]
    elif not all(isinstance(c, list) and c for c in columns) or len({len(c) for c in columns}) > 1:
        return None
    return [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]


def object_lists(document: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the fields of an object that are lists of objects."""
    return {k: v for k, v in document.items() if isinstance(v, list) and v and isinstance(v[0], dict)}


def check_utf8(data: bytes, label: str) -> None:
    """Raise an `InputError` that names the line where ``data`` stops being UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{label}, line {line}: the text is not UTF-8; save the file as UTF-8.") from error


def line_of(error: BaseException) -> str:
    """Return the first line of what an error says, for a message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
