"""Seeded damage to logs: bytes, JSON values, rows, Parquet columns, archive members."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Damage", "damaged"]

TOKENS = [
    b"\x00",
    b"\xff\xfe",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"\r\n",
    b"\\",
    b"\\ud800",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 400,
    b"null",
    b"true",
    b'""',
    b"\xef\xbb\xbf",
    b"\x1b[31m",
    b"{}",
    b"[]",
    b"[" * 300,
    b'{"a":' * 200,
    b"PAR1",
    b"PK\x03\x04",
]


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    0.5,
    1.0,
    1e308,
    2**31,
    2**63,
    2**70,
    10**320,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "x",
    "1",
    "-1",
    "0.5",
    "nan",
    "²",
    "[0, 1]",
    "['a', 'b']",
    "[" * 150,
    "[invalid]",
    "C",
    "P",
    "\ud800",
    "\udfff\ud800",
    "\x00",
    "\x1b[31m",
    "\u202e",
    "a\nb",
    "x" * 5000,
    [],
    [None],
    [[]],
    ["a", 1, None, {}],
    [1, 2, 3],
    {},
    {"": None},
    {"value": 1},
    {"a": {"b": []}},
    {"\ud800": "\ud800"},
    _deep(30),
    _deep(400),
]


@dataclass(frozen=True)
class Damage:
    """What was done.

    Attributes:
        what: the kind, for the report.
        row: index of the only row touched; ``None`` where more may be.
        key: the field touched, where it is one.
    """

    what: str
    row: int | None = None
    key: str | None = None


def damaged(data: bytes, name: str, rng: random.Random) -> tuple[bytes, Damage]:
    """Return ``data`` with one to three kinds of damage that suit a file of that name."""
    if name.endswith(".parquet") and rng.random() < 0.7:
        return _parquet(data, rng)
    if name.endswith(".gz") and rng.random() < 0.6:
        inner, damage = damaged(gzip.decompress(data), name[:-3], rng)
        return gzip.compress(inner, mtime=0), damage
    if name.endswith(".eval") and rng.random() < 0.8:
        return _archive(data, rng)
    if name.endswith((".json", ".jsonl")) and rng.random() < 0.75:
        return _structure(data, rng, lines=name.endswith(".jsonl"))
    return _bytes(data, rng)


def _bytes(data: bytes, rng: random.Random) -> tuple[bytes, Damage]:
    buffer = bytearray(data)
    kind = rng.choice(("flip", "cut", "tail", "delete", "double", "insert", "swap"))
    at = rng.randrange(len(buffer) + 1)
    span = min(len(buffer), at + rng.choice((1, 2, 8, 64, 1024)))
    if kind == "flip":
        for _ in range(rng.randint(1, 8)):
            buffer[rng.randrange(len(buffer))] = rng.randrange(256)
    elif kind == "cut":
        del buffer[at:]
    elif kind == "tail":
        del buffer[:at]
    elif kind == "delete":
        del buffer[at:span]
    elif kind == "double":
        buffer[at:at] = buffer[at:span]
    elif kind == "insert":
        buffer[at:at] = rng.choice(TOKENS)
    else:
        other = rng.randrange(len(buffer))
        piece = bytes(buffer[at:span])
        buffer[other : other + len(piece)] = piece
    return bytes(buffer), Damage(f"bytes {kind}")


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield (*path, index)
            yield from _places(inner, (*path, index))


def _structure(data: bytes, rng: random.Random, *, lines: bool) -> tuple[bytes, Damage]:
    text = data.decode("utf-8")
    document = [json.loads(x) for x in text.splitlines() if x.strip()] if lines else json.loads(text)
    damage = Damage("json")
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        document, damage = _change(document, rng, damage)
    if not lines:
        return _dump(document), damage
    rows = document if isinstance(document, list) else [document]
    return b"".join(_dump(row) + b"\n" for row in rows), damage


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode("ascii")


def _change(document: Any, rng: random.Random, before: Damage) -> tuple[Any, Damage]:
    paths = list(_places(document))
    if not paths:
        return copy.deepcopy(rng.choice(VALUES)), Damage("json document")
    # Short paths are few; without this the deep ones would get nearly all the damage.
    depth = rng.choice(sorted({len(p) for p in paths}))
    path = rng.choice([p for p in paths if len(p) == depth])
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    kind = rng.choice(("replace", "replace", "replace", "delete", "rename", "double", "swap", "wrap"))
    last = path[-1]
    if kind == "delete":
        del parent[last]
    elif kind == "rename" and isinstance(parent, dict):
        parent[rng.choice(("", "x", str(last) + "_", str(last).upper()))] = parent.pop(last)
    elif kind == "double" and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[last]))
    elif kind == "swap":
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        other = rng.choice(keys)
        parent[last], parent[other] = parent[other], parent[last]
    elif kind == "wrap":
        parent[last] = rng.choice(([parent[last]], {"value": parent[last]}, json.dumps(parent[last])))
    else:
        kind = "replace"
        parent[last] = copy.deepcopy(rng.choice(VALUES))  # a later change may reach into it
    row = next((step for step in path[:-1] if isinstance(step, int)), None)
    same = before.what == "json" or (before.row is not None and before.row == row)
    return document, Damage(f"json {kind}", row if same else None, str(last))


def _parquet(data: bytes, rng: random.Random) -> tuple[bytes, Damage]:
    table = pq.read_table(io.BytesIO(data))
    kind = rng.choice(("drop", "rename", "type", "cell", "rows", "double"))
    index = rng.randrange(table.num_columns)
    name = table.column_names[index]
    if kind == "drop":
        table = table.drop_columns([name])
    elif kind == "rename":
        names = list(table.column_names)
        names[index] = rng.choice((name.upper(), f"__{name}__", "x", ""))
        table = table.rename_columns(names)
    elif kind == "rows":
        table = table.slice(rng.randrange(table.num_rows), rng.randrange(table.num_rows))
    elif kind == "double":
        table = pa.concat_tables([table, table.slice(rng.randrange(table.num_rows), 1)])
    else:
        values = table.column(index).to_pylist()
        if kind == "type":
            change = rng.choice((str, lambda v: [v], lambda v: None, lambda v: {"value": str(v)}, repr))
            values = [change(v) for v in values]
        else:
            row = rng.randrange(len(values))
            value: Any = [values[row]]
            for _ in range(rng.randint(1, 3)):
                value, _damage = _change(value, rng, Damage("json"))
                value = value if isinstance(value, list) and value else [None]
            values[row] = value[0]
        table = table.set_column(index, name, _array(values))
    sink = io.BytesIO()
    try:
        pq.write_table(table, sink)
    except pa.ArrowException:  # Not everything can be written.
        return _bytes(data, rng)
    return sink.getvalue(), Damage(f"parquet {kind}", None, name)


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError, UnicodeEncodeError):
        return pa.array([None if v is None else ascii(v) for v in values], pa.string())


def _archive(data: bytes, rng: random.Random) -> tuple[bytes, Damage]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist()}
    name = rng.choice(list(members))
    kind = rng.choice(("member", "member", "member", "drop", "rename"))
    damage = Damage(f"archive {kind}", None, name)
    if kind == "member":
        members[name], inner = damaged(members[name], ".json", rng)
        damage = Damage(f"archive {inner.what}", None, inner.key)
    elif kind == "drop":
        del members[name]
    else:
        members[rng.choice(("x.json", "", "../y", name.upper()))] = members.pop(name)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner_name, content in members.items():
            archive.writestr(inner_name or "empty", content)
    return sink.getvalue(), damage
