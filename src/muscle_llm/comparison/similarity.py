"""Similarity scores added to predictions, so that they are compared like any score of the logs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from muscle_llm.errors import InputError
from muscle_llm.metrics.similarity import similarity
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.schema import Predictions

__all__ = ["with_similarity"]


def with_similarity(
    predictions: Predictions, names: Sequence[str], label: str = "predictions"
) -> Predictions:
    """Return the predictions with the named similarities of answer and references among their scores.

    A row with an error has no similarity; a row without an answer has 0; a row without reference has none.
    A score of the same name in the log is replaced.

    Args:
        predictions: with columns ``answer`` and ``references``.
        names: of `muscle_llm.metrics.similarity.SIMILARITIES`.
        label: how messages name the predictions.

    Raises:
        InputError: answers or references are missing, or a name is unknown.

    Example:
        >>> p = Predictions.from_columns({"id": ["a"], "answer": ["red cat"], "references": [["cat"]]})
        >>> round(with_similarity(p, ["f1"]).table["scores"].to_pylist()[0]["f1"], 4)
        0.6667
    """
    if not names:
        return predictions
    table = predictions.table
    lacking = [c for c in ("answer", "references") if c not in table.column_names]
    if lacking:
        raise InputError(f"{label}: a similarity needs {' and '.join(lacking)}; map answer= and reference=.")
    failed = table["error"].is_valid() if "error" in table.column_names else None
    answers, references = table["answer"].to_pylist(), table["references"].to_pylist()
    fields = {n: pc.struct_field(table["scores"], n).combine_chunks() for n in predictions.score_names}
    for name in names:
        values = pa.array(similarity(name, answers, references), from_pandas=True)
        if failed is not None:
            values = pc.if_else(failed.combine_chunks(), pa.scalar(None, pa.float64()), values)
        fields[name] = values
    scores = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    kept = table.drop_columns("scores") if "scores" in table.column_names else table
    return dataclasses.replace(predictions, table=kept.append_column("scores", scores))
