"""What every figure means, in one line: shown in the terminal, on the page and in the docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DEFINITIONS", "SMOOTH_DEFINITIONS", "Definition"]

Unit = Literal["share", "difference", "distance", "score", "ratio", "p-value", "percent"]


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric's label, meaning, unit, and which direction is good (``None``: neither)."""

    label: str
    text: str
    unit: Unit = "share"
    better: Literal["higher", "lower"] | None = None


DEFINITIONS: dict[str, Definition] = {
    "accuracy_old": Definition(
        "accuracy, old", "share of the instances the old version gets right", better="higher"
    ),
    "accuracy_new": Definition(
        "accuracy, new", "share of the instances the new version gets right", better="higher"
    ),
    "accuracy_difference": Definition(
        "accuracy difference", "accuracy of new minus accuracy of old = pfr - nfr", "difference", "higher"
    ),
    "nfr": Definition("negative flips (NFR)", "share that old gets right and new gets wrong", better="lower"),
    "pfr": Definition(
        "positive flips (PFR)", "share that old gets wrong and new gets right", better="higher"
    ),
    "nfr_mc": Definition(
        "inconsistent errors (NFR_mc)",
        "share where new is wrong with another answer than old's",
        better="lower",
    ),
    "btc": Definition(
        "backward trust compat. (BTC)",
        "share of the instances old gets right that new gets right too",
        better="higher",
    ),
    "bec": Definition(
        "backward error compat. (BEC)",
        "share of the instances old gets wrong that new gets wrong too",
    ),
    "agreement": Definition("same answer", "share of the instances with the same answer in both versions"),
    "churn": Definition("churn", "share of the instances whose answer changed", better="lower"),
    "nfr_floor": Definition(
        "minimum NFR (accuracy drop)",
        "least NFR that these accuracies allow: max(0, old - new)",
    ),
    "nfr_relative": Definition(
        "relative NFR",
        "NFR over what independent errors would give: 1 = unrelated to old's errors",
        "ratio",
        "lower",
    ),
    "mcnemar_p": Definition(
        "McNemar p, new worse", "exact one-sided p-value of: new is worse than old", "p-value"
    ),
    "both_right": Definition("both right", "share both versions get right"),
    "both_right_same": Definition("both right, same", "share both get right with the same answer"),
    "both_right_changed": Definition("both right, changed", "share both get right with different answers"),
    "gain": Definition("gain", "share that old gets wrong and new gets right", better="higher"),
    "both_wrong": Definition("both wrong", "share both versions get wrong"),
    "both_wrong_same": Definition("both wrong, same", "share both get wrong with the same answer"),
    "both_wrong_changed": Definition("both wrong, changed", "share both get wrong with different answers"),
    "regression": Definition("regression", "share that old gets right and new gets wrong", better="lower"),
    "noise_floor": Definition(
        "noise floor",
        "NFR without an update: of a re-run old version, or between draws of old",
        better="lower",
    ),
    "detectable_difference": Definition(
        "detectable difference",
        "smallest accuracy difference these instances show with 80 % power",
        "distance",
    ),
    "excess_nfr": Definition(
        "excess NFR",
        "negative flips beyond the noise floor: what the update itself broke",
        "difference",
        "lower",
    ),
    "d_nfr": Definition("change of NFR", "NFR of the candidate minus NFR of new", "difference", "lower"),
    "d_nfr_percent": Definition(
        "change of NFR, %", "100 times the change of NFR over NFR of new", "percent", "lower"
    ),
    "d_pfr": Definition("change of PFR", "PFR of the candidate minus PFR of new", "difference", "higher"),
    "d_nfr_mc": Definition(
        "change of NFR_mc", "NFR_mc of the candidate minus that of new", "difference", "lower"
    ),
    "d_accuracy": Definition(
        "change of accuracy", "accuracy of the candidate minus that of new", "difference", "higher"
    ),
}

SMOOTH_DEFINITIONS: dict[str, Definition] = {
    "mean_old": Definition("mean, old", "mean score of the old version", "score", "higher"),
    "mean_new": Definition("mean, new", "mean score of the new version", "score", "higher"),
    "mean_difference": Definition(
        "mean difference", "mean score of new minus that of old", "score", "higher"
    ),
    "pfr": Definition("improved (PFR)", "share whose score rose by more than the tolerance", better="higher"),
    "nfr": Definition("regressed (NFR)", "share whose score fell by more than the tolerance", better="lower"),
    "gain": Definition("mean gain", "mean rise among the instances that rose", "score", "higher"),
    "regress": Definition("mean regress", "mean fall among the instances that fell", "score", "lower"),
    "d_mean": Definition(
        "change of mean", "mean score of the candidate minus that of new", "score", "higher"
    ),
    "d_nfr": Definition("change of NFR", "NFR of the candidate minus NFR of new", "difference", "lower"),
    "d_nfr_percent": Definition(
        "change of NFR, %", "100 times the change of NFR over NFR of new", "percent", "lower"
    ),
    "d_pfr": Definition("change of PFR", "PFR of the candidate minus PFR of new", "difference", "higher"),
    "d_gain": Definition("change of gain", "mean gain of the candidate minus that of new", "score", "higher"),
    "d_regress": Definition(
        "change of regress", "mean regress of the candidate minus that of new", "score", "lower"
    ),
}
