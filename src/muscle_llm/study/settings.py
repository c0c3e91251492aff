"""What a study consists of, as frozen settings, and the cells of its grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from muscle_llm.errors import ConfigError
from muscle_llm.train.settings import LoraSettings, TrainSettings
from muscle_llm.update.remedies import RECIPES, Remedy
from muscle_llm.update.remedies.base import check_name
from muscle_llm.update.settings import TaskSettings, UpdateSettings, Version

__all__ = ["Cell", "StudySettings", "StudyUpdate"]


@dataclass(frozen=True)
class StudyUpdate:
    """One update of the study.

    Args:
        old: the version users have.
        new: the version that replaces it.
        about: one line for the reader: what changes.
    """

    old: Version
    new: Version
    about: str = ""


@dataclass(frozen=True)
class StudySettings:
    """A grid of whole updates.

    Args:
        updates: by name.
        title: heading of the page.
        about: Markdown that opens the page: what the study asks, and what its author concludes.
        tasks: as in an update.
        remedies: as in an update; every one with as many optimizer steps as the control.
        seeds: one run of everything for each.
        lora: shape of the adapters.
        training: how adapters are trained.
        validation_share: share of each task's instances, by a hash of their ids, on which a remedy is chosen;
            what is reported comes from the others.
        batch_size: instances in one forward pass when predicting.
        trust_remote_code: run code that comes with a base model.

    Raises:
        ConfigError: there is no update, a seed stands there twice, a value is out of range, or what makes an
            update unusable.
    """

    updates: Mapping[str, StudyUpdate]
    tasks: tuple[TaskSettings, ...]
    title: str = "Study"
    about: str = ""
    remedies: tuple[Remedy, ...] = field(default_factory=lambda: tuple(RECIPES.values()))
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: TrainSettings = field(default_factory=TrainSettings)
    validation_share: float = 0.25
    batch_size: int = 32
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not self.updates:
            raise ConfigError("a study needs at least one entry under 'updates'.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"a study needs different seeds, at least one, not {list(self.seeds)}.")
        if not 0 <= self.validation_share < 1:
            raise ConfigError(
                f"validation_share must be 0 or more and below 1, not {self.validation_share!r}."
            )
        for name in self.updates:
            check_name("update", name)
            if self.updates[name].old.pretrain or self.updates[name].new.pretrain:
                raise ConfigError(
                    f"update '{name}': a study takes bases that are there: name them by 'base'."
                )
            self.update(name, self.seeds[0])

    def update(self, name: str, seed: int, task: str | None = None) -> UpdateSettings:
        """Return one update of the study with one seed, of all tasks or of one."""
        tasks = tuple(t for t in self.tasks if task is None or t.label == task)
        remedies = self.remedies
        if task is not None:
            remedies = tuple(r for r in remedies if not r.tasks or task in r.tasks)
        return UpdateSettings(
            old=self.updates[name].old,
            new=self.updates[name].new,
            tasks=tasks,
            remedies=tuple(_for_all(r) if task is not None else r for r in remedies),
            lora=self.lora,
            training=self.training,
            seed=seed,
            batch_size=self.batch_size,
            trust_remote_code=self.trust_remote_code,
        )

    def cells(self) -> list[Cell]:
        """Return the cells of the grid: whole rounds over updates and tasks, seed by seed."""
        return [
            Cell(update, task.label, seed)
            for seed in self.seeds
            for task in self.tasks
            for update in self.updates
        ]


@dataclass(frozen=True)
class Cell:
    """One update, one task, one seed: all versions of it."""

    update: str
    task: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where its run folder is, below the study's."""
        return Path("cells") / self.update / self.task / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.update}, {self.task}, seed {self.seed}"


def _for_all(remedy: Remedy) -> Remedy:
    return dataclasses.replace(remedy, tasks=())
