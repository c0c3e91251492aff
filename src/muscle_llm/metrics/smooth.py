"""Smooth flips: how a similarity score per instance changes between versions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.clusters import mean_estimate, rate_estimate
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.uncertainty import wilson

__all__ = ["score_span", "smooth_metrics"]


def smooth_metrics(
    old: NDArray[np.float64],
    new: NDArray[np.float64],
    *,
    tolerance: float = 0.0,
    confidence: float = 0.95,
    clusters: NDArray[np.integer] | None = None,
) -> dict[str, Estimate]:
    """Return the smooth metrics of two versions' scores on the same instances.

    Formulas, with D = new - old and tolerance eps: pfr = mean 1[D > eps]; nfr = mean 1[D < -eps];
    gain = mean(D given D > eps); regress = mean(-D given D < -eps).
    Identity at eps = 0: mean D = gain pfr - regress nfr.

    Args:
        old: shape (N,), the old version's scores, higher is better; no NaN.
        new: shape (N,), the new version's scores.
        tolerance: eps >= 0; a change of at most this much is no flip.
        confidence: level in (0, 1).
        clusters: shape (N,), the cluster of each instance; ``None`` for independent instances.

    Returns:
        ``mean_old``, ``mean_new``, ``mean_difference``, ``pfr``, ``nfr``, ``gain``, ``regress``: rates with
        Wilson intervals, means with Student t intervals (for gain and regress over the instances they are
        means of, not below 0). Where all values of a mean are the same, its interval comes from the range
        of the scores (`mean_estimate`).

    Raises:
        ValueError: the lengths differ, a score is not finite, or the tolerance is negative.

    Example:
        >>> m = smooth_metrics(np.array([0.5, 0.5, 0.5]), np.array([0.75, 0.25, 0.5]))
        >>> m["nfr"].value, m["regress"].value, m["mean_difference"].value
        (0.333333, 0.25, 0.0)

    Source: Echterhoff et al. 2024 (arXiv 2407.09435), section on continuous metrics.
    """
    if old.shape != new.shape:
        raise ValueError("old and new must have the same length")
    if tolerance < 0:
        raise ValueError("the tolerance must not be negative")
    names = ("mean_old", "mean_new", "mean_difference", "pfr", "nfr", "gain", "regress")
    n = old.size
    if n == 0:
        return {name: undefined("no instances with this score in both versions") for name in names}
    difference = new - old
    if not np.isfinite(difference).all():
        raise ValueError("scores must be finite")
    up, down = difference > tolerance, difference < -tolerance
    means = {"mean_old": old, "mean_new": new, "mean_difference": difference}
    span = score_span(old, new)
    metrics = {name: mean_estimate(x, clusters, confidence, span=span) for name, x in means.items()}
    for name, hits in (("pfr", up), ("nfr", down)):
        if clusters is None:
            low, high = wilson(hits.sum(), n, confidence)
            metrics[name] = Estimate(float(hits.mean()), float(low), float(high))
        else:
            metrics[name] = rate_estimate(hits.astype(float), clusters, confidence)
    for name, hits, sign, verb in (("gain", up, 1, "improved"), ("regress", down, -1, "got worse")):
        chosen = None if clusters is None else clusters[hits]
        if not hits.any():
            metrics[name] = undefined(f"no instance {verb}")
            continue
        size = mean_estimate(sign * difference[hits], chosen, confidence, span=span)
        metrics[name] = Estimate(size.value, float(np.maximum(0.0, size.low)), size.high)
    return metrics


def score_span(*scores: NDArray[np.float64]) -> float:
    """Return how far the scores of all versions lie apart; 0 where that is not known.

    Scores that are all the same do not tell; between 0 and 1 they are taken for scores on that scale, so that
    a task that both versions master does not stay without any interval.

    Example:
        >>> score_span(np.array([0.25, 0.5]), np.array([1.0])), score_span(np.ones(3))
        (0.75, 1.0)
    """
    least, most = min(s.min() for s in scores), max(s.max() for s in scores)
    with np.errstate(over="ignore"):
        span = most - least
    if span == 0:
        return 1.0 if 0 <= most <= 1 else 0.0
    return float(span) if np.isfinite(span) else 0.0
