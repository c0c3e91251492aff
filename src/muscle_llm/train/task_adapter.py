"""Train a task adapter: plain LoRA fine-tuning of one base on one task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from muscle_llm.tasks.example import Example
from muscle_llm.train.settings import LoraSettings, TrainResult, TrainSettings

__all__ = ["train_task_adapter"]


def train_task_adapter(
    *,
    base: str | Path,
    examples: Sequence[Example],
    output_dir: str | Path,
    lora: LoraSettings | None = None,
    training: TrainSettings | None = None,
    seed: int = 0,
    init_adapter: str | Path | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a LoRA adapter on ``base`` by cross-entropy, or continue one."""
    raise NotImplementedError
