"""A candidate against the new version: what it mends, what that costs; and the noise floor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from muscle_llm.comparison.measured import Floats, Joint, Measured
from muscle_llm.comparison.types import AgainstNew, Role
from muscle_llm.metrics.averaged import cell_values
from muscle_llm.metrics.candidates import (
    averaged_difference_metrics,
    difference_counts,
    difference_metrics,
    paired_indicators,
    smooth_differences,
)
from muscle_llm.metrics.clusters import difference_estimate, rate_estimate
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.repeats import excess_over_repeats, excess_per_instance, noise_floor
from muscle_llm.metrics.uncertainty import wilson

__all__ = ["Floor", "against_new", "floor_of"]

NO_INSTANCES = undefined("no instances")


@dataclass(frozen=True, slots=True)
class Floor:
    """The noise floor of the negative flips.

    Attributes:
        floor: negative flips without an update.
        excess: the update's negative flips beyond them.
        per_instance: shape (instances,), what ``excess`` is the mean of; NaN where it is not measured.
    """

    floor: Estimate
    excess: Estimate
    per_instance: Floats


def against_new(measured: Measured, name: str) -> AgainstNew:
    """Return the candidate minus the new version, on the instances that old, new and candidate all have.

    Example:
        >>> from muscle_llm.comparison.measured import measure
        >>> from muscle_llm.comparison.pairing import pair
        >>> from muscle_llm.predictions.schema import Predictions
        >>> rights = {"old": [True, True], "new": [True, False], "remedy": [True, True]}
        >>> sides = {n: Predictions.from_columns({"id": ["a", "b"], "correct": r}) for n, r in rights.items()}
        >>> measured = measure(pair(sides), confidence=0.95, tolerance=0.0)
        >>> found = against_new(measured, "remedy")
        >>> found.counts["recovered"], found.metrics["d_nfr"].value
        (1, -0.5)
    """
    scores = _score_differences(measured, name)
    pair, own = measured.joints["new"], measured.joints[name]
    if pair is None or own is None:
        names = ("d_nfr", "d_nfr_percent", "d_pfr", "d_accuracy", "d_nfr_mc")
        nothing = {n: undefined("correctness is not known in all versions") for n in names}
        return AgainstNew({}, nothing, scores)
    good = pair.good & own.good
    codes, codes_own = pair.codes[good], own.codes[good]
    old, new, candidate = codes >= 4, (codes & 2) > 0, (codes_own & 2) > 0
    counts = difference_counts(old, new, candidate)
    known, confidence = pair.answers_known and own.answers_known, measured.confidence
    if pair.cells is None or own.cells is None:
        same = [(c & 1) > 0 if known else None for c in (codes, codes_own)]
        metrics = difference_metrics(old, new, candidate, same[0], same[1], confidence=confidence)
    else:
        both = pair.known & own.known
        metrics = averaged_difference_metrics(
            pair.cells[both],
            own.cells[both],
            measured.clusters(both),
            answers_known=known,
            confidence=confidence,
        )
    return AgainstNew(counts, metrics, scores)


def _score_differences(measured: Measured, name: str) -> dict[str, dict[str, Estimate]]:
    results = {}
    versions = ("old", "new", name)
    for score in measured.shared_scores(*versions):
        values = [measured.scores(v, score) for v in versions]
        good = np.logical_and.reduce([~np.isnan(v) for v in values])
        results[score] = smooth_differences(
            *(v[good] for v in values),
            tolerance=measured.tolerance,
            confidence=measured.confidence,
            clusters=measured.clusters(good),
        )
    return results


def floor_of(measured: Measured, roles: Mapping[str, Role]) -> Floor | None:
    """Return the noise floor, and the nfr beyond it; ``None`` where neither a re-run nor repeats measure one.

    A re-run (or re-trained) old version is preferred to repeats: it carries the noise of training as well.

    Example:
        >>> from muscle_llm.comparison.measured import measure
        >>> from muscle_llm.comparison.pairing import pair
        >>> from muscle_llm.predictions.schema import Predictions
        >>> rights = {"old": [True, True], "new": [True, False], "again": [True, True]}
        >>> sides = {n: Predictions.from_columns({"id": ["a", "b"], "correct": r}) for n, r in rights.items()}
        >>> measured = measure(pair(sides), confidence=0.95, tolerance=0.0)
        >>> floor = floor_of(measured, {"again": "noise_floor"})
        >>> floor.floor.value, floor.excess.value, floor.per_instance.tolist()
        (0.0, 0.5, [0.0, 1.0])
    """
    pair = measured.joints["new"]
    if pair is None:
        return None
    reruns = (measured.joints[n] for n, role in roles.items() if role == "noise_floor")
    own = next((j for j in reruns if j is not None), None)
    if own is not None:
        return _of_rerun(measured, pair, own)
    sides = measured.repeated()
    if sides is None:
        return None
    values = excess_per_instance(*sides)
    # On the same instances, so that what is measured of nfr on them is the sum of the two.
    known = ~np.isnan(values)
    old, new = ((hits[known], tries[known]) for hits, tries in sides)
    clusters, confidence = measured.clusters(known), measured.confidence
    return Floor(
        noise_floor(*old, clusters, confidence),
        excess_over_repeats(old, new, clusters, confidence),
        values,
    )


def _of_rerun(measured: Measured, pair: Joint, own: Joint) -> Floor:
    confidence = measured.confidence
    if pair.cells is None or own.cells is None:
        good = pair.good & own.good
        lost, noise = (np.isin(j.codes, (4, 5)) for j in (pair, own))
        values = np.where(good, lost.astype(float) - noise, np.nan)
        lost, noise = lost[good], noise[good]
        low, high = wilson(noise.sum(), noise.size, confidence)
        floor = Estimate(float(noise.mean()), float(low), float(high)) if noise.size else NO_INSTANCES
        return Floor(floor, paired_indicators(lost, noise, confidence), values)
    lost, noise = (cell_values(j.cells, "nfr") for j in (pair, own) if j.cells is not None)
    both = pair.known & own.known
    clusters = measured.clusters(both)
    return Floor(
        rate_estimate(noise[both], clusters, confidence),
        difference_estimate((lost - noise)[both], clusters, confidence),
        lost - noise,
    )
