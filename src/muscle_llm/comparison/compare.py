"""Compare versions: the one function the command line, the update and the page call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from muscle_llm.comparison.against import against_new, excess, excess_values
from muscle_llm.comparison.causes import cause_results
from muscle_llm.comparison.measure import (
    Joint,
    flip_results,
    joint,
    reliable,
    score_results,
    usable_instances,
)
from muscle_llm.comparison.notes import exclusions, notes
from muscle_llm.comparison.pairing import OnMismatch, Paired, pair
from muscle_llm.comparison.rows import instance_table
from muscle_llm.comparison.sentence import summarise
from muscle_llm.comparison.similarity import with_similarity
from muscle_llm.comparison.slicing import slice_documents
from muscle_llm.comparison.types import Candidate, Comparison, Role, Side
from muscle_llm.comparison.views import Layout, View, layout, view
from muscle_llm.errors import InputError, did_you_mean
from muscle_llm.predictions.reading import read_predictions
from muscle_llm.predictions.schema import Predictions

__all__ = ["compare"]

SEED = 0


def compare(
    old: Predictions | Any,
    new: Predictions | Any,
    candidates: Mapping[str, Predictions | Any] | None = None,
    *,
    roles: Mapping[str, str] | None = None,
    old_name: str = "old",
    new_name: str = "new",
    confidence: float = 0.95,
    on_mismatch: OnMismatch = "error",
    tolerance: float = 0.0,
    similarity: Sequence[str] = (),
) -> Comparison:
    """Compare two versions on the same instances, and any candidates with both.

    Args:
        old: predictions of the version users have; also anything `read_predictions` reads with obvious
            names: a path, a pandas or polars frame, a list of dicts.
        new: predictions of the version that replaces it.
        candidates: name -> predictions of further versions, such as remedies and controls.
        roles: candidate name -> ``"remedy"`` (the default), ``"control"`` or ``"noise_floor"`` (a re-run or
            re-trained old version: its flips against old are noise, and `excess_nfr` is what exceeds them).
        old_name: name shown for old.
        new_name: name shown for new.
        confidence: level of all intervals, in (0, 1).
        on_mismatch: ``"error"`` refuses versions that do not answer the same questions; ``"intersect"`` goes
            on with what they share.
        tolerance: a change of a score by at most this much is no flip (>= 0).
        similarity: similarities of answer and reference to compute as scores, such as ``rouge1``.

    Raises:
        ComparabilityError: the versions do not answer the same questions; says which and how many.
        InputError: an argument is out of range, or the logs hold neither correctness nor scores.

    Example:
        >>> a = Predictions.from_columns({"id": ["1", "2", "3"], "correct": [True, True, False]})
        >>> b = Predictions.from_columns({"id": ["1", "2", "3"], "correct": [True, False, False]})
        >>> result = compare(a, b)
        >>> result.counts["negative_flips"], result.metrics["nfr"].value
        (1, 0.333333)
    """
    old, new = _as_predictions(old), _as_predictions(new)
    candidates = {name: _as_predictions(c) for name, c in (candidates or {}).items()}
    sides = {"old": old, "new": new, **candidates}
    sides = {name: with_similarity(p, similarity, name) for name, p in sides.items()}
    kinds = _check_arguments(candidates, dict(roles or {}), confidence, tolerance)
    paired = pair(sides, on_mismatch)
    views = {name: view(table, paired.present.get(name)) for name, table in paired.tables.items()}
    _check_measurable(views)
    shape = layout(paired.tables["old"], paired.tables["new"])
    joints = {name: joint(views["old"], v, shape) for name, v in views.items() if name != "old"}
    own: dict[str, Any] = {"confidence": confidence, "seed": SEED}
    smooth: dict[str, Any] = {"tolerance": tolerance, "confidence": confidence}
    counts, metrics = flip_results(joints["new"], shape, **own)
    counts.update(exclusions(views["old"], views["new"], paired))
    if counts["n"] is None:
        counts["n"] = int(usable_instances((views["old"], views["new"]), shape).sum())
    steady = reliable(views["old"], views["new"], shape)
    if steady is not None:
        counts["reliable_negative_flips"], counts["reliable_positive_flips"] = (int(x.sum()) for x in steady)
    scores, scored, lacking = score_results((views["old"], views["new"]), shape, **smooth)
    floor = excess(kinds, views, joints, shape, confidence)
    if floor is not None:
        metrics["noise_floor"] = floor[0]
    reruns = [n for n, role in kinds.items() if role == "noise_floor"]
    beyond = None if floor is None else excess_values(kinds, views, joints, shape)
    sliced, slice_warnings = slice_documents(
        _with_slices(paired), views, joints["new"], shape, tolerance=tolerance, excess=beyond, **own
    )
    causes, cause = cause_results(paired.tables, views, joints["new"], shape)
    results = {
        name: _candidate(name, kinds[name], candidates[name], views, joints, paired, shape, own, smooth)
        for name in candidates
    }
    document: dict[str, Any] = {
        "old": Side(old_name, old.provenance),
        "new": Side(new_name, new.provenance),
        "confidence": confidence,
        "counts": counts,
        "metrics": metrics,
        "instances": instance_table(paired.tables, views, joints["new"], shape, cause, steady),
        "scores": scores,
        "candidates": results,
        "task": old.provenance.task or new.provenance.task,
        "excess_nfr": None if floor is None else floor[1],
        "slices": tuple(sliced),
        "causes": causes,
        "settings": {
            "confidence": confidence,
            "on_mismatch": on_mismatch,
            "tolerance": tolerance,
            "similarity": list(similarity),
            "seed": SEED,
            "repeats": shape.repeats,
            "clustered": shape.cluster is not None,
        },
        "warnings": (*paired.warnings, *notes(counts, lacking, views, reruns), *slice_warnings),
    }
    return Comparison(**document, sentence=summarise(document, scored))


def _as_predictions(source: Any) -> Predictions:
    return source if isinstance(source, Predictions) else read_predictions(source)


def _with_slices(paired: Paired) -> Any:
    """Return the first of old and new whose rows carry slices."""
    tables = [paired.tables[v] for v in ("old", "new")]
    return next((t for t in tables if "slices" in t.column_names), tables[0])


def _check_arguments(
    candidates: Mapping[str, Predictions], roles: Mapping[str, str], confidence: float, tolerance: float
) -> dict[str, Role]:
    if not 0 < confidence < 1:
        raise InputError(f"the confidence must lie between 0 and 1, such as 0.95, not {confidence}.")
    if not (tolerance >= 0 and np.isfinite(tolerance)):
        raise InputError(f"the tolerance must be a number of at least 0, not {tolerance}.")
    for name in candidates:
        if name in ("old", "new") or not re.fullmatch(r"[^\x00-\x1f:]{1,80}", name):
            raise InputError(f"a candidate cannot be called {name!r}; choose another name with --name.")
    for name, role in roles.items():
        if name not in candidates:
            raise InputError(
                f"a role is given for {name!r}, which is no candidate. {did_you_mean(name, candidates)}"
            )
        if role not in get_args(Role):
            raise InputError(f"{role!r} is no role of a candidate. {did_you_mean(role, get_args(Role))}")
    return {name: roles.get(name, "remedy") for name in candidates}  # pyright: ignore[reportReturnType]


def _check_measurable(views: Mapping[str, View]) -> None:
    old, new = views["old"], views["new"]
    for name, v in views.items():
        graded = old.correct is not None and v.correct is not None
        if name != "old" and not graded and not set(old.scores) & set(v.scores):
            lacking = [n for n in ("old", name) if views[n].correct is None]
            raise InputError(
                f"{' and '.join(lacking)}: nothing tells which answers are right. Map correct=COLUMN, or "
                "answer=COLUMN and reference=COLUMN, or score=COLUMN, with --map."
            )
    if not (old.usable & new.usable).any():
        raise InputError("no instance is left to compare: every row has an error in old or in new.")


def _candidate(
    name: str,
    role: Role,
    predictions: Predictions,
    views: Mapping[str, View],
    joints: Mapping[str, Joint | None],
    paired: Paired,
    shape: Layout,
    own: Mapping[str, Any],
    smooth: Mapping[str, Any],
) -> Candidate:
    old, candidate = views["old"], views[name]
    counts, metrics = flip_results(joints[name], shape, **own)
    if counts["n"] is None:
        counts["n"] = int(usable_instances((old, candidate), shape).sum())
    counts["excluded_errors"] = int((paired.present[name] & ~(old.usable & candidate.usable)).sum())
    counts["unmatched"] = paired.unmatched[name]
    scores, _, _ = score_results((old, candidate), shape, **smooth)
    against = against_new(name, views, joints, shape, **smooth)
    return Candidate(name, role, predictions.provenance, counts, metrics, scores, against)
