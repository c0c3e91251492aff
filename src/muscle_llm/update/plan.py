"""The stages of a whole update, in order.

For each task: adapters of both versions and of the old re-run, the control and the remedies, one table of
predictions per version, the comparison and its page. Every action below is one call of the part that does it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from muscle_llm.files import atomic_path, atomic_write_text, sha256_text
from muscle_llm.models import adapter_hash, base_fingerprint, check_adapter
from muscle_llm.tasks import Example, Task, load_task, refuse_leaks, task_fingerprint, training_examples
from muscle_llm.tasks.fingerprint import read_config
from muscle_llm.train.settings import LoraSettings, TrainSettings
from muscle_llm.update.card import CARD, read_facts, write_card
from muscle_llm.update.settings import CONTROLS, Remedy, TaskSettings, UpdateSettings, Version
from muscle_llm.update.stages import RunFolder, Stage

if TYPE_CHECKING:
    from muscle_llm.comparison import Comparison

__all__ = ["TaskPlan", "comparison_of", "plan_update", "versions_of"]

# What makes an adapter what it is, and what is noted beside it.
WEIGHTS = ("adapter_model.safetensors", "adapter_config.json")
RECORD = "training.json"


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


def versions_of(settings: UpdateSettings) -> list[str]:
    """Return the names of all task models of an update, in the order in which they are made."""
    return ["old", "new", "old_rerun", "continued", *(r.name for r in settings.remedies)]


class TaskPlan:
    """The stages of one task, and what they share: the loaded task and its training text."""

    def __init__(self, update: UpdateSettings, task: TaskSettings, folder: RunFolder, progress: bool) -> None:
        self.update = update
        self.settings = task
        self.folder = folder
        self.progress = progress
        self.lora: LoraSettings = task.lora or update.lora
        self.training: TrainSettings = task.training or update.training
        self.home = Path("tasks") / task.label

    def stages(self) -> list[Stage]:
        """Return the task's stages."""
        seed = self.update.seed
        old, new = self.settings.old_adapter, self.settings.new_adapter
        stages = [
            self._given_adapter_stage("old", old) if old else self._task_adapter_stage("old", "old", seed),
            self._given_adapter_stage("new", new) if new else self._task_adapter_stage("new", "new", seed),
            self._task_adapter_stage("old_rerun", "old", seed + 1),
            self._task_adapter_stage("continued", "new", seed + 2, start="new"),
            *(self._remedy_stage(remedy, seed + 2) for remedy in self.update.remedies),
        ]
        versions = versions_of(self.update)
        stages += [*(self._predict_stage(v) for v in versions), self._compare_stage(versions)]
        return [*stages, *([self._card_stage()] if self.update.remedies else [])]

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
        from muscle_llm.models import load_tokenizer

        base, remote = self._base(side), self.update.trust_remote_code
        return training_examples(self.task, load_tokenizer(base, trust_remote_code=remote))

    @cached_property
    def _plain_examples(self) -> list[Example]:
        found = training_examples(self.task)
        refuse_leaks(found, self.task)
        return found

    @cached_property
    def task_hash(self) -> str:
        """Changes when the task or its data do."""
        s = self.settings
        return task_fingerprint(s.task, data_dir=s.data_dir, metric=s.metric, filter=s.filter)

    def _own_templates(self) -> dict[str, bool]:
        """Whether the versions are asked through different chat templates, where they are."""
        return {"own_templates": True} if self._template("old") != self._template("new") else {}

    def _template(self, side: str) -> dict[str, str]:
        """What a task that asks through a chat template depends on besides the base's weights."""
        if not (read_config(self.settings.task)[0].get("metadata") or {}).get("chat"):
            return {}
        from muscle_llm.models import load_tokenizer

        tokenizer = load_tokenizer(self._base(side), trust_remote_code=self.update.trust_remote_code)
        return {"chat_template": sha256_text(str(tokenizer.chat_template))}

    def adapter(self, version: str) -> Path:
        """Where a version's adapter is, relative to the run folder."""
        return self.home / "adapters" / version

    def predictions(self, version: str) -> Path:
        """Where a version's predictions are, relative to the run folder."""
        return self.home / "predictions" / f"{version}.parquet"

    def _base_side(self, version: str) -> str:
        return "old" if version in ("old", "old_rerun") else "new"

    def _base(self, side: str) -> str:
        return base_of(self.update, side, self.folder)

    def _weights(self, version: str) -> tuple[Path, ...]:
        return tuple(self.adapter(version) / name for name in WEIGHTS)

    def _adapter_outputs(self, version: str) -> tuple[Path, ...]:
        return (*self._weights(version), self.adapter(version) / RECORD)

    def _given_adapter_stage(self, version: str, given: str) -> Stage:
        def take() -> None:
            check_adapter(given, self._base(version))
            target = self.folder.path / self.adapter(version)
            target.mkdir(parents=True, exist_ok=True)
            for name in WEIGHTS:
                with atomic_path(target / name) as temporary:
                    shutil.copyfile(Path(given) / name, temporary)

        return Stage(
            name=f"{self.settings.label}/train/{version}",
            title=f"{self.settings.label}: take the given {version} task adapter",
            settings=lambda: {"base": base_fingerprint(self._base(version)), "given": adapter_hash(given)},
            inputs=(),
            outputs=self._weights(version),
            action=take,
        )

    def _task_adapter_stage(self, version: str, side: str, seed: int, *, start: str | None = None) -> Stage:
        from muscle_llm.train import train_task_adapter

        def train() -> None:
            train_task_adapter(
                base=self._base(side),
                examples=self.examples(side),
                output_dir=self.folder.path / self.adapter(version),
                lora=self.lora,
                training=self.training,
                seed=seed,
                init_adapter=None if start is None else self.folder.path / self.adapter(start),
                progress=self.progress,
            )

        return Stage(
            name=f"{self.settings.label}/train/{version}",
            title=f"{self.settings.label}: {_training_title(version)}",
            settings=lambda: {
                "base": base_fingerprint(self._base(side)),
                "task": self.task_hash,
                "lora": dataclasses.asdict(self.lora) if start is None else None,
                "training": dataclasses.asdict(self.training),
                "seed": seed,
                **self._template(side),
            },
            inputs=() if start is None else self._weights(start),
            outputs=self._adapter_outputs(version),
            action=train,
        )

    def _remedy_stage(self, remedy: Remedy, seed: int) -> Stage:
        from muscle_llm.train import train_compat_adapter

        def train() -> None:
            train_compat_adapter(
                new_base=self._base("new"),
                new_adapter=self.folder.path / self.adapter("new"),
                old_base=self._base("old"),
                old_adapter=self.folder.path / self.adapter("old"),
                examples=self.examples("new"),
                output_dir=self.folder.path / self.adapter(remedy.name),
                mask=remedy.mask,
                temperature=remedy.temperature,
                ce_weight=remedy.ce_weight,
                divergence=remedy.divergence,
                temperature_squared=remedy.temperature_squared,
                selection=remedy.selection,
                accuracy_loss=remedy.accuracy_loss,
                training=self.training,
                seed=seed,
                progress=self.progress,
            )

        return Stage(
            name=f"{self.settings.label}/train/{remedy.name}",
            title=f"{self.settings.label}: train the compatibility adapter '{remedy.name}'",
            settings=lambda: {
                "bases": [base_fingerprint(self._base(side)) for side in ("old", "new")],
                "task": self.task_hash,
                "remedy": dataclasses.asdict(remedy),
                "training": dataclasses.asdict(self.training),
                "seed": seed,
                **self._template("new"),
            },
            inputs=(*self._weights("old"), *self._weights("new")),
            outputs=self._adapter_outputs(remedy.name),
            action=train,
        )

    def _predict_stage(self, version: str) -> Stage:
        side = self._base_side(version)
        batch_size = self.settings.batch_size or self.update.batch_size

        def predict_version() -> None:
            from muscle_llm.models import load_adapted, load_base, load_tokenizer, merge_float32
            from muscle_llm.predict import predict
            from muscle_llm.predict.own_templates import without_template
            from muscle_llm.predictions.store import write_predictions

            base, remote = self._base(side), self.update.trust_remote_code
            adapter = self.folder.path / self.adapter(version)
            loaded = load_base(base, dtype=self.training.dtype, trust_remote_code=remote)
            model = merge_float32(load_adapted(loaded, {version: adapter}))
            found = predict(
                model,  # pyright: ignore[reportArgumentType]  (a peft model answers like its base)
                load_tokenizer(base, trust_remote_code=remote),
                self.task,
                model_name=version,
                batch_size=batch_size,
                limit=self.settings.limit,
                progress=self.progress,
                extra={"adapter": adapter_hash(adapter), "base": _version(self.update, side).label or side},
            )
            if self._own_templates():
                found = without_template(found, self.task)
            write_predictions(found, self.folder.path / self.predictions(version))

        return Stage(
            name=f"{self.settings.label}/predict/{version}",
            title=f"{self.settings.label}: predict with '{version}'",
            settings=lambda: {
                "base": base_fingerprint(self._base(side)),
                "task": self.task_hash,
                "limit": self.settings.limit,
                "batch_size": batch_size,
                "dtype": self.training.dtype,
                **self._template(side),
                **self._own_templates(),
            },
            inputs=self._weights(version),
            outputs=(self.predictions(version),),
            action=predict_version,
        )

    def _compare_stage(self, versions: list[str]) -> Stage:
        page, document = self.home / "report.html", self.home / "comparison.json"

        def write() -> None:
            from muscle_llm.report.html import write_html
            from muscle_llm.report.json import render_json

            found = comparison_of(self.update, self.settings, self.folder)
            atomic_write_text(self.folder.path / document, render_json(found))
            write_html(found, self.folder.path / page)

        return Stage(
            name=f"{self.settings.label}/compare",
            title=f"{self.settings.label}: compare and write the page",
            settings=lambda: {"roles": _roles(self.update), "versions": versions},
            inputs=tuple(self.predictions(v) for v in versions),
            outputs=(document, page),
            action=write,
        )

    def _card_stage(self) -> Stage:
        document = self.home / "comparison.json"
        names = [remedy.name for remedy in self.update.remedies]
        labels = {side: _version(self.update, side).label or f"{side} base" for side in ("old", "new")}
        given = _version(self.update, "new").base

        def write() -> None:
            found = json.loads((self.folder.path / document).read_text(encoding="utf-8"))
            for name in names:
                folder = self.folder.path / self.adapter(name)
                facts = read_facts(
                    folder,
                    name=name,
                    base=given or labels["new"],
                    base_label=labels["new"],
                    old_label=labels["old"],
                    task=self.settings.label,
                    comparison=found,
                )
                write_card(folder, facts)

        return Stage(
            name=f"{self.settings.label}/cards",
            title=f"{self.settings.label}: write the model cards",
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
    tables = {name: read_store(home / f"{name}.parquet") for name in versions_of(settings)}
    candidates = {name: tables[name] for name in tables if name not in ("old", "new")}
    return compare(tables["old"], tables["new"], candidates, roles=_roles(settings))


def base_of(settings: UpdateSettings, side: str, folder: RunFolder) -> str:
    """Return the base of a side: what the settings name, or the one made in the run folder."""
    version = _version(settings, side)
    return version.base or str(folder.path / "bases" / side)


def _version(settings: UpdateSettings, side: str) -> Version:
    return settings.old if side == "old" else settings.new


def _roles(settings: UpdateSettings) -> Mapping[str, str]:
    roles = {"old_rerun": "noise_floor", "continued": "control"}
    return {**roles, **{r.name: "remedy" for r in settings.remedies}}


def _training_title(version: str) -> str:
    if version in CONTROLS:
        return f"train the control '{version}'"
    return f"train the {version} task adapter"


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
