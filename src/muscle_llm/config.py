"""The settings of an update or a study, from its YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muscle_llm.errors import did_you_mean
from muscle_llm.settings_file import Document, read_yaml, to_settings
from muscle_llm.study.settings import StudySettings
from muscle_llm.update.remedies import KINDS, RECIPES, Remedy
from muscle_llm.update.settings import TaskSettings, UpdateSettings

__all__ = ["load_study", "load_update"]


def load_update(path: Path) -> UpdateSettings:
    """Read the settings of an update; local paths in it are relative to the file's folder.

    ``training`` and ``lora`` of a task change single values of the update's own.

    Raises:
        ConfigError: the file cannot be used; the message says where and why.
    """
    document, content = _read(path, UpdateSettings)
    settings = to_settings(document, UpdateSettings, content)
    folder = path.resolve().parent
    return dataclasses.replace(
        settings,
        old=_local_version(settings.old, folder),
        new=_local_version(settings.new, folder),
        tasks=tuple(_local_task(task, folder) for task in settings.tasks),
    )


def load_study(path: Path) -> StudySettings:
    """Read the settings of a study; local paths in it are relative to the file's folder.

    Raises:
        ConfigError: the file cannot be used; the message says where and why.
    """
    document, content = _read(path, StudySettings)
    settings = to_settings(document, StudySettings, content)
    folder = path.resolve().parent
    return dataclasses.replace(
        settings,
        updates={
            name: dataclasses.replace(
                update, old=_local_version(update.old, folder), new=_local_version(update.new, folder)
            )
            for name, update in settings.updates.items()
        },
        tasks=tuple(_local_task(task, folder) for task in settings.tasks),
    )


def _read(path: Path, kind: type[UpdateSettings] | type[StudySettings]) -> tuple[Document, Any]:
    """Return a file and its content with remedies made and tasks in their long form."""
    document = read_yaml(path)
    content = document.value
    if isinstance(content, Mapping):
        content = dict(content)
        if isinstance(content.get("remedies"), list):
            content["remedies"] = [
                _remedy(given, document, place) for place, given in enumerate(content["remedies"])
            ]
        if isinstance(content.get("tasks"), list):
            content["tasks"] = [{"task": t} if isinstance(t, str) else t for t in content["tasks"]]
            # Once as it stands: a mistake is reported where it was made, not where it is inherited.
            to_settings(document, kind, content)
            content["tasks"] = [_inherit(t, content) for t in content["tasks"]]
    return document, content


def _local_task(task: TaskSettings, folder: Path) -> TaskSettings:
    return dataclasses.replace(
        task,
        task=_local(task.task, folder) if isinstance(task.task, str) else task.task,
        data_dir=_below(folder, task.data_dir),
        old_adapter=_below(folder, task.old_adapter),
        new_adapter=_below(folder, task.new_adapter),
        prompts=_below(folder, task.prompts),
    )


def _remedy(given: Any, document: Document, place: int) -> Remedy:
    """Return a remedy from its entry under ``remedies``; a recipe's name brings what the entry leaves out."""
    location = ("remedies", place)
    if isinstance(given, str):
        if given not in RECIPES:
            raise document.error(
                location,
                f"no remedy is known as '{given}'. {did_you_mean(given, RECIPES)} One of your own is written "
                "{name: NAME, mask: MASK, temperature: T}",
            )
        return RECIPES[given]
    if not isinstance(given, Mapping):
        raise document.error(location, "needs a recipe's name or 'key: value' lines")
    entry = dict(given)
    recipe = RECIPES.get(str(entry.get("name")))
    kind = str(entry.pop("kind", recipe.kind if recipe else next(iter(KINDS))))
    if kind not in KINDS:
        raise document.error(
            (*location, "kind"), f"no kind of remedy is '{kind}'. {did_you_mean(kind, KINDS)}"
        )
    if recipe is not None and recipe.kind == kind:
        entry = {**dataclasses.asdict(recipe), **entry}
    return to_settings(document, KINDS[kind], entry, location)


def _inherit(task: Any, update: Mapping[str, Any]) -> Any:
    if not isinstance(task, Mapping):
        return task
    merged = dict(task)
    for key in ("training", "lora"):
        above = update.get(key)
        if isinstance(merged.get(key), Mapping) and isinstance(above, Mapping):
            merged[key] = {**above, **merged[key]}
    return merged


def _local_version(version: Any, folder: Path) -> Any:
    if version.pretrain is None:
        return dataclasses.replace(version, base=_local(version.base, folder))
    pretrain = version.pretrain
    return dataclasses.replace(
        version,
        pretrain=dataclasses.replace(
            pretrain,
            corpus=tuple(str(folder / p) for p in pretrain.corpus),
            tokenizer_corpus=tuple(str(folder / p) for p in pretrain.tokenizer_corpus),
        ),
    )


def _below(folder: Path, path: str | None) -> str | None:
    return None if path is None else str(folder / path)


def _local(name: str, folder: Path) -> str:
    # A name that is there as a path is one; whatever else is left for the hub or the harness to know.
    if (folder / name).exists():
        return str(folder / name)
    return name
