"""Intervals and tests: closed forms where there are any, else a bootstrap over the joint counts.

All functions take counts or arrays and return plain numbers or arrays; the closed forms work
elementwise, so that a hundred slices cost one call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "bootstrap_counts",
    "difference_standard_error",
    "mcnemar",
    "paired_difference",
    "wilson",
    "z_value",
]

Floats = NDArray[np.float64]

# Up to so many flips in all the binomial's tails are summed as whole numbers; beyond, through scipy, whose
# import takes longer than a comparison of a thousand instances.
_SUMMED = 20_000


def z_value(confidence: float) -> float:
    """Return the two-sided normal quantile of a confidence level.

    Args:
        confidence: level in (0, 1).

    Raises:
        ValueError: the level is outside (0, 1).

    Example:
        >>> round(z_value(0.95), 4)
        1.96
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(
    successes: ArrayLike, n: ArrayLike, confidence: float = 0.95, *, quantile: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Return the Wilson score interval of a rate, elementwise.

    Formula: all p with (k/n - p)^2 <= z^2 p(1-p)/n.

    Args:
        successes: count k, 0 <= k <= n.
        n: number of trials; 0 gives NaN.
        confidence: level in (0, 1).
        quantile: instead of the normal quantile of the level, such as Student's for few clusters.

    Returns:
        Lower and upper bounds, in [0, 1].

    Example:
        >>> low, high = wilson(88, 1319)
        >>> round(float(low), 5), round(float(high), 5)
        (0.05447, 0.08148)

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    k, n = np.asarray(successes, float), np.asarray(n, float)
    z2 = np.asarray(z_value(confidence) if quantile is None else quantile, float) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        center = (k + z2 / 2) / (n + z2)
        half = np.sqrt(z2) / (n + z2) * np.sqrt(k * (n - k) / n + z2 / 4)
        low = np.where(k == 0, 0.0, center - half)
        high = np.where(k == n, 1.0, center + half)
    empty = n <= 0
    return np.where(empty, np.nan, np.clip(low, 0, 1)), np.where(empty, np.nan, np.clip(high, 0, 1))


def difference_standard_error(pfr: ArrayLike, nfr: ArrayLike, n: ArrayLike) -> Floats:
    """Return the standard error of the accuracy difference of two versions on the same instances.

    Formula: sqrt((pfr + nfr - (pfr - nfr)^2) / n).

    Args:
        pfr: share of instances gained.
        nfr: share of instances lost.
        n: number of instances.

    Example:
        >>> round(float(difference_standard_error(260 / 1319, 88 / 1319, 1319)), 5)
        0.01368

    Source: Miller (2024), Adding error bars to evals, paired differences (arXiv 2411.00640).
    """
    up, down, n = np.asarray(pfr, float), np.asarray(nfr, float), np.asarray(n, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(np.maximum(up + down - (up - down) ** 2, 0) / n)


def paired_difference(
    up: ArrayLike,
    down: ArrayLike,
    n: ArrayLike,
    confidence: float = 0.95,
    *,
    quantile: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Return the score interval of the difference of two rates measured on the same instances.

    The difference is (up - down)/n, where ``up`` instances count only for the first rate and ``down`` only
    for the second. The interval holds every difference that the score test (with the constrained
    maximum-likelihood variance) does not reject. For many instances it is difference +- z SE with
    `difference_standard_error`; unlike that, it keeps its level for few or no discordant instances.

    Args:
        up: number of instances that raise the difference.
        down: number of instances that lower it; up + down <= n.
        n: number of instances; 0 gives NaN.
        confidence: level in (0, 1).
        quantile: instead of the normal quantile of the level, such as Student's for few clusters.

    Returns:
        Lower and upper bounds, in [-1, 1].

    Example:
        >>> low, high = paired_difference(260, 88, 1319)
        >>> round(float(low), 4), round(float(high), 4)
        (0.1037, 0.1575)

    Source: Tango (1998), Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design.
    """
    b, c, n = (np.asarray(v, float) for v in np.broadcast_arrays(up, down, n))
    z = np.asarray(z_value(confidence) if quantile is None else quantile, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        center = (b - c) / n
    low = _score_root(b, c, n, -z, np.full_like(center, -1.0), center)
    high = _score_root(b, c, n, z, center, np.full_like(center, 1.0))
    empty = n <= 0
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _score_root(b: Floats, c: Floats, n: Floats, z: Floats, low: Floats, high: Floats) -> Floats:
    """Return by bisection the difference at which the score statistic equals -z (it falls with the
    difference)."""
    for _ in range(60):
        middle = (low + high) / 2
        above = _score(b, c, n, middle) > -z
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def _score(b: Floats, c: Floats, n: Floats, delta: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        linear = -b - c + (2 * n - b + c) * delta
        constant = -c * delta * (1 - delta)
        down = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0)) - linear) / (4 * n)
        variance = n * (2 * down + delta * (1 - delta))
        top = b - c - n * delta
        return np.where(variance > 0, top / np.sqrt(np.maximum(variance, 1e-300)), np.sign(top) * np.inf)


def mcnemar(negative: ArrayLike, positive: ArrayLike, *, two_sided: bool = False) -> Floats:
    """Return the exact McNemar p-value of "the new version is worse".

    Formula: P(Bin(n_neg + n_pos, 1/2) >= n_neg); two-sided, twice the smaller tail, at most 1.

    Args:
        negative: number of negative flips.
        positive: number of positive flips.
        two_sided: test "different" instead of "worse".

    Returns:
        p in [0, 1]; 1 where nothing flipped.

    Example:
        >>> float(mcnemar(10, 2)), float(mcnemar(10, 2, two_sided=True))
        (0.019287109375, 0.03857421875)

    Source: McNemar (1947); for evaluations of language models arXiv 2602.10144.
    """
    k, m = (np.asarray(v, float) for v in np.broadcast_arrays(negative, positive))
    worse = _half_tail(k, m)
    if not two_sided:
        return worse
    smaller = _half_tail(np.maximum(k, m), np.minimum(k, m))
    return np.where(k == m, 1.0, np.minimum(1.0, 2 * smaller))


def _half_tail(k: Floats, m: Floats) -> Floats:
    """Return P(Bin(k + m, 1/2) >= k), elementwise."""
    if (k + m).sum() > _SUMMED:
        from scipy.special import betainc

        return np.where(k <= 0, 1.0, betainc(np.maximum(k, 1), m + 1, 0.5))
    pairs = zip(k.ravel().astype(int), m.ravel().astype(int), strict=True)
    return np.array([_exact_tail(int(a), int(b)) for a, b in pairs]).reshape(k.shape)


def _exact_tail(k: int, m: int) -> float:
    n = k + m
    ways = chosen = 1
    for j in range(n, k, -1):
        chosen = chosen * j // (n - j + 1)
        ways += chosen
    return ways / 2**n


def bootstrap_counts(
    cells: ArrayLike,
    statistics: Callable[[Floats], Mapping[str, Any]],
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return bootstrap percentile intervals of statistics that depend on the data through joint counts only.

    Drawing N instances with replacement and counting is drawing once from the multinomial of the counts, so
    the cost does not grow with N.

    Args:
        cells: joint counts, any shape.
        statistics: maps counts of shape (draws, *cells.shape) to name -> values of shape (draws,); draws on
            which a statistic is NaN (undefined) are left out of its interval.
        confidence: level in (0, 1).
        draws: number of bootstrap samples.
        seed: of the random numbers.

    Returns:
        Name -> (lower, upper) bound; NaN where more than half of the draws are undefined.

    Example:
        >>> out = bootstrap_counts([30, 70], lambda c: {"share": c[:, 0] / c.sum(1)})
        >>> low, high = out["share"]
        >>> bool(0.2 < low < 0.23 < 0.37 < high < 0.4)
        True

    Source: Efron (1979), Bootstrap methods: another look at the jackknife.
    """
    counts = np.asarray(cells, float)
    total = round(float(counts.sum()))
    if total <= 0:
        return dict.fromkeys(statistics(counts[None].astype(float)), (math.nan, math.nan))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(total, counts.ravel() / counts.sum(), size=draws).astype(float)
    intervals = {}
    for name, values in statistics(drawn.reshape(draws, *counts.shape)).items():
        known = np.asarray(values, float)
        known = known[np.isfinite(known)]
        if known.size * 2 < draws:
            intervals[name] = (math.nan, math.nan)
        else:
            tail = (1 - confidence) / 2
            low, high = np.quantile(known, [tail, 1 - tail])
            intervals[name] = (float(low), float(high))
    return intervals
