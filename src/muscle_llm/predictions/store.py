"""Predictions kept as one Parquet file, provenance in its metadata."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from muscle_llm.errors import InputError
from muscle_llm.files import atomic_path
from muscle_llm.predictions.schema import COLUMNS, SCHEMA_VERSION, Predictions, Provenance

__all__ = ["COMPARISON_KEY", "METADATA_KEY", "read_store", "write_predictions"]

METADATA_KEY = b"muscle_llm"
COMPARISON_KEY = b"muscle_llm_comparison"  # of a file that holds a whole comparison


def write_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """Write predictions to one Parquet file, whole or not at all.

    Example:
        >>> import tempfile
        >>> p = Predictions.from_columns({"id": ["a"], "correct": [True]}, Provenance(model="m"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_predictions(p, Path(folder) / "p.parquet")
        ...     read_store(Path(folder) / "p.parquet").provenance.model
        'm'
    """
    with atomic_path(path) as temporary:
        pq.write_table(predictions.with_metadata(), temporary, compression="zstd")


def read_store(path: str | os.PathLike[str]) -> Predictions:
    """Read predictions that `write_predictions` wrote.

    Raises:
        InputError: there is no such file, it is not Parquet, not of this package, or of a later version.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({_short(error)}).") from error
    metadata = (table.schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise InputError(
            f"{path}: is a Parquet file, but not one of predictions written by muscle-llm; name its "
            f"columns with --map."
        )
    try:
        document = json.loads(metadata)
        version, fields = document["version"], document["provenance"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its metadata are broken ({error}).") from error
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: is of predictions version {version}; this program reads version {SCHEMA_VERSION}. "
            f"Update muscle-llm."
        )
    return Predictions(_as_schema(table), _provenance(fields, path))


def _as_schema(table: pa.Table) -> pa.Table:
    """Undo what Parquet changes in types (such as the names of list items)."""
    for index, name in enumerate(table.column_names):
        kind = COLUMNS.get(name, (None, ""))[0]
        if kind is not None and table.schema.field(index).type != kind:
            table = table.set_column(index, name, table.column(index).cast(kind))
    return table.replace_schema_metadata(None)


def _provenance(fields: dict[str, Any], path: object) -> Provenance:
    known = {f.name for f in dataclasses.fields(Provenance)}
    unknown = set(fields) - known
    if unknown:
        raise InputError(f"{path}: its provenance has unknown fields {sorted(unknown)}. Update muscle-llm.")
    return Provenance(**fields)


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
