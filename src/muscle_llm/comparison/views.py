"""The paired rows of one version as arrays, and how rows make instances and instances clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muscle_llm.predictions.arrow import pc

__all__ = ["Layout", "View", "answer_codes", "layout", "same_answers", "view"]

Bools = NDArray[np.bool_]
Codes = NDArray[np.integer]

# What engines call an answer that the length limit cut off.
_CUT_OFF = ("length", "max_tokens", "model_length")


@dataclass(frozen=True, slots=True)
class View:
    """One version's rows as arrays.

    Attributes:
        usable: whether there is an answer to judge (no error, and the row exists).
        correct: whether it is right; ``None`` where the logs do not say for any row.
        graded: whether ``correct`` is known.
        answer: the answers; ``None`` where there are none at all.
        scores: score name -> values, NaN where unknown.
        truncated: whether the length limit cut the answer off; ``None`` where the logs do not say.
        errors: number of rows with an error.
        unanswered: number of rows without answer and without error; ``None`` without answers.
        unanswered_right: number of these that the log counts as right.
    """

    usable: Bools
    correct: Bools | None
    graded: Bools
    answer: pa.ChunkedArray | None
    scores: Mapping[str, NDArray[np.float64]]
    truncated: Bools | None
    errors: int
    unanswered: int | None
    unanswered_right: int = 0


def view(table: pa.Table, present: Bools | None = None) -> View:
    """Return one version's paired rows as arrays."""
    n = table.num_rows
    there = np.ones(n, bool) if present is None else present
    names = table.column_names
    failed = table["error"].is_valid().to_numpy() if "error" in names else np.zeros(n, bool)
    correct, graded = None, np.zeros(n, bool)
    if "correct" in names and table["correct"].null_count < n:
        graded = table["correct"].is_valid().to_numpy() & there & ~failed
        correct = pc.fill_null(table["correct"], False).to_numpy()
    answer = table["answer"] if "answer" in names and table["answer"].null_count < n else None
    silent = np.zeros(n, bool) if answer is None else answer.is_null().to_numpy() & there & ~failed
    truncated = None
    if "finish_reason" in names:
        cut = pc.is_in(table["finish_reason"], value_set=pa.array(_CUT_OFF))
        truncated = cut.to_numpy() & there
    scores = {}
    if "scores" in names:
        for field in table.schema.field("scores").type:
            values = pc.struct_field(table["scores"], field.name).to_numpy()
            scores[field.name] = values.astype(float)
    return View(
        usable=there & ~failed,
        correct=correct,
        graded=graded,
        answer=answer,
        scores=scores,
        truncated=truncated,
        errors=int((failed & there).sum()),
        unanswered=None if answer is None else int(silent.sum()),
        unanswered_right=0 if correct is None else int((silent & graded & correct).sum()),
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


def answer_codes(old: View, new: View) -> tuple[Codes, Codes] | None:
    """Return both versions' answers as numbers, equal for equal answers; no answer is an answer of its
    own."""
    if old.answer is None or new.answer is None:
        return None
    both = pa.chunked_array([*old.answer.chunks, *new.answer.chunks], pa.string())
    encoded = both.combine_chunks().dictionary_encode()
    indices = pc.fill_null(encoded.indices, len(encoded.dictionary)).to_numpy()
    return indices[: len(old.answer)], indices[len(old.answer) :]


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows make instances, and instances clusters.

    Attributes:
        n: number of instances.
        repeats: the most rows any instance has.
        instance: instance of each row; ``None`` where every row is its own instance.
        first: first row of each instance; ``None`` where every row is its own instance.
        cluster: cluster of each instance; ``None`` where instances are independent.
    """

    n: int
    repeats: int = 1
    instance: Codes | None = None
    first: Codes | None = None
    cluster: Codes | None = None

    @property
    def plain(self) -> bool:
        """Whether rows are independent instances with one answer each."""
        return self.instance is None and self.cluster is None

    @property
    def rows_of(self) -> Codes:
        """Instance of each row."""
        return np.arange(self.n) if self.instance is None else self.instance

    def per_instance(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return one value per instance: that of its first row."""
        return column if self.first is None else column.take(pa.array(self.first))


def layout(table: pa.Table, other: pa.Table) -> Layout:
    """Return the layout of paired rows; the cluster column is taken from the first table that has one.

    An instance without a cluster is a cluster of its own. Instances and clusters are numbered by their names,
    so that no figure depends on the order of the rows, random draws included.
    """
    n, repeats, instance, first = table.num_rows, 1, None, None
    repeated = (pc.max(table["repeat"]).as_py() or 0) > 0
    if repeated and pc.count_distinct(table["id"]).as_py() < table.num_rows:
        instance = _ranks(table["id"])
        _, first, sizes = np.unique(instance, return_index=True, return_counts=True)
        n, repeats = len(first), int(sizes.max())
    plain = Layout(n, repeats, instance, first)
    source = next((t for t in (table, other) if "cluster" in t.column_names), None)
    if source is None:
        return plain
    clusters = plain.per_instance(source["cluster"])
    alone = clusters.is_null().to_numpy()
    codes = _ranks(clusters)
    codes[alone] = codes.max(initial=0) + 1 + _ranks(plain.per_instance(table["id"]))[alone]
    if len(np.unique(codes)) == n:
        return plain
    return Layout(n, repeats, instance, first, codes)


def _ranks(names: pa.ChunkedArray) -> Codes:
    """Return the place of each name among the different ones in order, from 0; 0 also for none."""
    encoded = names.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    place = np.empty(max(1, len(order)), np.int64)
    place[order] = np.arange(len(order))
    return place[pc.fill_null(encoded.indices, 0).to_numpy()]
