"""From paired rows to counts and metrics: of two versions, and of a candidate against the new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscle_llm.comparison.views import Bools, Codes, Layout, View, answer_codes, same_answers
from muscle_llm.metrics.averaged import averaged_flip_metrics, cell_values, one_hot
from muscle_llm.metrics.clusters import cluster_standard_error
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.flips import JointCounts, flip_metrics, flip_values, joint_codes
from muscle_llm.metrics.power import detectable_difference
from muscle_llm.metrics.repeats import pair_cells, reliable_flips, share_right
from muscle_llm.metrics.smooth import smooth_metrics
from muscle_llm.metrics.uncertainty import difference_standard_error

__all__ = [
    "Joint",
    "averaged_scores",
    "flip_results",
    "joint",
    "reliable",
    "score_results",
    "usable_instances",
]

Floats = NDArray[np.float64]

NOT_GRADED = "neither correctness nor references in the logs"
REPEATED = "answers are repeated: see the accuracy difference and the reliable flips"
CLUSTERED = "instances come in clusters: see the accuracy difference"
_ROUNDING = 1e-12  # a standard error below this is one of rounding


@dataclass(frozen=True, slots=True)
class Joint:
    """Old against another version, row by row and instance by instance.

    Attributes:
        codes: shape (rows,), 4 old right + 2 other right + same answer, of all rows.
        good: shape (rows,), whether both are graded.
        answers_known: whether "same answer" means anything.
        cells: shape (instances, 8), pairs of answers in each of the eight cells, none for instances without a
            graded answer in one version; ``None`` where rows are independent instances.
    """

    codes: NDArray[np.uint8]
    good: Bools
    answers_known: bool
    cells: Floats | None

    @property
    def known(self) -> Bools:
        """Whether an instance is measured (only with ``cells``)."""
        assert self.cells is not None
        return self.cells.sum(1) > 0


def joint(old: View, other: View, layout: Layout) -> Joint | None:
    """Return the joint outcomes of old and another version; ``None`` where one is not graded at all."""
    if old.correct is None or other.correct is None:
        return None
    same = same_answers(old, other)
    codes = joint_codes(old.correct, other.correct, same)
    good = old.graded & other.graded
    cells = None
    if layout.instance is not None:
        cells = pair_cells(
            layout.instance,
            layout.n,
            (old.correct, other.correct),
            (old.graded, other.graded),
            answer_codes(old, other),
        )
    elif layout.cluster is not None:
        cells = one_hot(codes)
        cells[~good] = 0
    return Joint(codes, good, same is not None, cells)


def flip_results(
    pair: Joint | None, layout: Layout, *, confidence: float, seed: int
) -> tuple[dict[str, int | None], dict[str, Estimate]]:
    """Return counts and flip metrics of two versions, ``None`` and undefined where they are not graded."""
    if pair is None:
        names = [*flip_values(np.ones((2, 2, 2))), "mcnemar_p", "detectable_difference"]
        nothing = dict.fromkeys(JointCounts(np.zeros((2, 2, 2)), False).to_dict(), None)
        return nothing, {name: undefined(NOT_GRADED) for name in names}
    codes = pair.codes if pair.good.all() else pair.codes[pair.good]
    cells = np.bincount(codes, minlength=8).astype(float).reshape(2, 2, 2)
    counts = JointCounts(cells, pair.answers_known)
    document = dict(counts.to_dict())
    if pair.cells is None:
        metrics = flip_metrics(counts, confidence=confidence, seed=seed)
        n = max(1, counts.n)
        gained, lost = cells[0, 1].sum() / n, cells[1, 0].sum() / n
        error = float(difference_standard_error(gained, lost, n))
        metrics["detectable_difference"] = _detectable(error, None, bool(gained + lost > 0), confidence)
    else:
        known = pair.known
        shares = pair.cells[known]
        clusters = None if layout.cluster is None else layout.cluster[known]
        metrics = averaged_flip_metrics(
            shares,
            clusters,
            answers_known=pair.answers_known,
            confidence=confidence,
            seed=seed,
            reason=REPEATED if layout.instance is not None else CLUSTERED,
        )
        difference = cell_values(shares, "accuracy_new") - cell_values(shares, "accuracy_old")
        error, count = cluster_standard_error(difference, clusters)
        metrics["detectable_difference"] = _detectable(error, count, bool(difference.any()), confidence)
        document.update(n=int(known.sum()))
        if layout.instance is not None:
            document.update(rows=counts.n, repeats=layout.repeats)
        if clusters is not None:
            document.update(clusters=len(np.unique(clusters)))
    if document["n"] == 0:
        metrics["detectable_difference"] = undefined("no instances")
    return document, metrics


def _detectable(error: float, clusters: int | None, changed: bool, confidence: float) -> Estimate:
    """Return the detectable difference, or why it is not known."""
    if clusters is not None and clusters < 2:
        return undefined("a single instance or cluster does not tell how much the difference varies")
    if error < _ROUNDING:
        how = "all instances changed alike" if changed else "no instance changed"
        return undefined(f"{how}, so the spread of the difference is not known")
    smallest = detectable_difference(error, confidence, clusters=clusters)
    return Estimate(smallest) if smallest <= 1 else undefined("too few instances to show any difference")


def reliable(old: View, new: View, layout: Layout) -> tuple[Bools, Bools] | None:
    """Return per instance whether it is reliably worse and reliably better; ``None`` without repeats."""
    if layout.instance is None or old.correct is None or new.correct is None:
        return None
    sides = [
        share_right(v.correct, v.graded, layout.instance, layout.n)
        for v in (old, new)
        if v.correct is not None
    ]
    return reliable_flips(sides[0], sides[1])


def averaged_scores(v: View, name: str, layout: Layout) -> Floats:
    """Return a score per instance, the mean over its usable repeats; NaN where there is none."""
    values = np.where(v.usable, v.scores[name], np.nan)
    if layout.instance is None:
        return values
    known = ~np.isnan(values)
    sums = np.bincount(layout.instance, weights=np.where(known, values, 0.0), minlength=layout.n)
    tries = np.bincount(layout.instance, weights=known, minlength=layout.n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(tries > 0, sums / tries, np.nan)


def usable_instances(views: tuple[View, View], layout: Layout) -> Bools:
    """Return per instance whether each of two versions has a row without an error, of whichever repeat."""
    if layout.instance is None:
        return views[0].usable & views[1].usable
    usable = np.ones(layout.n, bool)
    for v in views:
        usable &= np.bincount(layout.instance, weights=v.usable, minlength=layout.n) > 0
    return usable


def score_results(
    views: tuple[View, View], layout: Layout, *, tolerance: float, confidence: float
) -> tuple[dict[str, dict[str, Estimate]], dict[str, int], dict[str, int]]:
    """Return the smooth metrics of every score both versions have, how many instances have it, and, where
    some do, how many lack it."""
    old, new = views
    results: dict[str, dict[str, Estimate]] = {}
    having: dict[str, int] = {}
    lacking: dict[str, int] = {}
    usable = usable_instances(views, layout)
    for name in [s for s in old.scores if s in new.scores]:
        sides = [averaged_scores(v, name, layout) for v in (old, new)]
        good = usable & ~np.isnan(sides[0]) & ~np.isnan(sides[1])
        having[name] = int(good.sum())
        if (count := int((usable & ~good).sum())) > 0:
            lacking[name] = count
        results[name] = smooth_metrics(
            sides[0][good],
            sides[1][good],
            tolerance=tolerance,
            confidence=confidence,
            clusters=_subset(layout.cluster, good),
        )
    return results, having, lacking


def _subset(clusters: Codes | None, good: Bools) -> Codes | None:
    return None if clusters is None else clusters[good]


def views_with_scores(views: Mapping[str, View], names: tuple[str, ...]) -> list[str]:
    """Return the scores that all the named versions have."""
    first = views[names[0]].scores
    return [s for s in first if all(s in views[n].scores for n in names)]
