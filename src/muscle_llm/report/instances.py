"""The instances as the page carries them: a columnar index of every row, and the long texts in chunks.

The index is small and read at once; it is all that the list, its filters and its order need. The texts
(prompt, answers, outputs) are read afterwards, chunk by chunk. Above a stated size, rows that did not flip
are sampled, and the index says so.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from muscle_llm.comparison import Comparison
from muscle_llm.metrics.causes import choice_margin
from muscle_llm.predictions.arrow import pc
from muscle_llm.report.definitions import QUADRANTS, SCORE_KINDS, Quadrant

__all__ = ["INLINE_BYTES", "SERVED_BYTES", "PackedInstances", "distributions", "kinds_of", "pack_instances"]

INLINE_BYTES = 64_000_000
SERVED_BYTES = 4_000_000_000
_CHUNK_BYTES = 400_000
_ROW_BYTES = 160  # what a row costs in the index, about
_SNIPPET = 140  # characters of an answer in the list

# By kind: flips are kept before changed answers, and those before unchanged ones.
_RANK = {
    "regression": 0,
    "gain": 0,
    "worse": 0,
    "better": 0,
    "both_wrong_changed": 1,
    "both_right_changed": 1,
}


@dataclass(frozen=True, slots=True)
class PackedInstances:
    """What the page embeds.

    Attributes:
        index: columnar index of the kept rows, plain JSON types.
        chunks: JSON texts; chunk k holds the rows from ``index["chunks"][k]``.
        rows: places of the kept rows in the table of instances.
    """

    index: dict[str, Any]
    chunks: tuple[str, ...]
    rows: np.ndarray = field(compare=False)


def pack_instances(comparison: Comparison, *, inline_bytes: int = INLINE_BYTES) -> PackedInstances:
    """Pack the instances of a comparison for the page.

    Args:
        comparison: with its table of instances.
        inline_bytes: size of index and texts above which rows that did not flip are sampled.

    Returns:
        The index (``n`` rows kept of ``total``) and the chunks of texts.
    """
    table = comparison.instances.combine_chunks()
    sizes = _text_bytes(table) + _ROW_BYTES
    kinds = kinds_of(comparison)
    codes = _kind_codes(table, kinds, float(comparison.settings.get("tolerance") or 0.0))
    kept = _sample(table, kinds, codes, sizes, inline_bytes)
    if len(kept) < table.num_rows:
        table, sizes, codes = table.take(pa.array(kept)), sizes[kept], codes[kept]
    starts = _chunk_starts(sizes)
    index = _index(table, comparison, starts, codes)
    index["total"] = comparison.instances.num_rows
    index["inline_bytes"] = inline_bytes
    ends = [*starts[1:], table.num_rows]
    chunks = tuple(
        _chunk(table.slice(start, end - start), comparison.versions)
        for start, end in zip(starts, ends, strict=True)
    )
    return PackedInstances(index, chunks, kept)


def distributions(comparison: Comparison, *, bins: int = 40) -> dict[str, Any]:
    """Count the changes of each score, D = new - old, in intervals of equal width around zero.

    Args:
        comparison: with its table of instances; all of them count, whatever the page keeps.
        bins: number of intervals (even: zero is always an edge).

    Returns:
        By score: ``edges``, ``counts`` (changes that are not zero) and ``unchanged``.
    """
    table, found = comparison.instances, {}
    for name in table.column_names:
        if not (name.startswith("score:") and name.endswith(":new")):
            continue
        score = name[len("score:") : -len(":new")]
        if f"score:{score}:old" not in table.column_names:
            continue
        old, new = (_numbers(table.column(f"score:{score}:{side}")) for side in ("old", "new"))
        change = (new - old)[np.isfinite(new - old)]
        span = float(np.abs(change).max(initial=0.0))
        if span > 0:
            counts, edges = np.histogram(change[change != 0], bins=bins, range=(-span, span))
            edges[bins // 2] = 0.0
            unchanged = int((change == 0).sum())
            found[score] = {"edges": edges.tolist(), "counts": counts.tolist(), "unchanged": unchanged}
    return found


def _text_columns(table: pa.Table) -> Iterator[pa.ChunkedArray]:
    for column in table.schema:
        if pa.types.is_string(column.type) or pa.types.is_list(column.type):
            yield table.column(column.name)


def _text_bytes(table: pa.Table) -> np.ndarray:
    """Bytes of text per row; a list of numbers counts twenty bytes an item."""
    sizes = np.zeros(table.num_rows, dtype=np.int64)
    for column in _text_columns(table):
        if pa.types.is_string(column.type):
            sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy()
            continue
        flat, parent = pc.list_flatten(column), pc.list_parent_indices(column).to_numpy()
        if pa.types.is_string(flat.type):
            weights = pc.fill_null(pc.binary_length(flat), 0).to_numpy()
        else:
            weights = np.full(len(flat), 20)
        sizes += np.bincount(parent, weights=weights, minlength=table.num_rows).astype(np.int64)
    return sizes


def kinds_of(comparison: Comparison) -> tuple[Quadrant, ...]:
    """Return the kinds of instance of a comparison: the quadrants, or what became of the first score."""
    judged = comparison.counts.get("both_right") is not None
    return QUADRANTS if judged or _first_change(comparison.instances) is None else SCORE_KINDS


def _first_change(table: pa.Table) -> np.ndarray | None:
    """The change of the first score that both versions have."""
    for name in table.column_names:
        kind, _, score = name.removesuffix(":old").partition(":")
        if kind == "score" and name.endswith(":old") and f"score:{score}:new" in table.column_names:
            return _numbers(table.column(f"score:{score}:new")) - _numbers(table.column(name))
    return None


def _kind_codes(table: pa.Table, kinds: tuple[Quadrant, ...], tolerance: float) -> np.ndarray:
    """The place of each row's kind among the kinds, or their number where it is not known."""
    if kinds is SCORE_KINDS:
        change = _first_change(table)
        assert change is not None
        known = [change < -tolerance, change > tolerance, np.abs(change) <= tolerance]
        return np.select(known, np.arange(len(kinds)), default=len(kinds)).astype(np.int64)
    if "quadrant" not in table.column_names:
        return np.full(table.num_rows, len(kinds))
    column = table.column("quadrant").cast(pa.string())
    places = pc.index_in(column, value_set=pa.array([kind.name for kind in kinds]))
    return pc.fill_null(places, len(kinds)).to_numpy().astype(np.int64)


