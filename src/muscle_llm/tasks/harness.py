"""Tasks of lm-evaluation-harness, loaded offline and asked for training text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from muscle_llm.tasks.example import Example

__all__ = ["Task", "evaluation_hashes", "load_task", "refuse_leaks", "training_examples"]

Kind = Literal["choice", "exact_match", "score"]


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the harness and what this package needs to know of it.

    Attributes:
        name: the task's name.
        kind: ``"choice"`` (log-likelihoods of options), ``"exact_match"`` (generated text, right or
            wrong), ``"score"`` (generated text, a similarity per instance).
        metric: the harness's metric that decides ``correct``, or is the score.
        harness: the ``lm_eval`` task object.
        filter: the harness's answer filter that ``metric`` is read from.
        hash: SHA-256 of the task's configuration and of its local data files.
    """

    name: str
    kind: Kind
    metric: str
    harness: Any
    filter: str = "none"
    hash: str = ""


def load_task(
    spec: str | Path | Mapping[str, Any],
    *,
    data_dir: str | Path | None = None,
    metric: str | None = None,
    filter: str | None = None,
) -> Task:
    """Load a task from a mapping, a YAML file of the harness, or a name the harness knows."""
    raise NotImplementedError


def training_examples(task: Task) -> list[Example]:
    """Return the text of the task's training split."""
    raise NotImplementedError


def evaluation_hashes(task: Task) -> frozenset[str]:
    """Return the content hashes of the instances the task is evaluated on."""
    raise NotImplementedError


def refuse_leaks(examples: Iterable[Example], task: Task) -> None:
    """Raise if an instance of the evaluation split is among the training text."""
    raise NotImplementedError
