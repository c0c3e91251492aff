"""Flips: what two versions get right and wrong on the same instances.

Everything follows from eight joint counts: old right or wrong, new right or wrong, answer the same or
changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.uncertainty import bootstrap_counts, mcnemar, paired_difference, wilson

__all__ = ["JointCounts", "flip_metrics", "flip_values", "joint_codes", "joint_counts", "undefined_reason"]

Floats = NDArray[np.float64]

NO_ANSWERS = "no answers in the logs"
_ANSWERS = {
    "nfr_mc",
    "agreement",
    "churn",
    "both_right_same",
    "both_right_changed",
    "both_wrong_same",
    "both_wrong_changed",
}


@dataclass(frozen=True, slots=True)
class JointCounts:
    """Counts of instances by (old right, new right, same answer), each index 0 = no, 1 = yes.

    Attributes:
        cells: shape (2, 2, 2), or (..., 2, 2, 2) for many at once (slices, bootstrap draws).
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
    """Return the flip metrics of joint counts, elementwise over leading axes; NaN where undefined.

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
    with np.errstate(divide="ignore", invalid="ignore"):
        n = cells.sum((-3, -2, -1))
        pairs = cells.sum(-1) / n[..., None, None]
        halves = cells / n[..., None, None, None]
        old = pairs[..., 1, :].sum(-1)
        new = pairs[..., :, 1].sum(-1)
        nfr, pfr = pairs[..., 1, 0], pairs[..., 0, 1]
        agreement = halves[..., 1].sum((-2, -1))
        return {
            "accuracy_old": old,
            "accuracy_new": new,
            "accuracy_difference": pfr - nfr,
            "nfr": nfr,
            "pfr": pfr,
            "nfr_mc": halves[..., :, 0, 0].sum(-1),
            "btc": pairs[..., 1, 1] / old,
            "bec": pairs[..., 0, 0] / (pairs[..., 0, 0] + pfr),
            "agreement": agreement,
            "churn": 1 - agreement,
            "nfr_floor": np.maximum(0.0, nfr - pfr),
            "nfr_relative": nfr / (old * (nfr + pairs[..., 0, 0])),
            "both_right": pairs[..., 1, 1],
            "both_right_same": halves[..., 1, 1, 1],
            "both_right_changed": halves[..., 1, 1, 0],
            "gain": pfr,
            "both_wrong": pairs[..., 0, 0],
            "both_wrong_same": halves[..., 0, 0, 1],
            "both_wrong_changed": halves[..., 0, 0, 0],
            "regression": nfr,
        }


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
    cells = counts.cells
    values = {name: float(v) for name, v in flip_values(cells).items()}
    if counts.n == 0:
        return {name: undefined("no instances") for name in (*values, "mcnemar_p")}
    lost, gained = float(cells[1, 0].sum()), float(cells[0, 1].sum())
    bases = dict.fromkeys(values, float(counts.n))
    bases["btc"], bases["bec"] = float(cells[1].sum()), float(cells[0].sum())
    names = list(values)
    base = np.array([bases[n] for n in names])
    hits = np.nan_to_num(np.array([values[n] for n in names]) * base)
    low, high = wilson(np.clip(np.rint(hits), 0, base), base, confidence)
    bounds = {n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)}
    difference = paired_difference(gained, lost, counts.n, confidence)
    bounds["accuracy_difference"] = (float(difference[0]), float(difference[1]))
    bounds["nfr_floor"] = (max(0.0, -float(difference[1])), max(0.0, -float(difference[0])))
    relative = bootstrap_counts(
        cells,
        lambda c: {"nfr_relative": flip_values(c)["nfr_relative"]},
        confidence=confidence,
        seed=seed,
    )
    bounds.update(relative)
    if lost == 0:  # then no draw has a flip either: the rate's own interval
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = np.float64(values["accuracy_old"]) * (1 - values["accuracy_new"])
            bounds["nfr_relative"] = (0.0, float(bounds["nfr"][1] / expected))
    reasons = {name: undefined_reason(name, value, counts) for name, value in values.items()}
    metrics = {
        name: undefined(reason) if (reason := reasons[name]) else Estimate(value, *bounds[name])
        for name, value in values.items()
    }
    metrics["mcnemar_p"] = Estimate(float(mcnemar(lost, gained)))
    return metrics


def undefined_reason(name: str, value: float, counts: JointCounts) -> str | None:
    """Return why a flip metric of these counts is undefined; ``None`` where it is defined.

    Example:
        >>> undefined_reason("churn", 0.0, JointCounts(np.ones((2, 2, 2)), False))
        'no answers in the logs'
    """
    if counts.n == 0:
        return "no instances"
    if name in _ANSWERS and not counts.answers_known:
        return NO_ANSWERS
    if not math.isnan(value):
        return None
    return {
        "btc": "old has nothing right",
        "bec": "old has nothing wrong",
        "nfr_relative": "old has nothing right, or new nothing wrong",
    }.get(name, "undefined for these counts")
