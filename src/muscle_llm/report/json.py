"""A comparison as JSON text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from muscle_llm.comparison import Comparison

if TYPE_CHECKING:
    from muscle_llm.gate.verdict import Verdict

__all__ = ["render_json"]


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
