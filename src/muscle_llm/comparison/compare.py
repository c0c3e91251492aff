"""Compare versions: the one function the command line, the update and the page call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from muscle_llm.comparison.measure import (
    Column,
    View,
    flips_between,
    same_answers,
    scores_between,
    view,
)
from muscle_llm.comparison.pairing import OnMismatch, Paired, pair
from muscle_llm.comparison.sentence import summarise
from muscle_llm.comparison.types import QUADRANTS, AgainstNew, Candidate, Comparison, Role, Side
from muscle_llm.errors import InputError, did_you_mean
from muscle_llm.metrics.candidates import (
    difference_counts,
    difference_metrics,
    paired_indicators,
    smooth_differences,
)
from muscle_llm.metrics.estimate import undefined
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.schema import Predictions

__all__ = ["compare"]

SEED = 0


def compare(
    old: Predictions,
    new: Predictions,
    candidates: Mapping[str, Predictions] | None = None,
    *,
    roles: Mapping[str, str] | None = None,
    old_name: str = "old",
    new_name: str = "new",
    confidence: float = 0.95,
    on_mismatch: OnMismatch = "error",
    tolerance: float = 0.0,
) -> Comparison:
    """Compare two versions on the same instances, and any candidates with both.

    Args:
        old: predictions of the version users have.
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
    candidates = dict(candidates or {})
    kinds = _check_arguments(candidates, dict(roles or {}), confidence, tolerance)
    paired = pair({"old": old, "new": new, **candidates}, on_mismatch)
    views = {name: view(table, paired.present.get(name)) for name, table in paired.tables.items()}
    _check_measurable(views)
    same = {name: same_answers(views["old"], v) for name, v in views.items() if name != "old"}
    counts, metrics = flips_between(views["old"], views["new"], same["new"], confidence=confidence, seed=SEED)
    counts.update(_exclusions(views["old"], views["new"], paired))
    scores, lacking = scores_between(views["old"], views["new"], tolerance=tolerance, confidence=confidence)
    results = {
        name: _candidate(name, kinds[name], candidates[name], views, same, paired, confidence, tolerance)
        for name in candidates
    }
    document: dict[str, Any] = {
        "old": Side(old_name, old.provenance),
        "new": Side(new_name, new.provenance),
        "confidence": confidence,
        "counts": counts,
        "metrics": metrics,
        "instances": _instances(paired, views, same["new"]),
        "scores": scores,
        "candidates": results,
        "task": old.provenance.task or new.provenance.task,
        "excess_nfr": _excess(kinds, views, confidence),
        "settings": {
            "confidence": confidence,
            "on_mismatch": on_mismatch,
            "tolerance": tolerance,
            "seed": SEED,
        },
        "warnings": (*paired.warnings, *_notes(counts, lacking, views)),
    }
    return Comparison(**document, sentence=summarise(document))


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


def _exclusions(old: View, new: View, paired: Paired) -> dict[str, int | None]:
    return {
        "paired": paired.n,
        "excluded_errors": int((~(old.usable & new.usable)).sum()),
        "errors_old": old.errors,
        "errors_new": new.errors,
        "unmatched_old": paired.unmatched["old"],
        "unmatched_new": paired.unmatched["new"],
        "no_answer_old": old.unanswered,
        "no_answer_new": new.unanswered,
        "truncated_old": old.truncated,
        "truncated_new": new.truncated,
        "dropped_prompt": paired.dropped.get("prompt:new", 0),
        "dropped_reference": paired.dropped.get("reference:new", 0),
    }


def _candidate(
    name: str,
    role: Role,
    predictions: Predictions,
    views: Mapping[str, View],
    same: Mapping[str, Any],
    paired: Paired,
    confidence: float,
    tolerance: float,
) -> Candidate:
    old, new, own = views["old"], views["new"], views[name]
    counts, metrics = flips_between(old, own, same[name], confidence=confidence, seed=SEED)
    counts["excluded_errors"] = int((paired.present[name] & ~(old.usable & own.usable)).sum())
    counts["unmatched"] = paired.unmatched[name]
    scores, _ = scores_between(old, own, tolerance=tolerance, confidence=confidence)
    against: dict[str, Any] = {
        "counts": {},
        "metrics": {},
        "scores": _score_differences(old, new, own, tolerance, confidence),
    }
    if old.correct is not None and new.correct is not None and own.correct is not None:
        good = old.graded & new.graded & own.graded
        right = [v.correct[good] for v in (old, new, own) if v.correct is not None]
        pairs = [None if same[n] is None else same[n][good] for n in ("new", name)]
        against["counts"] = difference_counts(*right)
        against["metrics"] = difference_metrics(*right, *pairs, confidence=confidence, seed=SEED)
    else:
        names = ("d_nfr", "d_nfr_percent", "d_pfr", "d_accuracy", "d_nfr_mc")
        against["metrics"] = {n: undefined("correctness is not known in all versions") for n in names}
    return Candidate(name, role, predictions.provenance, counts, metrics, scores, AgainstNew(**against))


