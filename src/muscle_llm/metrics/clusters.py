"""Means over instances that are not all independent: several questions on one passage, several answers to
one.

Every figure here is a mean of per-instance values, a difference of two such means, or a ratio. Its standard
error comes from the sums over clusters; without clusters each instance is its own cluster.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.uncertainty import paired_difference, wilson

__all__ = [
    "cluster_bootstrap",
    "cluster_standard_error",
    "difference_bounds",
    "difference_estimate",
    "mean_estimate",
    "rate_bounds",
    "rate_estimate",
    "smooth_estimate",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]

# With more clusters than this the bootstrap gives what the linearised standard error gives, only slower.
_BOOTSTRAP_CLUSTERS = 2000

_ROUNDING = 1e-12  # a standard error below this share of the largest value is one of rounding

_SQUARABLE = 1e100  # larger numbers, which only damaged scores are, are scaled before they are squared
_TINY = 1e-150  # the square of a smaller error is 0


def cluster_standard_error(values: Floats, clusters: Codes | None = None) -> tuple[float, int]:
    """Return the standard error of the mean of ``values``, and the number of clusters.

    Formula: sqrt(C/(C-1) sum_c (sum_{i in c} (D_i - mean D))^2) / N.

    Args:
        values: shape (N,), one number D_i per instance.
        clusters: shape (N,), the cluster of each instance as a whole number >= 0; ``None``: all independent.

    Returns:
        Standard error (NaN for fewer than two clusters) and C.

    Example:
        >>> error, count = cluster_standard_error(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1]))
        >>> error, count
        (0.5, 2)

    Source: Miller (2024), Adding error bars to evals, clustered errors (arXiv 2411.00640).
    """
    largest = float(np.abs(values).max(initial=0.0))
    scale = largest if largest > _SQUARABLE else 1.0
    values = values / scale if scale != 1.0 else values
    deviations = values - values.mean() if values.size else values
    if clusters is not None:
        sizes = np.bincount(clusters)
        deviations = np.bincount(clusters, weights=deviations)[sizes > 0]
    count = deviations.size
    if count < 2:
        return math.nan, count
    error = math.sqrt(count / (count - 1) * float(deviations @ deviations)) / values.size
    # Values that are all the same, or cancel within every cluster, differ by rounding only.
    return (0.0 if error < _ROUNDING * largest / scale else scale * error), count


def _quantile(confidence: float, clusters: ArrayLike) -> Floats:
    from scipy.special import stdtrit

    return stdtrit(np.asarray(clusters) - 1, 0.5 + confidence / 2)


def mean_estimate(
    values: Floats, clusters: Codes | None = None, confidence: float = 0.95, *, span: float = 0.0
) -> Estimate:
    """Return the mean of ``values`` with its Student t interval (C - 1 degrees of freedom).

    Where no value differs from the others, t's interval would be a point. Then up to t^2/(C + t^2) of the
    values, Wilson's bound of a share that was never seen, may differ by as much as ``span``.

    Args:
        values: shape (N,).
        clusters: shape (N,) or ``None``.
        confidence: level in (0, 1).
        span: how far values can lie apart, such as the range of the scores that were seen; 0: not known.

    Returns:
        The bounds are NaN for fewer than two clusters, and where no value differs and the span is not known.

    Example:
        >>> e = mean_estimate(np.array([1.0, 2.0, 3.0, 4.0]))
        >>> round(e.low, 3), round(e.high, 3)
        (0.446, 4.554)
    """
    if not values.size:
        return undefined("no instances")
    error, count = cluster_standard_error(values, clusters)
    mean = float(values.mean())
    if count < 2 or (error == 0 and span == 0):
        return Estimate(mean)
    quantile = float(_quantile(confidence, count))
    half = quantile * error if error > 0 else span * quantile**2 / (count + quantile**2)
    return Estimate(mean, mean - half, mean + half)


def rate_estimate(values: Floats, clusters: Codes | None = None, confidence: float = 0.95) -> Estimate:
    """Return the mean of values in [0, 1] with a Wilson interval on the effective number of instances.

    The effective number n_e is the one that gives a plain rate the standard error found: m(1-m)/SE^2, times
    C/(C-1), which SE^2 has too, so that it is N for independent indicators. Where nothing varies it is C.

    Args:
        values: shape (N,), in [0, 1]: shares of right answers, or indicators.
        clusters: shape (N,) or ``None``.
        confidence: level in (0, 1).

    Example:
        >>> e = rate_estimate(np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]), np.array([0, 0, 1, 1, 2, 2]))
        >>> e.low < 0.05, e.high > 0.9
        (True, True)

    Source: Korn and Graubard (1998), Confidence intervals for proportions with small expected number of
        positive counts estimated from survey data.
    """
    if not values.size:
        return undefined("no instances")
    error, count = cluster_standard_error(values, clusters)
    mean = float(values.mean())
    if count < 2:
        return Estimate(mean)
    low, high = rate_bounds(mean, error, count, confidence)
    return Estimate(mean, float(low), float(high))


def rate_bounds(
    mean: ArrayLike, error: ArrayLike, clusters: ArrayLike, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the bounds of `rate_estimate`, elementwise, from the mean, its standard error and the number of
    clusters C, at least 2.

    Example:
        >>> low, high = rate_bounds(0.2, 0.04, 100)
        >>> round(float(low), 3), round(float(high), 3)
        (0.133, 0.29)
    """
    mean, error = np.asarray(mean, float), np.asarray(error, float)
    effective = _effective(mean * (1 - mean), error, clusters)
    return wilson(mean * effective, effective, quantile=_quantile(confidence, clusters))


