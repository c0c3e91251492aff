"""Every flip metric per slice at once, and which slices got worse without being fooled by their number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.averaged import LINEAR
from muscle_llm.metrics.clusters import cluster_standard_error
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.flips import JointCounts, flip_values, undefined_reason
from muscle_llm.metrics.repeats import benjamini_hochberg
from muscle_llm.metrics.uncertainty import mcnemar, paired_difference, wilson, z_value

__all__ = ["WORSE_LEVEL", "SliceTest", "mean_fell", "slice_cells", "slice_metrics", "worse_slices"]

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # a mean or standard error below this share of the values is one of rounding

# Expected share of false calls among the slices called worse.
WORSE_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class SliceTest:
    """Whether a slice got worse: its own p-value, the one adjusted for the number of slices, the call."""

    p: float
    q: float
    worse: bool


def slice_cells(codes: NDArray[np.integer], joint: NDArray[np.uint8], slices: int) -> Floats:
    """Return the joint counts of every slice, in one pass.

    Args:
        codes: shape (N,), the slice of each instance, 0 <= code < slices; negative: in none.
        joint: shape (N,), cell of each instance, 0 to 7 (`joint_codes`).
        slices: number of slices S.

    Returns:
        Shape (S, 2, 2, 2).

    Example:
        >>> cells = slice_cells(np.array([0, 1, 1]), np.array([7, 4, 4], np.uint8), 2)
        >>> float(cells[1, 1, 0, 0])
        2.0
    """
    inside = codes >= 0
    if not inside.all():
        codes, joint = codes[inside], joint[inside]
    counts = np.bincount(codes.astype(np.int64) * 8 + joint, minlength=8 * slices)
    return counts.astype(float).reshape(slices, 2, 2, 2)


def slice_metrics(
    cells: Floats, *, answers_known: bool, confidence: float = 0.95
) -> tuple[list[dict[str, Estimate]], Floats]:
    """Return the flip metrics of every slice, and McNemar's one-sided p-value of "worse" of each.

    As `flip_metrics`, except that the relative nfr has the interval of its linearised logarithm (no
    bootstrap), so that thousands of slices cost one pass.

    Args:
        cells: joint counts, shape (S, 2, 2, 2).
        answers_known: whether "same answer" means anything.
        confidence: level in (0, 1).

    Example:
        >>> metrics, p = slice_metrics(np.full((2, 2, 2, 2), 5.0), answers_known=True)
        >>> metrics[0]["nfr"].value, float(p[0])
        (0.25, 0.588099)
    """
    values = flip_values(cells)
    n = cells.sum((-3, -2, -1))
    old, wrong = cells[:, 1].sum((-2, -1)), cells[:, 0].sum((-2, -1))
    lost, gained = cells[:, 1, 0].sum(-1), cells[:, 0, 1].sum(-1)
    bounds: dict[str, tuple[Floats, Floats]] = {}
    for name in LINEAR:
        bounds[name] = wilson(np.rint(values[name] * n), n, confidence)
    bounds["btc"] = wilson(cells[:, 1, 1].sum(-1), old, confidence)
    bounds["bec"] = wilson(cells[:, 0, 0].sum(-1), wrong, confidence)
    low, high = paired_difference(gained, lost, n, confidence)
    bounds["accuracy_difference"] = (low, high)
    bounds["nfr_floor"] = (np.maximum(0, -high), np.maximum(0, -low))
    bounds["nfr_relative"] = _relative_bounds(values, n, bounds["nfr"][1], confidence)
    p = mcnemar(lost, gained)
    results = []
    for index in range(len(cells)):
        counts = JointCounts(cells[index], answers_known)
        metrics = {}
        for name, column in values.items():
            reason = undefined_reason(name, float(column[index]), counts)
            metrics[name] = (
                undefined(reason)
                if reason
                else Estimate(
                    float(column[index]), float(bounds[name][0][index]), float(bounds[name][1][index])
                )
            )
        metrics["mcnemar_p"] = Estimate(float(p[index]))
        results.append(metrics)
    return results, p


def _relative_bounds(
    values: dict[str, Floats], n: Floats, nfr_high: Floats, confidence: float
) -> tuple[Floats, Floats]:
    """Return the interval of nfr/(a (1-b)) from the variance of its logarithm, for joint multinomial
    counts; where nothing flipped, from the upper bound of nfr."""
    nfr, a, b = values["nfr"], values["accuracy_old"], 1 - values["accuracy_new"]
    with np.errstate(divide="ignore", invalid="ignore"):
        # The influence of an instance on the logarithm is 1[flip]/nfr - 1[old right]/a - 1[new wrong]/b + 1.
        both = 1 / nfr - 1 / a - 1 / b + 1
        variance = nfr * both**2 + (a - nfr) * (1 - 1 / a) ** 2 + (b - nfr) * (1 - 1 / b) ** 2
        variance += np.maximum(1 - a - b + nfr, 0)
        spread = np.exp(z_value(confidence) * np.sqrt(np.maximum(variance, 0) / n))
        relative = values["nfr_relative"]
        low, high = relative / spread, relative * spread
        highest = nfr_high / (a * b)
    none = nfr == 0
    return np.where(none, 0.0, low), np.where(none, highest, high)


def mean_fell(values: Floats, clusters: NDArray[np.integer] | None = None) -> float:
    """Return the one-sided p-value of "the mean difference is below 0", over C independent clusters.

    Formula: Student's t, but at least 2^-C, which is what a test that turns the signs of the clusters' sums
    gives when all fell: few clusters that fell alike tell no more than so many tosses of a coin.

    Args:
        values: shape (N,), one difference per instance; N may be 0.
        clusters: shape (N,), the cluster of each instance; ``None``: all independent.

    Returns:
        p in (0, 1]; 1 for fewer than two clusters, or where nothing differs.

    Example:
        >>> round(mean_fell(np.array([-1.0, -1.0, 0.0, 0.0, -1.0])), 4), mean_fell(np.full(3, -1.0))
        (0.0352, 0.125)

    Source: Fisher (1935), The design of experiments, section 21, for the test by signs.
    """
    error, count = cluster_standard_error(values, clusters)
    if count < 2 or not values.any():
        return 1.0
    from scipy.special import stdtr

    mean, noise = float(values.mean()), _ROUNDING * float(np.abs(values).max())
    if error > noise:
        return max(float(stdtr(count - 1, mean / error)), 0.5**count)
    return 0.5**count if mean < -noise else 1.0


def worse_slices(p: Floats, level: float = WORSE_LEVEL) -> list[SliceTest]:
    """Return per slice whether it got worse, with Benjamini-Hochberg over all slices tested.

    Args:
        p: shape (S,), one-sided p-values of "worse".
        level: expected share of false calls among the calls.

    Example:
        >>> [t.worse for t in worse_slices(np.array([0.001, 0.04, 0.9]))]
        [True, False, False]

    Source: Benjamini and Hochberg (1995).
    """
    adjusted = benjamini_hochberg(np.asarray(p, float))
    return [SliceTest(float(a), float(b), bool(b <= level)) for a, b in zip(p, adjusted, strict=True)]
