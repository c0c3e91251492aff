"""The words of the page: each figure's meaning comes from `muscle_llm.metrics.definitions`, as in the docs.

Added here: how a figure is headed where the versions are columns, its formula, and the counts and quadrants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from muscle_llm.metrics.definitions import DEFINITIONS, SMOOTH_DEFINITIONS, Definition

__all__ = ["QUADRANTS", "SCORE_KINDS", "TERMS", "Quadrant", "Term", "Unit", "term"]

Unit = Literal["share", "points", "distance", "percent", "score", "change", "ratio", "p", "count"]

_UNITS: dict[str, Unit] = {"difference": "points", "p-value": "p"}


@dataclass(frozen=True, slots=True)
class Term:
    """One figure: its name in the JSON, how it is called, what it means.

    Attributes:
        name: key under ``metrics`` or ``counts``; smooth metrics carry ``score.`` in front.
        label: what the reader sees.
        text: the definition.
        formula: the same, exactly; c and d are the correctness of old and new, a and b their answers, s and t
            their scores, D = t - s.
        unit: how the value is written; ``share``, ``points`` and ``distance`` (points without a sign) are
            stored as 0..1, ``change`` is a score's.
    """

    name: str
    label: str
    text: str
    formula: str = ""
    unit: Unit = "share"


@dataclass(frozen=True, slots=True)
class Quadrant:
    """One of the six ways an instance can go from old to new."""

    name: str
    label: str
    text: str


# The order is the code that the page stores for each instance, and the order of the list: what broke first.
QUADRANTS: tuple[Quadrant, ...] = (
    Quadrant("regression", "Regression", "The old version has it right, the new one has it wrong."),
    Quadrant("gain", "Gain", "The old version has it wrong, the new one has it right."),
    Quadrant("both_wrong_changed", "Both wrong, changed", "Wrong before and after, with different answers."),
    Quadrant("both_wrong_same", "Both wrong, same", "Wrong before and after, with the same answer."),
    Quadrant("both_right_changed", "Both right, changed", "Right before and after, with different answers."),
    Quadrant("both_right_same", "Both right, same", "Right before and after, with the same answer."),
)

# The same where a task has no right and wrong, by its first score.
SCORE_KINDS: tuple[Quadrant, ...] = (
    Quadrant("worse", "Worse", "The score falls from the old version to the new one."),
    Quadrant("better", "Better", "The score rises from the old version to the new one."),
    Quadrant("same_score", "Same score", "Both versions have the same score."),
)

_LABELS = {
    "accuracy_new": "Accuracy",
    "accuracy_difference": "Accuracy, change from old",
    "excess_nfr": "Above the noise floor",
    "btc": "Backward trust compatibility (BTC)",
    "bec": "Backward error compatibility (BEC)",
    "score.mean_new": "Mean score",
    "score.mean_difference": "Mean change",
}

_FORMULAS = {
    "accuracy_old": "mean c",
    "accuracy_new": "mean d",
    "accuracy_difference": "mean d − mean c = PFR − NFR",
    "nfr": "mean c(1 − d)",
    "pfr": "mean (1 − c)d",
    "nfr_mc": "mean (1 − d) 1[a ≠ b]",
    "btc": "mean(d given c = 1)",
    "bec": "mean(1 − d given c = 0)",
    "agreement": "mean 1[a = b]",
    "churn": "1 − mean 1[a = b]",
    "nfr_floor": "max(0, mean c − mean d)",
    "nfr_relative": "NFR / (mean c · (1 − mean d))",
    "mcnemar_p": "P(Bin(n₋ + n₊, ½) ≥ n₋)",
    "excess_nfr": "NFR − NFR of the old re-run",
    "d_nfr": "NFR_c − NFR",
    "d_nfr_percent": "100 (NFR_c − NFR) / NFR",
    "score.mean_difference": "mean D",
    "score.pfr": "mean 1[D > ε]",
    "score.nfr": "mean 1[D < −ε]",
    "score.gain": "mean(D given D > ε)",
    "score.regress": "mean(−D given D < −ε)",
}

_COUNTS = (
    Term("recovered", "Recovered", "Negative flips of the update that this version has right again."),
    Term("newly_broken", "Newly broken", "Right in the old and the new version, wrong in this one."),
    Term("lost_gains", "Gains lost", "Gains of the update that this version has wrong again."),
    Term("new_gains", "New gains", "Wrong in the old and the new version, right in this one."),
)


def _from_definition(name: str, definition: Definition) -> Term:
    unit: Unit = _UNITS.get(definition.unit, definition.unit)  # pyright: ignore[reportAssignmentType]
    label, text = (words[:1].upper() + words[1:] for words in (definition.label, definition.text))
    signed = name.endswith("mean_difference") or (name.startswith("score.d_") and unit == "score")
    return Term(
        name, _LABELS.get(name, label), f"{text}.", _FORMULAS.get(name, ""), "change" if signed else unit
    )


TERMS: dict[str, Term] = {
    **{name: _from_definition(name, d) for name, d in DEFINITIONS.items()},
    **{f"score.{name}": _from_definition(f"score.{name}", d) for name, d in SMOOTH_DEFINITIONS.items()},
    **{t.name: Term(t.name, t.label, t.text, unit="count") for t in _COUNTS},
}


def term(name: str) -> Term:
    """Return the definition of a figure; an unknown name defines itself.

    Example:
        >>> term("nfr").formula
        'mean c(1 − d)'
        >>> term("my_own").label
        'my own'
    """
    return TERMS.get(name) or Term(name, name.replace("_", " "), "")
