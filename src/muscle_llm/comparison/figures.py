"""The figures of old against one version: counts, flip metrics, scores, reliable flips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from muscle_llm.comparison.measured import Joint, Measured
from muscle_llm.comparison.views import Bools
from muscle_llm.metrics.averaged import averaged_flip_metrics, cell_values
from muscle_llm.metrics.clusters import cluster_standard_error
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.flips import JointCounts, flip_metrics, flip_values
from muscle_llm.metrics.power import detectable_difference
from muscle_llm.metrics.repeats import reliable_flips
from muscle_llm.metrics.smooth import smooth_metrics
from muscle_llm.metrics.uncertainty import difference_standard_error

__all__ = ["SEED", "ScoreFigures", "flip_figures", "reliable", "score_figures"]

SEED = 0  # of every bootstrap

NOT_GRADED = "neither correctness nor references in the logs"
REPEATED = "answers are repeated: see the accuracy difference and the reliable flips"
CLUSTERED = "instances come in clusters: see the accuracy difference"
_ROUNDING = 1e-12  # a standard error below this is one of rounding


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """The smooth metrics by score.

    Attributes:
        metrics: score -> its metrics.
        having: score -> number of instances that have it in both versions.
        lacking: score -> number of usable instances that do not, where there are any.
    """

    metrics: dict[str, dict[str, Estimate]]
    having: dict[str, int]
    lacking: dict[str, int]


def flip_figures(measured: Measured, version: str) -> tuple[dict[str, int | None], dict[str, Estimate]]:
    """Return counts and flip metrics of old and a version: ``None`` and undefined where they are not graded.

    Example:
        >>> from muscle_llm.comparison.measured import measure
        >>> from muscle_llm.comparison.pairing import pair
        >>> from muscle_llm.predictions.schema import Predictions
        >>> rights = {"old": [True, True], "new": [True, False]}
        >>> sides = {n: Predictions.from_columns({"id": ["a", "b"], "correct": r}) for n, r in rights.items()}
        >>> measured = measure(pair(sides), confidence=0.95, tolerance=0.0)
        >>> counts, metrics = flip_figures(measured, "new")
        >>> counts["negative_flips"], metrics["nfr"].value
        (1, 0.5)
    """
    pair = measured.joints[version]
    if pair is None:
        names = [*flip_values(np.ones((2, 2, 2))), "mcnemar_p", "detectable_difference"]
        nothing = dict.fromkeys(JointCounts(np.zeros((2, 2, 2)), False).to_dict(), None)
        counts = {**nothing, "n": int(measured.usable(version).sum())}
        return counts, {name: undefined(NOT_GRADED) for name in names}
    codes = pair.codes if pair.good.all() else pair.codes[pair.good]
    cells = np.bincount(codes, minlength=8).astype(float).reshape(2, 2, 2)
    joint = JointCounts(cells, pair.answers_known)
    if pair.cells is None:
        counts, metrics = dict(joint.to_dict()), _of_counts(joint, measured.confidence)
    else:
        counts, metrics = _of_cells(pair, joint, measured)
    if counts["n"] == 0:
        metrics["detectable_difference"] = undefined("no instances")
    return counts, metrics


def _of_counts(counts: JointCounts, confidence: float) -> dict[str, Estimate]:
    """Return the metrics of independent instances with one answer each."""
    metrics = flip_metrics(counts, confidence=confidence, seed=SEED)
    n = max(1, counts.n)
    gained, lost = counts.cells[0, 1].sum() / n, counts.cells[1, 0].sum() / n
    error = float(difference_standard_error(gained, lost, n))
    metrics["detectable_difference"] = _detectable(error, None, bool(gained + lost > 0), confidence)
    return metrics


def _of_cells(
    pair: Joint, counts: JointCounts, measured: Measured
) -> tuple[dict[str, int | None], dict[str, Estimate]]:
    """Return counts and metrics where answers are repeated or instances come in clusters."""
    assert pair.cells is not None
    known, shape, confidence = pair.known, measured.layout, measured.confidence
    shares, clusters = pair.cells[known], measured.clusters(known)
    metrics = averaged_flip_metrics(
        shares,
        clusters,
        answers_known=pair.answers_known,
        confidence=confidence,
        seed=SEED,
        reason=REPEATED if shape.instance is not None else CLUSTERED,
    )
    difference = cell_values(shares, "accuracy_new") - cell_values(shares, "accuracy_old")
    error, count = cluster_standard_error(difference, clusters)
    metrics["detectable_difference"] = _detectable(error, count, bool(difference.any()), confidence)
    document: dict[str, int | None] = {**counts.to_dict(), "n": int(known.sum())}
    if shape.instance is not None:
        document.update(rows=counts.n, repeats=shape.repeats)
    if clusters is not None:
        document.update(clusters=len(np.unique(clusters)))
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


def reliable(measured: Measured) -> tuple[Bools, Bools] | None:
    """Return per instance whether new is reliably worse and reliably better; ``None`` without repeats."""
    sides = measured.repeated()
    return None if sides is None else reliable_flips(*sides)


def score_figures(measured: Measured, version: str) -> ScoreFigures:
    """Return the smooth metrics of every score that old and the version have.

    Example:
        >>> from muscle_llm.comparison.measured import measure
        >>> from muscle_llm.comparison.pairing import pair
        >>> from muscle_llm.predictions.schema import Predictions
        >>> rights = {"old": [True, True], "new": [True, False]}
        >>> sides = {
        ...     n: Predictions.from_columns(
        ...         {"id": ["a", "b"], "correct": r, "scores": [{"f1": 1.0 * x} for x in r]}
        ...     )
        ...     for n, r in rights.items()
        ... }
        >>> measured = measure(pair(sides), confidence=0.95, tolerance=0.0)
        >>> score_figures(measured, "new").metrics["f1"]["mean_difference"].value
        -0.5
    """
    found = ScoreFigures({}, {}, {})
    usable = measured.usable(version)
    for name in measured.shared_scores("old", version):
        old, other = (measured.scores(v, name) for v in ("old", version))
        good = usable & ~np.isnan(old) & ~np.isnan(other)
        found.having[name] = int(good.sum())
        if (count := int((usable & ~good).sum())) > 0:
            found.lacking[name] = count
        found.metrics[name] = smooth_metrics(
            old[good],
            other[good],
            tolerance=measured.tolerance,
            confidence=measured.confidence,
            clusters=measured.clusters(good),
        )
    return found