def _sample(
    table: pa.Table, kinds: tuple[Quadrant, ...], codes: np.ndarray, sizes: np.ndarray, budget: int
) -> np.ndarray:
    """Rows to keep, in the table's order: flips first, the others by a hash of their id."""
    everything = np.arange(table.num_rows)
    if int(sizes.sum()) <= budget:
        return everything
    rank = np.array([*(_RANK.get(kind.name, 2) for kind in kinds), 2])[codes]
    draw = np.array([zlib.crc32((i or "").encode()) for i in table.column("id").to_pylist()])
    order = np.lexsort((draw, rank))
    fits = np.cumsum(sizes[order]) <= budget
    return np.sort(order[fits])


def _chunk_starts(sizes: np.ndarray) -> list[int]:
    if len(sizes) == 0:
        return []
    block = (np.cumsum(sizes) - sizes) // _CHUNK_BYTES
    return [0, *(np.flatnonzero(np.diff(block)) + 1).tolist()]


def _index(table: pa.Table, comparison: Comparison, starts: list[int], codes: np.ndarray) -> dict[str, Any]:
    names = table.column_names
    index: dict[str, Any] = {
        "n": table.num_rows,
        "chunks": starts,
        "versions": list(comparison.versions),
        "id": table.column("id").to_pylist(),
        "quadrant": "".join(map(str, codes.tolist())),
        "prompt": "prompt" in names,
        "correct": {},
        "answer": {},
        "margin": {},
        "score": {},
        "slice": {},
    }
    if "repeat" in names and pc.max(table.column("repeat")).as_py():
        index["repeat"] = table.column("repeat").to_pylist()
    for version in comparison.versions:
        if f"correct:{version}" in names:
            index["correct"][version] = _flags(table.column(f"correct:{version}"))
        if f"answer:{version}" in names:
            index["answer"][version] = _repeated(_snippets(table, f"answer:{version}"))
        if f"choice_scores:{version}" in names:
            index["margin"][version] = _nullable(_margins(table.column(f"choice_scores:{version}")))
    for name in names:
        kind, _, rest = name.partition(":")
        if kind == "score":
            score, _, version = rest.rpartition(":")
            index["score"].setdefault(score, {})[version] = _nullable(_numbers(table.column(name)))
        elif kind == "slice":
            index["slice"][rest] = _encoded(table.column(name).to_pylist())
        elif name in ("cause", "reliable_flip"):
            index[name] = _encoded(table.column(name).to_pylist())
    return index


