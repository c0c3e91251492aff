"""The flip metrics where an instance has several answers, or instances come in clusters.

The input is, per instance, the expected share in each of the eight joint cells (`expected_cells`); with one
answer each that is a one in a single cell.
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
    """Return the per-instance values whose mean is the metric.

    Example:
        >>> cell_values(one_hot(np.array([4, 7], np.uint8)), "nfr").tolist()
        [1.0, 0.0]
    """
    return cells[:, list(LINEAR[metric])].sum(1)


def averaged_flip_metrics(
    cells: Floats,
    clusters: Codes | None = None,
    *,
    answers_known: bool,
    confidence: float = 0.95,
    seed: int = 0,
    reason: str = "answers are repeated or clustered, so flips are not independent",
) -> dict[str, Estimate]:
    """Return all flip metrics from per-instance cell shares, with intervals over clusters of instances.

    Args:
        cells: shape (N, 8), rows summing to 1.
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
    if difference.defined:
        value, low, high = (max(0.0, -x) for x in (difference.value, difference.high, difference.low))
        metrics["nfr_floor"] = Estimate(value, low, high)
    else:
        metrics["nfr_floor"] = difference

    def ratio(means: tuple[Floats, ...]) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return means[0] / means[1]

    def relative(means: tuple[Floats, ...]) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return means[0] / (means[1] * (1 - means[2]))

    both_right, both_wrong = (cell_values(cells, n) for n in ("both_right", "both_wrong"))
    for name, columns, statistic, why in (
        ("btc", (both_right, old), ratio, "old has nothing right"),
        ("bec", (both_wrong, 1 - old), ratio, "old has nothing wrong"),
        ("nfr_relative", (lost, old, new), relative, "old has nothing right, or new nothing wrong"),
    ):
        metrics[name] = smooth_estimate(
            columns, statistic, clusters, confidence=confidence, seed=seed, reason=why
        )
    metrics["mcnemar_p"] = undefined(reason)
    return metrics
