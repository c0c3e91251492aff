"""From paired rows to counts and metrics: of two versions, and of a candidate against the new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.flips import JointCounts, flip_metrics, flip_values, joint_codes, joint_counts
from muscle_llm.metrics.smooth import smooth_metrics
from muscle_llm.predictions.arrow import pc

__all__ = ["Column", "View", "flips_between", "same_answers", "scores_between", "view"]

Bools = NDArray[np.bool_]

NOT_GRADED = "neither correctness nor references in the logs"


@dataclass(frozen=True, slots=True)
class View:
    """One version's rows as arrays.

    Attributes:
        usable: whether there is an answer to judge (no error, and the row exists).
        correct: whether it is right; ``None`` where the logs do not say for any row.
        graded: whether ``correct`` is known.
        answer: the answers; ``None`` where there are none at all.
        scores: score name -> values, NaN where unknown.
        errors: number of rows with an error.
        unanswered: number of rows without answer and without error.
        truncated: number of rows cut off by the length limit.
    """

    usable: Bools
    correct: Bools | None
    graded: Bools
    answer: pa.ChunkedArray | None
    scores: Mapping[str, NDArray[np.float64]]
    errors: int
    unanswered: int | None
    truncated: int | None


def view(table: pa.Table, present: Bools | None = None) -> View:
    """Return one version's paired rows as arrays."""
    n = table.num_rows
    there = np.ones(n, bool) if present is None else present
    names = table.column_names
    failed = table["error"].is_valid().to_numpy() if "error" in names else np.zeros(n, bool)
    correct = graded = None
    if "correct" in names:
        graded = table["correct"].is_valid().to_numpy()
        correct = pc.fill_null(table["correct"], False).to_numpy()
        correct = correct if graded.any() else None
    answer = table["answer"] if "answer" in names and table["answer"].null_count < n else None
    unanswered = None
    if answer is not None:
        unanswered = int((answer.is_null().to_numpy() & there & ~failed).sum())
    truncated = None
    if "finish_reason" in names:
        cut = pc.is_in(table["finish_reason"], value_set=pa.array(["length", "max_tokens", "model_length"]))
        truncated = int((cut.to_numpy() & there).sum())
    scores = {}
    if "scores" in names:
        for field in table.schema.field("scores").type:
            values = pc.struct_field(table["scores"], field.name).to_numpy(zero_copy_only=False)
            scores[field.name] = values.astype(float)
    return View(
        usable=there & ~failed,
        correct=correct,
        graded=np.zeros(n, bool) if graded is None else graded & there & ~failed,
        answer=answer,
        scores=scores,
        errors=int((failed & there).sum()),
        unanswered=unanswered,
        truncated=truncated,
    )


def same_answers(old: View, new: View) -> Bools | None:
    """Return whether both gave the same answer, per row; no answer twice counts as the same.

    ``None`` where one version's log has no answers.
    """
    if old.answer is None or new.answer is None:
        return None
    equal = pc.fill_null(pc.equal(old.answer, new.answer), False)
    neither = pc.and_(old.answer.is_null(), new.answer.is_null())
    return pc.or_(equal, neither).to_numpy()


def flips_between(
    old: View, new: View, same: Bools | None, *, confidence: float, seed: int
) -> tuple[dict[str, int | None], dict[str, Estimate]]:
    """Return counts and flip metrics of two versions over the rows that both have graded."""
    counts: dict[str, int | None] = {"n": int((old.usable & new.usable).sum())}
    if old.correct is None or new.correct is None:
        names = [*flip_values(np.ones((2, 2, 2))), "mcnemar_p"]
        nothing = dict.fromkeys(JointCounts(np.zeros((2, 2, 2)), False).to_dict(), None)
        metrics = {name: undefined(NOT_GRADED) for name in names}
        return {**nothing, **counts}, metrics
    good = old.graded & new.graded
    if good.all():
        joint = joint_counts(old.correct, new.correct, same)
    else:
        joint = joint_counts(old.correct[good], new.correct[good], None if same is None else same[good])
    counts = dict(joint.to_dict())
    counts["excluded_unscored"] = int((old.usable & new.usable & ~good).sum())
    return counts, flip_metrics(joint, confidence=confidence, seed=seed)


def scores_between(
    old: View, new: View, *, tolerance: float, confidence: float
) -> tuple[dict[str, dict[str, Estimate]], dict[str, int]]:
    """Return the smooth metrics of every score both versions have, and how many rows lack it."""
    results, lacking = {}, {}
    usable = old.usable & new.usable
    for name, a in old.scores.items():
        if name not in new.scores:
            continue
        b = new.scores[name]
        good = usable & ~np.isnan(a) & ~np.isnan(b)
        if (count := int((usable & ~good).sum())) > 0:
            lacking[name] = count
        results[name] = smooth_metrics(a[good], b[good], tolerance=tolerance, confidence=confidence)
    return results, lacking


@dataclass(frozen=True, slots=True)
class Column:
    """A quadrant per row as Arrow's dictionary array, made from the joint codes."""

    @staticmethod
    def quadrants(old: View, new: View, same: Bools | None, names: tuple[str, ...]) -> pa.Array:
        """Return the quadrant's name per row; null where it is not known."""
        n = len(old.usable)
        if old.correct is None or new.correct is None:
            return pa.DictionaryArray.from_arrays(pa.nulls(n, pa.int8()), pa.array(names))
        # Without known answers a right pair counts as "same" here: nothing says that it changed.
        code = joint_codes(old.correct, new.correct, np.ones(n, bool) if same is None else same)
        lookup = np.zeros(8, np.int8)
        by_cell = {7: 0, 6: 1, 2: 2, 3: 2, 1: 3, 0: 4, 4: 5, 5: 5}
        for cell, quadrant in by_cell.items():
            lookup[cell] = quadrant
        known = old.graded & new.graded
        indices = pa.array(lookup[code], mask=None if known.all() else ~known)
        return pa.DictionaryArray.from_arrays(indices, pa.array(names))
