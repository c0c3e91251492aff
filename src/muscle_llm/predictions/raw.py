"""Rows as a file holds them, column by column in batches, before they mean anything.

Two kinds: JSON rows (nested Python objects, parsed one at a time, so that a broken row has a number) and
Arrow tables (CSV, Parquet, data frames: never a loop over rows).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from muscle_llm.errors import InputError, clip, did_you_mean
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.convert import to_arrow
from muscle_llm.predictions.mapping import look_up, split_path

__all__ = ["ArrowRows", "Batch", "JsonRows", "RawRows", "json_paths", "unknown_column"]

BATCH = 1 << 16
_SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive rows: the columns asked for, by path, and the number of the first row (from 0)."""

    columns: Mapping[str, pa.Array]
    first: int
    size: int


class RawRows(Protocol):
    """What `muscle_llm.predictions.build.build` needs of a file."""

    label: str

    def columns(self) -> list[str]:
        """Return the names at the top level, of a stream those met so far."""
        ...

    def all_columns(self) -> list[str]:
        """Return the names at the top level of all rows; of a stream, this reads it to its end."""
        ...

    def paths(self) -> list[str]:
        """Return all dotted paths, nested ones too."""
        ...

    def batches(self, paths: Sequence[str]) -> Iterator[Batch]:
        """Yield the columns at ``paths``, some rows at a time; a path that no row has is an `InputError`."""
        ...

    def where(self, row: int) -> str:
        """Return file and place of a row (from 0) for a message."""
        ...


def unknown_column(label: str, path: str, known: Iterable[str]) -> InputError:
    """Return the error for a column that is not there, with the nearest names."""
    return InputError(f"{label}: there is no column {clip(path)!r}. {did_you_mean(path, known)}")


class JsonRows:
    """Rows parsed from JSON, read as a stream: only the columns asked for are kept.

    Args:
        rows: the objects, in order; consumed once.
        label: how messages name the file.
        word: what messages call a row's place: ``"line"`` or ``"item"``.
        numbers: place of each row, filled while ``rows`` is consumed; ``None`` counts from 1.
    """

    def __init__(
        self,
        rows: Iterable[dict[str, Any]],
        label: str,
        word: str = "row",
        numbers: Sequence[int] | None = None,
    ) -> None:
        self.label = label
        self._iterator = iter(rows)
        self.word = word
        self._numbers = numbers
        self._sample = list(itertools.islice(self._iterator, _SAMPLE))
        self._names = dict.fromkeys(k for row in self._sample for k in row)

    def columns(self) -> list[str]:
        """Return the names at the top level of the first rows, and of those read since."""
        return list(self._names)

    def all_columns(self) -> list[str]:
        """Return the names at the top level of all rows; see `RawRows`."""
        while chunk := list(itertools.islice(self._iterator, BATCH)):
            self._note(chunk)
        return self.columns()

    def _note(self, chunk: Sequence[dict[str, Any]]) -> None:
        """Keep the names that the first rows did not have."""
        found = set().union(*chunk)
        if not found <= self._names.keys():
            self._names.update(dict.fromkeys(sorted(found - self._names.keys())))

    def paths(self) -> list[str]:
        """Return the dotted paths of the first rows."""
        return list(dict.fromkeys(p for row in self._sample for p in json_paths(row)))

    def where(self, row: int) -> str:
        """Return file and place of a row for a message."""
        number = self._numbers[row] if self._numbers is not None else row + 1
        return f"{self.label}, {self.word} {number}"

    def batches(self, paths: Sequence[str]) -> Iterator[Batch]:
        """Yield the columns at ``paths``; see `RawRows`."""
        missing: Any = object()
        seen = dict.fromkeys(paths, False)
        first = 0
        rows = itertools.chain(self._sample, self._iterator)
        while chunk := list(itertools.islice(rows, BATCH)):
            self._note(chunk)
            columns: dict[str, pa.Array] = {}
            for path in paths:
                if "." in path:
                    values = [look_up(row, path, missing) for row in chunk]
                else:
                    values = [row.get(path, missing) for row in chunk]
                if any(v is missing for v in values):
                    seen[path] = seen[path] or any(v is not missing for v in values)
                    values = [None if v is missing else v for v in values]
                else:
                    seen[path] = True
                columns[path] = to_arrow(values)
            unknown = next((path for path, found in seen.items() if not found), None)
            # Told before a conversion stumbles over the nulls that stand for the missing column.
            if unknown is not None and len(chunk) < BATCH:
                raise unknown_column(self.label, unknown, self.paths())
            yield Batch(columns, first, len(chunk))
            first += len(chunk)
        unknown = next((path for path, found in seen.items() if first and not found), None)
        if unknown is not None:
            raise unknown_column(self.label, unknown, self.paths())