def _score_differences(
    old: View, new: View, own: View, tolerance: float, confidence: float
) -> dict[str, Any]:
    results = {}
    for score in [s for s in old.scores if s in new.scores and s in own.scores]:
        values = [v.scores[score] for v in (old, new, own)]
        good = old.usable & new.usable & own.usable & ~np.isnan(values).any(0)
        results[score] = smooth_differences(
            *(v[good] for v in values), tolerance=tolerance, confidence=confidence, seed=SEED
        )
    return results


def _excess(kinds: Mapping[str, Role], views: Mapping[str, View], confidence: float) -> Any:
    """Return nfr minus the nfr of the re-run old version, on the instances all three have; ``None`` without
    one."""
    reruns = [name for name, role in kinds.items() if role == "noise_floor"]
    old, new = views["old"], views["new"]
    if not reruns or old.correct is None or new.correct is None or views[reruns[0]].correct is None:
        return None
    rerun = views[reruns[0]]
    good = old.graded & new.graded & rerun.graded
    assert rerun.correct is not None
    lost = (old.correct & ~new.correct)[good]
    noise = (old.correct & ~rerun.correct)[good]
    return paired_indicators(lost, noise, confidence)


def _instances(paired: Paired, views: Mapping[str, View], same: Any) -> pa.Table:
    old = paired.tables["old"]
    columns: dict[str, Any] = {}
    for name in ("id", "repeat", "prompt", "references", "choices"):
        source = next(
            (t for v, t in paired.tables.items() if v in ("old", "new") and name in t.column_names), None
        )
        if source is not None:
            columns[name] = source[name]
    columns["quadrant"] = Column.quadrants(views["old"], views["new"], same, QUADRANTS)
    for version, table in paired.tables.items():
        for name in ("answer", "output", "correct", "choice_scores", "error"):
            if name in table.column_names:
                columns[f"{name}:{version}"] = table[name]
        if "scores" in table.column_names:
            for field in table.schema.field("scores").type:
                columns[f"score:{field.name}:{version}"] = pc.struct_field(table["scores"], field.name)
    result = pa.table(columns)
    usable = views["old"].usable & views["new"].usable
    assert len(usable) == old.num_rows
    return result if usable.all() else result.filter(pa.array(usable))


def _notes(
    counts: Mapping[str, int | None], lacking: Mapping[str, int], views: Mapping[str, View]
) -> list[str]:
    notes = []
    if counts.get("excluded_errors"):
        notes.append(
            f"{counts['excluded_errors']} instances with an error are left out "
            f"({counts['errors_old']} in old, {counts['errors_new']} in new)."
        )
    if counts.get("excluded_unscored"):
        notes.append(
            f"{counts['excluded_unscored']} instances are left out: right or wrong is not known in both "
            f"versions."
        )
    for side in ("old", "new"):
        if counts.get(f"no_answer_{side}"):
            notes.append(
                f"{counts[f'no_answer_{side}']} instances have no answer in {side} and count as not right."
            )
        if counts.get(f"truncated_{side}"):
            notes.append(f"{counts[f'truncated_{side}']} answers of {side} are cut off by the length limit.")
        if views[side].correct is not None and not np.any(views[side].correct):
            notes.append(
                f"{side} has nothing right; check that answer and reference (or correct) are mapped rightly."
            )
    if counts.get("flips_same_answer"):
        notes.append(
            f"{counts['flips_same_answer']} flips have the same answer in both versions: "
            "the grading or the reference differs, not the answer."
        )
    notes += [
        f"{n} instances lack the score {score!r} in old or new and are left out of it."
        for score, n in lacking.items()
    ]
    return notes
