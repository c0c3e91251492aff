"""Figures of a study with intervals over seeds and instances, by a hierarchical bootstrap.

Shapes: V versions, S seeds, N instances, R replicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from muscle_llm.study.results import Outcomes

__all__ = ["FIGURES", "Estimate", "Measured", "measure", "per_instance", "removed_share"]

Array = npt.NDArray[np.float64]

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
    """Return a value with the 2.5 and 97.5 percentiles of its replicates."""
    low, high = (
        np.percentile(replicates_R, [2.5, 97.5]) if np.isfinite(replicates_R).all() else (np.nan, np.nan)
    )
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
    """
    kept = outcomes.validation_N if validation else ~outcomes.validation_N
    figures = per_instance(
        outcomes.values_VSN[..., kept],
        None if outcomes.answers_VSN is None else outcomes.answers_VSN[..., kept],
        outcomes.versions.index("old"),
    )
    seeds, instances = len(outcomes.seeds), int(kept.sum())
    generator = np.random.default_rng(_seed_of(outcomes.task))
    seeds_RS = generator.multinomial(seeds, np.full(seeds, 1 / seeds), replicates) / seeds
    # 32 bits are plenty for weights, and half the memory
    instances_RN = generator.multinomial(instances, np.full(instances, 1 / instances), replicates)
    instances_NR = (instances_RN.T / instances).astype(np.float32)
    return Measured(
        outcomes,
        {name: x_VSN.mean((1, 2)) for name, x_VSN in figures.items()},
        {
            name: np.einsum("vsr,rs->vr", x_VSN.astype(np.float32) @ instances_NR, seeds_RS, optimize=True)
            for name, x_VSN in figures.items()
        },
    )


def removed_share(measured: Sequence[Measured], version: str, *, figure: str = "nfr") -> Estimate:
    """Return the share of the excess negative flips that a version removes, pooled.

    Formula: sum (NFR_new - NFR_version) / sum (NFR_new - NFR_old_rerun), over updates and tasks

    Args:
        measured: the updates and tasks to pool.
        version: a remedy or the control.
        figure: ``nfr`` or ``nfr_mc``.
    """
    removed = [m.resampled_difference(figure, "new", version) for m in measured]
    excess = [m.resampled_difference(figure, "new", "old_rerun") for m in measured]
    value = sum(r[0] for r in removed) / sum(e[0] for e in excess)
    replicates: Any = sum(r[1] for r in removed) / sum(e[1] for e in excess)
    return interval(value, replicates)


def _seed_of(task: str) -> int:
    return int.from_bytes(task.encode()[:8].ljust(8, b"\0"), "little") % 2**32
