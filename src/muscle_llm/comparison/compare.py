"""Compare versions: the one function the command line, the update and the page call."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from muscle_llm.comparison.against import against_new, floor_of
from muscle_llm.comparison.causes import cause_figures
from muscle_llm.comparison.figures import SEED, flip_figures, reliable, score_figures
from muscle_llm.comparison.measured import Measured, measure
from muscle_llm.comparison.notes import exclusions, grading_notes, notes
from muscle_llm.comparison.pairing import OnMismatch, pair
from muscle_llm.comparison.rows import instance_table
from muscle_llm.comparison.sentence import summarise
from muscle_llm.comparison.similarity import with_similarity
from muscle_llm.comparison.slicing import slice_figures
from muscle_llm.comparison.types import Candidate, Comparison, Role, Side
from muscle_llm.comparison.views import View
from muscle_llm.errors import InputError, did_you_mean
from muscle_llm.predictions.reading import read_predictions
from muscle_llm.predictions.schema import Predictions, Provenance

__all__ = ["compare"]


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
    roles = _check_roles(candidates, roles or {})
    _check_settings(confidence, tolerance, on_mismatch)
    sides = {"old": old, "new": new, **candidates}
    sides = {name: with_similarity(p, similarity, name) for name, p in sides.items()}
    reruns = [name for name, role in roles.items() if role == "noise_floor"]
    paired = pair(sides, on_mismatch, reruns=reruns)
    measured = measure(paired, confidence=confidence, tolerance=tolerance)
    _check_measurable(measured.views, sides)
    counts, metrics = flip_figures(measured, "new")
    counts.update(exclusions(measured))
    steady = reliable(measured)
    if steady is not None:
        counts["reliable_negative_flips"], counts["reliable_positive_flips"] = (int(x.sum()) for x in steady)
    floor = floor_of(measured, roles)
    if floor is not None:
        metrics["noise_floor"] = floor.floor
    scores = score_figures(measured, "new")
    slices, slice_warnings = slice_figures(measured, None if floor is None else floor.per_instance)
    causes, cause = cause_figures(measured)
    comparison = Comparison(
        old=Side(old_name, old.provenance),
        new=Side(new_name, new.provenance),
        confidence=confidence,
        counts=counts,
        metrics=metrics,
        instances=instance_table(measured, cause, steady),
        scores=scores.metrics,
        candidates={
            name: _candidate(measured, name, roles[name], p.provenance) for name, p in candidates.items()
        },
        task=old.provenance.task or new.provenance.task,
        excess_nfr=None if floor is None else floor.excess,
        slices=tuple(slices),
        causes=causes,
        settings={
            "confidence": confidence,
            "on_mismatch": on_mismatch,
            "tolerance": tolerance,
            "similarity": list(similarity),
            "seed": SEED,
            "repeats": measured.layout.repeats,
            "clustered": measured.layout.cluster is not None,
        },
        warnings=(
            *measured.paired.warnings,
            *notes(measured, counts, scores.lacking, roles),
            *grading_notes({name: p.provenance for name, p in sides.items()}),
            *slice_warnings,
        ),
    )
    return dataclasses.replace(comparison, sentence=summarise(comparison, scores.having))


def _as_predictions(source: Any) -> Predictions:
    return source if isinstance(source, Predictions) else read_predictions(source)


def _check_settings(confidence: float, tolerance: float, on_mismatch: str) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"the confidence must lie between 0 and 1, such as 0.95, not {confidence}.")
    if not (tolerance >= 0 and np.isfinite(tolerance)):
        raise InputError(f"the tolerance must be a number of at least 0, not {tolerance}.")
    if on_mismatch not in get_args(OnMismatch):
        raise InputError(
            f"on_mismatch is {' or '.join(map(repr, get_args(OnMismatch)))}, not {on_mismatch!r}."
        )


def _check_roles(candidates: Mapping[str, Predictions], roles: Mapping[str, str]) -> dict[str, Role]:
    """Return the role of every candidate."""
    for name in candidates:
        if name in ("old", "new") or not re.fullmatch(r"[^\x00-\x1f:]{1,80}", name):
            raise InputError(f"a candidate cannot be called {name!r}; choose another name with --name.")
    for name, role in roles.items():
        if name not in candidates:
            raise InputError(
                f"a role is given for {name!r}, which is no candidate. {did_you_mean(name, candidates)}"
            )
        if role not in get_args(Role):
            raise InputError(f"{role!r} is no role. {did_you_mean(role, get_args(Role))}")
    return {name: roles.get(name, "remedy") for name in candidates}  # pyright: ignore[reportReturnType]


def _check_measurable(views: Mapping[str, View], sides: Mapping[str, Predictions]) -> None:
    old = views["old"]
    if not (old.usable & views["new"].usable).any():
        raise InputError("no instance is left to compare: every row has an error in old or in new.")
    for name, v in views.items():
        graded = old.correct is not None and v.correct is not None
        if name != "old" and not graded and not set(old.scores) & set(v.scores):
            lacking = [n for n in ("old", name) if views[n].correct is None]
            raise InputError(
                f"{' and '.join(lacking)}: {_ungraded({sides[n].provenance.format for n in lacking})}"
            )


def _ungraded(formats: Collection[str | None]) -> str:
    """Return what is missing where nothing says right or wrong, and what to do, by the logs' formats."""
    if set(formats) <= {None, "table"}:
        return (
            "no column says which answers are right. Map correct=COLUMN, or answer=COLUMN and "
            "reference=COLUMN, or score=COLUMN, with --map."
        )
    return (
        "the log does not say which answers are right, and there is no score that old has too. Score the "
        "answers with the tool that wrote it, or choose what decides with --metric; muscle-llm inspect FILE "
        "shows what the log holds."
    )


def _candidate(measured: Measured, name: str, role: Role, provenance: Provenance) -> Candidate:
    counts, metrics = flip_figures(measured, name)
    old, own = measured.views["old"], measured.views[name]
    counts["excluded_errors"] = int((measured.paired.present[name] & ~(old.usable & own.usable)).sum())
    counts["unmatched"] = measured.paired.unmatched[name]
    scores = score_figures(measured, name).metrics
    return Candidate(name, role, provenance, counts, metrics, scores, against_new(measured, name))
