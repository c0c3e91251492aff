"""The data files of a task: found, named by content, and loaded past every cache."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from muscle_llm.errors import InputError
from muscle_llm.files import sha256_file
from muscle_llm.text import printable

__all__ = ["explain_broken_file", "local_files", "resolve_data_files"]

DataFiles = str | list[str] | dict[str, str | list[str]]


def resolve_data_files(files: Any, folder: Path) -> DataFiles:
    """Return ``data_files`` of a task with every local path absolute.

    Environment variables (``$NAME``, ``${NAME}``) and ``~`` are expanded first; addresses such as
    ``https://...`` or ``hf://...`` stay as they are.

    Args:
        files: what a task's ``dataset_kwargs: data_files`` holds: a path, a list, or a mapping from split.
        folder: where relative paths start.

    Raises:
        InputError: a file does not exist or is empty.

    Example:
        >>> resolve_data_files({"test": "https://example.org/t.json"}, Path("."))
        {'test': 'https://example.org/t.json'}
    """
    if isinstance(files, Mapping):
        return {str(split): _resolve(value, folder, str(split)) for split, value in files.items()}
    return _resolve(files, folder, None)


def _resolve(value: Any, folder: Path, split: str | None) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [_resolve_one(v, folder, split) for v in value]
    return _resolve_one(value, folder, split)


def _resolve_one(value: Any, folder: Path, split: str | None) -> str:
    place = f" of split '{split}'" if split else ""
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"data_files{place} must be paths, not {type(value).__name__}.")
    text = os.path.expandvars(os.fspath(value))
    if "://" in text:
        return text
    path = folder / Path(text).expanduser()
    found = [Path(p) for p in glob.glob(str(path))] if glob.has_magic(str(path)) else [path]  # noqa: PTH207
    if not found or not all(p.is_file() for p in found):
        raise InputError(
            f"data file {printable(str(path))}{place} does not exist. Paths in a task are relative to its "
            f"YAML file, or to data_dir where that is given."
        )
    for one in found:
        if one.stat().st_size == 0:
            raise InputError(f"data file {printable(str(one))}{place} is empty.")
    return str(path)


def local_files(files: DataFiles) -> dict[str, str]:
    """Return file name -> SHA-256 of every local file in resolved ``data_files``."""
    return {Path(p).name: sha256_file(p) for p in _paths(files)}


def _paths(files: DataFiles) -> Iterator[str]:
    if isinstance(files, str):
        if "://" not in files:
            yield from sorted(glob.glob(files)) if glob.has_magic(files) else [files]  # noqa: PTH207
        return
    for value in files.values() if isinstance(files, dict) else files:
        yield from _paths(value)


def explain_broken_file(files: DataFiles) -> str | None:
    """Return what is wrong with the first JSON file that cannot be read, or None when all can.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.jsonl"
        ...     _ = path.write_text('{"x": 1}\\n{"x": \\n')
        ...     print(explain_broken_file(str(path)).replace(folder, ""))
        /a.jsonl, line 2: not valid JSON (Expecting value at column 7).
    """
    for name in _paths(files):
        path = Path(name)
        if path.suffix not in (".json", ".jsonl"):
            continue
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            return f"{path}: not UTF-8 text ({error.reason} at byte {error.start})."
        whole = text.lstrip().startswith("[")
        lines = [(0, text)] if whole else list(enumerate(text.splitlines(), 1))
        for number, line in lines:
            try:
                if line.strip():
                    json.loads(line)
            except json.JSONDecodeError as error:
                line_number = number or error.lineno
                return f"{path}, line {line_number}: not valid JSON ({error.msg} at column {error.colno})."
    return None
