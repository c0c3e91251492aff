"""Training of task adapters and compatibility adapters."""

from __future__ import annotations

from muscle_llm.train.compat_adapter import train_compat_adapter
from muscle_llm.train.compat_trainer import CompatConfig, CompatTrainer
from muscle_llm.train.dial import mix_adapters
from muscle_llm.train.settings import LoraSettings, LossSettings, TrainResult, TrainSettings
from muscle_llm.train.task_adapter import train_task_adapter

__all__ = [
    "CompatConfig",
    "CompatTrainer",
    "LoraSettings",
    "LossSettings",
    "TrainResult",
    "TrainSettings",
    "mix_adapters",
    "train_compat_adapter",
    "train_task_adapter",
]
