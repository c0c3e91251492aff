"""The demo's update: its settings in the form that every update has, and the stage that writes its data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from muscle_llm.demo.tasks import BASES, DEMO, TASK_NAMES, DemoSettings, task_config
from muscle_llm.demo.world import TaskSizes, write_world
from muscle_llm.train.settings import LoraSettings, TrainSettings
from muscle_llm.update.remedies import RECIPES
from muscle_llm.update.settings import TaskSettings, UpdateSettings, Version
from muscle_llm.update.stages import Stage

__all__ = ["DemoSize", "demo_settings", "demo_update", "world_stage"]

DemoSize = Literal["default", "smoke"]

# A whole pass in seconds, for trying the installation; its figures mean nothing.
_SMOKE = TaskSizes(train=64, test=40)


def demo_settings(size: DemoSize = "default", seed: int | None = None) -> DemoSettings:
    """Return the settings of the demo.

    Args:
        size: ``default`` shows the effect; ``smoke`` only shows that everything runs.
        seed: of the task adapters and the remedies; the demo's own by default.
    """
    settings = DEMO if seed is None else dataclasses.replace(DEMO, seed=seed, rerun_seed=seed + 1)
    if size == "default":
        return settings
    training = {
        name: dataclasses.replace(t, rank=8, alpha=16, epochs=1, batch_size=16)
        for name, t in settings.training.items()
    }
    return dataclasses.replace(settings, sizes=dict.fromkeys(TASK_NAMES, _SMOKE), training=training)


def demo_update(settings: DemoSettings, folder: Path) -> UpdateSettings:
    """Return the demo as an ordinary update.

    Args:
        settings: what `demo_settings` gives.
        folder: the run folder; the data are below it.
    """
    return UpdateSettings(
        old=Version(base=str(BASES / settings.old_base), name="demo-base-v1"),
        new=Version(base=str(BASES / settings.new_base), name="demo-base-v2"),
        tasks=tuple(_task(settings, name, folder / "data") for name in TASK_NAMES),
        remedies=tuple(RECIPES.values()),
        seed=settings.seed,
        batch_size=256,
    )


def world_stage(settings: DemoSettings, folder: Path) -> Stage:
    """Return the stage that writes the demo's problems and dialogues."""

    def write() -> None:
        write_world(folder / "data", settings.world_seed, settings.sizes)

    outputs = tuple(
        Path("data") / name / f"{split}.jsonl" for name in TASK_NAMES for split in ("train", "test")
    )
    return Stage(
        name="data",
        title="write the demo's problems and dialogues",
        settings=lambda: {
            "seed": settings.world_seed,
            "sizes": {name: dataclasses.asdict(size) for name, size in settings.sizes.items()},
        },
        inputs=(),
        outputs=outputs,
        action=write,
    )


def _task(settings: DemoSettings, name: str, data: Path) -> TaskSettings:
    t = settings.training[name]
    return TaskSettings(
        task=task_config(name, data),
        name=name,
        lora=LoraSettings(rank=t.rank, alpha=t.alpha),
        training=TrainSettings(
            learning_rate=t.learning_rate,
            warmup_steps=t.warmup_steps,
            batch_size=t.batch_size,
            gradient_accumulation=1,
            epochs=t.epochs,
            validation_share=t.validation_share,
            max_length=128,
            # A problem's length tells its kind here, and batches of one kind train badly.
            group_by_length=False,
        ),
    )
