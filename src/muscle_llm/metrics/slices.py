"""Every flip metric per slice at once, and which slices got worse without being fooled by their number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.clusters import cluster_standard_error
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.metrics.flips import count_estimates
from muscle_llm.metrics.repeats import benjamini_hochberg

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
    metrics = count_estimates(cells, answers_known=answers_known, confidence=confidence)
    p = np.array([m["mcnemar_p"].value for m in metrics])
    return metrics, np.where(np.isnan(p), 1.0, p)


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
