"""Predictions: the one table that every log becomes."""

from __future__ import annotations

from muscle_llm.predictions.reading import read_many, read_predictions
from muscle_llm.predictions.schema import COLUMNS, Predictions, Provenance
from muscle_llm.predictions.store import read_store, write_predictions

__all__ = [
    "COLUMNS",
    "Predictions",
    "Provenance",
    "read_many",
    "read_predictions",
    "read_store",
    "write_predictions",
]
