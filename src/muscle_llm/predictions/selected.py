"""Some rows of a table: those with given values in given columns, such as one model's of several."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muscle_llm.errors import InputError, clip
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.convert import to_text
from muscle_llm.predictions.raw import Batch, RawRows

__all__ = ["SelectedRows", "choose_rows", "parse_selection"]

_SHOWN = 8  # values that a message lists


def parse_selection(text: str, label: str) -> dict[str, str]:
    """Return column -> value from ``COLUMN=VALUE,...``; a comma that no ``NAME=`` follows is part of a value.

    Args:
        text: what the user selects.
        label: how messages name the file.

    Raises:
        InputError: the text has another form.

    Example:
        >>> parse_selection("model=gpt-4,date=May 1, 2023", "all.csv")
        {'model': 'gpt-4', 'date': 'May 1, 2023'}
    """
    found = {}
    for part in re.split(r",(?=[^,=]+=)", text):
        column, equals, value = part.partition("=")
        if not equals or not column.strip():
            raise InputError(
                f"{label}: {clip(text)!r} selects no rows of a table; write --select COLUMN=VALUE, such as "
                "--select model=v1, or FILE#COLUMN=VALUE."
            )
        found[column.strip()] = value.strip()
    return found


def choose_rows(open_rows: Callable[[], RawRows], select: str | None, label: str) -> Callable[[], RawRows]:
    """Return what opens the selected rows; all of them where nothing is selected.

    Args:
        open_rows: opens all rows, from the start each time.
        select: as for `parse_selection`.
        label: how messages name the file.

    Example:
        >>> from muscle_llm.predictions.raw import ArrowRows
        >>> table = pa.table({"model": ["v1", "v2", "v1"], "id": [1, 1, 2]})
        >>> rows = choose_rows(lambda: ArrowRows.of_table(table, "a table"), "model=v1", "a table")()
        >>> [batch.columns["id"].to_pylist() for batch in rows.batches(["id"])]
        [[1, 2]]

    Raises:
        InputError: as for `parse_selection`.
    """
    if select is None:
        return open_rows
    selection = parse_selection(select, label)
    return lambda: SelectedRows(open_rows(), selection)


class SelectedRows:
    """The rows of a file that have the given values, compared as text.

    Args:
        rows: all rows.
        selection: dotted path -> value.
    """

    def __init__(self, rows: RawRows, selection: Mapping[str, str]) -> None:
        self.label = rows.label
        self._rows = rows
        self._selection = selection
        self._kept: list[NDArray[np.intp]] = []

    def columns(self) -> list[str]:
        """Return the names at the top level; see `RawRows`."""
        return self._rows.columns()

    def all_columns(self) -> list[str]:
        """Return the names at the top level of all rows; see `RawRows`."""
        return self._rows.all_columns()

    def paths(self) -> list[str]:
        """Return all dotted paths."""
        return self._rows.paths()

    def where(self, row: int) -> str:
        """Return file and place of a selected row for a message."""
        return self._rows.where(int(np.concatenate(self._kept)[row]))

    def batches(self, paths: Sequence[str]) -> Iterator[Batch]:
        """Yield the columns at ``paths`` of the selected rows; see `RawRows`."""
        self._kept = []
        first = 0
        seen: dict[str, Counter[str]] = {path: Counter() for path in self._selection}
        for batch in self._rows.batches(list(dict.fromkeys([*paths, *self._selection]))):
            keep = np.ones(batch.size, bool)
            for path, value in self._selection.items():
                texts = to_text(batch.columns[path])
                keep &= pc.fill_null(pc.equal(texts, value), False).to_numpy(zero_copy_only=False)
                _count(texts, seen[path])
            rows = np.flatnonzero(keep)
            if rows.size:
                self._kept.append(batch.first + rows)
                chosen = pa.array(rows)
                yield Batch({p: batch.columns[p].take(chosen) for p in paths}, first, rows.size)
                first += rows.size
        if not first:
            raise self._nothing(seen)

    def _nothing(self, seen: Mapping[str, Counter[str]]) -> InputError:
        path = next((p for p, v in self._selection.items() if v not in seen[p]), None)
        if path is None:
            wanted = " and ".join(f"{p}={v}" for p, v in self._selection.items())
            return InputError(f"{self.label}: no row has {clip(wanted)!r} at once.")
        values = ", ".join(f"{clip(v)!r} ({n} rows)" for v, n in seen[path].most_common(_SHOWN))
        more = ", ..." if len(seen[path]) > _SHOWN else ""
        wanted = f"{clip(path)}={clip(self._selection[path])}"
        return InputError(f"{self.label}: no row has {wanted}; there are {values}{more}.")


def _count(texts: pa.Array, seen: Counter[str]) -> None:
    """Count the values, as long as they are few enough to be listed."""
    if len(seen) <= 1000:
        for pair in pc.value_counts(texts.drop_null()):
            seen[pair["values"].as_py()] += pair["counts"].as_py()
