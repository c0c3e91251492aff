"""Clauses on single instances: ids that must not break, and reliable flips where answers are repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muscle_llm.errors import did_you_mean
from muscle_llm.gate.decide import Outcome
from muscle_llm.gate.verdict import ClauseResult
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.metrics.repeats import reliable_flips, share_right
from muscle_llm.predictions.arrow import pc

__all__ = ["FALSE_DISCOVERIES", "Answers", "answers_of", "judge_reliable_flips", "judge_unbroken"]

FALSE_DISCOVERIES = 0.05
_MOST_REPEATS = 10_000
_MOST_NAMES = 10_000  # among which a near name is looked for

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """Right answers and judged answers per instance and version, each of shape (N,)."""

    ids: NDArray[np.object_]
    old: tuple[Floats, Floats]
    new: tuple[Floats, Floats]


def answers_of(instances: pa.Table, ids: tuple[str, ...] | None = None) -> Answers | None:
    """Return right and judged answers per instance that both versions have judged answers to.

    Args:
        instances: rows per (instance, repeat) with ``id``, ``correct:old`` and ``correct:new``.
        ids: these instances only; by default all.

    Returns:
        ``None`` where right and wrong are not known.

    Example:
        >>> table = pa.table({"id": ["a", "a"], "correct:old": [True, True], "correct:new": [True, False]})
        >>> found = answers_of(table)
        >>> [float(x[0]) for x in (*found.old, *found.new)]
        [2.0, 2.0, 1.0, 2.0]
    """
    if not {"correct:old", "correct:new"} <= set(instances.column_names):
        return None
    table = instances.select(["id", "correct:old", "correct:new"])
    if ids is not None:
        table = table.filter(pc.is_in(table["id"], value_set=pa.array(ids, pa.string())))
    coded = pc.dictionary_encode(table["id"]).combine_chunks()
    names, codes = coded.dictionary.to_numpy(zero_copy_only=False), coded.indices.to_numpy()
    sides = []
    for version in ("old", "new"):
        column = table[f"correct:{version}"]
        right, valid = pc.fill_null(column, False).to_numpy(), column.is_valid().to_numpy()
        sides.append(share_right(right, valid, codes, len(names)))
    both = (sides[0][1] > 0) & (sides[1][1] > 0)
    old, new = ((hits[both], tries[both]) for hits, tries in sides)
    return Answers(names[both], old, new)


def judge_unbroken(ids: tuple[str, ...], instances: pa.Table) -> ClauseResult:
    """Judge the instances that must not break.

    An instance is broken if old has it right every time and new never, or if new is right less often and an
    exact test (`reliable_flips` over the listed ones) tells the two apart. A share that fell otherwise leaves
    the clause open, and so does an instance that the comparison lacks.

    Args:
        ids: the instances.
        instances: as in `answers_of`.

    Example:
        >>> table = pa.table({"id": ["a", "b"], "correct:old": [True, True], "correct:new": [True, False]})
        >>> judge_unbroken(("a", "b"), table).text
        "1 of 2 instances that must not break is broken: 'b'."
    """
    label, of = "must not break", f"of {len(ids)} instances that must not break"
    found = answers_of(instances, ids)
    if found is None:
        text = (
            f"the {len(ids)} instances that must not break cannot be judged: right and wrong are not known."
        )
        return ClauseResult("must_not_break", label, Outcome.INCONCLUSIVE, text, unit="count", measured=False)
    p, q = (hits / tries for hits, tries in (found.old, found.new))
    broken = (p == 1) & (q == 0)
    if len(p):
        broken |= reliable_flips(found.old, found.new, FALSE_DISCOVERIES)[0]
    doubtful = (q < p) & ~broken
    names = set(found.ids.tolist())
    missing = tuple(i for i in ids if i not in names)
    count = int(broken.sum())
    harm = Estimate(float(count))

    def result(outcome: Outcome, text: str, about: tuple[str, ...], *, measured: bool = True) -> ClauseResult:
        return ClauseResult(
            "must_not_break", label, outcome, text, "", harm, 0, "count", len(p), measured=measured, ids=about
        )

    if count:
        about = tuple(found.ids[broken].tolist())
        return result(Outcome.FAIL, f"{count} {of} {_be(count)} broken: {_list(about)}.", about)
    if missing:
        hint = _why_missing(missing[0], instances["id"])
        text = f"{len(missing)} {of} {_be(len(missing))} not among those judged: {_list(missing)}.{hint}"
        return result(Outcome.INCONCLUSIVE, text, missing, measured=False)
    if doubtful.any():
        about = tuple(found.ids[doubtful].tolist())
        text = f"{len(about)} {of} {_be(len(about))} right less often, which may be luck: {_list(about)}."
        return result(Outcome.INCONCLUSIVE, text, about)
    wrong = int((p == 0).sum())
    note = f" ({wrong} {'was' if wrong == 1 else 'were'} wrong before)" if wrong else ""
    return result(Outcome.PASS, f"none {of} is broken{note}.", ())


def judge_reliable_flips(share: float, instances: pa.Table) -> ClauseResult:
    """Judge how many instances may be reliably worse: right less often than the luck of the draw explains.

    FAIL if more than floor(share N) of the N instances are reliably worse (exact one-sided test per instance,
    Benjamini-Hochberg over the instances at 5 %). PASS if not, and the test would have found one more than
    allowed, had it gone from always right to never right: its p-value, 1 / C(2K, K) for K answers each, is
    then at most 0.05 (floor(share N) + 1) / N. Else INCONCLUSIVE, with the K at which it is.

    Args:
        share: how many of the instances may be reliably worse, 0 to 1.
        instances: as in `answers_of`.

    Example:
        >>> table = pa.table({"id": ["a"] * 8, "correct:old": [True] * 8, "correct:new": [False] * 8})
        >>> judge_reliable_flips(0.0, table).text
        "1 of 1 instances is reliably worse (0 allowed): 'a'."

    Source: per-instance reliable change, arXiv 2604.27405; Benjamini and Hochberg (1995).
    """
    name, label = "reliable_flips", "reliable flips"
    found = answers_of(instances)
    if found is None or not len(found.ids) or max(found.old[1].max(), found.new[1].max()) < 2:
        reason = "right and wrong are not known" if found is None else "there is one answer per instance"
        text = f"reliable flips cannot be judged: {reason}; several answers per instance are needed."
        return ClauseResult(
            name, label, Outcome.INCONCLUSIVE, text, margin=share, measured=False, repeats_needed=2
        )
    n = len(found.ids)
    worse = reliable_flips(found.old, found.new, FALSE_DISCOVERIES)[0]
    count, allowed = int(worse.sum()), math.floor(share * n + 1e-9)
    ids = tuple(found.ids[worse].tolist())
    text, needed = f"{count} of {n} instances {_be(count)} reliably worse ({allowed} allowed)", None
    level = FALSE_DISCOVERIES * (allowed + 1) / n
    if count > allowed:
        outcome, text = Outcome.FAIL, f"{text}: {_list(ids)}."
    elif np.median(_smallest_p(found.old[1], found.new[1])) <= level:
        outcome, text = Outcome.PASS, f"{text}."
    else:
        outcome, needed = Outcome.INCONCLUSIVE, _repeats_for(level)
        each = np.median(np.minimum(found.old[1], found.new[1]))
        text += (
            f", but with {each:.0f} answers each, {allowed + 1} going from always right to never could not "
            f"be told from chance; {needed} answers each would suffice."
        )
    return ClauseResult(
        name,
        label,
        outcome,
        text,
        "",
        Estimate(count / n),
        share,
        "share",
        n,
        repeats_needed=needed,
        ids=ids,
    )


def _smallest_p(old: Floats, new: Floats) -> Floats:
    """Return 1 / C(k + m, k), the p-value of k right of k becoming 0 right of m."""
    from scipy.special import gammaln

    return np.exp(gammaln(old + 1) + gammaln(new + 1) - gammaln(old + new + 1))


def _repeats_for(level: float) -> int | None:
    ks = np.arange(2, _MOST_REPEATS, dtype=float)
    enough = _smallest_p(ks, ks) <= level
    return int(ks[np.argmax(enough)]) if enough.any() else None


def _why_missing(wanted: str, ids: pa.ChunkedArray) -> str:
    if pc.index(ids, wanted).as_py() >= 0:
        return " It is ungraded."
    hint = did_you_mean(wanted, pc.unique(ids.slice(0, _MOST_NAMES)).to_pylist(), 1)
    return f" {hint}" if hint.startswith("Did") else ""


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _list(ids: tuple[str, ...], limit: int = 5) -> str:
    more = f" and {len(ids) - limit} more" if len(ids) > limit else ""
    return ", ".join(repr(i) for i in ids[:limit]) + more