def json_paths(value: Any, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the dotted paths into a parsed JSON value, six levels deep; of a list, the first two items."""
    if isinstance(value, dict) and depth < 6:
        for key, inner in value.items():
            yield f"{prefix}{key}"
            yield from json_paths(inner, f"{prefix}{key}.", depth + 1)
    elif isinstance(value, list) and depth < 6:
        for index, inner in enumerate(value[:2]):
            if isinstance(inner, dict | list) or len(value) == 1:
                yield f"{prefix}{index}"
                yield from json_paths(inner, f"{prefix}{index}.", depth + 1)


class ArrowRows:
    """Rows of an Arrow table, or of a Parquet file read batch by batch.

    Args:
        schema: the columns.
        read: returns the record batches with the given top-level columns.
        label: how messages name the file.
        word: what messages call a row's place.
    """

    def __init__(self, schema: pa.Schema, read: Any, label: str, word: str = "row") -> None:
        self.label = label
        self._schema = schema
        self._read = read
        self._word = word

    @classmethod
    def of_table(cls, table: pa.Table, label: str, word: str = "row") -> ArrowRows:
        """Return the rows of a table in memory."""
        return cls(table.schema, lambda names: table.select(names).to_batches(BATCH), label, word)

    def columns(self) -> list[str]:
        """Return the names at the top level."""
        return list(self._schema.names)

    def all_columns(self) -> list[str]:
        """Return the names at the top level."""
        return self.columns()

    def paths(self) -> list[str]:
        """Return the dotted paths of the schema."""
        return [p for f in self._schema for p in _field_paths(f.name, f.type)]

    def where(self, row: int) -> str:
        """Return file and place of a row for a message."""
        return f"{self.label}, {self._word} {row + 1}"

    def batches(self, paths: Sequence[str]) -> Iterator[Batch]:
        """Yield the columns at ``paths``; see `RawRows`."""
        steps: dict[str, tuple[str, str]] = {}
        names = set(self._schema.names)
        for path in paths:
            found = split_path(path, names)
            if found is None or not _has(self._schema.field(found[0]).type, found[1]):
                raise unknown_column(self.label, path, self.paths())
            steps[path] = found
        first = 0
        for batch in self._read(list(dict.fromkeys(top for top, _ in steps.values()))):
            columns = {path: _descend(batch.column(top), rest) for path, (top, rest) in steps.items()}
            yield Batch(columns, first, batch.num_rows)
            first += batch.num_rows


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _field_paths(name: str, kind: pa.DataType) -> Iterator[str]:
    yield name
    if pa.types.is_struct(kind):
        for inner in kind:
            yield from _field_paths(f"{name}.{inner.name}", inner.type)
    elif _is_list(kind):
        yield from _field_paths(f"{name}.0", kind.value_type)


def _step(kind: pa.DataType, rest: str) -> tuple[str, str, pa.DataType] | None:
    if pa.types.is_struct(kind):
        found = split_path(rest, [f.name for f in kind])
        return None if found is None else (*found, kind.field(found[0]).type)
    if _is_list(kind):
        first, _, inner = rest.partition(".")
        return (first, inner, kind.value_type) if first.isdigit() else None
    return None


def _has(kind: pa.DataType, rest: str) -> bool:
    while rest:
        step = _step(kind, rest)
        if step is None:
            return False
        _, rest, kind = step
    return True


def _descend(array: pa.Array, rest: str) -> pa.Array:
    while rest:
        step = _step(array.type, rest)
        assert step is not None
        key, rest, _ = step
        if pa.types.is_struct(array.type):
            array = pc.struct_field(array, [array.type.get_field_index(key)])
        else:
            index = int(key)
            short = pc.fill_null(pc.less_equal(pc.list_value_length(array), index), True)
            if pc.any(short).as_py():
                array = pa.array(
                    [None if v is None or len(v) <= index else v[index] for v in array.to_pylist()]
                )
            else:
                array = pc.list_element(array, index)
    return array
