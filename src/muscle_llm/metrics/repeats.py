"""Several answers to one question: averaged per instance first, then compared across instances.

Per instance, p is the share of old's answers that are right and q that of new's. An instance regresses
*reliably* when an exact test tells its two shares apart, whatever the model's luck from draw to draw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.clusters import difference_estimate, rate_estimate
from muscle_llm.metrics.estimate import Estimate, undefined

__all__ = [
    "benjamini_hochberg",
    "excess_over_repeats",
    "excess_per_instance",
    "fisher_worse",
    "noise_floor",
    "pair_cells",
    "reliable_flips",
    "share_right",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.integer]

_ROUNDING = 1e-9


def share_right(right: Bools, valid: Bools, instance: Codes, n: int) -> tuple[Floats, Floats]:
    """Return per instance the number of right answers and of judged answers.

    Args:
        right: shape (R,), whether an answer is right.
        valid: shape (R,), whether it was judged at all.
        instance: shape (R,), its instance, 0 <= instance < n.
        n: number of instances N.

    Example:
        >>> hits, tries = share_right(np.array([True, False, True]), np.ones(3, bool), np.array([0, 0, 1]), 2)
        >>> hits.tolist(), tries.tolist()
        ([1.0, 1.0], [2.0, 1.0])
    """
    tries = np.bincount(instance, weights=valid, minlength=n)
    hits = np.bincount(instance, weights=right & valid, minlength=n)
    return hits.astype(float), tries.astype(float)


def pair_cells(
    instance: Codes,
    n: int,
    right: tuple[Bools, Bools],
    valid: tuple[Bools, Bools],
    answers: tuple[Codes, Codes] | None,
) -> Floats:
    """Return per instance the number of pairs (one answer of old, one of new) in each of the eight joint
    cells.

    Whole numbers rather than shares, so that sums of cells are exact: three thirds are one.

    Args:
        instance: shape (R,), the instance of each row; the rows of both versions are the same.
        n: number of instances N.
        right: per version, shape (R,), whether the row's answer is right.
        valid: per version, shape (R,), whether it was judged.
        answers: per version, shape (R,), the answer as a number, equal numbers for equal answers; ``None``:
            unknown.

    Returns:
        Shape (N, 8), index 4 old right + 2 new right + same answer, whole numbers; all 0 for an instance
        that one version has no judged answer to.

    Example:
        >>> one = np.array([True, True])
        >>> pair_cells(np.array([0, 0]), 1, (one, np.array([True, False])), (one, one), None).tolist()
        [[0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0, 0.0]]
    """
    hits_old, tries_old = share_right(right[0], valid[0], instance, n)
    hits_new, tries_new = share_right(right[1], valid[1], instance, n)
    by_right = ((tries_old - hits_old, tries_new - hits_new), (hits_old, hits_new))
    cells = np.zeros((n, 8))
    same = _same_pairs(instance, n, right, valid, answers) if answers is not None else None
    for old in (0, 1):
        for new in (0, 1):
            equal = 0.0 if same is None else same[old, new]
            cells[:, 4 * old + 2 * new] = by_right[old][0] * by_right[new][1] - equal
            cells[:, 4 * old + 2 * new + 1] = equal
    return cells


def _same_pairs(
    instance: Codes,
    n: int,
    right: tuple[Bools, Bools],
    valid: tuple[Bools, Bools],
    answers: tuple[Codes, Codes],
) -> Floats:
    """Return, by (old right, new right, instance), the number of pairs with the same answer."""
    span = 1 + max(int(a.max(initial=0)) for a in answers)
    keys = [instance.astype(np.int64) * span + a for a in answers]
    groups, position = np.unique(np.concatenate(keys), return_inverse=True)
    places = np.split(position, 2)
    owner = groups // span
    same = np.zeros((2, 2, n))
    counts = [
        [
            np.bincount(places[v], weights=valid[v] & (right[v] == bool(r)), minlength=groups.size)
            for r in (0, 1)
        ]
        for v in (0, 1)
    ]
    for old in (0, 1):
        for new in (0, 1):
            same[old, new] = np.bincount(owner, weights=counts[0][old] * counts[1][new], minlength=n)
    return same


def noise_floor(
    hits: Floats, tries: Floats, clusters: Codes | None = None, confidence: float = 0.95
) -> Estimate:
    """Return the nfr expected between two independent draws of one version: flips without any update.

    Formula: mean p(1-p) K/(K-1) over the instances with at least two answers (unbiased). An instance adds at
    most 1/2, so that the interval is half that of a rate.

    Args:
        hits: shape (N,), right answers per instance.
        tries: shape (N,), answers per instance.
        clusters: shape (N,) or ``None``.
        confidence: level in (0, 1).

    Example:
        >>> noise_floor(np.array([1.0, 2.0]), np.array([2.0, 2.0])).value
        0.25

    Source: the unbiased estimate of a Bernoulli variance; its use as a floor of flips is this project's.
    """
    enough = tries >= 2
    if not enough.any():
        return undefined("no instance has two answers of old")
    hits, tries = hits[enough], tries[enough]
    twice = 2 * (hits / tries) * ((tries - hits) / (tries - 1))
    rate = rate_estimate(twice, None if clusters is None else clusters[enough], confidence)
    return Estimate(rate.value / 2, rate.low / 2, rate.high / 2)


def excess_over_repeats(
    old: tuple[Floats, Floats],
    new: tuple[Floats, Floats],
    clusters: Codes | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return nfr minus old's own noise floor: mean p(1-q) - p(1-p) K/(K-1).

    Args:
        old: right answers and answers per instance of old, each of shape (N,).
        new: the same of new.
        clusters: shape (N,) or ``None``.
        confidence: level in (0, 1).

    Example:
        >>> right, tries = np.array([2.0, 2.0]), np.array([2.0, 2.0])
        >>> excess_over_repeats((right, tries), (np.array([0.0, 2.0]), tries)).value
        0.5
    """
    values = excess_per_instance(old, new)
    known = ~np.isnan(values)
    if not known.any():
        return undefined("no instance has two answers of old")
    return difference_estimate(values[known], None if clusters is None else clusters[known], confidence)


