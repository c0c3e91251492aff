"""The flip metrics where an instance has several answers, or instances come in clusters.

The input is, per instance, the number of pairs of answers in each of the eight joint cells (`pair_cells`);
with one answer each that is a one in a single cell.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics import figures
from muscle_llm.metrics.clusters import difference_estimate, rate_estimate, smooth_estimate
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.figures import (
    ALL,
    NO_ANSWERS,
    Cells,
    Difference,
    Drop,
    Figure,
    Lift,
    Share,
    needs_answers,
)

__all__ = ["averaged_flip_metrics", "cell_values", "one_hot"]

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]


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
        metric: a figure that is a share of all instances (`FIGURES`).

    Returns:
        Shape (N,); NaN for an instance without pairs.

    Raises:
        ValueError: the figure is no share of all instances.

    Example:
        >>> cell_values(one_hot(np.array([4, 7], np.uint8)), "nfr").tolist()
        [1.0, 0.0]
    """
    figure = figures.FIGURES[metric]
    if not isinstance(figure, Share) or figure.given != ALL:
        raise ValueError(f"{metric} is no share of all instances")
    return _share(cells, figure.cells)


def _share(cells: Floats, chosen: Cells) -> Floats:
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
    share = cache(lambda chosen: _share(cells, chosen))

    @cache
    def estimate(figure: Figure) -> Estimate:
        match figure:
            case Share():
                if figure.given == ALL:
                    return rate_estimate(share(figure.cells), clusters, confidence)
                return _given(share(figure.hits), share(figure.given), clusters, confidence, figure.reason)
            case Difference():
                return difference_estimate(share(figure.first) - share(figure.second), clusters, confidence)
            case Drop():
                return _drop(estimate(figure.of))
            case Lift():
                parts = share(figure.first & figure.second), share(figure.first), share(figure.second)
                return _lift(parts, estimate(figure.both), clusters, confidence, seed, figure.reason)

    metrics = {}
    for name, figure in figures.FIGURES.items():
        known = answers_known or not needs_answers(figure) or not len(cells)
        metrics[name] = estimate(figure) if known else undefined(NO_ANSWERS)
    metrics["mcnemar_p"] = undefined(reason)
    return metrics


def _drop(difference: Estimate) -> Estimate:
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


def _lift(
    parts: tuple[Floats, Floats, Floats],
    both: Estimate,
    clusters: Codes | None,
    confidence: float,
    seed: int,
    reason: str,
) -> Estimate:
    """Return mean(both) / (mean(first) mean(second)), with its bootstrap interval.

    Where it is 0, no draw has any either: then with the interval of mean(both) over what chance would give.
    """

    def ratio(means: tuple[Floats, ...]) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return means[0] / (means[1] * means[2])

    found = smooth_estimate(parts, ratio, clusters, confidence=confidence, seed=seed, reason=reason)
    if found.value == 0:
        return Estimate(0.0, both.low, both.high / float(parts[1].mean() * parts[2].mean()))
    return Estimate(found.value, float(np.maximum(0.0, found.low)), found.high, found.reason)
