"""A candidate against the new version, both measured against the old one on the same instances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.averaged import cell_values
from muscle_llm.metrics.clusters import (
    cluster_standard_error,
    difference_estimate,
    mean_estimate,
)
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.flips import NO_ANSWERS
from muscle_llm.metrics.ratios import ratio_estimate
from muscle_llm.metrics.smooth import score_span
from muscle_llm.metrics.uncertainty import paired_difference, z_value

__all__ = [
    "averaged_difference_metrics",
    "difference_counts",
    "difference_metrics",
    "paired_indicators",
    "smooth_differences",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Codes = NDArray[np.integer]


def paired_indicators(first: Bools, second: Bools, confidence: float = 0.95) -> Estimate:
    """Return mean(first) - mean(second) of two indicators on the same instances, with its paired interval.

    Example:
        >>> paired_indicators(np.array([True, False, False]), np.array([True, True, False])).value
        -0.333333
    """
    n = first.size
    if n == 0:
        return undefined("no instances")
    up, down = int((first & ~second).sum()), int((second & ~first).sum())
    low, high = paired_difference(up, down, n, confidence)
    return Estimate((up - down) / n, float(low), float(high))


def difference_counts(old: Bools, new: Bools, candidate: Bools) -> dict[str, int]:
    """Return which flips the candidate recovered, which it newly broke, which gains it lost and which it
    added.

    Args:
        old: shape (N,), whether old is right.
        new: shape (N,), whether new is right.
        candidate: shape (N,), whether the candidate is right.

    Example:
        >>> o, n, c = (np.array(x, bool) for x in ([1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]))
        >>> difference_counts(o, n, c)
        {'recovered': 1, 'newly_broken': 1, 'lost_gains': 1, 'new_gains': 1}
    """
    return {
        "recovered": int((old & ~new & candidate).sum()),
        "newly_broken": int((old & new & ~candidate).sum()),
        "lost_gains": int((~old & new & ~candidate).sum()),
        "new_gains": int((~old & ~new & candidate).sum()),
    }


def difference_metrics(
    old: Bools,
    new: Bools,
    candidate: Bools,
    same_new: Bools | None = None,
    same_candidate: Bools | None = None,
    *,
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Return candidate minus new of nfr, pfr, nfr_mc and accuracy, with paired intervals.

    Formulas: d_nfr = nfr_c - nfr = (newly_broken - recovered)/N; d_nfr_percent = 100 d_nfr/nfr (interval of
    the ratio of the two rates, `paired_ratio`); the others alike.

    Args:
        old: shape (N,), whether old is right.
        new: shape (N,), whether new is right.
        candidate: shape (N,), whether the candidate is right.
        same_new: shape (N,), whether new gave old's answer; ``None`` where unknown.
        same_candidate: shape (N,), whether the candidate gave old's answer.
        confidence: level in (0, 1).

    Example:
        >>> o, n, c = (np.array(x, bool) for x in ([1, 1, 1, 0], [0, 0, 1, 0], [1, 0, 1, 0]))
        >>> m = difference_metrics(o, n, c)
        >>> m["d_nfr"].value, m["d_nfr_percent"].value
        (-0.25, -50.0)

    Source: Echterhoff et al. 2024 (arXiv 2407.09435), section on the evaluation of compatible models.
    """
    lost, lost_c = old & ~new, old & ~candidate
    metrics = {
        "d_nfr": paired_indicators(lost_c, lost, confidence),
        "d_nfr_percent": _percent(lost_c.astype(float), lost.astype(float), None, confidence, counted=True),
        "d_pfr": paired_indicators(~old & candidate, ~old & new, confidence),
        "d_accuracy": paired_indicators(candidate, new, confidence),
    }
    if same_new is None or same_candidate is None:
        metrics["d_nfr_mc"] = undefined(NO_ANSWERS)
    else:
        metrics["d_nfr_mc"] = paired_indicators(~candidate & ~same_candidate, ~new & ~same_new, confidence)
    return metrics


