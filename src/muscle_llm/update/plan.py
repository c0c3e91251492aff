"""All stages of a whole update, in order: bases that are to be made, each task's, the page of the run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from muscle_llm.update.settings import UpdateSettings, Version
from muscle_llm.update.stages import RunFolder, Stage
from muscle_llm.update.task_plan import TaskPlan

__all__ = ["plan_update"]


def plan_update(settings: UpdateSettings, folder: RunFolder, *, progress: bool = True) -> list[Stage]:
    """Return all stages of an update, inputs before those who read them.

    Args:
        settings: the update.
        folder: where the results go.
        progress: show progress bars.
    """
    stages = [
        _pretrain_stage(side, version, folder, progress)
        for side, version in (("old", settings.old), ("new", settings.new))
        if version.pretrain is not None
    ]
    plans = [TaskPlan(settings, task, folder, progress) for task in settings.tasks]
    for plan in plans:
        stages += plan.stages()
    return [*stages, _index_stage(settings, folder)]


def _pretrain_stage(side: str, version: Version, folder: RunFolder, progress: bool) -> Stage:
    assert version.pretrain is not None
    wanted = version.pretrain
    home = Path("bases") / side

    def make() -> None:
        from muscle_llm.train.pretrain import pretrain_base

        pretrain_base(
            [Path(p) for p in wanted.corpus],
            folder.path / home,
            steps=wanted.steps,
            hidden=wanted.hidden,
            layers=wanted.layers,
            vocabulary=wanted.vocabulary,
            tokenizer_corpus=[Path(p) for p in wanted.tokenizer_corpus] or None,
            sequence_length=wanted.sequence_length,
            batch_size=wanted.batch_size,
            learning_rate=wanted.learning_rate,
            seed=wanted.seed,
            progress=progress,
        )

    return Stage(
        name=f"base/{side}",
        title=f"pretrain the {side} base ({wanted.steps} steps)",
        settings=lambda: dataclasses.asdict(wanted),
        inputs=tuple(Path(p).resolve() for p in (*wanted.corpus, *wanted.tokenizer_corpus)),
        outputs=tuple(home / n for n in ("model.safetensors", "config.json", "tokenizer.json")),
        action=make,
    )


def _index_stage(settings: UpdateSettings, folder: RunFolder) -> Stage:
    documents = tuple(Path("tasks") / t.label / "comparison.json" for t in settings.tasks)

    def write() -> None:
        from muscle_llm.report.run import write_index

        write_index(folder.path, [t.label for t in settings.tasks])

    return Stage(
        name="report",
        title="write the page of the run",
        settings=lambda: {"tasks": [t.label for t in settings.tasks]},
        inputs=documents,
        outputs=(Path("report.html"),),
        action=write,
    )
