"""The flip metrics where an instance has several answers, or instances come in clusters.

The input is, per instance, the number of pairs of answers in each of the eight joint cells (`pair_cells`);
with one answer each that is a one in a single cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.clusters import difference_estimate, rate_estimate, smooth_estimate
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.flips import NO_ANSWERS

__all__ = ["LINEAR", "averaged_flip_metrics", "cell_values", "one_hot"]

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]

# Metrics that are means of a per-instance value: metric -> the cells that count, by index 4 c + 2 d + same.
LINEAR: dict[str, tuple[int, ...]] = {
    "accuracy_old": (4, 5, 6, 7),
    "accuracy_new": (2, 3, 6, 7),
    "nfr": (4, 5),
    "pfr": (2, 3),
    "nfr_mc": (0, 4),
    "agreement": (1, 3, 5, 7),
    "churn": (0, 2, 4, 6),
    "both_right": (6, 7),
    "both_right_same": (7,),
    "both_right_changed": (6,),
    "gain": (2, 3),
    "both_wrong": (0, 1),
    "both_wrong_same": (1,),
    "both_wrong_changed": (0,),
    "regression": (4, 5),
}
_NEED_ANSWERS = {
    "nfr_mc",
    "agreement",
    "churn",
    "both_right_same",
    "both_right_changed",
    "both_wrong_same",
    "both_wrong_changed",
}


def one_hot(codes: NDArray[np.uint8]) -> Floats:
    """Return the cells of instances with one answer each: shape (N, 8) with a single one per row.

    Example:
        >>> one_hot(np.array([4], np.uint8)).tolist()
        [[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]
    """
    return np.eye(8)[codes]


def cell_values(cells: Floats, metric: str) -> Floats:
    """Return the per-instance values whose mean is the metric: the share of the pairs of answers that count.

    Sums of whole numbers are exact, so that a share of 1 is 1 and equal shares differ by 0.

    Args:
        cells: shape (N, 8), numbers of pairs (`pair_cells`).
        metric: one of `LINEAR`.

    Returns:
        Shape (N,); NaN for an instance without pairs.

    Example:
        >>> cell_values(one_hot(np.array([4, 7], np.uint8)), "nfr").tolist()
        [1.0, 0.0]
    """
    return _share(cells, LINEAR[metric])


def _share(cells: Floats, chosen: tuple[int, ...]) -> Floats:
    counts = np.zeros((8, 2))
    counts[list(chosen), 0] = counts[:, 1] = 1
    hits, pairs = (cells @ counts).T
    with np.errstate(invalid="ignore"):
        return hits / pairs


def averaged_flip_metrics(
    cells: Floats,
    clusters: Codes | None = None,
    *,
    answers_known: bool,
    confidence: float = 0.95,
    seed: int = 0,
    reason: str = "answers are repeated or clustered, so flips are not independent",
) -> dict[str, Estimate]:
    """Return all flip metrics from per-instance cells, with intervals over clusters of instances.

    Rates, btc and bec have Wilson intervals on the effective number of instances, the accuracy difference the
    paired score interval on it, the relative nfr the bootstrap over clusters.

    Args:
        cells: shape (N, 8), numbers of pairs of answers, at least one pair per instance.
        clusters: shape (N,), or ``None`` for independent instances.
        answers_known: whether "same answer" means anything.
        confidence: level in (0, 1).
        seed: of the bootstrap of ratios.
        reason: why there is no McNemar test.

    Example:
        >>> m = averaged_flip_metrics(one_hot(np.array([4, 7, 0, 2], np.uint8)), answers_known=True)
        >>> m["nfr"].value, m["btc"].value
        (0.25, 0.5)

    Source: as `flip_metrics`; clusters as in Miller 2024 (arXiv 2411.00640).
    """
    metrics: dict[str, Estimate] = {}
    for name in LINEAR:
        known = answers_known or name not in _NEED_ANSWERS
        values = cell_values(cells, name)
        metrics[name] = rate_estimate(values, clusters, confidence) if known else undefined(NO_ANSWERS)
    old, new, lost = (cell_values(cells, n) for n in ("accuracy_old", "accuracy_new", "nfr"))
    difference = difference_estimate(new - old, clusters, confidence)
    metrics["accuracy_difference"] = difference
    metrics["nfr_floor"] = _floor(difference)
    old_wrong, new_wrong = _share(cells, (0, 1, 2, 3)), _share(cells, (0, 1, 4, 5))
    metrics["btc"] = _given(
        cell_values(cells, "both_right"), old, clusters, confidence, "old has nothing right"
    )
    metrics["bec"] = _given(
        cell_values(cells, "both_wrong"), old_wrong, clusters, confidence, "old has nothing wrong"
    )

    def relative(means: tuple[Floats, ...]) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return means[0] / (means[1] * means[2])

    relative_nfr = smooth_estimate(
        (lost, old, new_wrong),
        relative,
        clusters,
        confidence=confidence,
        seed=seed,
        reason="old has nothing right, or new nothing wrong",
    )
    low, high = float(np.maximum(0.0, relative_nfr.low)), relative_nfr.high
    if relative_nfr.value == 0:  # then no draw has a flip either: the rate's own interval
        low, high = metrics["nfr"].low, metrics["nfr"].high / float(old.mean() * new_wrong.mean())
    metrics["nfr_relative"] = Estimate(relative_nfr.value, low, high, relative_nfr.reason)
    metrics["mcnemar_p"] = undefined(reason)
    return metrics


def _floor(difference: Estimate) -> Estimate:
    """Return max(0, -difference), bounds alike; NaN stays NaN."""
    if not difference.defined:
        return difference
    value, low, high = (
        float(np.maximum(0.0, 0.0 - x)) for x in (difference.value, difference.high, difference.low)
    )
    return Estimate(value, low, high)


def _given(hits: Floats, base: Floats, clusters: Codes | None, confidence: float, reason: str) -> Estimate:
    """Return mean(hits) / mean(base), 0 <= hits <= base <= 1, as a rate among the instances with base > 0.

    Its standard error is that of the linearised ratio, R + (hits - R base) / mean(base) per instance.
    """
    inside = base > 0
    if not base.size or not inside.any():
        return undefined(reason if base.size else "no instances")
    hits, base = hits[inside], base[inside]
    rate = float(hits.sum() / base.sum())
    linear = rate + (hits - rate * base) / base.mean()
    found = rate_estimate(linear, None if clusters is None else clusters[inside], confidence)
    return Estimate(rate, found.low, found.high)
