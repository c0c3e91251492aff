"""JSON documents: recognised by the first keys, parsed whole, with the place of an error."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from muscle_llm.errors import InputError
from muscle_llm.predictions.source import Source

__all__ = ["first_keys", "json_document"]

_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]', re.DOTALL)


def first_keys(source: Source) -> frozenset[str]:
    """Return the keys of the object a file starts with, as far as its first 64 KiB show them.

    In a list, or in JSON lines, that is the first row. Nothing for what is not JSON, and for folders.

    Raises:
        InputError: the file cannot be unpacked.
    """
    return _keys(source.head.removeprefix(_BOM).lstrip())


@functools.lru_cache(maxsize=8)
def _keys(head: bytes) -> frozenset[str]:
    r"""Return the keys of the first object in a piece of JSON that may break off.

    Example:
        >>> sorted(_keys(b'[{"a": {"b": 1}, "c\\u0041": [2, {"d": 3}'))
        ['a', 'cA']
    """
    if head[:1] not in (b"{", b"["):
        return frozenset()
    keys: set[str] = set()
    depth = 0
    base: int | None = None
    text = b""
    for match in _TOKEN.finditer(head):
        token = match.group()
        if token in (b"{", b"["):
            depth += 1
            if base is None and token == b"{":
                base = depth
        elif token in (b"}", b"]"):
            depth -= 1
            if base is not None and depth < base:
                break
        elif token == b":":
            if depth == base:
                keys.add(_unquoted(text))
        else:
            text = token
    return frozenset(keys)


def _unquoted(token: bytes) -> str:
    try:
        value = json.loads(token)
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""


def json_document(source: Source) -> Any:
    """Return the whole content of a JSON file, parsed.

    Raises:
        InputError: the content is not UTF-8 or not JSON; it names the line.
    """
    with source.open() as stream:
        data = stream.read().removeprefix(_BOM)
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{source.label}, line {line}: the text is not UTF-8.") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source.label}, line {error.lineno}: broken JSON at character {error.colno}: {error.msg}."
        ) from error
    except (ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{source.label}: JSON that cannot be read ({reason}).") from error