def excess_per_instance(old: tuple[Floats, Floats], new: tuple[Floats, Floats]) -> Floats:
    """Return p(1-q) - p(1-p) K/(K-1) per instance, shape (N,); NaN with fewer than two answers of old, or
    none of new.

    Example:
        >>> right, tries = np.array([2.0, 1.0]), np.array([2.0, 1.0])
        >>> excess_per_instance((right, tries), (np.array([0.0, 1.0]), tries)).tolist()
        [1.0, nan]
    """
    values = np.full(old[0].shape, np.nan)
    enough = (old[1] >= 2) & (new[1] >= 1)
    (hits, tries), (hits_new, tries_new) = ((x[enough] for x in side) for side in (old, new))
    # p ((1-q) - (1-p) K/(K-1)) as shares of counts: exactly 0 where the two are equal.
    values[enough] = hits / tries * ((tries_new - hits_new) / tries_new - (tries - hits) / (tries - 1))
    return values


def fisher_worse(old: tuple[Floats, Floats], new: tuple[Floats, Floats]) -> Floats:
    """Return per instance the exact one-sided p-value of "new is right less often than old".

    Fisher's test on the 2 x 2 table of right and wrong answers: given all margins, the chance that new has
    at most as many right answers as it has.

    Args:
        old: right answers and answers per instance of old, each of shape (N,), whole numbers.
        new: the same of new.

    Returns:
        Shape (N,), p in [0, 1]; 1 where a version has no answer.

    Example:
        >>> eight = np.array([8.0])
        >>> float(fisher_worse((eight, eight), (np.array([1.0]), eight))[0]) < 0.001
        True
        >>> float(fisher_worse((eight, eight), (np.array([7.0]), eight))[0])
        0.5

    Source: Fisher (1935); per-instance reliable change in language-model evaluation: arXiv 2604.27405.
    """
    from scipy.special import gammaln

    table = np.rint(np.stack([*old, *new], axis=1)).astype(np.int64)
    kinds, position = np.unique(table, axis=0, return_inverse=True)
    p = np.empty(len(kinds))
    for row, (a, k, b, m) in enumerate(kinds):
        total = a + b
        x = np.arange(max(0, total - k), b + 1)
        if k == 0 or m == 0:
            p[row] = 1.0
            continue

        def log_choose(n: int, r: NDArray[np.int64]) -> Floats:
            return gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1)

        terms = log_choose(m, x) + log_choose(k, total - x) - log_choose(k + m, np.array([total]))
        p[row] = min(1.0, float(np.exp(terms).sum()))
    return p[position.ravel()]


def benjamini_hochberg(p: Floats) -> Floats:
    """Return the adjusted p-values: calling those <= q keeps the expected share of false calls at q.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
        [0.04, 0.0533, 0.0533, 0.5]

    Source: Benjamini and Hochberg (1995), Controlling the false discovery rate.
    """
    order = np.argsort(p, kind="stable")
    ranked = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.empty_like(p, dtype=float)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(ranked[::-1])[::-1])
    return adjusted


def reliable_flips(
    old: tuple[Floats, Floats], new: tuple[Floats, Floats], q: float = 0.05
) -> tuple[Bools, Bools]:
    """Return per instance whether it is reliably worse, and whether it is reliably better.

    One-sided Fisher tests per instance, Benjamini-Hochberg at level q over the instances that both versions
    have answers to; the others are neither.

    Example:
        >>> tries = np.full(3, 8.0)
        >>> old, new = np.array([8.0, 8.0, 0.0]), np.array([1.0, 7.0, 8.0])
        >>> worse, better = reliable_flips((old, tries), (new, tries))
        >>> worse.tolist(), better.tolist()
        ([True, False, False], [False, False, True])
    """
    tested = (old[1] > 0) & (new[1] > 0)
    old, new = ((hits[tested], tries[tested]) for hits, tries in (old, new))
    worse, better = np.zeros((2, tested.size), bool)
    # p = 1/20, three of three right becoming none of three, meets q = 0.05 whatever the rounding.
    worse[tested] = benjamini_hochberg(fisher_worse(old, new)) <= q * (1 + _ROUNDING)
    better[tested] = benjamini_hochberg(fisher_worse(new, old)) <= q * (1 + _ROUNDING)
    return worse, better
