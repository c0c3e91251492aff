"""Flips: what two versions get right and wrong on the same instances.

Everything follows from eight joint counts: old right or wrong, new right or wrong, answer the same or
changed. Which figures there are is said in `muscle_llm.metrics.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics import figures
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
from muscle_llm.metrics.uncertainty import bootstrap_counts, mcnemar, paired_difference, wilson, z_value

__all__ = [
    "JointCounts",
    "count_estimates",
    "flip_metrics",
    "flip_values",
    "joint_codes",
    "joint_counts",
]

Floats = NDArray[np.float64]
Bounds = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class JointCounts:
    """Counts of instances by (old right, new right, same answer), each index 0 = no, 1 = yes.

    Attributes:
        cells: shape (2, 2, 2).
        answers_known: whether the last index means anything; else all counts stand at 0.
    """

    cells: Floats
    answers_known: bool

    @property
    def n(self) -> int:
        """Number of instances."""
        return round(float(self.cells.sum()))

    def to_dict(self) -> dict[str, int | None]:
        """Return the counts by quadrant; ``None`` for the halves of a quadrant without known answers."""
        cells = np.rint(self.cells).astype(int)

        def half(old: int, new: int, same: int) -> int | None:
            return int(cells[old, new, same]) if self.answers_known else None

        return {
            "n": self.n,
            "negative_flips": int(cells[1, 0].sum()),
            "positive_flips": int(cells[0, 1].sum()),
            "both_right": int(cells[1, 1].sum()),
            "both_wrong": int(cells[0, 0].sum()),
            "both_right_same": half(1, 1, 1),
            "both_right_changed": half(1, 1, 0),
            "both_wrong_same": half(0, 0, 1),
            "both_wrong_changed": half(0, 0, 0),
            "answers_same": int(cells[..., 1].sum()) if self.answers_known else None,
            "flips_same_answer": int(cells[0, 1, 1] + cells[1, 0, 1]) if self.answers_known else None,
        }


def joint_codes(
    old: NDArray[np.bool_], new: NDArray[np.bool_], same: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Return 4 old + 2 new + same per instance: the index of its cell among the eight.

    Example:
        >>> joint_codes(np.array([True, False]), np.array([False, True]), np.array([False, True])).tolist()
        [4, 3]
    """
    code = np.left_shift(old.view(np.uint8), 2, dtype=np.uint8)
    code |= np.left_shift(new.view(np.uint8), 1, dtype=np.uint8)
    if same is not None:
        code |= same.view(np.uint8)
    return code


def joint_counts(
    old: NDArray[np.bool_], new: NDArray[np.bool_], same: NDArray[np.bool_] | None = None
) -> JointCounts:
    """Count the instances by (old right, new right, same answer).

    Args:
        old: shape (N,), whether the old version is right.
        new: shape (N,), whether the new version is right.
        same: shape (N,), whether both gave the same answer; ``None`` where answers are unknown.

    Raises:
        ValueError: the arrays differ in length.

    Example:
        >>> counts = joint_counts(np.array([True, True, False]), np.array([True, False, False]))
        >>> counts.n, counts.to_dict()["negative_flips"]
        (3, 1)
    """
    if old.shape != new.shape or (same is not None and same.shape != old.shape):
        raise ValueError("old, new and same must have the same length")
    cells = np.bincount(joint_codes(old, new, same), minlength=8).astype(float)
    return JointCounts(cells.reshape(2, 2, 2), same is not None)


def flip_values(cells: Floats) -> dict[str, Floats]:
    """Return the value of every figure (`FIGURES`), elementwise over leading axes; NaN where undefined.

    Formulas, with c, d = old, new right and a, b their answers, all means over the N instances:
    nfr = mean c(1-d); pfr = mean (1-c)d; nfr_mc = mean (1-d)1[a != b]; btc = mean(d given c=1);
    bec = mean(1-d given c=0); agreement = mean 1[a = b]; churn = 1 - agreement;
    nfr_floor = max(0, accuracy_old - accuracy_new); nfr_relative = nfr / (accuracy_old (1 - accuracy_new)).

    Args:
        cells: joint counts, shape (..., 2, 2, 2): old right, new right, same answer.

    Returns:
        Name -> value of shape (...).

    Example:
        >>> cells = joint_counts(np.array([True, True, False]), np.array([True, False, False])).cells
        >>> float(flip_values(cells)["nfr"]), float(flip_values(cells)["btc"])
        (0.333333, 0.5)

    Source: Yan et al. 2021 (arXiv 2011.09161: nfr, nfr_relative); Srivastava et al. 2020 (btc, bec);
        Echterhoff et al. 2024 (arXiv 2407.09435: nfr_mc).
    """
    return _values(dict(figures.FIGURES), cells)


def _values(chosen: dict[str, Figure], cells: Floats) -> dict[str, Floats]:
    count = _counter(cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: figure.value(lambda part: count(part) / count(ALL)) for name, figure in chosen.items()}


def _counter(cells: Floats) -> Callable[[Cells], Floats]:
    """Return the function that counts the instances in a set of cells, elementwise over leading axes."""
    flat = cells.reshape(*cells.shape[:-3], 8)
    return cache(lambda part: flat[..., sorted(part)].sum(-1))


