"""The settings of an update, from its YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muscle_llm.errors import did_you_mean
from muscle_llm.settings_file import Document, read_yaml, to_settings
from muscle_llm.update.settings import RECIPES, UpdateSettings

__all__ = ["load_update"]


def load_update(path: Path) -> UpdateSettings:
    """Read the settings of an update; local paths in it are relative to the file's folder.

    ``training`` and ``lora`` of a task change single values of the update's own.

    Raises:
        ConfigError: the file cannot be used; the message says where and why.
    """
    document = read_yaml(path)
    content = document.value
    if isinstance(content, Mapping):
        content = dict(content)
        if isinstance(content.get("remedies"), list):
            content["remedies"] = [_remedy(r, document, place) for place, r in enumerate(content["remedies"])]
        if isinstance(content.get("tasks"), list):
            content["tasks"] = [{"task": t} if isinstance(t, str) else t for t in content["tasks"]]
            # Once as it stands: a mistake is reported where it was made, not where it is inherited.
            to_settings(document, UpdateSettings, content)
            content["tasks"] = [_inherit(t, content) for t in content["tasks"]]
    settings = to_settings(document, UpdateSettings, content)
    folder = path.resolve().parent
    return dataclasses.replace(
        settings,
        old=_local_version(settings.old, folder),
        new=_local_version(settings.new, folder),
        tasks=tuple(
            dataclasses.replace(
                task,
                task=_local(task.task, folder) if isinstance(task.task, str) else task.task,
                data_dir=_below(folder, task.data_dir),
                old_adapter=_below(folder, task.old_adapter),
                new_adapter=_below(folder, task.new_adapter),
            )
            for task in settings.tasks
        ),
    )


def _remedy(given: Any, document: Document, place: int) -> Any:
    """Return a remedy's settings; a recipe's name brings what the entry leaves out."""
    if isinstance(given, str):
        if given not in RECIPES:
            raise document.error(
                ("remedies", place),
                f"no remedy is known as '{given}'. {did_you_mean(given, RECIPES)} One of your own is written "
                "{name: NAME, mask: MASK, temperature: T}",
            )
        given = {"name": given}
    if isinstance(given, Mapping) and given.get("name") in RECIPES:
        return {**dataclasses.asdict(RECIPES[given["name"]]), **given}
    return given


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
