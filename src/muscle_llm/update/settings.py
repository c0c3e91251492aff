"""What a whole update consists of, as frozen settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muscle_llm.errors import ConfigError, did_you_mean
from muscle_llm.train.settings import LoraSettings, TrainSettings
from muscle_llm.update.remedies import RECIPES, Remedy
from muscle_llm.update.remedies.base import check_name

__all__ = ["CONTROLS", "Pretraining", "TaskSettings", "UpdateSettings", "Version"]

# Always part of an update. Their names cannot be a remedy's.
CONTROLS = {
    "old_rerun": "the old base trained again with another seed: flips without an update",
    "continued": "plain fine-tuning of the new adapter for as many steps as a remedy takes",
}


@dataclass(frozen=True)
class Pretraining:
    """Make a tiny base from plain text instead of loading one: for trying things out without a hub.

    Args:
        corpus: text files or folders of them.
        steps: optimizer steps.
        hidden: width of the model.
        layers: number of layers.
        seed: seed of the weights and of the data order.
        vocabulary: size of the tokenizer made from the corpus; versions of one update share it.
        tokenizer_corpus: text the tokenizer is made from; by default the corpus.
        sequence_length: tokens of a training sequence.
        batch_size: sequences in a step.
        learning_rate: the peak of the schedule.
    """

    corpus: tuple[str, ...]
    steps: int = 500
    hidden: int = 96
    layers: int = 3
    seed: int = 0
    vocabulary: int = 2048
    tokenizer_corpus: tuple[str, ...] = ()
    sequence_length: int = 128
    batch_size: int = 32
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class Version:
    """One side of the update.

    Args:
        base: hub name or local folder of the base model; empty only with ``pretrain``.
        name: what users call it; by default the last part of ``base``.
        pretrain: make the base from text first.
    """

    base: str = ""
    name: str = ""
    pretrain: Pretraining | None = None

    def __post_init__(self) -> None:
        if bool(self.base) == (self.pretrain is not None):
            raise ConfigError("a version needs either 'base' (a hub name or folder) or 'pretrain', not both.")

    @property
    def label(self) -> str:
        """The name to show."""
        return self.name or Path(self.base).name


@dataclass(frozen=True)
class TaskSettings:
    """One task of the update.

    Args:
        task: a name lm-evaluation-harness knows, a path to a task YAML, or the YAML's content.
        name: how it is called in tables and file names; by default the last part of ``task``.
        data_dir: folder of the task's local data files.
        metric: the harness's metric that decides right and wrong, or is the score; by default its first.
        filter: the harness's answer filter to read it from.
        old_adapter: folder of the adapter users have; by default one is trained.
        new_adapter: folder of a task adapter on the new base; by default one is trained.
        prompts: JSONL file of unlabelled prompts, such as production traffic, for remedies with ``replay``.
        lora: shape of the adapters; by default that of the update.
        training: how adapters are trained; by default that of the update.
        batch_size: instances in one forward pass when predicting; by default that of the update.
        limit: predict this many instances only.
    """

    task: str | Mapping[str, Any]
    name: str = ""
    data_dir: str | None = None
    metric: str | None = None
    filter: str | None = None
    old_adapter: str | None = None
    new_adapter: str | None = None
    prompts: str | None = None
    lora: LoraSettings | None = None
    training: TrainSettings | None = None
    batch_size: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        check_name("task", self.label)
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"task '{self.label}': batch_size must be 1 or more, not {self.batch_size}.")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"task '{self.label}': limit must be 1 or more, not {self.limit}.")

    @property
    def label(self) -> str:
        """The name to show and to file under."""
        if self.name:
            return self.name
        return str(self.task.get("task", "task")) if isinstance(self.task, Mapping) else Path(self.task).stem


@dataclass(frozen=True)
class UpdateSettings:
    """A whole update: from old base to new base, for each task.

    Args:
        old: the version users have.
        new: the version that replaces it.
        tasks: at least one task; names differ.
        remedies: what is tried besides the two controls; names differ. By default all of `RECIPES`.
        lora: shape of the adapters.
        training: how task adapters, continued fine-tuning and remedies are trained.
        seed: of everything; the old re-run takes the next one.
        batch_size: instances in one forward pass when predicting.
        trust_remote_code: run code that comes with a base model.

    Raises:
        ConfigError: there is no task, two tasks or two remedies share a name, or a remedy lacks what
            it needs.
    """

    old: Version
    new: Version
    tasks: tuple[TaskSettings, ...]
    remedies: tuple[Remedy, ...] = field(default_factory=lambda: tuple(RECIPES.values()))
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: TrainSettings = field(default_factory=TrainSettings)
    seed: int = 0
    batch_size: int = 32
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ConfigError("an update needs at least one entry under 'tasks'.")
        for what, names in (
            ("task", [t.label for t in self.tasks]),
            ("remedy", [r.name for r in self.remedies]),
        ):
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ConfigError(f"two entries are named {what} '{twice[0]}'; give one another 'name'.")
        for task in self.tasks:
            known = ["old", "new", *CONTROLS]  # what has an adapter by then
            for remedy in self.remedies_of(task):
                for version in remedy.needs():
                    if version not in known:
                        raise ConfigError(
                            f"remedy '{remedy.name}', task '{task.label}': it needs the adapter '{version}', "
                            f"which does not come before it. {did_you_mean(version, known)}"
                        )
                remedy.check_task(task)
                known += [remedy.name] if remedy.has_adapter else []

    def tasks_of(self, remedy: Remedy) -> tuple[TaskSettings, ...]:
        """Return the tasks a remedy is for."""
        labels = [task.label for task in self.tasks]
        for name in remedy.tasks:
            if name not in labels:
                raise ConfigError(
                    f"remedy '{remedy.name}': no task is called '{name}'. {did_you_mean(name, labels)}"
                )
        return tuple(task for task in self.tasks if not remedy.tasks or task.label in remedy.tasks)

    def remedies_of(self, task: TaskSettings) -> tuple[Remedy, ...]:
        """Return the remedies of a task, in order."""
        return tuple(remedy for remedy in self.remedies if task in self.tasks_of(remedy))
