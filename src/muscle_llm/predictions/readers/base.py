"""What a reader of a log format is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from muscle_llm.predictions.schema import Predictions
from muscle_llm.predictions.source import Source

__all__ = ["ReadOptions", "Reader"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about a file.

    Attributes:
        columns: role -> dotted path (``--map``); empty lets the reader choose.
        filter: which of the harness's answer filters to read (``--filter``).
        metric: which of the log's metrics decides ``correct`` (``--metric``).
        extract: role -> regular expression that finds the answer in a text (``--extract``).
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    filter: str | None = None
    metric: str | None = None
    extract: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reader:
    """One log format: how to recognise it and how to read it.

    Attributes:
        name: what ``--format`` calls it.
        summary: one line for the help and the docs.
        detect: whether a source looks like this format; must be cheap and must not raise for foreign content.
        read: returns the predictions in a source, or raises `InputError`.
    """

    name: str
    summary: str
    detect: Callable[[Source], bool]
    read: Callable[[Source, ReadOptions], Predictions]
