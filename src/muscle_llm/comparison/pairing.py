"""Pair the versions' rows by (id, repeat), and refuse what cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muscle_llm.errors import ComparabilityError
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.build import check_unique
from muscle_llm.predictions.schema import Predictions, Provenance

__all__ = ["OnMismatch", "Paired", "pair"]

OnMismatch = Literal["error", "intersect"]

# Settings that must agree before a figure means anything, and what messages call them.
_SETTINGS = {
    "task": "task",
    "metric": "metric",
    "filter": "answer filter",
    "num_fewshot": "number of examples in the prompt",
    "chat_template": "chat template",
    "harness_version": "harness version",
}
_EXTRA_SETTINGS = {"fewshot_seed": "seed of the examples in the prompt"}


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


def pair(versions: Mapping[str, Predictions], on_mismatch: OnMismatch = "error") -> Paired:
    """Return the rows of all versions, paired by (id, repeat), after checking that they can be compared.

    Args:
        versions: ``old``, ``new``, then the candidates.
        on_mismatch: ``"error"`` refuses any difference; ``"intersect"`` goes on with the rows that agree.

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
    for name, predictions in versions.items():
        if name != "old":
            _check_settings(versions["old"].provenance, predictions.provenance, name, on_mismatch, warnings)
    keys = _keys({name: p.table for name, p in versions.items()})
    frame, rows, unmatched = _match(keys, versions, on_mismatch, warnings)
    tables = {"old": _take(versions["old"].table, frame)}
    present: dict[str, NDArray[np.bool_]] = {}
    for name, indices in rows.items():
        tables[name] = _take(versions[name].table, indices)
        if name != "new":
            present[name] = _valid(indices, tables["old"].num_rows)
    agree = np.ones(tables["old"].num_rows, bool)
    dropped: dict[str, int] = {}
    for name in rows:
        there = present.get(name)
        for what, differs in _content(tables["old"], tables[name]).items():
            differs = differs if there is None else differs & there
            count = int(differs.sum())
            if not count:
                continue
            message = _differ(name, what, count, tables["old"]["id"], differs, len(agree))
            if on_mismatch == "error":
                raise ComparabilityError(
                    f"{message} Compare runs of the same questions, or leave those instances out with "
                    "--on-mismatch intersect."
                )
            warnings.append(f"{message} They are left out.")
            dropped[f"{what}:{name}"] = count
            if name == "new":
                agree &= ~differs
            else:
                present[name] = present[name] & ~differs
    if not agree.all():
        mask = pa.array(agree)
        tables = {name: table.filter(mask) for name, table in tables.items()}
        present = {name: there[agree] for name, there in present.items()}
    if not agree.any():
        raise ComparabilityError(
            "no instance is left on which old and new have the same prompt and reference."
        )
    return Paired(tables, present, unmatched, dropped, tuple(warnings))


def _label(name: str, predictions: Predictions) -> str:
    files = list(predictions.provenance.sources)
    return f"{name} ({files[0]})" if files else name


def _check_settings(
    old: Provenance, other: Provenance, name: str, on_mismatch: OnMismatch, warnings: list[str]
) -> None:
    pairs = [(what, getattr(old, key), getattr(other, key)) for key, what in _SETTINGS.items()]
    pairs += [(what, old.extra.get(key), other.extra.get(key)) for key, what in _EXTRA_SETTINGS.items()]
    for what, a, b in pairs:
        if a is None or b is None or a == b:
            continue
        message = f"the {what} differs: {a!r} in old, {b!r} in {name}."
        if on_mismatch == "error":
            raise ComparabilityError(
                f"{message} Figures would mix the update with that difference; "
                "evaluate both alike, or accept it with --on-mismatch intersect."
            )
        warnings.append(f"{message[0].upper()}{message[1:]}")


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


def _content(old: pa.Table, new: pa.Table) -> dict[str, NDArray[np.bool_]]:
    """Return what is known on both sides -> whether it differs, per row."""
    differs: dict[str, NDArray[np.bool_]] = {}
    for what, column, digest in (
        ("prompt", "prompt", "prompt_hash"),
        ("reference", "references", "reference_hash"),
    ):
        told = np.zeros(old.num_rows, bool)
        for name in (column, digest):  # the hash where a row lacks the text
            if name in old.column_names and name in new.column_names and not told.all():
                compare = _lists_differ if name == "references" else _texts_differ
                found = compare(old[name], new[name]) & ~told
                differs[what] = differs.get(what, found) | found
                told |= old[name].is_valid().to_numpy() & new[name].is_valid().to_numpy()
    return differs


def _texts_differ(a: pa.ChunkedArray, b: pa.ChunkedArray) -> NDArray[np.bool_]:
    # A prompt one side does not know (null) tells nothing.
    return pc.fill_null(pc.not_equal(a, b), False).to_numpy()


def _lists_differ(a: pa.ChunkedArray, b: pa.ChunkedArray) -> NDArray[np.bool_]:
    known = pc.and_(a.is_valid(), b.is_valid()).to_numpy()
    lengths = [pc.fill_null(pc.list_value_length(x), 0).to_numpy() for x in (a, b)]
    differs = known & (lengths[0] != lengths[1])
    rows = np.flatnonzero(known & ~differs)
    index = pa.array(rows)
    left, right = (x.take(index) for x in (a, b))
    values = [pc.list_flatten(x) for x in (left, right)]
    same = pc.fill_null(pc.equal(*values), True).to_numpy()
    parents = np.repeat(rows, lengths[0][rows])
    differs[parents[~same]] = True
    return differs


def _differ(
    name: str, what: str, count: int, ids: pa.ChunkedArray, differs: NDArray[np.bool_], n: int
) -> str:
    first = ids[int(np.flatnonzero(differs)[0])].as_py()[:60]
    return f"the {what} of {count} of {n} instances differs between old and {name} (such as id {first!r})."
