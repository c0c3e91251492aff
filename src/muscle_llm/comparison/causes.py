"""Why instances flipped: what the rows tell, handed to `muscle_llm.metrics.causes`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from muscle_llm.comparison.measured import Floats, Measured
from muscle_llm.comparison.views import Bools, Codes, Layout, View
from muscle_llm.metrics.causes import CAUSES, choice_margin, flip_causes
from muscle_llm.metrics.repeats import share_right
from muscle_llm.predictions.arrow import pc

__all__ = ["cause_figures"]

# With repeated answers, a version is nearly undecided when at most three of four answers agree.
_THIN_VOTE = 0.5


def cause_figures(measured: Measured) -> tuple[dict[str, dict[str, int]], pa.Array | None]:
    """Return the number of flips by cause, negative and positive apart, and the cause of every row.

    Only rows that flipped are looked at, so the cost follows their number.
    """
    pair, tables, views, layout = (
        measured.joints["new"],
        measured.paired.tables,
        measured.views,
        measured.layout,
    )
    if pair is None:
        return {}, None
    n = len(pair.codes)
    negative = np.isin(pair.codes, (4, 5)) & pair.good
    positive = np.isin(pair.codes, (2, 3)) & pair.good
    rows = np.flatnonzero(negative | positive)
    lost = negative[rows]
    codes = flip_causes(
        np.ones(len(rows), bool),
        same=(pair.codes[rows] & 1) > 0 if pair.answers_known else None,
        truncated=_of_wrong_side(lost, *(_rows(views[v].truncated, rows) for v in ("new", "old"))),
        unextracted=_of_wrong_side(lost, *(_no_answer(views[v], rows) for v in ("new", "old"))),
        margins=(
            _margin(tables["old"], views["old"], layout, rows),
            _margin(tables["new"], views["new"], layout, rows),
        ),
    )
    counts = {}
    for name, chosen in (("negative_flips", lost), ("positive_flips", ~lost)):
        found = np.bincount(codes[chosen], minlength=len(CAUSES))
        counts[name] = {cause: int(k) for cause, k in zip(CAUSES, found, strict=True) if k}
    every = np.full(n, -1, np.int8)
    every[rows] = codes
    return counts, pa.DictionaryArray.from_arrays(pa.array(every, mask=every < 0), pa.array(list(CAUSES)))


def _rows(values: Bools | None, rows: np.ndarray) -> Bools | None:
    return None if values is None else values[rows]


def _of_wrong_side(lost: Bools, new: Bools | None, old: Bools | None) -> Bools | None:
    """Return the flag of the side that is wrong: new where old's answer was lost, old where one was
    gained."""
    if new is None and old is None:
        return None
    none = np.zeros(len(lost), bool)
    return np.where(lost, none if new is None else new, none if old is None else old)


def _no_answer(version: View, rows: np.ndarray) -> Bools | None:
    """Return whether no answer was found: it is missing, or another filter of the log finds the right one."""
    missing = None if version.answer is None else version.answer.take(pa.array(rows)).is_null().to_numpy()
    for name, values in version.scores.items():
        # The reader names the same metric under another filter "metric,filter".
        if "," in name:
            found = values[rows] == 1.0
            missing = found if missing is None else missing | found
    return missing


def _margin(table: pa.Table, version: View, layout: Layout, rows: np.ndarray) -> Floats | None:
    if "choice_scores" in table.column_names:
        values, offsets = _flat(table["choice_scores"].take(pa.array(rows)))
        margin = choice_margin(values.to_numpy(zero_copy_only=False), offsets)
        return np.where(_chosen_by_score(table, rows, values, offsets), margin, np.nan)
    if layout.instance is None or version.correct is None:
        return None
    hits, tries = share_right(version.correct, version.graded, layout.instance, layout.n)
    with np.errstate(divide="ignore", invalid="ignore"):
        vote = np.abs(2 * hits / tries - 1)
    return np.where(vote <= _THIN_VOTE, 0.0, np.inf)[layout.instance[rows]]


def _flat(lists: pa.ChunkedArray) -> tuple[pa.Array, Codes]:
    """Return the elements of all lists in one array, and where each list starts and the last ends."""
    whole = lists.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)
    return whole.flatten(), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _chosen_by_score(table: pa.Table, rows: np.ndarray, values: pa.Array, offsets: Codes) -> Bools:
    """Return whether the answer is the option with the highest score, as far as the log tells.

    Where it is not, as with likelihoods per byte, the margin of the scores is not that of the choice.
    """
    if not {"choices", "answer"} <= set(table.column_names):
        return np.ones(len(rows), bool)
    options, starts = _flat(table["choices"].take(pa.array(rows)))
    if not np.array_equal(starts, offsets):
        return np.ones(len(rows), bool)
    owner = np.repeat(np.arange(len(rows)), np.diff(offsets))
    scores = np.nan_to_num(values.to_numpy(zero_copy_only=False), nan=-np.inf)
    highest = np.full(len(rows), -np.inf)
    np.maximum.at(highest, owner, scores)
    answers = table["answer"].take(pa.array(rows)).take(pa.array(owner))
    given = pc.fill_null(pc.equal(options, answers.combine_chunks()), False).to_numpy(zero_copy_only=False)
    best = np.zeros(len(rows), bool)
    best[owner[given & (scores == highest[owner])]] = True
    return best
