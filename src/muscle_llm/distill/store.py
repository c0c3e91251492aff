"""What a teacher says, on disk: content-addressed, written in shards, resumable, verified on reading.

A store is a folder named by the hash of its description (which model, tokens, form, temperature). It holds
``store.json`` (the description) and, per shard, ``00000.bin`` (one fixed-size record per trained token) and
``00000.json`` (its SHA-256), the latter written last: a shard without it is not there. Several processes
may write different shards of one store at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from muscle_llm.errors import InputError
from muscle_llm.files import atomic_path, atomic_write_text, sha256_file

__all__ = ["TeacherStore", "nearest_store", "open_store", "store_key"]

_DESCRIPTION = "store.json"
_VERSION = 1


def store_key(description: Mapping[str, Any]) -> str:
    """Return the name of the store with this description.

    Example:
        >>> store_key({"data": "a"}) == store_key({"data": "b"})
        False
    """
    text = json.dumps({"version": _VERSION, **description}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def open_store(
    folder: str | Path,
    description: Mapping[str, Any],
    *,
    tokens_of_rows: Sequence[int],
    record: np.dtype[Any],
    shard_tokens: int = 1 << 16,
) -> TeacherStore:
    """Open the store in a folder, or begin it where there is none.

    Args:
        folder: of this one store.
        description: what decides its content, in JSON values: model, data, tokenizer, form, temperature.
        tokens_of_rows: how many trained tokens each row has; rows are numbered from 0.
        record: the layout of a token's record.
        shard_tokens: size of a shard, at least one row.

    Returns:
        The store; some of its shards may be missing yet.

    Raises:
        InputError: the folder holds a store with another description (which says what differs), or
            something else.
    """
    path = Path(folder)
    wanted = json.loads(json.dumps({"version": _VERSION, "shard_tokens": shard_tokens, **description}))
    file = path / _DESCRIPTION
    if not file.exists():
        atomic_write_text(file, json.dumps(wanted, indent=1, sort_keys=True))
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        assert isinstance(found, dict)
    except (ValueError, AssertionError) as error:
        raise InputError(
            f"{file}: not the description of a teacher cache. Delete the folder '{path}'."
        ) from error
    differing = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
    if differing:
        raise InputError(
            f"{path}: this teacher cache was made for something else: {', '.join(differing)} differ. "
            "Give another folder, or delete this one to make it anew."
        )
    return TeacherStore(path, tokens_of_rows, record, shard_tokens)


def nearest_store(parent: str | Path, description: Mapping[str, Any]) -> tuple[Path, list[str]] | None:
    """Return the store in a folder whose description differs least, and in what; None where there is none.

    Args:
        parent: folder of stores.
        description: of the store that was looked for.
    """
    wanted = json.loads(json.dumps(description))
    found: list[tuple[int, Path, list[str]]] = []
    for file in sorted(Path(parent).glob(f"*/{_DESCRIPTION}")):
        try:
            other = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(other, dict):
            differing = sorted(key for key in wanted if other.get(key) != wanted[key])
            found.append((len(differing), file.parent, differing))
    return min(found)[1:] if found else None


class TeacherStore:
    """One record per trained token, in shards of whole rows. Made by :func:`open_store`.

    Args:
        folder: of this store.
        tokens_of_rows: how many records each row has.
        record: the layout of a record.
        shard_tokens: a shard ends before the row that would take it above this.
    """

    def __init__(
        self, folder: Path, tokens_of_rows: Sequence[int], record: np.dtype[Any], shard_tokens: int
    ) -> None:
        self.folder = folder
        self.record = record
        counts = np.asarray(tokens_of_rows, dtype=np.int64)
        shard, used = 0, 0
        self.shard_of_row = np.zeros(len(counts), dtype=np.int64)
        self.start_in_shard = np.zeros(len(counts), dtype=np.int64)
        self.counts = counts
        for row, count in enumerate(counts.tolist()):
            if used and used + count > shard_tokens:
                shard, used = shard + 1, 0
            self.shard_of_row[row], self.start_in_shard[row] = shard, used
            used += count
        self.shards = shard + 1 if len(counts) else 0
        self._open: dict[int, np.ndarray[Any, Any]] = {}

    def _files(self, shard: int) -> tuple[Path, Path]:
        return self.folder / f"{shard:05d}.bin", self.folder / f"{shard:05d}.json"

    def rows_of(self, shard: int) -> list[int]:
        """Return the rows of a shard, in order."""
        return np.flatnonzero(self.shard_of_row == shard).tolist()

    def missing(self, *, rank: int = 0, processes: int = 1) -> list[int]:
        """Return the shards still to be written; with several processes, those that are this one's."""
        return [
            s for s in range(rank, self.shards, processes) if not all(f.is_file() for f in self._files(s))
        ]

    def write(self, shard: int, records: np.ndarray[Any, Any]) -> None:
        """Write a shard, whole or not at all.

        Args:
            shard: its number.
            records: of all tokens of all its rows, in order.
        """
        data, note = self._files(shard)
        expected = int(self.counts[self.rows_of(shard)].sum())
        assert records.dtype == self.record
        assert records.shape == (expected,)
        with atomic_path(data) as temporary:
            records.tofile(temporary)
        self._open.pop(shard, None)
        atomic_write_text(note, json.dumps({"sha256": sha256_file(data), "tokens": expected}))

    def read(self, rows: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return the records of some rows, one row after the other.

        Raises:
            InputError: a shard is missing, or its bytes are not those that were written.
        """
        parts = []
        for row in rows:
            shard = int(self.shard_of_row[row])
            records = self._open.get(shard)
            if records is None:
                records = self._open[shard] = self._verified(shard)
            start = int(self.start_in_shard[row])
            parts.append(records[start : start + int(self.counts[row])])
        return np.concatenate(parts)

    def verify(self) -> None:
        """Check the bytes of every shard that is there.

        Raises:
            InputError: one of them is not what was written.
        """
        missing = set(self.missing())
        for shard in range(self.shards):
            if shard not in missing:
                self._verified(shard)

    def _verified(self, shard: int) -> np.ndarray[Any, Any]:
        """Map a shard into memory after checking its bytes."""
        data, note = self._files(shard)
        fix = f"Delete it and the file '{note.name}' beside it: the shard will be made anew."
        try:
            noted = json.loads(note.read_text(encoding="utf-8"))["sha256"]
            whole = sha256_file(data) == noted
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{data}: this shard of the teacher cache cannot be read. {fix}") from error
        if not whole:
            raise InputError(f"{data}: this shard of the teacher cache is damaged (checksum). {fix}")
        return np.memmap(data, dtype=self.record, mode="r")

    def bytes_per_token(self) -> int:
        """Return the size of a record."""
        return self.record.itemsize
