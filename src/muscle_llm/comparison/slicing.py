"""Every metric per slice, and which slices got worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from muscle_llm.comparison.measure import (
    Floats,
    Joint,
    averaged_scores,
    usable_instances,
    views_with_scores,
)
from muscle_llm.comparison.views import Bools, Codes, Layout, View
from muscle_llm.metrics.averaged import averaged_flip_metrics, cell_values
from muscle_llm.metrics.clusters import difference_estimate
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.flips import JointCounts
from muscle_llm.metrics.slices import mean_fell, slice_cells, slice_metrics, worse_slices
from muscle_llm.metrics.smooth import smooth_metrics
from muscle_llm.metrics.uncertainty import paired_difference
from muscle_llm.predictions.arrow import pc

__all__ = ["MOST_SLICES", "slice_documents"]

# A column with more values than this is an id, not a way to slice.
MOST_SLICES = 10_000


def slice_documents(
    table: pa.Table,
    views: Mapping[str, View],
    pair: Joint | None,
    layout: Layout,
    *,
    tolerance: float,
    confidence: float,
    seed: int,
    excess: Floats | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one document per slice value, and what the reader must know.

    A document holds ``slice``, ``value``, ``counts``, ``metrics``, ``scores``, ``excess_nfr`` (where
    ``excess`` tells, per instance, the flips beyond the noise floor), and of the test of "this
    slice got worse" (accuracy; without correctness, the mean of the first score) ``p``, ``q`` (adjusted over
    all slices of the comparison) and ``worse``.
    """
    documents: list[dict[str, Any]] = []
    tests: list[float] = []
    warnings: list[str] = []
    for name, codes, values in _columns(table, layout):
        if len(values) > MOST_SLICES:
            warnings.append(
                f"the slice {name!r} has {len(values)} values and is left out: it is no way to slice."
            )
            continue
        blocks, p = _flips(codes, len(values), pair, views, layout, confidence, seed)
        scores, p_scores = _scores(codes, len(values), views, layout, tolerance, confidence)
        beyond = None if excess is None else _excess(codes, len(values), excess, pair, layout, confidence)
        for index in sorted(range(len(values)), key=lambda i: values[i]):
            document = {"slice": name, "value": values[index], **blocks[index]}
            if beyond is not None:
                document["excess_nfr"] = beyond[index]
            if scores:
                document["scores"] = scores[index]
            documents.append(document)
            tests.append(float(p[index] if pair is not None else p_scores[index]))
    for document, test in zip(documents, worse_slices(np.array(tests)), strict=True):
        document.update(p=test.p, q=test.q, worse=test.worse)
    return documents, warnings


def _columns(table: pa.Table, layout: Layout) -> Iterator[tuple[str, Codes, list[str]]]:
    """Yield name, slice of each instance (-1: none) and values of every way to slice."""
    if "slices" not in table.column_names:
        return
    for field in table.schema.field("slices").type:
        column = layout.per_instance(pc.struct_field(table["slices"], field.name))
        encoded = column.combine_chunks().dictionary_encode()
        yield field.name, pc.fill_null(encoded.indices, -1).to_numpy(), encoded.dictionary.to_pylist()


def _flips(
    codes: Codes,
    slices: int,
    pair: Joint | None,
    views: Mapping[str, View],
    layout: Layout,
    confidence: float,
    seed: int,
) -> tuple[list[dict[str, Any]], Floats]:
    """Return counts and metrics per slice as JSON, and the p-values of "worse"."""
    if pair is None:
        usable = usable_instances((views["old"], views["new"]), layout)
        sizes = np.bincount(codes[usable & (codes >= 0)], minlength=slices)
        return [{"counts": {"n": int(n)}, "metrics": {}} for n in sizes], np.ones(slices)
    if pair.cells is None:
        cells = slice_cells(codes[pair.good], pair.codes[pair.good], slices)
        metrics, p = slice_metrics(cells, answers_known=pair.answers_known, confidence=confidence)
        blocks = [
            {
                "counts": JointCounts(c, pair.answers_known).to_dict(),
                "metrics": {k: e.to_dict() for k, e in m.items()},
            }
            for c, m in zip(cells, metrics, strict=True)
        ]
        return blocks, p
    blocks, p = [], np.ones(slices)
    for index, inside in enumerate(_members(codes, slices, pair.known)):
        shares = pair.cells[inside]
        clusters = None if layout.cluster is None else layout.cluster[inside]
        metrics = averaged_flip_metrics(
            shares, clusters, answers_known=pair.answers_known, confidence=confidence, seed=seed
        )
        if len(shares):
            change = cell_values(shares, "accuracy_new") - cell_values(shares, "accuracy_old")
            p[index] = mean_fell(change, clusters)
        blocks.append({"counts": {"n": len(shares)}, "metrics": {k: e.to_dict() for k, e in metrics.items()}})
    return blocks, p


def _excess(
    codes: Codes, slices: int, values: Floats, pair: Joint | None, layout: Layout, confidence: float
) -> list[dict[str, Any]]:
    """Return the mean of ``values`` per slice as JSON, with its interval."""
    known = ~np.isnan(values) & (codes >= 0)
    if pair is not None and pair.cells is None:  # -1, 0 or 1 each: counts tell all
        inside = codes[known]
        n, up, down = (
            np.bincount(inside, weights=w, minlength=slices)
            for w in (np.ones(len(inside)), values[known] > 0, values[known] < 0)
        )
        low, high = paired_difference(up, down, n, confidence)
        return [
            Estimate(float((up[i] - down[i]) / n[i]), float(low[i]), float(high[i])).to_dict()
            if n[i]
            else undefined("no instances").to_dict()
            for i in range(slices)
        ]
    return [
        difference_estimate(
            values[inside], None if layout.cluster is None else layout.cluster[inside], confidence
        ).to_dict()
        if len(inside)
        else undefined("no instances").to_dict()
        for inside in _members(codes, slices, known)
    ]


def _members(codes: Codes, slices: int, good: Bools) -> list[Codes]:
    """Return the instances of every slice, in one pass."""
    if not slices:
        return []
    rows = np.flatnonzero(good & (codes >= 0))
    order = rows[np.argsort(codes[rows], kind="stable")]
    return np.split(order, np.searchsorted(codes[order], np.arange(1, slices)))


def _scores(
    codes: Codes,
    slices: int,
    views: Mapping[str, View],
    layout: Layout,
    tolerance: float,
    confidence: float,
) -> tuple[list[dict[str, Any]], Floats]:
    blocks: list[dict[str, Any]] = [{} for _ in range(slices)]
    p = np.ones(slices)
    names = views_with_scores(views, ("old", "new"))
    for position, name in enumerate(names):
        old, new = (averaged_scores(views[v], name, layout) for v in ("old", "new"))
        for index, inside in enumerate(_members(codes, slices, ~np.isnan(old) & ~np.isnan(new))):
            clusters = None if layout.cluster is None else layout.cluster[inside]
            metrics = smooth_metrics(
                old[inside], new[inside], tolerance=tolerance, confidence=confidence, clusters=clusters
            )
            blocks[index][name] = {"metrics": {k: e.to_dict() for k, e in metrics.items()}}
            if position == 0:
                p[index] = mean_fell(new[inside] - old[inside], clusters)
    return (blocks if names else []), p
