"""The result in one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from muscle_llm.comparison.types import Comparison
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.text import counted

__all__ = ["between", "percent", "points", "summarise"]


def percent(value: float, digits: int = 1) -> str:
    """Return a share as percent.

    Example:
        >>> percent(0.0667), percent(0.0667, 2)
        ('6.7 %', '6.67 %')
    """
    return f"{100 * value:.{digits}f} %"


def points(value: float) -> str:
    """Return a difference of shares as signed percentage points.

    Example:
        >>> points(0.13)
        '+13.0'
    """
    return f"{100 * value:+.1f}"


def summarise(comparison: Comparison, scored: Mapping[str, int]) -> str:
    """Return the one sentence that stands above a comparison.

    Args:
        comparison: all but its sentence.
        scored: number of instances that have a score in both versions, by score.
    """
    old, new = comparison.old.name, comparison.new.name
    metrics, counts = comparison.metrics, comparison.counts
    level = f"{round(100 * comparison.confidence, 3):g} % interval"
    if not metrics["nfr"].defined:
        return _of_scores(comparison.scores, scored, old, new, level)
    nfr, difference = metrics["nfr"], metrics["accuracy_difference"]
    spread = between(nfr, percent, f"{level} ") or "no interval"
    if counts.get("rows"):
        worse = counted(counts["reliable_negative_flips"], "instance is", "instances are")
        text = (
            f"From {old} to {new}, on {counts['n']} instances with up to {counts['repeats']} answers "
            f"each, a right answer becomes wrong in {percent(nfr.value)} of the pairs of answers ({spread}); "
            f"{worse} reliably worse and {counts['reliable_positive_flips']} reliably better"
        )
    else:
        text = (
            f"From {old} to {new}, {counts['negative_flips']} of {counts['n']} instances turn from right to "
            f"wrong ({percent(nfr.value)}, {spread}) and {counts['positive_flips']} from wrong to right"
        )
    change = between(difference, points, ", ")
    text += (
        f"; accuracy goes from {percent(metrics['accuracy_old'].value)} to "
        f"{percent(metrics['accuracy_new'].value)} ({points(difference.value)} points{change})"
    )
    excess = comparison.excess_nfr
    if excess is not None and excess.defined:
        spread = between(excess, points, " (")
        text += f"; beyond the noise floor are {points(excess.value)} points of negative flips"
        text += f"{spread})" if spread else ""
    return f"{text}."


def between(figure: Estimate, show: Callable[[float], str], before: str = "") -> str:
    """Return "low to high" behind ``before``; nothing where there is no interval.

    Example:
        >>> between(Estimate(0.1, 0.05, 0.2), percent, "from "), between(Estimate(0.1), percent)
        ('from 5.0 % to 20.0 %', '')
    """
    if math.isnan(figure.low) or math.isnan(figure.high):
        return ""
    return f"{before}{show(figure.low)} to {show(figure.high)}"


def _of_scores(
    scores: Mapping[str, Mapping[str, Estimate]], scored: Mapping[str, int], old: str, new: str, level: str
) -> str:
    if not scores:
        return f"Nothing measures {new} against {old}."
    name, metrics = next(iter(scores.items()))
    nfr, mean_old, mean_new = metrics["nfr"], metrics["mean_old"], metrics["mean_new"]
    if not nfr.defined:
        return f"No instance has the score {name} in both {old} and {new}."
    spread = between(nfr, percent, f"{level} ") or "no interval"
    return (
        f"From {old} to {new}, the score {name} falls on {percent(nfr.value)} of the {scored[name]} "
        f"instances that have it ({spread}) and rises on {percent(metrics['pfr'].value)}; "
        f"its mean goes from {mean_old.value:.4g} to {mean_new.value:.4g}."
    )