def _effective(variance: Floats, error: Floats, clusters: ArrayLike) -> Floats:
    """Return how many independent instances of this variance have this standard error."""
    varies, count = error > _TINY, np.asarray(clusters, float)
    return np.where(varies, variance * count / (count - 1) / np.where(varies, error, 1.0) ** 2, count)


def difference_estimate(values: Floats, clusters: Codes | None = None, confidence: float = 0.95) -> Estimate:
    """Return the mean of differences in [-1, 1] with the paired score interval on the effective number.

    For differences -1, 0 and 1 of independent instances this is `paired_difference` of the counts (with
    Student's quantile); shares of repeated answers and clusters change the effective number of instances.

    Args:
        values: shape (N,), one difference per instance.
        clusters: shape (N,) or ``None``.
        confidence: level in (0, 1).

    Example:
        >>> difference_estimate(np.array([1.0, 0.0, -1.0, 0.0])).value
        0.0
    """
    if not values.size:
        return undefined("no instances")
    error, count = cluster_standard_error(values, clusters)
    mean, square = float(values.mean()), float(values @ values) / values.size
    if count < 2:
        return Estimate(mean)
    low, high = difference_bounds(mean, square, error, count, confidence)
    return Estimate(mean, float(low), float(high))


def difference_bounds(
    mean: ArrayLike, square: ArrayLike, error: ArrayLike, clusters: ArrayLike, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the bounds of `difference_estimate`, elementwise, from the mean, the mean square, the standard
    error and the number of clusters C, at least 2.

    Example:
        >>> low, high = difference_bounds(0.1, 0.3, 0.05, 120)
        >>> round(float(low), 3), round(float(high), 3)
        (-0.001, 0.201)
    """
    mean = np.asarray(mean, float)
    # Differences between 0 and 1 (shares of repeats) can have a mean square below their mean; no mixture
    # of -1, 0 and 1 has that, and the nearest one has nothing on the other side.
    square = np.maximum(np.asarray(square, float), np.abs(mean))
    effective = _effective(square - mean**2, np.asarray(error, float), clusters)
    up, down = (square + mean) / 2 * effective, (square - mean) / 2 * effective
    return paired_difference(up, down, effective, quantile=_quantile(confidence, clusters))


def smooth_estimate(
    columns: tuple[Floats, ...],
    statistic: Callable[[tuple[Floats, ...]], Floats],
    clusters: Codes | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    reason: str = "undefined for these counts",
) -> Estimate:
    """Return a smooth function of several means, such as a ratio, with its interval.

    Up to 2000 clusters: the cluster bootstrap; beyond, the linearised standard error (delta method).

    Args:
        columns: arrays of shape (N,), one value per instance.
        statistic: maps the means (each of shape (...)) to the figure of shape (...); NaN where undefined.
        clusters: shape (N,) or ``None``.
        confidence: level in (0, 1).
        seed: of the bootstrap.
        reason: why the figure is undefined, where it is.

    Example:
        >>> a, b = np.array([1.0, 0.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0])
        >>> smooth_estimate((a, b), lambda m: m[0] / m[1]).value
        0.5
    """
    if not columns[0].size:
        return undefined("no instances")
    means = tuple(np.asarray(c.mean()) for c in columns)
    value = float(statistic(means))
    if not math.isfinite(value):
        return undefined(reason)
    if clusters is None:
        count = columns[0].size
    else:
        count = int((np.bincount(clusters) > 0).sum())
    if count < 2:
        return Estimate(value)
    if count <= _BOOTSTRAP_CLUSTERS:
        low, high = cluster_bootstrap(columns, statistic, clusters, confidence=confidence, seed=seed)
        return Estimate(value, low, high)
    influence = np.zeros_like(columns[0])
    for index, (column, mean) in enumerate(zip(columns, means, strict=True)):
        step = 1e-6 * max(1e-3, abs(float(mean)))
        ends = [tuple(m + s * (i == index) for i, m in enumerate(means)) for s in (step, -step)]
        slope = (float(statistic(ends[0])) - float(statistic(ends[1]))) / (2 * step)
        influence += slope * (column - mean)
    error, _ = cluster_standard_error(influence, clusters)
    half = float(_quantile(confidence, count)) * error
    return Estimate(value, value - half, value + half)


def cluster_bootstrap(
    columns: tuple[Floats, ...],
    statistic: Callable[[tuple[Floats, ...]], Floats],
    clusters: Codes | None = None,
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval from drawing whole clusters with replacement.

    Args:
        columns: arrays of shape (N,), one value per instance.
        statistic: maps the means to the figure.
        clusters: shape (N,) or ``None``.
        confidence: level in (0, 1).
        draws: number of bootstrap samples.
        seed: of the random numbers.

    Returns:
        Lower and upper bound; NaN where more than half of the draws are undefined.

    Example:
        >>> values = np.repeat([0.0, 1.0], 50)
        >>> low, high = cluster_bootstrap((values,), lambda m: m[0])
        >>> bool(0.38 < low < 0.43 < 0.57 < high < 0.62)
        True
    """
    n = columns[0].size
    if clusters is None:
        sums = np.stack([*columns, np.ones(n)], axis=1)
    else:
        sizes = np.bincount(clusters)
        totals = [np.bincount(clusters, weights=c) for c in columns]
        sums = np.stack([*totals, sizes.astype(float)], axis=1)[sizes > 0]
    count = len(sums)
    rng = np.random.default_rng(seed)
    block = max(1, 4_000_000 // count)
    parts = []
    for start in range(0, draws, block):
        size = min(block, draws - start)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=size)
        parts.append(weights @ sums)
    drawn = np.concatenate(parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(statistic(tuple((drawn[:, :-1] / drawn[:, -1:]).T)))
    known = values[np.isfinite(values)]
    if known.size * 2 < draws:
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
