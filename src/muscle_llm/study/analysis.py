"""Figures of a study with intervals over seeds and instances, by a hierarchical bootstrap.

Shapes: V versions, S seeds, N instances, R replicates.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from muscle_llm.errors import InputError
from muscle_llm.study.results import Outcomes
from muscle_llm.update.remedies import KINDS
from muscle_llm.update.remedies.base import RESERVED

__all__ = [
    "FIGURES",
    "Correlation",
    "Estimate",
    "Measured",
    "choose",
    "correlation",
    "measure",
    "models_at_inference",
    "per_instance",
    "pooled_difference",
    "removed_share",
    "removed_share_difference",
]

Array = npt.NDArray[np.float64]
Versions = str | Sequence[str]  # one for every update and task, or one for each

FIGURES = ("accuracy", "nfr", "pfr", "nfr_mc")
_REPLICATES = 2000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """One task of one update, measured and resampled.

    Args:
        outcomes: what was measured.
        means: figure -> (V,) means over seeds and instances.
        replicates: figure -> (V, R) the same for resampled seeds and instances.
    """

    outcomes: Outcomes
    means: Mapping[str, Array]
    replicates: Mapping[str, Array]

    def place(self, version: str) -> int:
        """Return where a version stands."""
        return self.outcomes.versions.index(version)

    def estimate(self, figure: str, version: str) -> Estimate:
        """Return a figure of a version."""
        v = self.place(version)
        return interval(self.means[figure][v], self.replicates[figure][v])

    def difference(self, figure: str, version: str, other: str) -> Estimate:
        """Return how much higher a figure of one version is than another's, paired."""
        return interval(*self.resampled_difference(figure, version, other))

    def resampled_difference(self, figure: str, version: str, other: str) -> tuple[float, Array]:
        """Return the difference and its replicates (R,)."""
        v, w = self.place(version), self.place(other)
        means, replicates = self.means[figure], self.replicates[figure]
        return float(means[v] - means[w]), replicates[v] - replicates[w]


def interval(value: float, replicates_R: Array) -> Estimate:
    """Return a value with the 2.5 and 97.5 percentiles of its replicates; NaN where too few are defined.

    Undefined replicates, at most 2.5 %, count as lying outside on both sides.
    """
    undefined = float(np.mean(~np.isfinite(replicates_R)))
    if undefined >= 0.025:
        return Estimate(float(value), float("nan"), float("nan"))
    low = np.quantile(np.where(np.isfinite(replicates_R), replicates_R, -np.inf), 0.025, method="nearest")
    high = np.quantile(np.where(np.isfinite(replicates_R), replicates_R, np.inf), 0.975, method="nearest")
    return Estimate(float(value), float(low), float(high))


def per_instance(values_VSN: Array, answers_VSN: Array | None, old: int) -> dict[str, Array]:
    """Return every figure per version, seed and instance; its mean is the figure.

    Formula: nfr = 1[old right, version wrong], pfr its mirror; for scores 1[version < old] and
    1[version > old]. nfr_mc = 1[version wrong, answers differ]; undefined for scores.

    Args:
        values_VSN: right (1) or wrong (0), or scores.
        answers_VSN: a number per different answer; None for scores.
        old: where the old version stands; seed by seed it is the others' reference.

    Example:
        >>> values = np.array([[[1.0, 0.0]], [[0.0, 0.0]]])
        >>> answers = np.array([[[0, 0]], [[1, 2]]])
        >>> found = per_instance(values, answers, old=0)
        >>> found["nfr"][1].tolist(), found["nfr_mc"][1].tolist()
        ([[1.0, 0.0]], [[1.0, 1.0]])
    """
    base = values_VSN[old][None]
    found = {
        "accuracy": values_VSN,
        "nfr": (values_VSN < base).astype(float),
        "pfr": (values_VSN > base).astype(float),
    }
    if answers_VSN is not None:
        changed = answers_VSN != answers_VSN[old][None]
        found["nfr_mc"] = ((values_VSN == 0) & changed).astype(float)
    return found


def measure(outcomes: Outcomes, *, validation: bool = False, replicates: int = _REPLICATES) -> Measured:
    """Measure every version of one task of one update.

    Seeds and instances are drawn anew with replacement, each independently of the other: every version and
    every update of a task sees the same draws, so that differences are paired. A version of
    one seed is only ever held against the old one of the same seed.

    Args:
        outcomes: from :func:`muscle_llm.study.results.read_outcomes`.
        validation: the part that remedies are chosen on, in place of the part that is reported.
        replicates: R.

    Raises:
        InputError: that part has no instances.
    """
    kept = outcomes.validation_N if validation else ~outcomes.validation_N
    if not kept.any():
        part = "validation" if validation else "test"
        raise InputError(
            f"task '{outcomes.task}' has no instances in its {part} part: "
            "change 'validation_share' of the study."
        )
    figures = per_instance(
        outcomes.values_VSN[..., kept],
        None if outcomes.answers_VSN is None else outcomes.answers_VSN[..., kept],
        outcomes.versions.index("old"),
    )
    seeds, instances = len(outcomes.seeds), int(kept.sum())
    # A stream each: updates with fewer seeds still see the same instances drawn.
    of_seeds, of_instances = (np.random.default_rng([_seed_of(outcomes.task), k]) for k in range(2))
    seeds_RS = of_seeds.multinomial(seeds, np.full(seeds, 1 / seeds), replicates) / seeds
    instances_RN = of_instances.multinomial(instances, np.full(instances, 1 / instances), replicates)
    # 32 bits are plenty for weights, and half the memory
    instances_NR = (instances_RN.T / instances).astype(np.float32)
    return Measured(
        outcomes,
        {name: x_VSN.mean((1, 2)) for name, x_VSN in figures.items()},
        {
            name: np.einsum("vsr,rs->vr", x_VSN.astype(np.float32) @ instances_NR, seeds_RS, optimize=True)
            for name, x_VSN in figures.items()
        },
    )


