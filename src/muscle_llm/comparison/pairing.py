"""Pair the versions' rows by (id, repeat), and refuse what cannot be compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muscle_llm.comparison.comparability import content_differs, same_instance, settings_differ, way_out
from muscle_llm.errors import ComparabilityError
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.build import check_unique
from muscle_llm.predictions.schema import Predictions

__all__ = ["OnMismatch", "Paired", "pair"]

OnMismatch = Literal["error", "intersect"]


@dataclass(frozen=True, slots=True)
class Paired:
    """The versions' rows side by side.

    Attributes:
        tables: version -> its rows, in the order of old; all of the same length.
        present: candidate -> whether it has the row (only under ``intersect`` can it lack one).
        unmatched: version -> number of its rows without a partner.
        dropped: what was left out under ``intersect``: reason -> number of rows.
        warnings: what was passed over, one sentence each.
    """

    tables: Mapping[str, pa.Table]
    present: Mapping[str, NDArray[np.bool_]]
    unmatched: Mapping[str, int]
    dropped: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of paired rows."""
        return self.tables["old"].num_rows


def pair(
    versions: Mapping[str, Predictions],
    on_mismatch: OnMismatch = "error",
    *,
    reruns: Collection[str] = (),
) -> Paired:
    """Return the rows of all versions, paired by (id, repeat), after checking that they can be compared.

    Args:
        versions: ``old``, ``new``, then the candidates.
        on_mismatch: ``"error"`` refuses any difference; ``"intersect"`` goes on with the rows that agree.
            There the same question in another wording, as another chat template makes it, agrees.
        reruns: candidates that are old again, which may have another seed.

    Raises:
        ComparabilityError: rows, prompts, references or settings differ; says which and how many.

    Example:
        >>> a = Predictions.from_columns({"id": ["x", "y"], "correct": [True, False]})
        >>> b = Predictions.from_columns({"id": ["y", "x"], "correct": [True, True]})
        >>> pair({"old": a, "new": b}).tables["new"]["correct"].to_pylist()
        [True, True]
    """
    warnings: list[str] = []
    for name, predictions in versions.items():
        check_unique(predictions, _label(name, predictions))
    _check_settings(versions, on_mismatch, reruns, warnings)
    keys = _keys({name: p.table for name, p in versions.items()})
    frame, rows, unmatched = _match(keys, versions, on_mismatch, warnings)
    tables = {"old": _take(versions["old"].table, frame)}
    present: dict[str, NDArray[np.bool_]] = {}
    for name, indices in rows.items():
        tables[name] = _take(versions[name].table, indices)
        if name != "new":
            present[name] = _valid(indices, tables["old"].num_rows)
    agree, dropped = _check_content(tables, present, on_mismatch, warnings)
    if not agree.any():
        raise ComparabilityError(
            "no instance is left on which old and new have the same prompt and reference."
        )
    if not agree.all():
        mask = pa.array(agree)
        tables = {name: table.filter(mask) for name, table in tables.items()}
        present = {name: there[agree] for name, there in present.items()}
    return Paired(tables, present, unmatched, dropped, tuple(warnings))


def _check_settings(
    versions: Mapping[str, Predictions], on_mismatch: OnMismatch, reruns: Collection[str], warnings: list[str]
) -> None:
    old = versions["old"].provenance
    for name, predictions in versions.items():
        if name == "old":
            continue
        for message in settings_differ(old, predictions.provenance, name, reruns):
            if on_mismatch == "error":
                raise ComparabilityError(
                    f"{message} Figures would mix the update with that difference; evaluate both alike, or "
                    "accept it with --on-mismatch intersect."
                )
            warnings.append(message)


