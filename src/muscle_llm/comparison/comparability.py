"""Whether two logs ask the same: settings, prompts and references, before any number."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.schema import Provenance

__all__ = ["content_differs", "same_instance", "settings_differ", "way_out"]

# Settings that must agree before a figure means anything, and what messages call them.
_SETTINGS = {
    "task": "task",
    "metric": "metric",
    "filter": "answer filter",
    "num_fewshot": "number of examples in the prompt",
    "chat_template": "chat template",
    "harness_version": "harness version",
}
_EXTRA_SETTINGS = {
    "fewshot_seed": "seed of the examples in the prompt",
    "task_version": "version of the task",
    "task_args": "arguments of the task",
    "generation": "generation settings",
    "temperature": "temperature",
    "max_tokens": "length limit",
    "method": "prompting method",
    "solver": "solver",
    "scorer": "options of the scorer",
}
_SEEDS = "random_seed"  # of the harness; a re-run is there to have another


def settings_differ(old: Provenance, other: Provenance, name: str, reruns: Collection[str]) -> list[str]:
    """Return one sentence per setting that both logs tell and that differs.

    Args:
        old: what old's log tells of its run.
        other: what the other version's log tells.
        name: the other version.
        reruns: versions that are old again, which may have another seed.

    Example:
        >>> settings_differ(Provenance(num_fewshot=0), Provenance(num_fewshot=5), "new", ())
        ['old and new differ in the number of examples in the prompt: 0 in old, 5 in new.']
    """
    pairs = [(what, getattr(old, key), getattr(other, key)) for key, what in _SETTINGS.items()]
    rerun = name in reruns
    told = [_seedless(p.extra) if rerun else p.extra for p in (old, other)]
    pairs += [(what, told[0].get(key), told[1].get(key)) for key, what in _EXTRA_SETTINGS.items()]
    if not rerun:
        pairs.append(("seed", old.seed, other.seed))
        pairs.append(("random seed", old.extra.get(_SEEDS), other.extra.get(_SEEDS)))
    return [
        f"old and {name} differ in the {what}: {_difference(a, b, name)}."
        for what, a, b in pairs
        if a is not None and b is not None and a != b
    ]


def _difference(a: object, b: object, name: str) -> str:
    """Return both values, of settings in JSON only what differs."""
    sides = [_json_object(a), _json_object(b)]
    if sides[0] is not None and sides[1] is not None:
        keys = [k for k in {**sides[0], **sides[1]} if sides[0].get(k) != sides[1].get(k)]
        a, b = ({k: side.get(k) for k in keys} for side in sides if side is not None)
    first, second = (text if len(text := repr(x)) <= 120 else f"{text[:119]}…" for x in (a, b))
    return f"{first} in old, {second} in {name}"


def _seedless(extra: Mapping[str, str]) -> dict[str, str]:
    """Return a run's settings without the seed that stands among those of generation."""
    generation = _json_object(extra.get("generation"))
    if generation is None:
        return dict(extra)
    generation.pop("seed", None)
    return {**extra, "generation": json.dumps(generation, sort_keys=True)}


def _json_object(value: object) -> dict[str, object] | None:
    try:
        found = json.loads(value) if isinstance(value, str) and value.startswith("{") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def same_instance(old: pa.Table, new: pa.Table) -> NDArray[np.bool_]:
    """Return per row whether both are of the same document, as far as the logs tell.

    Example:
        >>> old, new = (pa.table({"instance_hash": h}) for h in (["x", "y"], ["x", None]))
        >>> same_instance(old, new).tolist()
        [True, False]
    """
    if "instance_hash" not in old.column_names or "instance_hash" not in new.column_names:
        return np.zeros(old.num_rows, bool)
    return pc.fill_null(pc.equal(old["instance_hash"], new["instance_hash"]), False).to_numpy()


def way_out(what: str, differs: NDArray[np.bool_], old: pa.Table, new: pa.Table) -> str:
    """Return what the user can do about rows whose prompt or reference differs."""
    if what == "prompt" and (differs <= same_instance(old, new)).all():
        return (
            "The questions are the same, worded differently, as by another chat template: compare them "
            "nevertheless with --on-mismatch intersect."
        )
    return "Compare runs of the same questions, or leave those instances out with --on-mismatch intersect."


def content_differs(old: pa.Table, new: pa.Table) -> dict[str, NDArray[np.bool_]]:
    """Return ``prompt`` and ``reference``, where both logs tell them -> whether they differ, per row.

    Example:
        >>> old, new = (pa.table({"prompt": ["2 + 2", p]}) for p in ("3 + 3", None))
        >>> content_differs(old, new)["prompt"].tolist()
        [False, False]
    """
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
