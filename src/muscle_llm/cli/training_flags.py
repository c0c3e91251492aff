"""The flags the training commands share, and which setting of their file each one changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["SETTING_OF", "changes", "pair_flags", "task_flags", "training_flags"]

F = TypeVar("F", bound=Callable[..., Any])

# flag -> setting, where they are not of the same name
SETTING_OF = {
    **{
        name: f"training.{name}"
        for name in (
            "epochs",
            "learning_rate",
            "warmup_steps",
            "batch_size",
            "gradient_accumulation",
            "max_steps",
            "validation_share",
            "max_length",
            "train_on",
            "dtype",
            "checkpoint_steps",
        )
    },
    **{name: f"loss.{name}" for name in ("mask", "divergence", "temperature", "ce_weight")},
    "temperature_squared": "loss.temperature_squared",
    "rank": "lora.rank",
    "alpha": "lora.alpha",
}

_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="YAML file with settings; flags change them."
)
_TASK = (
    click.option("--task", help="A task's name, or a YAML file (which may run code)."),
    click.option("--data-dir", help="Folder of the task's local data."),
)
_PAIR = (
    click.option("--old-base", help="Old base: a folder, or a name on the hub."),
    click.option("--old-adapter", help="Folder of the task adapter on the old base."),
    click.option("--new-base", help="New base, with the same tokenizer."),
    click.option(
        "--new-adapter", help="Folder of the task adapter on the new base: where the student starts."
    ),
)
_TRAINING = (
    click.option("--epochs", type=int, help="Passes over the training part.  [default: 10]"),
    click.option("--learning-rate", type=float, help="Peak of the schedule.  [default: 1e-4]"),
    click.option("--warmup-steps", type=int, help="Steps up to the peak.  [default: 500]"),
    click.option("--batch-size", type=int, help="Examples in a forward pass.  [default: 8]"),
    click.option("--gradient-accumulation", type=int, help="Forward passes in a step.  [default: 8]"),
    click.option("--max-steps", type=int, help="Stop after so many optimizer steps."),
    click.option("--checkpoint-steps", type=int, help="Checkpoint every so many steps, besides every epoch."),
)
_DATA = (
    click.option("--validation-share", type=float, help="Held out to choose the epoch.  [default: 0.2]"),
    click.option("--max-length", type=int, help="Tokens of an example.  [default: 1024]"),
    click.option(
        "--train-on", type=click.Choice(["all", "completion"]), help="Tokens learned.  [default: all]"
    ),
    click.option("--dtype", help="float32, bfloat16, float16, or auto.  [default: auto]"),
    click.option("--seed", type=int, help="Of everything random.  [default: 0]"),
)


def _with(options: tuple[Callable[[Any], Any], ...]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def task_flags(function: F) -> F:
    """Add --config, --task and --data-dir."""
    return _with((_CONFIG, *_TASK))(function)


def pair_flags(function: F) -> F:
    """Add the four flags that name the two task models."""
    return _with(_PAIR)(function)


def training_flags(*, data_only: bool = False) -> Callable[[F], F]:
    """Add the flags of a training; with ``data_only`` those that decide its data."""
    return _with(_DATA if data_only else (*_TRAINING, *_DATA))


def changes(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the given flags change, by setting (``training.epochs``); flags not given are left out.

    Example:
        >>> changes({"epochs": 3, "rank": None, "task": "piqa"})
        {'training.epochs': 3, 'task': 'piqa'}
    """
    return {SETTING_OF.get(name, name): value for name, value in flags.items() if value is not None}
