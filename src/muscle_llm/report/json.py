"""A comparison as JSON text, and its flips as JSON lines."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from muscle_llm.comparison import Comparison

if TYPE_CHECKING:
    from muscle_llm.gate.verdict import Verdict

__all__ = ["render_flips", "render_json"]


def render_json(comparison: Comparison, verdict: Verdict | None = None) -> str:
    r"""Return the comparison document as JSON text, ending with a line break.

    Undefined figures are null and carry their reason; there is no NaN in it. A verdict stands under
    ``verdict``.

    Example:
        >>> from muscle_llm.comparison import Side
        >>> import pyarrow as pa
        >>> render_json(Comparison(Side("old"), Side("new"), 0.95, {}, {}, pa.table({"id": ["a"]})))[:36]
        '{\n  "schema": "muscle-llm/comparison'
    """
    document = comparison.to_dict()
    if verdict is not None:
        document["verdict"] = verdict.to_dict()
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_flips(comparison: Comparison) -> str:
    r"""Return the instances that flipped as JSON lines, negative flips first.

    Each line has the columns of `Comparison.instances`; ``quadrant`` is ``regression`` or ``gain``. Numbers
    that are not finite are null.

    Example:
        >>> from muscle_llm.comparison import compare
        >>> old = [{"id": "a", "correct": True}, {"id": "b", "correct": True}]
        >>> new = [{"id": "a", "correct": True}, {"id": "b", "correct": False}]
        >>> row = json.loads(render_flips(compare(old, new)))
        >>> row["id"], row["quadrant"], row["correct:old"], row["correct:new"]
        ('b', 'regression', True, False)
    """
    lines = []
    for kind in ("negative", "positive"):
        for batch in comparison.flips_table(kind).to_batches(max_chunksize=10_000):
            lines += [
                json.dumps(_finite(row), ensure_ascii=False, allow_nan=False) for row in batch.to_pylist()
            ]
    return "".join(f"{line}\n" for line in lines)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
