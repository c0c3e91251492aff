"""Files that are no log and no table, told by their first bytes, with what to do about them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["foreign_kind", "saved_dataset"]

_UNPACK = "unpack it first (gzip and zip are read as they are)"
# first bytes -> what it is, what to do.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "is packed with zstandard", _UNPACK),
    (b"BZh", "is packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "is packed with xz", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive", _UNPACK),
    (b"ORC", "is an ORC file", "save the rows as Parquet"),
    (b"FEA1", "is a Feather file of version 1", "save the rows as Parquet"),
    (b"SQLite format 3\x00", "is an SQLite database", "export the table as CSV"),
    (b"\x93NUMPY", "is a NumPy array", "save the rows as CSV or Parquet"),
    (b"\x89HDF", "is an HDF5 file", "save the rows as CSV or Parquet"),
    (b"\x80", "looks like a pickle, which is never loaded", "save the rows as JSON lines, CSV or Parquet"),
)


def foreign_kind(head: bytes) -> str | None:
    r"""Return what a file that cannot be read is and what to do, or ``None`` where its bytes do not tell.

    Args:
        head: its first bytes.

    Example:
        >>> foreign_kind(b"BZh91AY")
        'is packed with bzip2; unpack it first (gzip and zip are read as they are)'
        >>> foreign_kind("id,answer".encode("utf-16-le"))
        'looks like UTF-16 text; save it as UTF-8'
    """
    for magic, what, fix in _KINDS:
        if head.startswith(magic):
            return f"{what}; {fix}"
    text = head[:64]
    if len(text) > 1 and len(text) % 2 == 0:
        for zeros, letters in ((text[1::2], text[::2]), (text[::2], text[1::2])):
            if not any(zeros) and all(letters):
                return "looks like UTF-16 text; save it as UTF-8"
    return None


def saved_dataset(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is what ``datasets.save_to_disk`` leaves: Arrow files and descriptions of them."""
    here = Path(folder)
    described = (here / "dataset_info.json").is_file() and (here / "state.json").is_file()
    return described or (here / "dataset_dict.json").is_file()
