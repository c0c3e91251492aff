"""Predictions this package wrote itself (Parquet with its own metadata)."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq

from muscle_llm.predictions.given import with_options
from muscle_llm.predictions.readers.base import Reader, ReadOptions
from muscle_llm.predictions.schema import Predictions
from muscle_llm.predictions.source import Source
from muscle_llm.predictions.store import METADATA_KEY, read_store

__all__ = ["READER"]


def _detect(source: Source) -> bool:
    if source.container != "plain" or source.head[:4] != b"PAR1":
        return False
    try:
        return METADATA_KEY in (pq.read_schema(source.path).metadata or {})
    except (pa.ArrowException, OSError, UnicodeDecodeError):  # the last: of a column's name
        return False


def _read(source: Source, options: ReadOptions) -> Predictions:
    predictions = with_options(read_store(source.path), options, source.label)
    sources = {**predictions.provenance.sources, source.path.name: source.sha256}
    return Predictions(predictions.table, dataclasses.replace(predictions.provenance, sources=sources))


READER = Reader(
    "muscle-llm",
    "Parquet written by muscle-llm predict or update",
    _detect,
    _read,
    takes=("filter", "metric"),
)
