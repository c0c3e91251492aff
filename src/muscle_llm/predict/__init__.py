"""Predicting: a model on a task becomes a table of predictions."""

from __future__ import annotations

from muscle_llm.predict.harness import predict

__all__ = ["predict"]
