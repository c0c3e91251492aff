"""The stages of one task of an update, and what its remedies build theirs from.

Adapters of both versions and of the old re-run, the control and the remedies, one table of predictions per
version, the comparison and its page. Every action below is one call of the part that does it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from muscle_llm.files import atomic_path, atomic_write_text, sha256_text
from muscle_llm.models import adapter_hash, base_fingerprint, check_adapter
from muscle_llm.tasks import Example, Task, load_task, refuse_leaks, task_fingerprint, training_examples
from muscle_llm.tasks.fingerprint import read_config
from muscle_llm.train.settings import LoraSettings, TrainSettings
from muscle_llm.update.card import CARD, read_facts, write_card
from muscle_llm.update.remedies.base import RESERVED
from muscle_llm.update.settings import CONTROLS, TaskSettings, UpdateSettings, Version
from muscle_llm.update.stages import RunFolder, Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from muscle_llm.comparison import Comparison
    from muscle_llm.predict import Sampling
    from muscle_llm.predictions import Predictions
    from muscle_llm.update.remedies import Remedy

__all__ = ["TaskPlan", "comparison_of", "versions_of"]

# What makes an adapter what it is, and what is noted beside it.
WEIGHTS = ("adapter_model.safetensors", "adapter_config.json")
RECORD = "training.json"


def versions_of(settings: UpdateSettings, task: TaskSettings) -> list[str]:
    """Return the names of all versions of a task, in the order in which they are made."""
    return [*RESERVED, *(remedy.name for remedy in settings.remedies_of(task))]


class TaskPlan:
    """The stages of one task, and what remedies need for theirs: models, training text, places of files."""

    def __init__(self, update: UpdateSettings, task: TaskSettings, folder: RunFolder, progress: bool) -> None:
        self.update = update
        self.settings = task
        self.folder = folder
        self.progress = progress
        self.lora: LoraSettings = task.lora or update.lora
        self.training: TrainSettings = task.training or update.training
        self.label = task.label
        self.home = Path("tasks") / task.label
        self.remedies = update.remedies_of(task)
        self.remedy_seed = update.seed + 2

    def stages(self) -> list[Stage]:
        """Return the task's stages."""
        last = [self._compare_stage(), *([self._card_stage()] if self._with_cards() else [])]
        return [*self.version_stages(), *last]

    def version_stages(self) -> list[Stage]:
        """Return the stages that make every version's predictions."""
        seed = self.update.seed
        old, new = self.settings.old_adapter, self.settings.new_adapter
        stages = [
            self._given_adapter_stage("old", old) if old else self._task_adapter_stage("old", "old", seed),
            self._given_adapter_stage("new", new) if new else self._task_adapter_stage("new", "new", seed),
            self._task_adapter_stage("old_rerun", "old", seed + 1),
            self._task_adapter_stage("continued", "new", self.remedy_seed, start="new"),
            *(self.predict_stage(version) for version in RESERVED),
        ]
        of_remedies = [stage for remedy in self.remedies for stage in remedy.stages(self)]
        # two remedies may want the same answers of the old model
        return [*stages, *{stage.name: stage for stage in of_remedies}.values()]

    # ---------------------------------------------------------------- what remedies build on

    @cached_property
    def task(self) -> Task:
        """The harness's task, loaded on first use: that takes seconds."""
        s = self.settings
        return load_task(s.task, data_dir=s.data_dir, metric=s.metric, filter=s.filter)

    def examples(self, side: str) -> list[Example]:
        """Return the training text, none of it about a test instance.

        Where the task asks through a chat template, it is the text that the side's own base is asked with.
        """
        if not self.task.chat:
            return self._plain_examples
        return training_examples(self.task, self.tokenizer(side))

    @cached_property
    def _plain_examples(self) -> list[Example]:
        found = training_examples(self.task)
        refuse_leaks(found, self.task)
        return found

    def longest_completion(self, side: str) -> int:
        """Return how many tokens the longest completion of the training text has."""
        texts = [example.completion for example in self.examples(side)]
        found = self.tokenizer(side)(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return max(len(ids) for ids in cast("list[list[int]]", found))

    def base(self, side: str) -> str:
        """Return the base of a side: a hub name or a folder."""
        return _base_of(self.update, side, self.folder)

    def tokenizer(self, side: str) -> PreTrainedTokenizerBase:
        """Load the tokenizer of a side's base."""
        from muscle_llm.models import load_tokenizer

        return load_tokenizer(self.base(side), trust_remote_code=self.update.trust_remote_code)

    def load(self, version: str) -> PreTrainedModel:
        """Load a version: its base with its adapter, merged where that changes nothing."""
        from muscle_llm.models import load_adapted, load_base, merge_float32

        base, remote = self.base(self._base_side(version)), self.update.trust_remote_code
        loaded = load_base(base, dtype=self.training.dtype, trust_remote_code=remote)
        adapted = load_adapted(loaded, {version: self.path(self.adapter(version))})
        return cast("PreTrainedModel", merge_float32(adapted))  # a peft model answers like its base

    def ask(self, model: Any, version: str, side: str, *, sampling: Sampling | None = None) -> Predictions:
        """Ask a model of a side's base the whole task, under a version's name."""
        from muscle_llm.predict import predict

        said = {"base": _version(self.update, side).label or side}
        folder = self.path(self.adapter(version))
        if (folder / WEIGHTS[0]).exists():
            said = {"adapter": adapter_hash(folder), **said}
        return predict(
            model,
            self.tokenizer(side),
            self.task,
            model_name=version,
            batch_size=self._batch_size,
            limit=self.settings.limit,
            progress=self.progress,
            sampling=sampling,
            extra=said,
        )

    def store(self, found: Predictions, version: str) -> None:
        """Write a version's predictions."""
        from muscle_llm.predict.own_templates import without_template
        from muscle_llm.predictions.store import write_predictions

        if self._own_templates():
            found = without_template(found, self.task)
        write_predictions(found, self.path(self.predictions(version)))

    def path(self, relative: Path) -> Path:
        """Return where a file of the run folder is."""
        return self.folder.path / relative

    def adapter(self, version: str) -> Path:
        """Where a version's adapter is, relative to the run folder."""
        return self.home / "adapters" / version

    def predictions(self, version: str) -> Path:
        """Where a version's predictions are, relative to the run folder."""
        return self.home / "predictions" / f"{version}.parquet"

    @property
    def teacher_caches(self) -> Path:
        """Where the remedies share what the two teachers said, relative to the run folder."""
        return self.home / "teachers"

    def tidy_teachers(self) -> None:
        """Remove the shared caches once every remedy that asks the teachers is trained."""
        waiting = [r for r in self.remedies if r.asks_teachers]
        if all((self.path(self.adapter(r.name)) / RECORD).exists() for r in waiting):
            shutil.rmtree(self.path(self.teacher_caches), ignore_errors=True)

    def weights(self, version: str) -> tuple[Path, ...]:
        """The files that make a version's adapter what it is."""
        return tuple(self.adapter(version) / name for name in WEIGHTS)

    def adapter_outputs(self, version: str) -> tuple[Path, ...]:
        """The files that a training leaves."""
        return (*self.weights(version), self.adapter(version) / RECORD)

    def training_settings(self, *sides: str) -> dict[str, Any]:
        """Return what a training depends on besides its adapters: bases, task, hyper-parameters."""
        return {
            "bases": [_weights_of(self.base(side)) for side in sides],
            "task": self.task_hash,
            "training": dataclasses.asdict(self.training),
            "seed": self.remedy_seed,
            **self._template("new"),
        }

    def predict_settings(self, side: str) -> dict[str, Any]:
        """Return what predictions depend on besides the adapter."""
        return {
            f"{side}_base": _weights_of(self.base(side)),
            "task": self.task_hash,
            "limit": self.settings.limit,
            "batch_size": self._batch_size,
            "dtype": self.training.dtype,
            **self._template(side),
            **self._own_templates(),
        }

    def predict_stage(self, version: str) -> Stage:
        """Return the stage that asks a version with an adapter of its own."""
        side = self._base_side(version)
        return Stage(
            name=f"{self.label}/predict/{version}",
            title=f"{self.label}: predict with '{version}'",
            settings=lambda: self.predict_settings(side),
            inputs=self.weights(version),
            outputs=(self.predictions(version),),
            action=lambda: self.store(self.ask(self.load(version), version, side), version),
        )

    def both_stage(self, remedy: Remedy, title: str, answer: Callable[[], Predictions]) -> Stage:
        """Return the stage of a remedy that runs both task models for its answers."""
        return Stage(
            name=f"{self.label}/predict/{remedy.name}",
            title=f"{self.label}: {title} ('{remedy.name}')",
            settings=lambda: {
                **self.predict_settings("new"),
                **self.predict_settings("old"),
                **remedy.settings(),
            },
            inputs=(*self.weights("old"), *self.weights("new")),
            outputs=(self.predictions(remedy.name),),
            action=lambda: self.store(answer(), remedy.name),
        )

    # ---------------------------------------------------------------- the plan's own

    @cached_property
    def task_hash(self) -> str:
        """Changes when the task or its data do."""
        s = self.settings
        return task_fingerprint(s.task, data_dir=s.data_dir, metric=s.metric, filter=s.filter)

    @property
    def _batch_size(self) -> int:
        return self.settings.batch_size or self.update.batch_size

    @property
    def _versions(self) -> list[str]:
        return versions_of(self.update, self.settings)

    def _with_cards(self) -> list[str]:
        return [remedy.name for remedy in self.remedies if remedy.has_adapter]

    def _own_templates(self) -> dict[str, bool]:
        """Whether the versions are asked through different chat templates, where they are."""
        return {"own_templates": True} if self._template("old") != self._template("new") else {}

    def _template(self, side: str) -> dict[str, str]:
        """What a task that asks through a chat template depends on besides the base's weights."""
        if not (read_config(self.settings.task)[0].get("metadata") or {}).get("chat"):
            return {}
        return {"chat_template": sha256_text(str(self.tokenizer(side).chat_template))}

    def _base_side(self, version: str) -> str:
        return "old" if version in ("old", "old_rerun") else "new"

    def _given_adapter_stage(self, version: str, given: str) -> Stage:
        def take() -> None:
            check_adapter(given, self.base(version))
            target = self.path(self.adapter(version))
            target.mkdir(parents=True, exist_ok=True)
            for name in WEIGHTS:
                with atomic_path(target / name) as temporary:
                    shutil.copyfile(Path(given) / name, temporary)

        return Stage(
            name=f"{self.label}/train/{version}",
            title=f"{self.label}: take the given {version} task adapter",
            settings=lambda: {"base": _weights_of(self.base(version)), "given": adapter_hash(given)},
            inputs=(),
            outputs=self.weights(version),
            action=take,
        )

    def _task_adapter_stage(self, version: str, side: str, seed: int, *, start: str | None = None) -> Stage:
        from muscle_llm.train import train_task_adapter

        def train() -> None:
            train_task_adapter(
                base=self.base(side),
                examples=self.examples(side),
                output_dir=self.path(self.adapter(version)),
                lora=self.lora,
                training=self.training,
                seed=seed,
                init_adapter=None if start is None else self.path(self.adapter(start)),
                progress=self.progress,
            )

        return Stage(
            name=f"{self.label}/train/{version}",
            title=f"{self.label}: {_training_title(version)}",
            settings=lambda: {
                "base": _weights_of(self.base(side)),
                "task": self.task_hash,
                "lora": dataclasses.asdict(self.lora) if start is None else None,
                "training": dataclasses.asdict(self.training),
                "seed": seed,
                **self._template(side),
            },
            inputs=() if start is None else self.weights(start),
            outputs=self.adapter_outputs(version),
            action=train,
        )

    def _compare_stage(self) -> Stage:
        page, document = self.home / "report.html", self.home / "comparison.json"

        def write() -> None:
            from muscle_llm.report.html import write_html
            from muscle_llm.report.json import render_json

            found = comparison_of(self.update, self.settings, self.folder)
            atomic_write_text(self.path(document), render_json(found))
            write_html(found, self.path(page))

        return Stage(
            name=f"{self.label}/compare",
            title=f"{self.label}: compare and write the page",
            settings=lambda: {"roles": _roles(self.update, self.settings), "versions": self._versions},
            inputs=tuple(self.predictions(v) for v in self._versions),
            outputs=(document, page),
            action=write,
        )

    def _card_stage(self) -> Stage:
        document = self.home / "comparison.json"
        names = self._with_cards()
        labels = {side: _version(self.update, side).label or f"{side} base" for side in ("old", "new")}
        given = _version(self.update, "new").base

        def write() -> None:
            found = json.loads(self.path(document).read_text(encoding="utf-8"))
            for name in names:
                folder = self.path(self.adapter(name))
                facts = read_facts(
                    folder,
                    name=name,
                    base=given or labels["new"],
                    base_label=labels["new"],
                    old_label=labels["old"],
                    task=self.label,
                    comparison=found,
                )
                write_card(folder, facts)

        return Stage(
            name=f"{self.label}/cards",
            title=f"{self.label}: write the model cards",
            settings=lambda: {**labels, "base": given},
            inputs=(document, *(self.adapter(name) / RECORD for name in names)),
            outputs=tuple(self.adapter(name) / CARD for name in names),
            action=write,
        )


def comparison_of(settings: UpdateSettings, task: TaskSettings, folder: RunFolder) -> Comparison:
    """Compare the stored predictions of one task of a run.

    Raises:
        InputError: predictions are missing or cannot be compared.
    """
    from muscle_llm.comparison import compare
    from muscle_llm.predictions.store import read_store

    home = folder.path / "tasks" / task.label / "predictions"
    tables = {name: read_store(home / f"{name}.parquet") for name in versions_of(settings, task)}
    candidates = {name: tables[name] for name in tables if name not in ("old", "new")}
    return compare(tables["old"], tables["new"], candidates, roles=_roles(settings, task))


def _weights_of(base: str) -> str:
    """Say which weights a base has; by name where they are not on this machine yet."""
    return base_fingerprint(base) or f"name:{base}"


def _base_of(settings: UpdateSettings, side: str, folder: RunFolder) -> str:
    """Return the base of a side: what the settings name, or the one made in the run folder."""
    version = _version(settings, side)
    return version.base or str(folder.path / "bases" / side)


def _version(settings: UpdateSettings, side: str) -> Version:
    return settings.old if side == "old" else settings.new


def _roles(settings: UpdateSettings, task: TaskSettings) -> Mapping[str, str]:
    roles = {"old_rerun": "noise_floor", "continued": "control"}
    return {**roles, **{r.name: "remedy" for r in settings.remedies_of(task)}}


def _training_title(version: str) -> str:
    if version in CONTROLS:
        return f"train the control '{version}'"
    return f"train the {version} task adapter"
