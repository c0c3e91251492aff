"""A comparison as LLM Comparator JSON: old is A, new is B.

LLM Comparator shows two models' texts side by side with a score per example, above 0 where A is better.
Here the score is 1 where only the old version is right, -1 where only the new one is, 0 otherwise; where
right and wrong are not known, the difference of the first score (old minus new).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from muscle_llm.comparison.types import Comparison

__all__ = ["render_llm_comparator", "to_llm_comparator"]

Row = Mapping[str, Any]


def to_llm_comparator(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison's instances as an LLM Comparator document.

    The quadrant is a tag and a category; correctness, answers and scores of both versions are fields per
    model; the answers of candidates are text fields. `read_predictions` reads the document back, one side
    at a time.

    Args:
        comparison: what `muscle_llm.comparison.compare` returns.

    Returns:
        A document of plain JSON types.

    Example:
        >>> from muscle_llm.comparison import compare
        >>> from muscle_llm.predictions import read_predictions
        >>> old = read_predictions([{"id": 1, "answer": "B", "reference": "B", "question": "b?"}])
        >>> new = read_predictions([{"id": 1, "answer": "A", "reference": "B", "question": "b?"}])
        >>> example = to_llm_comparator(compare(old, new))["examples"][0]
        >>> example["output_text_a"], example["output_text_b"], example["score"], example["tags"]
        ('B', 'A', 1.0, ['regression'])

    Source:
        PAIR-code/llm-comparator, the JSON format of its README (version 1).
    """
    rows = comparison.instances.to_pylist()
    names = set(comparison.instances.column_names)
    scores = [n.removeprefix("score:").removesuffix(":old") for n in names if n.startswith("score:")]
    scores = sorted({s for s in scores if {f"score:{s}:old", f"score:{s}:new"} <= names})
    fields = _schema(names, scores, list(comparison.candidates), rows)
    return {
        "metadata": {
            "source_path": f"muscle-llm comparison: {comparison.sentence or comparison.task or ''}",
            "custom_fields_schema": [{"name": field.name, "type": field.kind} for field in fields],
        },
        "models": [{"name": comparison.old.name}, {"name": comparison.new.name}],
        "examples": [_example(row, fields, scores) for row in rows],
    }


def render_llm_comparator(comparison: Comparison) -> str:
    """Return the document of `to_llm_comparator` as JSON text."""
    return json.dumps(to_llm_comparator(comparison), ensure_ascii=False, allow_nan=False) + "\n"


class _Field(NamedTuple):
    """A custom field: its name and type in the document, and the column of the instances it shows."""

    name: str
    kind: str
    column: str


def _schema(
    names: set[str], scores: Sequence[str], candidates: Sequence[str], rows: Sequence[Row]
) -> list[_Field]:
    """Return the custom fields. The viewer counts truth values and numbers, so that a field in which a row
    has
    none is a text."""

    def of_models(name: str, column: str, kind: str) -> _Field:
        known = all(row[f"{column}:{side}"] is not None for row in rows for side in ("old", "new"))
        return _Field(name, kind if known else "per_model_text", column)

    fields = [_Field("id", "string", "id")]
    if "quadrant" in names:
        fields.append(_Field("quadrant", "category", "quadrant"))
    if {"correct:old", "correct:new"} <= names:
        fields.append(of_models("correct", "correct", "per_model_boolean"))
    if {"answer:old", "answer:new"} <= names:
        fields.append(_Field("answer", "per_model_text", "answer"))
    if "references" in names:
        fields.append(_Field("references", "text", "references"))
    taken = {field.name for field in fields}
    for score in scores:
        name = f"score {score}" if score in taken else score
        fields.append(of_models(name, f"score:{score}", "per_model_number"))
    return fields + [_Field(f"candidate {n}", "text", n) for n in candidates if f"answer:{n}" in names]


def _example(row: Row, fields: Sequence[_Field], scores: Sequence[str]) -> dict[str, Any]:
    return {
        "input_text": row.get("prompt") or "",
        "tags": [row["quadrant"]] if row.get("quadrant") else [],
        "output_text_a": _text(row, "old"),
        "output_text_b": _text(row, "new"),
        "score": _score(row, scores),
        "individual_rater_scores": [],
        "custom_fields": {field.name: _value(row, field) for field in fields},
    }


def _text(row: Row, version: str) -> str:
    output = row.get(f"output:{version}")
    return output if output is not None else row.get(f"answer:{version}") or ""


def _score(row: Row, scores: Sequence[str]) -> float | None:
    old, new = row.get("correct:old"), row.get("correct:new")
    if old is not None and new is not None:
        return float(old) - float(new)
    for score in scores:
        a, b = row[f"score:{score}:old"], row[f"score:{score}:new"]
        if a is not None and b is not None:
            return a - b
    return None


def _value(row: Row, field: _Field) -> Any:
    if field.kind.startswith("per_model_"):
        values = [row[f"{field.column}:{side}"] for side in ("old", "new")]
        return ["" if v is None else str(v) for v in values] if field.kind == "per_model_text" else values
    if field.name.startswith("candidate "):
        return _text(row, field.column)
    if field.column == "references":
        return " | ".join(r for r in row["references"] or [] if r is not None)
    if field.column == "id" and row.get("repeat"):
        return f"{row['id']} ({row['repeat']})"
    return row.get(field.column)
