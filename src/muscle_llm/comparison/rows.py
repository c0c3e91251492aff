"""The instances of a comparison as one table, for browsing and for data frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from muscle_llm.comparison.measured import Joint, Measured
from muscle_llm.comparison.types import QUADRANTS
from muscle_llm.comparison.views import Bools
from muscle_llm.predictions.arrow import pc

__all__ = ["instance_table"]

_SHARED = ("id", "repeat", "prompt", "references", "choices", "cluster")
_OWN = ("answer", "output", "correct", "choice_scores", "error", "finish_reason")
_QUADRANT_OF_CODE = np.array([4, 3, 2, 2, 5, 5, 1, 0], np.int8)


def instance_table(
    measured: Measured, cause: pa.Array | None, reliable: tuple[Bools, Bools] | None
) -> pa.Table:
    """Return one row per paired row that is usable in old and new, or, where answers are repeated, in either
    of them: there every answer counts, whatever became of its partner. See `Comparison.instances`.
    """
    tables, views, layout = measured.paired.tables, measured.views, measured.layout
    old, new = tables["old"], tables["new"]
    columns: dict[str, Any] = {}
    for name in _SHARED:
        source = next((t for t in (old, new) if name in t.column_names), None)
        if source is not None:
            columns[name] = source[name]
    columns["quadrant"] = _quadrants(measured.joints["new"], old.num_rows)
    if cause is not None:
        columns["cause"] = cause
    if reliable is not None and layout.instance is not None:
        words = np.where(reliable[0], 0, np.where(reliable[1], 1, -1)).astype(np.int8)[layout.instance]
        columns["reliable_flip"] = pa.DictionaryArray.from_arrays(
            pa.array(words, mask=words < 0), pa.array(["negative", "positive"])
        )
    slices = {**measured.slices("old"), **measured.slices("new"), **measured.slices("old")}
    columns |= {f"slice:{name}": column for name, column in slices.items()}
    for version, table in tables.items():
        for name in _OWN:
            if name in table.column_names:
                columns[f"{name}:{version}"] = table[name]
        if "correct" in table.column_names and views[version].errors:
            # An error is not a wrong answer, whatever the log says.
            failed = table["error"].is_valid()
            columns[f"correct:{version}"] = pc.if_else(failed, pa.scalar(None, pa.bool_()), table["correct"])
        if "scores" in table.column_names:
            for field in table.schema.field("scores").type:
                columns[f"score:{field.name}:{version}"] = pc.struct_field(table["scores"], field.name)
    sides = views["old"].usable, views["new"].usable
    usable = sides[0] & sides[1] if layout.instance is None else sides[0] | sides[1]
    result = pa.table(columns)
    return result if usable.all() else result.filter(pa.array(usable))


def _quadrants(pair: Joint | None, n: int) -> pa.Array:
    """Return the quadrant's name per row; null where it is not known."""
    names = pa.array(QUADRANTS)
    if pair is None:
        return pa.DictionaryArray.from_arrays(pa.nulls(n, pa.int8()), names)
    # Without known answers a pair that is right (or wrong) twice counts as "same": nothing says that it
    # changed.
    codes = pair.codes if pair.answers_known else pair.codes | 1
    return pa.DictionaryArray.from_arrays(
        pa.array(_QUADRANT_OF_CODE[codes], mask=None if pair.good.all() else ~pair.good), names
    )
