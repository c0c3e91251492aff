"""A candidate against the new version: what it mends, what that costs; and the noise floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from muscle_llm.comparison.measure import Floats, Joint, averaged_scores, views_with_scores
from muscle_llm.comparison.types import AgainstNew, Role
from muscle_llm.comparison.views import Layout, View
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
from muscle_llm.metrics.repeats import excess_over_repeats, excess_per_instance, noise_floor, share_right
from muscle_llm.metrics.uncertainty import wilson

__all__ = ["against_new", "excess", "excess_values"]

NO_INSTANCES = undefined("no instances")


def against_new(
    name: str,
    views: Mapping[str, View],
    joints: Mapping[str, Joint | None],
    layout: Layout,
    *,
    tolerance: float,
    confidence: float,
) -> AgainstNew:
    """Return the candidate minus the new version, on the instances that old, new and candidate all have."""
    scores = _score_differences(name, views, layout, tolerance, confidence)
    pair, own = joints["new"], joints[name]
    if pair is None or own is None:
        names = ("d_nfr", "d_nfr_percent", "d_pfr", "d_accuracy", "d_nfr_mc")
        nothing = {n: undefined("correctness is not known in all versions") for n in names}
        return AgainstNew({}, nothing, scores)
    good = pair.good & own.good
    codes, codes_own = pair.codes[good], own.codes[good]
    old, new, candidate = codes >= 4, (codes & 2) > 0, (codes_own & 2) > 0
    counts = difference_counts(old, new, candidate)
    known = pair.answers_known and own.answers_known
    if pair.cells is None or own.cells is None:
        same = [(c & 1) > 0 if known else None for c in (codes, codes_own)]
        metrics = difference_metrics(old, new, candidate, same[0], same[1], confidence=confidence)
    else:
        both = pair.known & own.known
        metrics = averaged_difference_metrics(
            pair.cells[both],
            own.cells[both],
            None if layout.cluster is None else layout.cluster[both],
            answers_known=known,
            confidence=confidence,
        )
    return AgainstNew(counts, metrics, scores)


def _score_differences(
    name: str,
    views: Mapping[str, View],
    layout: Layout,
    tolerance: float,
    confidence: float,
) -> dict[str, Any]:
    results = {}
    names = ("old", "new", name)
    for score in views_with_scores(views, names):
        values = [averaged_scores(views[v], score, layout) for v in names]
        good = ~np.isnan(values).any(0)
        results[score] = smooth_differences(
            *(v[good] for v in values),
            tolerance=tolerance,
            confidence=confidence,
            clusters=None if layout.cluster is None else layout.cluster[good],
        )
    return results


def excess(
    kinds: Mapping[str, Role],
    views: Mapping[str, View],
    joints: Mapping[str, Joint | None],
    layout: Layout,
    confidence: float,
) -> tuple[Estimate, Estimate] | None:
    """Return the noise floor and the nfr beyond it; ``None`` where neither a re-run nor repeats measure a
    floor.

    A re-run (or re-trained) old version is preferred to repeats: it carries the noise of training as well.
    """
    pair, own = joints["new"], _rerun(kinds, joints)
    if pair is None:
        return None
    if own is not None:
        if pair.cells is None or own.cells is None:
            good = pair.good & own.good
            lost, noise = (np.isin(j.codes[good], (4, 5)) for j in (pair, own))
            low, high = wilson(noise.sum(), noise.size, confidence)
            floor = Estimate(float(noise.mean()), float(low), float(high)) if noise.size else NO_INSTANCES
            return floor, paired_indicators(lost, noise, confidence)
        both = pair.known & own.known
        clusters = None if layout.cluster is None else layout.cluster[both]
        lost, noise = (cell_values(c[both], "nfr") for c in (pair.cells, own.cells))
        return (
            rate_estimate(noise, clusters, confidence),
            difference_estimate(lost - noise, clusters, confidence),
        )
    sides = _repeated(views, layout)
    if sides is None:
        return None
    # On the same instances, so that what is measured of nfr on them is the sum of the two.
    known = ~np.isnan(excess_per_instance(*sides))
    old, new = ((hits[known], tries[known]) for hits, tries in sides)
    clusters = None if layout.cluster is None else layout.cluster[known]
    return noise_floor(*old, clusters, confidence), excess_over_repeats(old, new, clusters, confidence)


def excess_values(
    kinds: Mapping[str, Role],
    views: Mapping[str, View],
    joints: Mapping[str, Joint | None],
    layout: Layout,
) -> Floats | None:
    """Return per instance what `excess` takes the mean of: NaN where it is not measured; ``None`` without a
    floor."""
    pair, own = joints["new"], _rerun(kinds, joints)
    if pair is None:
        return None
    if own is not None:
        if pair.cells is None or own.cells is None:
            lost, noise = (np.isin(j.codes, (4, 5)).astype(float) for j in (pair, own))
            return np.where(pair.good & own.good, lost - noise, np.nan)
        return cell_values(pair.cells, "nfr") - cell_values(own.cells, "nfr")
    sides = _repeated(views, layout)
    return None if sides is None else excess_per_instance(sides[0], sides[1])


def _rerun(kinds: Mapping[str, Role], joints: Mapping[str, Joint | None]) -> Joint | None:
    found = (joints[n] for n, role in kinds.items() if role == "noise_floor")
    return next((j for j in found if j is not None), None)


def _repeated(views: Mapping[str, View], layout: Layout) -> list[tuple[Floats, Floats]] | None:
    """Return right answers and answers per instance of old and new; ``None`` without repeats."""
    old, new = views["old"], views["new"]
    if layout.instance is None or old.correct is None or new.correct is None:
        return None
    return [
        share_right(v.correct, v.graded, layout.instance, layout.n)
        for v in (old, new)
        if v.correct is not None
    ]
