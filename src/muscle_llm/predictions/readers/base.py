"""What a reader of a log format is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from muscle_llm.errors import InputError
from muscle_llm.predictions.schema import Predictions
from muscle_llm.predictions.source import Source

__all__ = ["Part", "ReadOptions", "Reader", "refuse_unused"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about a file.

    Attributes:
        columns: role -> dotted path (``--map``); empty lets the reader choose.
        filter: which of the harness's answer filters to read (``--filter``).
        filter_where_several: whether ``filter`` is for the logs of a folder that hold several filters; those
            that hold only one are then read by that one.
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
    filter_where_several: bool = False


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
        takes: the options beside ``columns`` that `read` looks at: ``filter``, ``metric``, ``extract``, and
            ``select`` where a single file may hold several parts. Others are refused before it is called.
    """

    name: str
    summary: str
    detect: Callable[[Source], bool]
    read: Callable[[Source, ReadOptions], Predictions]
    parts: Callable[[Source], list[Part]] | None = None
    choices: Callable[[Source], dict[str, list[str]]] | None = None
    uses: Mapping[str, str] = field(default_factory=dict)
    takes: tuple[str, ...] = ()


_REFUSALS = {
    "filter": "--filter {value}: only lm-evaluation-harness logs have answer filters, and {label} is read as "
    "{reader!r}. Leave --filter out.",
    "metric": "--metric {value}: {label} is read as {reader!r}, which has no metrics to choose from. Leave "
    "--metric out; --map correct=COLUMN names the column that decides.",
    "extract": "{label}: --extract finds answers in the columns of a table; this log says itself what the "
    "answer is. To extract anyway, read it with --format table and name its columns with --map.",
    "select": "{label}: is read as {reader!r} and holds one part only, so there is no {value!r} to choose. "
    "Leave --select (or what follows the '#') out.",
}


def refuse_unused(reader: Reader, options: ReadOptions, label: str) -> None:
    """Refuse an option that the reader would not look at: what was asked for would be passed over silently.

    Raises:
        InputError: there is one; it says which.
    """
    for option, message in _REFUSALS.items():
        value = getattr(options, option)
        last = option == "select" and value in ("first", "last")  # Of one part, the first is the last.
        if value and not last and option not in reader.takes:
            raise InputError(message.format(label=label, value=value, reader=reader.name))
