"""Folders: which of the logs in them are meant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from muscle_llm.errors import InputError, clip, did_you_mean
from muscle_llm.predictions.readers.base import Part

__all__ = ["choose_parts", "files_in", "one_part"]

_DEPTH = 4
_MANY = 20_000


def files_in(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Yield the files in a folder and the folders in it, sorted, without hidden ones and without following
    links.

    Raises:
        InputError: there are too many to look through, or the folder cannot be read.
    """
    seen = 0
    pending = [(folder, 0)]
    while pending:
        here, level = pending.pop(0)
        try:
            entries = sorted(os.scandir(here), key=lambda e: e.name)
        except OSError as error:
            raise InputError(f"{here}: cannot be read ({error.strerror or error}).") from error
        for entry in entries:
            seen += 1
            if seen > _MANY:
                raise InputError(f"{folder}: holds more than {_MANY} files; name the folder of one run.")
            if entry.name.startswith("."):
                continue
            if entry.is_file():
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False) and level + 1 < depth:
                pending.append((Path(entry.path), level + 1))


def _matches(part: Part, name: str) -> bool:
    return name in (part.task, part.source.path.name, *part.labels)


def choose_parts(parts: Sequence[Part], select: str | None, label: str) -> dict[str, Part]:
    """Return task -> the one run of it that is meant.

    Args:
        parts: all tasks and runs, the oldest first.
        select: a task, a time, a model or a file name; ``last`` or ``first`` takes that run of each task;
            ``NAME@last`` combines the two.
        label: how messages name the folder.

    Raises:
        InputError: nothing has that name, or a task has several runs and none is chosen.

    Example:
        >>> from muscle_llm.predictions.source import Source
        >>> a, b = (Part("piqa", Source(Path(f"{day}.jsonl"), "plain"), (day,)) for day in ("mon", "tue"))
        >>> choose_parts([a, b], "last", "folder")["piqa"].labels
        ('tue',)
    """
    name, which = select, None
    if select in ("last", "first"):
        name, which = None, select
    elif select and not any(_matches(p, select) for p in parts) and select.endswith(("@last", "@first")):
        name, _, which = select.rpartition("@")
    if name is not None:
        chosen = [p for p in parts if _matches(p, name)]
        if not chosen:
            known = dict.fromkeys(n for p in parts for n in (p.task, *p.labels))
            raise InputError(f"{label}: holds no {name!r}. {did_you_mean(name, known)}")
        parts = chosen
    by_task: dict[str, list[Part]] = {}
    for part in parts:
        by_task.setdefault(part.task, []).append(part)
    for task, runs in by_task.items():
        if which is None and len(runs) > 1:
            raise InputError(
                f"{label}: the folder holds {len(runs)} runs of {task!r}: {_listed(_telling(runs))}. "
                "Choose one with "
                f"--select NAME or {label}#NAME; last takes the newest."
            )
    return {task: runs[0] if which == "first" else runs[-1] for task, runs in by_task.items()}


def _telling(runs: Sequence[Part]) -> list[str]:
    """Return one label per run that tells it from the others, or its file name."""
    for at in range(min(len(r.labels) for r in runs)):
        labels = [r.labels[at] for r in runs]
        if len(set(labels)) == len(labels):
            return labels
    return [r.source.path.name for r in runs]


def _listed(names: Iterable[str], limit: int = 8) -> str:
    shown = [clip(n, 100) for n in names]
    return ", ".join(shown[:limit]) + (", ..." if len(shown) > limit else "")


def one_part(parts: Sequence[Part], select: str | None, label: str) -> Part:
    """Return the only part, or the chosen one.

    Raises:
        InputError: there are none, or several tasks.
    """
    chosen = choose_parts(parts, select, label)
    if len(chosen) == 1:
        return next(iter(chosen.values()))
    if not chosen:
        raise InputError(f"{label}: holds no log of a task.")
    raise InputError(
        f"{label}: the folder holds {len(chosen)} tasks: {_listed(chosen)}. Choose one with --select "
        f"TASK or {label}#TASK, "
        "or compare folder with folder."
    )