def averaged_difference_metrics(
    new: Floats,
    candidate: Floats,
    clusters: Codes | None = None,
    *,
    answers_known: bool,
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Return the same differences where instances have several answers or come in clusters.

    Args:
        new: shape (N, 8), pairs of answers of old and new in the joint cells (`pair_cells`).
        candidate: shape (N, 8), the same of old and the candidate.
        clusters: shape (N,), or ``None`` for independent instances.
        answers_known: whether "same answer" means anything.
        confidence: level in (0, 1).

    Example:
        >>> new, candidate = np.eye(8)[[4, 6]], np.eye(8)[[6, 6]]
        >>> averaged_difference_metrics(new, candidate, answers_known=True)["d_nfr"].value
        -0.5
    """
    pairs = {"d_nfr": "nfr", "d_pfr": "pfr", "d_accuracy": "accuracy_new", "d_nfr_mc": "nfr_mc"}
    metrics = {}
    for name, base in pairs.items():
        change = cell_values(candidate, base) - cell_values(new, base)
        known = answers_known or name != "d_nfr_mc"
        metrics[name] = difference_estimate(change, clusters, confidence) if known else undefined(NO_ANSWERS)
    metrics["d_nfr_percent"] = _percent(
        cell_values(candidate, "nfr"), cell_values(new, "nfr"), clusters, confidence, counted=False
    )
    return metrics


def _percent(
    first: Floats, second: Floats, clusters: Codes | None, confidence: float, *, counted: bool
) -> Estimate:
    """Return 100 (mean(first) / mean(second) - 1); ``counted``: both are 0 or 1 on independent instances."""
    reason = "new has no negative flips"
    ratio = ratio_estimate(first, second, clusters, confidence, counted=counted, reason=reason)
    value, low, high = (100 * (x - 1) for x in (ratio.value, ratio.low, ratio.high))
    return Estimate(value, low, high, ratio.reason)


def smooth_differences(
    old: Floats,
    new: Floats,
    candidate: Floats,
    *,
    tolerance: float = 0.0,
    confidence: float = 0.95,
    clusters: Codes | None = None,
) -> dict[str, Estimate]:
    """Return candidate minus new of the smooth metrics, on the same instances.

    The differences of gain and regress are differences of two ratios of means; their intervals come from the
    linearised ratios (delta method), instance by instance.

    Args:
        old: shape (N,), the old version's scores; no NaN.
        new: shape (N,), the new version's scores.
        candidate: shape (N,), the candidate's scores.
        tolerance: eps >= 0; a change of at most this much is no flip.
        confidence: level in (0, 1).
        clusters: shape (N,), the cluster of each instance; ``None`` for independent instances.

    Example:
        >>> m = smooth_differences(np.array([0.5, 0.5]), np.array([0.25, 0.75]), np.array([0.5, 0.75]))
        >>> m["d_nfr"].value, m["d_mean"].value
        (-0.5, 0.125)
    """
    d_new, d_candidate = new - old, candidate - old
    names = ("d_mean", "d_nfr", "d_nfr_percent", "d_pfr", "d_gain", "d_regress")
    if old.size == 0:
        return {name: undefined("no instances with this score in all versions") for name in names}
    down, down_c = d_new < -tolerance, d_candidate < -tolerance
    up, up_c = d_new > tolerance, d_candidate > tolerance

    def change(first: Bools, second: Bools) -> Estimate:
        if clusters is None:
            return paired_indicators(first, second, confidence)
        return difference_estimate(first.astype(float) - second, clusters, confidence)

    percent = _percent(
        down_c.astype(float), down.astype(float), clusters, confidence, counted=clusters is None
    )
    return {
        "d_mean": mean_estimate(candidate - new, clusters, confidence, span=score_span(old, new, candidate)),
        "d_nfr": change(down_c, down),
        "d_nfr_percent": percent,
        "d_pfr": change(up_c, up),
        "d_gain": _ratio_difference(d_candidate, up_c, d_new, up, clusters, confidence, "improved"),
        "d_regress": _ratio_difference(-d_candidate, down_c, -d_new, down, clusters, confidence, "got worse"),
    }


def _ratio_difference(
    first: Floats,
    in_first: Bools,
    second: Floats,
    in_second: Bools,
    clusters: Codes | None,
    confidence: float,
    verb: str,
) -> Estimate:
    if not in_first.any() or not in_second.any():
        return undefined(f"no instance {verb} in {'the candidate' if not in_first.any() else 'new'}")
    means = float(first[in_first].mean()), float(second[in_second].mean())
    influence = in_first * (first - means[0]) / in_first.mean()
    influence -= in_second * (second - means[1]) / in_second.mean()
    value = means[0] - means[1]
    error, count = cluster_standard_error(influence, clusters)
    if min(in_first.sum(), in_second.sum()) < 2 or count < 2:
        return Estimate(value)
    half = z_value(confidence) * error
    return Estimate(value, value - half, value + half)
