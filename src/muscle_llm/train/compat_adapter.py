"""Train a compatibility adapter: two teachers, chosen per token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import Trainer

from muscle_llm.tasks.example import Example
from muscle_llm.train.settings import TrainResult, TrainSettings

__all__ = ["CompatTrainer", "train_compat_adapter"]


class CompatTrainer(Trainer):
    """A trainer whose loss follows the old or the new task model, token by token."""


def train_compat_adapter(
    *,
    new_base: str | Path,
    new_adapter: str | Path,
    old_base: str | Path,
    old_adapter: str | Path,
    examples: Sequence[Example],
    output_dir: str | Path,
    mask: str = "student_wrong",
    temperature: float = 2.0,
    ce_weight: float = 0.0,
    training: TrainSettings | None = None,
    seed: int = 0,
    progress: bool = True,
) -> TrainResult:
    """Train a copy of ``new_adapter`` to follow the old task model where it is wrong."""
    raise NotImplementedError
