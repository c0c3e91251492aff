"""What a reader of a log format is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from muscle_llm.predictions.schema import Predictions
from muscle_llm.predictions.source import Source

__all__ = ["ADDABLE", "Part", "ReadOptions", "Reader"]

# Roles that --map can add to a log whose own format tells everything else.
ADDABLE = ("slice", "cluster", "prompt", "score")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about a file.

    Attributes:
        columns: role -> dotted path (``--map``); empty lets the reader choose.
        filter: which of the harness's answer filters to read (``--filter``).
        metric: which of the log's metrics decides ``correct`` (``--metric``).
        extract: role -> regular expression that finds the answer in a text (``--extract``).
        select: which part of a file or folder that holds several (``--select``, or ``PATH#PART``): a task, a
            run, a provider, a side.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    filter: str | None = None
    metric: str | None = None
    extract: Mapping[str, str] = field(default_factory=dict)
    select: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One task of one run in a folder.

    Attributes:
        task: name of the task, the same in the folders of two models.
        source: the file, or the folder of one run.
        labels: what ``--select`` may call it beside the task: a time, a model, a file name.
    """

    task: str
    source: Source
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """One log format: how to recognise it and how to read it.

    Attributes:
        name: what ``--format`` calls it.
        summary: one line for the help and the docs.
        detect: whether a source looks like this format; must be cheap and must not raise for foreign content.
        read: returns the predictions in a source, or raises `InputError`.
        parts: the tasks and runs in a folder, the oldest run first; ``None`` where the format has no folders.
        choices: what the user can choose in a source: option -> names, such as ``{"--filter": ["none"]}``.
        uses: column of the predictions -> the field of the log it comes from, for showing.
        selects: whether a single file may hold several parts, of which ``select`` takes one.
    """

    name: str
    summary: str
    detect: Callable[[Source], bool]
    read: Callable[[Source, ReadOptions], Predictions]
    parts: Callable[[Source], list[Part]] | None = None
    choices: Callable[[Source], dict[str, list[str]]] | None = None
    uses: Mapping[str, str] = field(default_factory=dict)
    selects: bool = False
