"""Comparisons on disk: one Parquet file, or the run folder of an update."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from muscle_llm.comparison import Comparison, compare
from muscle_llm.errors import InputError, RunError
from muscle_llm.files import atomic_path
from muscle_llm.predictions.store import COMPARISON_KEY, read_store

__all__ = ["read_comparison", "read_run", "write_comparison"]


def write_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Write a comparison as one Parquet file: the instances, and the document in the metadata.

    Example:
        >>> import tempfile
        >>> from muscle_llm.predictions.schema import Predictions
        >>> a = Predictions.from_columns({"id": ["1", "2"], "correct": [True, True]})
        >>> b = Predictions.from_columns({"id": ["1", "2"], "correct": [True, False]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_comparison(compare(a, b), Path(folder) / "c.parquet")
        ...     read_comparison(Path(folder) / "c.parquet").counts["negative_flips"]
        1
    """
    document = json.dumps(comparison.to_dict(), allow_nan=False).encode()
    table = comparison.instances.replace_schema_metadata({COMPARISON_KEY: document})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_comparison(path: str | os.PathLike[str]) -> Comparison:
    """Read a comparison that `write_comparison` wrote.

    Raises:
        InputError: there is no such file, or it holds no comparison.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file.")
    try:
        table = pq.read_table(path)
        document = json.loads((table.schema.metadata or {})[COMPARISON_KEY])
        return Comparison.from_dict(document, table.replace_schema_metadata(None))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: holds no comparison of this package; write one with: muscle-llm compare ... --save FILE"
        ) from error


def read_run(folder: str | os.PathLike[str]) -> dict[str, Comparison]:
    """Compare the stored predictions of every finished task of a run again, as the run did.

    Args:
        folder: run folder of an update, with ``tasks/TASK/comparison.json`` and ``tasks/TASK/predictions``.

    Returns:
        Task name -> comparison.

    Raises:
        RunError: the folder is no run, or none of its tasks is finished.
        InputError: stored predictions cannot be read.
    """
    home = Path(folder) / "tasks"
    if not home.is_dir():
        raise RunError(f"{folder}: is not the folder of a run (there is no folder 'tasks' in it).")
    found = {
        document.parent.name: _repeat_comparison(document)
        for document in sorted(home.glob("*/comparison.json"))
    }
    if not found:
        raise RunError(f"{folder}: no task of this run is finished; continue it with: muscle-llm update")
    return found


def _repeat_comparison(path: Path) -> Comparison:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        settings, candidates = document["settings"], document["candidates"]
        names = document["old"]["name"], document["new"]["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not a comparison document ({error}).") from error
    tables = {
        name: read_store(path.parent / "predictions" / f"{name}.parquet")
        for name in ("old", "new", *candidates)
    }
    return compare(
        tables.pop("old"),
        tables.pop("new"),
        tables,
        roles={name: candidate["role"] for name, candidate in candidates.items()},
        old_name=names[0],
        new_name=names[1],
        confidence=settings.get("confidence", 0.95),
        on_mismatch=settings.get("on_mismatch", "error"),
        tolerance=settings.get("tolerance", 0.0),
        similarity=settings.get("similarity", ()),
    )
