"""A file of predictions as bytes: found, told apart by content, unpacked, with errors a user can act on."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Literal

from muscle_llm.errors import InputError
from muscle_llm.files import sha256_file

__all__ = ["Source", "find_source"]

Container = Literal["plain", "gzip", "zip", "directory"]

_HEAD = 1 << 16
_LINE = 1 << 26


@dataclass(frozen=True)
class Source:
    """A file (or folder) that should hold predictions.

    Attributes:
        path: where it is.
        container: how its content is packed, told by its first bytes.
    """

    path: Path
    container: Container

    @property
    def label(self) -> str:
        """How messages name it."""
        return str(self.path)

    @property
    def suffix(self) -> str:
        """Suffix of the content, without ``.gz`` or ``.zip``: ``.jsonl`` for ``a.jsonl.gz``."""
        name = self.path.name.lower()
        if self.container == "zip":
            members = self.members
            name = members[0].lower() if len(members) == 1 else name
        for packed in (".gz", ".zip"):
            name = name.removesuffix(packed)
        return Path(name).suffix

    @property
    def stem(self) -> str:
        """Name without folders and suffixes, for showing."""
        name = self.path.name
        for suffix in (".gz", ".zip", ".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet"):
            if name.lower().endswith(suffix):
                name = name[: -len(suffix)]
        return name or self.path.name

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Names of the files in a zip archive, without folders and the litter of file managers."""
        if self.container != "zip":
            return ()
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [i.filename for i in archive.infolist() if not i.is_dir()]
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise InputError(f"{self.label}: not a readable zip archive ({error}).") from error
        return tuple(
            n for n in names if not n.startswith("__MACOSX/") and not n.split("/")[-1].startswith(".")
        )

    @cached_property
    def head(self) -> bytes:
        """The first 64 KiB of the unpacked content; of a zip archive with several members, nothing."""
        if self.container == "directory" or (self.container == "zip" and len(self.members) != 1):
            return b""
        with self.open() as stream:
            return stream.read(_HEAD)

    @cached_property
    def first_line(self) -> bytes:
        """The first line of the unpacked content that is not blank, at most 64 MiB of it."""
        line = next((x for x in self.head.split(b"\n")[:-1] if x.strip()), None)
        if line is not None or not self.head:
            return line or b""
        with self.open() as stream:
            line = b"\n"
            while line and not line.strip():
                line = stream.readline(_LINE)
        return line

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file as it lies there; ``""`` of a folder."""
        return "" if self.container == "directory" else sha256_file(self.path)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Yield the unpacked bytes as a stream; what goes wrong while reading is an `InputError`."""
        try:
            with self._stream() as stream:
                yield stream
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"{self.label}: the gzip data are broken or cut off ({error}); copy or download the "
                f"file again."
            ) from error
        except zipfile.BadZipFile as error:
            raise InputError(f"{self.label}: the zip archive is broken ({error}).") from error
        except (NotImplementedError, RuntimeError) as error:
            if self.container != "zip":
                raise
            raise InputError(f"{self.label}: this zip archive cannot be unpacked ({error}).") from error

    @contextmanager
    def _stream(self) -> Iterator[IO[bytes]]:
        if self.container == "gzip":
            with gzip.open(self.path, "rb") as packed:
                yield io.BufferedReader(packed, _HEAD)
        elif self.container == "zip":
            if "xl/workbook.xml" in self.members:
                raise InputError(f"{self.label}: is an Excel workbook; save its sheet as CSV.")
            if len(self.members) != 1:
                shown = ", ".join(self.members[:5]) or "none"
                raise InputError(
                    f"{self.label}: the zip archive holds {len(self.members)} files ({shown}); "
                    "one is needed: unpack it and name the file."
                )
            with zipfile.ZipFile(self.path) as archive, archive.open(self.members[0]) as member:
                yield member
        elif self.container == "directory":
            raise InputError(f"{self.label}: is a folder; name a file in it.")
        else:
            with self.path.open("rb") as plain:
                yield plain


def find_source(path: str | os.PathLike[str]) -> Source:
    """Return the `Source` at ``path``, packed or not as its first bytes say.

    Args:
        path: a file or folder.

    Raises:
        InputError: there is nothing, it cannot be read, it is empty, or it is not what its name says.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.jsonl").write_text("{}")
        ...     find_source(Path(folder) / "a.jsonl").container
        'plain'
    """
    target = Path(path)
    try:
        if target.is_dir():
            return Source(target, "directory")
        with target.open("rb") as stream:
            magic = stream.read(4)
    except (OSError, ValueError) as error:
        raise InputError(_missing(target, error)) from error
    if not magic:
        raise InputError(f"{target}: the file is empty.")
    if magic[:2] == b"\x1f\x8b":
        return Source(target, "gzip")
    if magic[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return Source(target, "zip")
    for suffix, what in ((".gz", "gzip"), (".zip", "zip")):
        if target.name.lower().endswith(suffix):
            raise InputError(
                f"{target}: is named {suffix} but does not hold {what} data; rename or repack it."
            )
    return Source(target, "plain")


def _missing(path: Path, error: OSError | ValueError) -> str:
    if str(path) == "-":
        return "-: standard input is not read, since a log is looked at more than once; write it to a file."
    if path.is_symlink() and not path.exists():
        return f"{path}: is a link to {path.readlink()}, which is not there."
    if isinstance(error, FileNotFoundError):
        from muscle_llm.errors import did_you_mean

        try:
            names = [p.name for p in path.parent.iterdir()][:1000]
        except OSError:
            return f"{path}: there is no such file, and no such folder."
        import difflib

        near = difflib.get_close_matches(path.name, names)
        return f"{path}: there is no such file." + (f" {did_you_mean(path.name, near)}" if near else "")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path}: cannot be read ({reason})."
