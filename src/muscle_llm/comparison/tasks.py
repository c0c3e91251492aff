"""Several tasks at once: what the comparisons of the same versions on them come to together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from muscle_llm.comparison.sentence import between, percent, points, sentence_digits
from muscle_llm.comparison.types import Comparison
from muscle_llm.errors import InputError
from muscle_llm.metrics.across import weighted_mean
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.text import counted

__all__ = ["Across", "TaskSummary", "summarise_tasks"]

VERSION = 1

# Figures that are means over the instances, so that a weighted mean of tasks is a figure of the same kind.
_FIGURES = (
    "accuracy_old",
    "accuracy_new",
    "accuracy_difference",
    "nfr",
    "pfr",
    "nfr_mc",
    "churn",
    "noise_floor",
)
_OF_CANDIDATES = ("accuracy_new", "nfr", "pfr", "nfr_mc")
_AGAINST_NEW = ("d_nfr", "d_accuracy", "d_pfr", "d_nfr_mc")


@dataclass(frozen=True)
class Across:
    """Figures over several tasks.

    Attributes:
        macro: every task counts the same: the plain mean over tasks.
        pooled: every instance counts the same: the mean over tasks, weighted by their instances.
        tasks: figure -> number of tasks that have it.
    """

    macro: Mapping[str, Estimate]
    pooled: Mapping[str, Estimate]
    tasks: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "macro": {n: e.to_dict() for n, e in self.macro.items()},
            "pooled": {n: e.to_dict() for n, e in self.pooled.items()},
            "tasks": dict(self.tasks),
        }


@dataclass(frozen=True)
class TaskSummary:
    """What the comparisons of two versions on several tasks come to together.

    Attributes:
        n: instances of all tasks in which right and wrong are known.
        figures: of new against old.
        candidates: candidate -> its figures against old, and against new (``d_nfr`` and so on).
        only_old: tasks that only old has; they are not compared.
        only_new: tasks that only new has; they are not compared.
        confidence: level of all intervals.
        warnings: what the reader must know, one sentence each.
        sentence: the result in one sentence.
    """

    n: int
    figures: Across
    candidates: Mapping[str, Across] = field(default_factory=dict)
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()
    confidence: float = 0.95
    warnings: tuple[str, ...] = ()
    sentence: str = ""

    def to_dict(self, comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
        """Return the document of several tasks: the summary, and every task's own document under
        ``tasks``."""
        return {
            "schema": "muscle-llm/comparisons",
            "version": VERSION,
            "sentence": self.sentence,
            "confidence": self.confidence,
            "n": self.n,
            "summary": self.figures.to_dict(),
            "candidates": {name: c.to_dict() for name, c in self.candidates.items()},
            "only_old": list(self.only_old),
            "only_new": list(self.only_new),
            "warnings": list(self.warnings),
            "tasks": {task: c.to_dict() for task, c in comparisons.items()},
        }


def summarise_tasks(
    comparisons: Mapping[str, Comparison],
    *,
    only_old: Sequence[str] = (),
    only_new: Sequence[str] = (),
) -> TaskSummary:
    """Return what the comparisons of two versions on several tasks come to together.

    Every figure comes twice: as the mean over tasks (macro) and as the mean over all instances (pooled); a
    task with many instances rules the second. Tasks that lack a figure, such as right and wrong where only
    a score is known, are left out of it, and a warning names them.

    Args:
        comparisons: task -> comparison, of the same versions.
        only_old: tasks that only old has.
        only_new: tasks that only new has.

    Raises:
        InputError: there is no comparison, or their intervals differ in level.

    Example:
        >>> from muscle_llm import compare
        >>> right = [{"id": i, "correct": True} for i in range(4)]
        >>> wrong = [{"id": i, "correct": i > 1} for i in range(2)]
        >>> both = {"large": compare(right, right), "small": compare(right[:2], wrong)}
        >>> figures = summarise_tasks(both).figures
        >>> figures.macro["nfr"].value, figures.pooled["nfr"].value
        (0.5, 0.333333)
    """
    levels = {c.confidence for c in comparisons.values()}
    if len(levels) != 1:
        raise InputError(
            "a summary needs at least one comparison, and all of them with intervals of the same level."
        )
    warnings: list[str] = []
    figures = _across(
        {t: ({**c.metrics, **_excess(c)}, c.counts["n"]) for t, c in comparisons.items()},
        (*_FIGURES, "excess_nfr"),
    )
    graded = [t for t, c in comparisons.items() if c.metrics["nfr"].defined]
    if len(graded) < len(comparisons):
        names = _listed(t for t in comparisons if t not in graded)
        warnings.append(f"right and wrong are not known for {names}: not part of accuracy and flips.")
    for side, names in (("old", only_old), ("new", only_new)):
        if names:
            warnings.append(f"only {side} has {_listed(names)}: not compared.")
    candidates = {}
    for name in dict.fromkeys(n for c in comparisons.values() for n in c.candidates):
        having = {t: c.candidates[name] for t, c in comparisons.items() if name in c.candidates}
        candidates[name] = _across(
            {t: ({**c.metrics, **c.against_new.metrics}, c.counts["n"]) for t, c in having.items()},
            (*_OF_CANDIDATES, *_AGAINST_NEW),
        )
        if lacking := [t for t in comparisons if t not in having]:
            warnings.append(f"{name} lacks {_listed(lacking)}: its means are over the other tasks.")
    n = sum(int(comparisons[t].counts["n"] or 0) for t in graded)
    first = next(iter(comparisons.values()))
    sentence = _sentence(comparisons, figures, graded, n, (first.old.name, first.new.name))
    return TaskSummary(
        n, figures, candidates, tuple(only_old), tuple(only_new), levels.pop(), tuple(warnings), sentence
    )


def _excess(comparison: Comparison) -> dict[str, Estimate]:
    return {} if comparison.excess_nfr is None else {"excess_nfr": comparison.excess_nfr}


def _across(of: Mapping[str, tuple[Mapping[str, Estimate], int | None]], names: Sequence[str]) -> Across:
    macro, pooled, tasks = {}, {}, {}
    for name in names:
        found = [(metrics[name], n or 0) for metrics, n in of.values() if name in metrics]
        found = [(e, n) for e, n in found if e.defined and n > 0]
        if not found:
            continue
        estimates, sizes = zip(*found, strict=True)
        macro[name] = weighted_mean(estimates, [1] * len(found))
        pooled[name] = weighted_mean(estimates, sizes)
        tasks[name] = len(found)
    return Across(macro, pooled, tasks)


def _sentence(
    comparisons: Mapping[str, Comparison],
    figures: Across,
    graded: Sequence[str],
    n: int,
    names: tuple[str, str],
) -> str:
    old, new = names
    if not graded:
        compared = counted(len(comparisons), "task is", "tasks are")
        return f"From {old} to {new}, {compared} compared; right and wrong are not known in any."
    digits = sentence_digits(n)
    share, signed = partial(percent, digits=digits), partial(points, digits=digits)
    nfr, pooled = figures.macro["nfr"], figures.pooled["nfr"]
    change = figures.macro["accuracy_difference"]
    worst = max(graded, key=lambda t: comparisons[t].metrics["nfr"].value)
    highest = comparisons[worst].metrics["nfr"].value
    tasks = counted(len(graded), "task", "tasks")
    most = f"; most flips: {worst} ({share(highest)})" if highest else ""
    return (
        f"From {old} to {new}, over {tasks} with {n} instances, a right answer becomes wrong in "
        f"{share(nfr.value)} on the mean over tasks ({between(nfr, share) or 'no interval'}) and in "
        f"{share(pooled.value)} of all instances; accuracy changes by {signed(change.value)} points on the "
        f"mean over tasks ({between(change, signed) or 'no interval'}){most}."
    )


def _listed(names: Any, limit: int = 8) -> str:
    found = [repr(n) for n in names]
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return ", ".join(found[:limit]) + more