def removed_share(measured: Sequence[Measured], version: Versions, *, figure: str = "nfr") -> Estimate:
    """Return the share of the excess negative flips that a version removes, pooled.

    Formula: sum (NFR_new - NFR_version) / sum (NFR_new - NFR_old_rerun), over updates and tasks

    It is NaN where there is no excess; its interval is NaN where that of the excess reaches 0.

    Args:
        measured: the updates and tasks to pool.
        version: a remedy or the control; or one for each update and task.
        figure: ``nfr`` or ``nfr_mc``.
    """
    return removed_share_difference(measured, version, "new", figure=figure)


def removed_share_difference(
    measured: Sequence[Measured], version: Versions, other: Versions, *, figure: str = "nfr"
) -> Estimate:
    """Return how much more of the excess negative flips one version removes than another, paired and pooled.

    Formula: sum (NFR_other - NFR_version) / sum (NFR_new - NFR_old_rerun), over updates and tasks

    Undefined as :func:`removed_share` is.

    Args:
        measured: the updates and tasks to pool; each has both versions.
        version: what is judged.
        other: what it is held against, such as ``continued``.
        figure: ``nfr`` or ``nfr_mc``.
    """
    more, more_R = _summed(measured, figure, other, version)
    excess, excess_R = _summed(measured, figure, "new", "old_rerun")
    if not excess > 0:
        return Estimate(np.nan, np.nan, np.nan)
    if not np.percentile(excess_R, 2.5) > 0:
        return Estimate(more / excess, np.nan, np.nan)
    return interval(more / excess, more_R / np.where(excess_R > 0, excess_R, np.nan))


def pooled_difference(
    measured: Sequence[Measured], figure: str, version: Versions, other: Versions
) -> Estimate:
    """Return how much higher a figure of one version is than another's, mean over updates and tasks.

    Formula: mean (figure_version - figure_other), over updates and tasks, each counting alike

    Args:
        measured: the updates and tasks to pool; each has both versions.
        figure: one of `FIGURES`.
        version: what is judged.
        other: what it is held against.
    """
    total, total_R = _summed(measured, figure, version, other)
    return interval(total / len(measured), total_R / len(measured))


def models_at_inference(role: str) -> int:
    """Return how many models answer, by a version's role.

    Example:
        >>> models_at_inference("continued"), models_at_inference("ensemble")
        (1, 2)
    """
    return KINDS[role].models_at_inference if role in KINDS else 1


def choose(outcomes: Outcomes, *, accuracy_loss: float = 0.0) -> str | None:
    """Return the remedy that the validation part prefers, None where none qualifies.

    Of the remedies that cost one model at inference and whose accuracy there is at most ``accuracy_loss``
    (0..1) below the new model's, the one with the fewest negative flips; then the one of higher accuracy.
    """
    found = measure(outcomes, validation=True, replicates=1).means
    least = found["accuracy"][outcomes.versions.index("new")] - accuracy_loss - 1e-12
    places = [
        v
        for v, (name, role) in enumerate(zip(outcomes.versions, outcomes.roles_V, strict=True))
        if name not in RESERVED and models_at_inference(role) == 1 and found["accuracy"][v] >= least
    ]
    if not places:
        return None
    return outcomes.versions[min(places, key=lambda v: (found["nfr"][v], -found["accuracy"][v]))]


@dataclass(frozen=True)
class Correlation:
    """How two figures go together over points: Pearson's r, Spearman's rho, and how many points."""

    pearson: float
    spearman: float
    points: int


def correlation(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Return the correlation of two figures, NaN for fewer than three points or where one is constant.

    Example:
        >>> correlation([1, 2, 3], [1, 4, 9])
        Correlation(pearson=0.989..., spearman=1.0, points=3)
    """
    return Correlation(_pearson(x, y), _pearson(rankdata(x), rankdata(y)), len(x))


def _pearson(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))


def _summed(
    measured: Sequence[Measured], figure: str, version: Versions, other: Versions
) -> tuple[float, Array]:
    """Return the sum of the differences and its replicates (R,)."""
    pairs = zip(measured, _for_each(measured, version), _for_each(measured, other), strict=True)
    found = [m.resampled_difference(figure, v, w) for m, v, w in pairs]
    return sum(f[0] for f in found), np.sum([f[1] for f in found], axis=0)


def _for_each(measured: Sequence[Measured], version: Versions) -> Sequence[str]:
    return [version] * len(measured) if isinstance(version, str) else version


def _seed_of(task: str) -> int:
    return zlib.crc32(task.encode())