def _snippets(table: pa.Table, name: str) -> list[str | None]:
    if name not in table.column_names:
        return []
    short = pc.utf8_slice_codeunits(table.column(name), 0, _SNIPPET)
    return short.to_pylist()


def _flags(column: pa.ChunkedArray) -> str:
    return "".join("-" if v is None else "1" if v else "0" for v in column.to_pylist())


def _encoded(values: list[str | None]) -> dict[str, Any]:
    """Write each distinct text once: ``values``, and for each row its place among them in ``codes``."""
    places: dict[str | None, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    return {"values": list(places), "codes": codes}


def _repeated(values: list[str | None]) -> dict[str, Any] | None:
    """Encode answers that come up again and again; others are left to the chunks of texts (``None``)."""
    encoded = _encoded(values)
    return encoded if 4 * len(encoded["values"]) <= max(len(values), 100) else None


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The column as floats, to six decimals; unknown ones are NaN."""
    values = pc.fill_null(column, math.nan).to_numpy().astype(float)
    return np.round(np.where(np.isfinite(values), values, math.nan), 6)


def _nullable(values: np.ndarray) -> list[float | None]:
    """Plain numbers, ``None`` for NaN."""
    return pa.array(values, from_pandas=True).to_pylist()


def _margins(column: pa.ChunkedArray) -> np.ndarray:
    """Log-likelihood of the best choice above the second best, per row; NaN where there are not two."""
    values, parents = _numbers(pc.list_flatten(column)), pc.list_parent_indices(column).to_numpy()
    known = ~np.isnan(values)
    sizes = np.bincount(parents[known], minlength=len(column))
    return np.round(choice_margin(values[known], np.concatenate([[0], np.cumsum(sizes)])), 6)


def _chunk(rows: pa.Table, versions: Sequence[str]) -> str:
    """JSON of the texts of consecutive rows, one list per column."""
    document: dict[str, Any] = {}
    for name in ("prompt", "references", "choices"):
        if name in rows.column_names:
            document[name] = rows.column(name).to_pylist()
    for kind in ("answer", "output"):
        document[kind] = {
            v: rows.column(f"{kind}:{v}").to_pylist() for v in versions if f"{kind}:{v}" in rows.column_names
        }
    document["choice_scores"] = {
        v: _rounded_lists(rows.column(f"choice_scores:{v}"))
        for v in versions
        if f"choice_scores:{v}" in rows.column_names
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _rounded_lists(column: pa.ChunkedArray) -> list[list[float | None] | None]:
    flat = iter(_nullable(_numbers(pc.list_flatten(column))))
    sizes = pc.list_value_length(column).to_pylist()
    return [None if size is None else [next(flat) for _ in range(size)] for size in sizes]
