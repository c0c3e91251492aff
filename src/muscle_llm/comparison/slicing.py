"""Every metric per slice, and which slices got worse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from muscle_llm.comparison.figures import SEED
from muscle_llm.comparison.measured import Floats, Measured
from muscle_llm.comparison.types import Metrics, Slice
from muscle_llm.comparison.views import Bools, Codes
from muscle_llm.metrics.averaged import averaged_flip_metrics, cell_values
from muscle_llm.metrics.clusters import difference_estimate
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.flips import JointCounts
from muscle_llm.metrics.slices import mean_fell, slice_cells, slice_metrics, worse_slices
from muscle_llm.metrics.smooth import smooth_metrics
from muscle_llm.metrics.uncertainty import paired_difference
from muscle_llm.predictions.arrow import pc
from muscle_llm.text import counted

__all__ = ["MOST_SLICES", "slice_figures"]

# A column with more values than this is an id, not a way to slice.
MOST_SLICES = 10_000


def slice_figures(measured: Measured, excess: Floats | None = None) -> tuple[list[Slice], list[str]]:
    """Return the figures of every slice value, and what the reader must know.

    Args:
        measured: the versions, side by side.
        excess: shape (instances,), flips beyond the noise floor; NaN where they are not measured.

    Example:
        >>> from muscle_llm.comparison.measured import measure
        >>> from muscle_llm.comparison.pairing import pair
        >>> from muscle_llm.predictions.schema import Predictions
        >>> rights = {"old": [True, True], "new": [True, False]}
        >>> sides = {
        ...     n: Predictions.from_columns(
        ...         {"id": ["a", "b"], "correct": r, "slices": [{"topic": "law"}] * 2}
        ...     )
        ...     for n, r in rights.items()
        ... }
        >>> measured = measure(pair(sides), confidence=0.95, tolerance=0.0)
        >>> [(s.name, s.value, s.metrics["nfr"].value, s.worse) for s in slice_figures(measured)[0]]
        [('topic', 'law', 0.5, False)]
    """
    slices: list[Slice] = []
    warnings: list[str] = []
    for name, codes, values in _columns(measured, warnings):
        if len(values) > MOST_SLICES:
            warnings.append(
                f"the slice {name!r} is left out: it has {len(values)} values, too many to slice by."
            )
            continue
        slices += _of_column(measured, name, codes, values, excess)
    tests = worse_slices(np.array([s.p for s in slices]))
    return [
        dataclasses.replace(s, p=t.p, q=t.q, worse=t.worse) for s, t in zip(slices, tests, strict=True)
    ], warnings


def _columns(measured: Measured, warnings: list[str]) -> Iterator[tuple[str, Codes, list[str]]]:
    """Yield name, slice of each instance (-1: none) and values of every way to slice: of old, where it has
    one of that name, else of new."""
    old, new = measured.slices("old"), measured.slices("new")
    for name, column in {**old, **new, **old}.items():
        if name in old and name in new and (count := _differing(old[name], new[name])):
            warnings.append(
                f"{counted(count, 'row has', 'rows have')} another {name!r} in new than in old; old's counts."
            )
        encoded = measured.layout.per_instance(column).combine_chunks().dictionary_encode()
        yield name, pc.fill_null(encoded.indices, -1).to_numpy(), encoded.dictionary.to_pylist()


def _differing(a: pa.ChunkedArray, b: pa.ChunkedArray) -> int:
    return pc.sum(pc.not_equal(a, b)).as_py() or 0


def _of_column(
    measured: Measured, name: str, codes: Codes, values: list[str], excess: Floats | None
) -> Iterator[Slice]:
    """Yield the slices of one column, by value; ``p`` is not adjusted yet."""
    n = len(values)
    counts, metrics, p = _flips(measured, codes, n)
    scores, p_scores = _scores(measured, codes, n)
    beyond = [None] * n if excess is None else _excess(measured, codes, n, excess)
    graded = measured.joints["new"] is not None
    for i in sorted(range(n), key=lambda i: values[i]):
        test = float(p[i] if graded else p_scores[i])
        yield Slice(name, values[i], counts[i], metrics[i], scores[i], beyond[i], test)


def _flips(
    measured: Measured, codes: Codes, slices: int
) -> tuple[list[dict[str, int | None]], list[Metrics], Floats]:
    """Return counts and metrics per slice, and the p-values of "worse"."""
    pair, confidence = measured.joints["new"], measured.confidence
    if pair is None:
        sizes = np.bincount(codes[measured.usable("new") & (codes >= 0)], minlength=slices)
        return [{"n": int(n)} for n in sizes], [{} for _ in sizes], np.ones(slices)
    if pair.cells is None:
        cells = slice_cells(codes[pair.good], pair.codes[pair.good], slices)
        metrics, p = slice_metrics(cells, answers_known=pair.answers_known, confidence=confidence)
        return [JointCounts(c, pair.answers_known).to_dict() for c in cells], list(metrics), p
    counts: list[dict[str, int | None]] = []
    found: list[Metrics] = []
    p = np.ones(slices)
    for index, inside in enumerate(_members(codes, slices, pair.known)):
        shares, clusters = pair.cells[inside], measured.clusters(inside)
        if len(shares):
            change = cell_values(shares, "accuracy_new") - cell_values(shares, "accuracy_old")
            p[index] = mean_fell(change, clusters)
        counts.append({"n": len(shares)})
        found.append(
            averaged_flip_metrics(
                shares, clusters, answers_known=pair.answers_known, confidence=confidence, seed=SEED
            )
        )
    return counts, found, p


def _excess(measured: Measured, codes: Codes, slices: int, values: Floats) -> list[Estimate]:
    """Return the mean of ``values`` per slice, with its interval."""
    known = ~np.isnan(values) & (codes >= 0)
    pair = measured.joints["new"]
    if pair is not None and pair.cells is None:  # -1, 0 or 1 each: counts tell all
        inside = codes[known]
        n, up, down = (
            np.bincount(inside, weights=w, minlength=slices)
            for w in (np.ones(len(inside)), values[known] > 0, values[known] < 0)
        )
        low, high = paired_difference(up, down, n, measured.confidence)
        return [
            Estimate(float((up[i] - down[i]) / n[i]), float(low[i]), float(high[i]))
            if n[i]
            else undefined("no instances")
            for i in range(slices)
        ]
    return [
        difference_estimate(values[inside], measured.clusters(inside), measured.confidence)
        for inside in _members(codes, slices, known)
    ]


def _members(codes: Codes, slices: int, good: Bools) -> list[Codes]:
    """Return the instances of every slice, in one pass."""
    if not slices:
        return []
    rows = np.flatnonzero(good & (codes >= 0))
    order = rows[np.argsort(codes[rows], kind="stable")]
    return np.split(order, np.searchsorted(codes[order], np.arange(1, slices)))


def _scores(measured: Measured, codes: Codes, slices: int) -> tuple[list[dict[str, Metrics]], Floats]:
    """Return the smooth metrics per slice, and the p-values of "the mean of the first score fell"."""
    found: list[dict[str, Metrics]] = [{} for _ in range(slices)]
    p = np.ones(slices)
    for position, name in enumerate(measured.shared_scores("old", "new")):
        old, new = (measured.scores(v, name) for v in ("old", "new"))
        for index, inside in enumerate(_members(codes, slices, ~np.isnan(old) & ~np.isnan(new))):
            clusters = measured.clusters(inside)
            found[index][name] = smooth_metrics(
                old[inside],
                new[inside],
                tolerance=measured.tolerance,
                confidence=measured.confidence,
                clusters=clusters,
            )
            if position == 0:
                p[index] = mean_fell(new[inside] - old[inside], clusters)
    return found, p