def _check_content(
    tables: Mapping[str, pa.Table],
    present: dict[str, NDArray[np.bool_]],
    on_mismatch: OnMismatch,
    warnings: list[str],
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return which rows have the same content in old and new, and how many are dropped for what; candidates
    lose the rows on which they differ (``present``)."""
    old = tables["old"]
    agree = np.ones(old.num_rows, bool)
    dropped: dict[str, int] = {}
    for name, table in tables.items():
        if name == "old":
            continue
        for what, differs in content_differs(old, table).items():
            differs = differs & present.get(name, True)
            if not differs.any():
                continue
            if on_mismatch == "error":
                raise ComparabilityError(
                    f"{_differ(name, what, old['id'], differs)} {way_out(what, differs, old, table)}"
                )
            reworded = differs & same_instance(old, table) if what == "prompt" else np.zeros_like(differs)
            if reworded.any():
                warnings.append(
                    f"the prompt of {int(reworded.sum())} of {len(agree)} instances is worded differently in "
                    f"{name}; the questions are the same and are compared."
                )
                differs = differs & ~reworded
            if not differs.any():
                continue
            warnings.append(f"{_differ(name, what, old['id'], differs)} They are left out.")
            dropped[f"{what}:{name}"] = int(differs.sum())
            if name == "new":
                agree &= ~differs
            else:
                present[name] = present[name] & ~differs
    return agree, dropped


def _label(name: str, predictions: Predictions) -> str:
    files = list(predictions.provenance.sources)
    return f"{name} ({files[0]})" if files else name


def _keys(tables: Mapping[str, pa.Table]) -> dict[str, pa.ChunkedArray]:
    """Return one text key per row: the id, with the repeat behind it where any version has repeats."""
    if all(pc.max(t["repeat"]).as_py() in (0, None) for t in tables.values()):
        return {name: t["id"] for name, t in tables.items()}
    return {
        name: pc.binary_join_element_wise(t["id"], t["repeat"].cast(pa.string()), "\x1f")
        for name, t in tables.items()
    }


def _match(
    keys: Mapping[str, pa.ChunkedArray],
    versions: Mapping[str, Predictions],
    on_mismatch: OnMismatch,
    warnings: list[str],
) -> tuple[pa.Array | None, dict[str, pa.Array | None], dict[str, int]]:
    """Return which rows of old stay (``None``: all), each other version's row for them, and the unmatched
    counts."""
    found: dict[str, pa.Array | None] = {}
    unmatched = {"old": 0}
    keep: NDArray[np.bool_] | None = None
    for name, key in keys.items():
        if name == "old":
            continue
        if key.equals(keys["old"]):
            found[name], unmatched[name] = None, 0
            continue
        indices = _combine(pc.index_in(keys["old"], value_set=_combine(key)))
        matched = len(indices) - indices.null_count
        if not matched:
            raise ComparabilityError(_nothing_common(name, versions, keys))
        lacking = {"old": indices.null_count, name: len(key) - matched}
        unmatched[name] = lacking[name]
        if any(lacking.values()):
            message = (
                f"{_label('old', versions['old'])} and {_label(name, versions[name])} hold different "
                f"instances: {lacking['old']} of {len(indices)} only in old, {lacking[name]} of {len(key)} "
                f"only in {name}{_example(keys['old'], indices)}."
            )
            if on_mismatch == "error":
                raise ComparabilityError(
                    f"{message} Go on with the common ones with --on-mismatch intersect."
                )
            warnings.append(f"{message} Only the common ones are compared.")
        found[name] = indices
        if name == "new" and indices.null_count:
            unmatched["old"] = indices.null_count
            keep = indices.is_valid().to_numpy(zero_copy_only=False)
    if keep is None:
        return None, found, unmatched
    frame = pa.array(np.flatnonzero(keep))
    return frame, {n: frame if i is None else i.take(frame) for n, i in found.items()}, unmatched


def _valid(indices: pa.Array | None, n: int) -> NDArray[np.bool_]:
    return np.ones(n, bool) if indices is None else indices.is_valid().to_numpy(zero_copy_only=False)


def _combine(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _example(keys: pa.ChunkedArray, indices: pa.Array) -> str:
    row = pc.index(pc.is_null(indices), True).as_py()
    return "" if row < 0 else f" (such as {_shown(keys[row].as_py())})"


def _shown(key: str) -> str:
    name, _, repeat = key.partition("\x1f")
    return repr(name[:60]) + (f", repeat {repeat}" if repeat else "")


def _nothing_common(
    name: str, versions: Mapping[str, Predictions], keys: Mapping[str, pa.ChunkedArray]
) -> str:
    a, b = (_shown(keys[n][0].as_py()) for n in ("old", name))
    return (
        f"{_label('old', versions['old'])} and {_label(name, versions[name])} have no id in common "
        f"(old starts with {a}, {name} with {b}); name the right id column with --map id=COLUMN."
    )


def _take(table: pa.Table, indices: pa.Array | None) -> pa.Table:
    return table if indices is None else table.take(indices)


def _differ(name: str, what: str, ids: pa.ChunkedArray, differs: NDArray[np.bool_]) -> str:
    first = ids[int(np.flatnonzero(differs)[0])].as_py()[:60]
    return (
        f"the {what} of {int(differs.sum())} of {differs.size} instances differs between old and {name} "
        f"(such as id {first!r})."
    )
