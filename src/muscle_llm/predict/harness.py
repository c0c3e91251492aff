"""A model on a task, through lm-evaluation-harness, as a table of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from muscle_llm.predictions.schema import Predictions
from muscle_llm.tasks.harness import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["predict"]


def predict(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    *,
    model_name: str,
    batch_size: int = 64,
    limit: int | None = None,
    progress: bool = True,
    extra: Mapping[str, str] | None = None,
) -> Predictions:
    """Ask ``model`` every instance of the task's evaluation split."""
    raise NotImplementedError
