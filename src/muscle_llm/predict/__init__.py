"""Predicting: a model on a task becomes a table of predictions."""

from __future__ import annotations

from muscle_llm.predict.harness import Sampling, predict, predict_with

__all__ = ["Sampling", "predict", "predict_with"]
