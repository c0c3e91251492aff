"""The result in one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from muscle_llm.comparison.types import Comparison
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.text import counted

__all__ = ["between", "percent", "points", "sentence_digits", "summarise"]

_MANY = 5000  # instances with which intervals are so narrow that a tenth of a point hides them


def sentence_digits(n: int | None) -> int:
    """Return how many digits of a percentage n instances deserve in a sentence.

    Example:
        >>> sentence_digits(1319), sentence_digits(1_000_000)
        (1, 2)
    """
    return 2 if (n or 0) >= _MANY else 1


def percent(value: float, digits: int = 1) -> str:
    """Return a share as percent.

    Example:
        >>> percent(0.0667), percent(0.0667, 2)
        ('6.7 %', '6.67 %')
    """
    return f"{100 * value:.{digits}f} %"


def points(value: float, digits: int = 1) -> str:
    """Return a difference of shares as signed percentage points.

    Example:
        >>> points(0.13), points(-0.0003, 2)
        ('+13.0', '-0.03')
    """
    return f"{100 * value:+.{digits}f}"


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
    digits = sentence_digits(counts["n"])
    share, change = partial(percent, digits=digits), partial(points, digits=digits)
    spread = between(nfr, share, f"{level} ") or "no interval"
    if counts.get("rows"):
        worse = counted(counts["reliable_negative_flips"], "instance is", "instances are")
        text = (
            f"From {old} to {new}, on {counts['n']} instances with up to {counts['repeats']} answers "
            f"each, a right answer becomes wrong in {share(nfr.value)} of the pairs of answers ({spread}); "
            f"{worse} reliably worse and {counts['reliable_positive_flips']} reliably better"
        )
    else:
        text = (
            f"From {old} to {new}, {counts['negative_flips']} of {counts['n']} instances turn from right to "
            f"wrong ({share(nfr.value)}, {spread}) and {counts['positive_flips']} from wrong to right"
        )
    spread = between(difference, change, ", ")
    text += (
        f"; accuracy goes from {share(metrics['accuracy_old'].value)} to "
        f"{share(metrics['accuracy_new'].value)} ({change(difference.value)} points{spread})"
    )
    excess = comparison.excess_nfr
    if excess is not None and excess.defined:
        spread = between(excess, change, " (")
        text += f"; beyond the noise floor are {change(excess.value)} points of negative flips"
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
    share = partial(percent, digits=sentence_digits(scored[name]))
    spread = between(nfr, share, f"{level} ") or "no interval"
    return (
        f"From {old} to {new}, the score {name} falls on {share(nfr.value)} of the {scored[name]} "
        f"instances that have it ({spread}) and rises on {share(metrics['pfr'].value)}; "
        f"its mean goes from {mean_old.value:.4g} to {mean_new.value:.4g}."
    )