def flip_metrics(counts: JointCounts, *, confidence: float = 0.95, seed: int = 0) -> dict[str, Estimate]:
    """Return all flip metrics with their intervals.

    Shares of all instances, and btc and bec given their conditions, have Wilson intervals; the accuracy
    difference has the paired score interval; the floor's interval is that of the accuracy difference, cut at
    0; the relative nfr has a bootstrap interval, or, where nothing flipped, that of the nfr over what
    independent errors would give. ``mcnemar_p`` is the exact one-sided p-value of "new is worse" and has no
    interval.

    Example:
        >>> counts = joint_counts(np.array([True, True, False, False]), np.array([True, False, True, False]))
        >>> metrics = flip_metrics(counts)
        >>> metrics["nfr"].value, metrics["nfr_mc"].reason
        (0.25, 'no answers in the logs')
    """
    cells, known = counts.cells, counts.answers_known
    (metrics,) = count_estimates(cells, answers_known=known, confidence=confidence)
    resampled: dict[str, Figure] = {
        name: figure
        for name, figure in figures.FIGURES.items()
        if isinstance(figure, Lift) and metrics[name].value > 0
    }
    if resampled:
        drawn = bootstrap_counts(
            cells, lambda draws: _values(resampled, draws), confidence=confidence, seed=seed
        )
        metrics.update({name: Estimate(metrics[name].value, *bounds) for name, bounds in drawn.items()})
    return metrics


def count_estimates(
    cells: Floats, *, answers_known: bool, confidence: float = 0.95
) -> list[dict[str, Estimate]]:
    """Return all flip metrics of many joint counts, with closed forms only: no bootstrap.

    As `flip_metrics`, except that a lift such as the relative nfr has the interval of its linearised
    logarithm.

    Args:
        cells: joint counts, shape (..., 2, 2, 2).
        answers_known: whether "same answer" means anything.
        confidence: level in (0, 1).

    Returns:
        One dictionary per set of counts, by the leading axes in order.

    Example:
        >>> [m["nfr"].value for m in count_estimates(np.full((2, 2, 2, 2), 5.0), answers_known=True)]
        [0.25, 0.25]
    """
    empty = np.ravel(cells.sum((-3, -2, -1)) == 0).tolist()
    bounds = _closed_forms(cells, confidence)
    columns: dict[str, list[Estimate]] = {}
    for name, values in flip_values(cells).items():
        figure = figures.FIGURES[name]
        if needs_answers(figure) and not answers_known:
            columns[name] = [undefined(NO_ANSWERS)] * len(empty)
            continue
        rows = zip(*(np.ravel(column).tolist() for column in (values, *bounds(figure))), strict=True)
        columns[name] = [undefined(figure.reason) if math.isnan(row[0]) else Estimate(*row) for row in rows]
    lost, gained = cells[..., 1, 0, :].sum(-1), cells[..., 0, 1, :].sum(-1)
    columns["mcnemar_p"] = [Estimate(p) for p in np.ravel(mcnemar(lost, gained)).tolist()]
    nothing = dict.fromkeys(columns, undefined("no instances"))
    return [
        dict(nothing) if none else dict(zip(columns, row, strict=True))
        for none, row in zip(empty, zip(*columns.values(), strict=True), strict=True)
    ]


def _closed_forms(cells: Floats, confidence: float) -> Callable[[Figure], Bounds]:
    """Return the function that gives a figure's bounds, elementwise over leading axes of the counts."""
    count = _counter(cells)
    shares = [f for f in figures.FIGURES.values() if isinstance(f, Share)]
    # All in one call: one call each takes longer than all else together.
    hits, given = (np.stack([count(f.parts[i]) for f in shares]) for i in (0, 1))
    rates = dict(zip(shares, zip(*wilson(hits, given, confidence), strict=True), strict=True))

    @cache
    def bounds(figure: Figure) -> Bounds:
        match figure:
            case Share():
                return rates.get(figure) or wilson(count(figure.hits), count(figure.given), confidence)
            case Difference():
                return paired_difference(count(figure.up), count(figure.down), count(ALL), confidence)
            case Drop():
                low, high = bounds(figure.of)
                return np.maximum(0.0, -high), np.maximum(0.0, -low)
            case Lift():
                return _lift_bounds(figure, count, bounds(figure.both)[1], confidence)

    return bounds


def _lift_bounds(
    figure: Lift, count: Callable[[Cells], Floats], both_high: Floats, confidence: float
) -> Bounds:
    """Return the interval of P(both)/(P(first) P(second)) from the variance of its logarithm, for joint
    multinomial counts; where the two never meet, from the upper bound of P(both)."""
    n = count(ALL)
    with np.errstate(divide="ignore", invalid="ignore"):
        both, a, b = (count(part) / n for part in figure.parts)
        # The influence of an instance on the logarithm is 1[both]/P(both) - 1[first]/a - 1[second]/b + 1.
        variance = both * (1 / both - 1 / a - 1 / b + 1) ** 2
        variance += (a - both) * (1 - 1 / a) ** 2 + (b - both) * (1 - 1 / b) ** 2
        variance += np.maximum(1 - a - b + both, 0)
        spread = np.exp(z_value(confidence) * np.sqrt(np.maximum(variance, 0) / n))
        lift = both / (a * b)
        none = both == 0
        return np.where(none, 0.0, lift / spread), np.where(none, both_high / (a * b), lift * spread)
