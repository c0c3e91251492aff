"""The result in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muscle_llm.metrics.estimate import Estimate

__all__ = ["percent", "points", "summarise"]


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


def summarise(document: Mapping[str, Any]) -> str:
    """Return the one sentence that stands above a comparison.

    Args:
        document: the fields of a `Comparison`, by name.
    """
    old, new = document["old"].name, document["new"].name
    metrics: Mapping[str, Estimate] = document["metrics"]
    counts = document["counts"]
    if not metrics["nfr"].defined:
        return _of_scores(document, old, new)
    difference = metrics["accuracy_difference"]
    level = f"{round(100 * document['confidence'], 3):g} % interval"
    nfr = metrics["nfr"]
    spread = f"{percent(nfr.value)}, {level} {percent(nfr.low)} to {percent(nfr.high)}"
    if counts.get("rows"):
        text = (
            f"From {old} to {new}, on {counts['n']} instances with up to {counts['repeats']} answers "
            f"each, a right "
            f"answer becomes wrong in {spread.replace(',', ' of the pairs of answers (', 1)}); "
            f"{counts['reliable_negative_flips']} instances are reliably worse and "
            f"{counts['reliable_positive_flips']} reliably better"
        )
    else:
        text = (
            f"From {old} to {new}, {counts['negative_flips']} of {counts['n']} instances that were "
            f"right become "
            f"wrong ({spread}) and {counts['positive_flips']} that were wrong become right"
        )
    text += (
        f"; accuracy goes from {percent(metrics['accuracy_old'].value)} to "
        f"{percent(metrics['accuracy_new'].value)} ({points(difference.value)} points, "
        f"{points(difference.low)} to {points(difference.high)})"
    )
    excess = document.get("excess_nfr")
    if excess is not None and excess.defined:
        text += (
            f"; beyond the noise floor are {points(excess.value)} points of negative flips "
            f"({points(excess.low)} to {points(excess.high)})"
        )
    return f"{text}."


def _of_scores(document: Mapping[str, Any], old: str, new: str) -> str:
    if not document["scores"]:
        return f"Nothing measures {new} against {old}."
    name, metrics = next(iter(document["scores"].items()))
    nfr, mean_old, mean_new = metrics["nfr"], metrics["mean_old"], metrics["mean_new"]
    if not nfr.defined:
        return f"No instance has the score {name} in both {old} and {new}."
    return (
        f"From {old} to {new}, the score {name} falls on {percent(nfr.value)} of the "
        f"{document['counts']['n']} instances ({percent(nfr.low)} to {percent(nfr.high)}) and rises on "
        f"{percent(metrics['pfr'].value)}; "
        f"its mean goes from {mean_old.value:.4g} to {mean_new.value:.4g}."
    )
