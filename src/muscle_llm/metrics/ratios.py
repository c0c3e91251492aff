"""The ratio of two rates on the same instances, such as the NFR of a remedy over that of new."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.clusters import cluster_standard_error
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.uncertainty import z_value

__all__ = ["paired_ratio", "ratio_estimate"]

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]

_ROUNDING = 1e-12
_HALVINGS = 60


def paired_ratio(
    both: float,
    first: float,
    second: float,
    n: float,
    confidence: float = 0.95,
    *,
    quantile: float | None = None,
) -> tuple[float, float]:
    """Return the score interval of the ratio of two rates measured on the same instances.

    The ratio is (both + first) / (both + second). The interval holds every ratio r that the score test does
    not reject: with x and y the two counts and the cells' constrained maximum-likelihood estimates p,
    (x - r y)^2 <= z^2 n r (p_first + p_second). Like `paired_difference`, and unlike the bootstrap, it keeps
    its level where a count is 0.

    Args:
        both: number of instances that count for both rates.
        first: number that count for the first rate only.
        second: number that count for the second rate only; both + second > 0.
        n: number of instances.
        confidence: level in (0, 1).
        quantile: instead of the normal quantile of the level, such as Student's for few clusters.

    Returns:
        Lower and upper bound, >= 0.

    Example:
        >>> low, high = paired_ratio(20, 0, 10, 1000)
        >>> round(low, 3), round(high, 3)
        (0.488, 0.808)
        >>> low, high = paired_ratio(0, 0, 3, 1000)
        >>> low, round(high, 3)
        (0.0, 1.281)

    Source: Tang, Tang and Chan (2003), On tests of equivalence via non-unity relative risk for matched-pair
        design (Statistics in Medicine 22).
    """
    x, y = both + first, both + second
    z = z_value(confidence) if quantile is None else quantile
    ratio = x / y

    def score(r: float) -> float:
        a, b = n * (1 + r), y * r * r - (x + 2 * second)
        c = second * (1 - r) * (both + first + second) / n
        only_second = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        in_both = ((both + first + second) / n - (1 + r) * only_second) / r
        only_first = r * only_second - (1 - r) * in_both
        variance, gap = n * r * (only_first + only_second), x - r * y
        return gap / math.sqrt(variance) if variance > _ROUNDING else math.copysign(math.inf, gap)

    # The statistic falls with r; r = s / (1 - s) with s from 0 to 1.
    start = ratio / (1 + ratio)
    low = _where(score, z, 0.0, start) if x > 0 else 0.0
    return low, _where(score, -z, start, 1.0)


def _where(score: Callable[[float], float], level: float, low: float, high: float) -> float:
    """Return by bisection the ratio at which a falling score reaches the level."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle / (1 - middle)) > level else (low, middle)
    middle = (low + high) / 2
    return middle / (1 - middle)


def ratio_estimate(
    first: Floats,
    second: Floats,
    clusters: Codes | None = None,
    confidence: float = 0.95,
    *,
    counted: bool,
    reason: str,
) -> Estimate:
    """Return mean(first) / mean(second) with the paired score interval on the effective number of instances.

    The effective number is the one that gives first - ratio * second, taken as indicators, the standard error
    found; where nothing varies it is the number of clusters.

    Args:
        first: shape (N,), in [0, 1].
        second: shape (N,), in [0, 1].
        clusters: shape (N,) or ``None``.
        confidence: level in (0, 1).
        counted: whether all values are 0 or 1 on independent instances.
        reason: why the ratio is undefined where ``second`` is 0 throughout.

    Example:
        >>> first, second = np.array([1.0, 0.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])
        >>> ratio_estimate(first, second, counted=True, reason="").value
        0.5
    """
    if not second.any():
        return undefined(reason if second.size else "no instances")
    n = float(second.size)
    x, y, both = (float(v) / n for v in (first.sum(), second.sum(), first @ second))
    ratio = x / y
    quantile = None
    if not counted:
        error, count = cluster_standard_error(first - ratio * second, clusters)
        if count < 2:
            return Estimate(ratio)
        from scipy.special import stdtrit

        quantile = float(stdtrit(count - 1, 0.5 + confidence / 2))
        variance = max(x + ratio**2 * y - 2 * ratio * both, _ROUNDING)
        n = variance * count / (count - 1) / error**2 if error > _ROUNDING else float(count)
    low, high = paired_ratio(both * n, (x - both) * n, (y - both) * n, n, confidence, quantile=quantile)
    return Estimate(ratio, min(low, ratio), max(high, ratio))
