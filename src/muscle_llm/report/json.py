"""A comparison as JSON text."""

from __future__ import annotations

import json

from muscle_llm.comparison import Comparison

__all__ = ["render_json"]


def render_json(comparison: Comparison) -> str:
    r"""Return the comparison document as JSON text, ending with a line break.

    Undefined figures are null and carry their reason; there is no NaN in it.

    Example:
        >>> from muscle_llm.comparison import Side
        >>> import pyarrow as pa
        >>> render_json(Comparison(Side("old"), Side("new"), 0.95, {}, {}, pa.table({"id": ["a"]})))[:36]
        '{\n  "schema": "muscle-llm/comparison'
    """
    return json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
