"""LLM Comparator JSON: two models' texts side by side; ``--select a`` or ``--select b`` (or the model's
name).

The file has no ids: the id is the custom field ``id`` where there is one, else the number of the example.
Right or wrong is known only where a custom field ``correct`` of the type ``per_model_boolean`` says so, as
in the files this package exports. The raters' score (above 0: A is better) becomes the score
``preference``: plus half of it for A, minus half for B, so that the difference of the two sides is the
raters' score. Custom fields of the type ``per_model_number`` become scores.
"""

from __future__ import annotations

from typing import Any

from muscle_llm.errors import InputError, clip, did_you_mean
from muscle_llm.predictions.convert import value_text
from muscle_llm.predictions.readers.base import Reader, ReadOptions
from muscle_llm.predictions.readers.documents import first_keys, json_document
from muscle_llm.predictions.readers.fields import Fields
from muscle_llm.predictions.readers.rows import Row, assemble
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import Source

__all__ = ["READER"]

_SIDES = ("a", "b")


def _detect(source: Source) -> bool:
    return {"models", "examples"} <= first_keys(source) and b"output_text_a" in source.head


def _models(document: Fields) -> list[str]:
    models = [m.text("name") or "" for m in document.objects("models", "model")]
    if len(models) != 2:
        raise InputError(f"{document.place}: names {len(models)} models; LLM Comparator compares two.")
    return models


def _side(models: list[str], select: str | None, label: str) -> int:
    named = f"a ({models[0][:60]}) and b ({models[1][:60]})"
    if select is None:
        raise InputError(
            f"{label}: holds both models: {named}. Choose one with --select a or --select b; to compare "
            f"them, give the file twice: {label}#a {label}#b."
        )
    if select.lower() in _SIDES:
        return _SIDES.index(select.lower())
    if models.count(select) == 1:
        return models.index(select)
    known = did_you_mean(select, [*_SIDES, *models])
    raise InputError(f"{label}: there is no side {clip(select)!r}; the sides are {named}. {known}")


def _fields_of_type(document: Fields, kind: str) -> list[str]:
    schema = document.inner("metadata").objects("custom_fields_schema", "field")
    return [f.text("name") or "" for f in schema if f.raw.get("type") == kind]


def _read(source: Source, options: ReadOptions) -> Predictions:
    document = Fields(json_document(source), source.label)
    models = _models(document)
    side = _side(models, options.select, source.label)
    booleans = _fields_of_type(document, "per_model_boolean")
    numbers = _fields_of_type(document, "per_model_number")
    metric = options.metric or ("correct" if "correct" in booleans else None)
    if metric is not None and metric not in booleans:
        raise InputError(
            f"{source.label}: no custom field {metric!r} says right or wrong per model. "
            f"{did_you_mean(metric, booleans)}"
        )
    examples = list(document.objects("examples", "example"))
    rows = [_row(e, n, side, metric, numbers) for n, e in enumerate(examples)]
    provenance = Provenance(
        model=models[side] or None,
        format="llm-comparator",
        metric=metric,
        sources={source.path.name: source.sha256},
        extra={"side": _SIDES[side]},
    )
    return assemble(rows, source.label, provenance, options)


def _row(example: Fields, number: int, side: int, metric: str | None, numbers: list[str]) -> Row:
    custom = example.inner("custom_fields")
    score = example.number("score")
    scores = {n: _of_side(custom, n, side).number("value") for n in numbers if n in custom.raw}
    if score is not None:
        scores["preference"] = score / 2 if side == 0 else -score / 2
    answer = example.text(f"output_text_{_SIDES[side]}")
    told = _of_side(custom, "answer", side).text("value")
    return Row(
        place=example.place,
        raw=example.raw,
        id=custom.text("id") or str(number),
        prompt=example.text("input_text"),
        answer=told or answer,
        output=answer if told and told != answer else None,
        correct=_of_side(custom, metric, side).flag("value") if metric else None,
        scores=scores,
    )


def _of_side(custom: Fields, name: str, side: int) -> Fields:
    """Return one model's value of a per-model field, as the field ``value``."""
    values: Any = custom.raw.get(name)
    if values is None:
        return Fields({}, custom.place)
    if not isinstance(values, list) or len(values) != 2:
        raise InputError(
            f"{custom.place}, {name!r}: is {(value_text(values) or '')[:60]}, not a list of two "
            "values, one per model."
        )
    return Fields({"value": values[side]}, f"{custom.place}, {name!r}")


def _choices(source: Source) -> dict[str, list[str]]:
    document = Fields(json_document(source), source.label)
    sides = [f"{s} ({m})" for s, m in zip(_SIDES, _models(document), strict=True)]
    return {"--select": sides, "--metric": _fields_of_type(document, "per_model_boolean")}


_USES = {
    "id": "custom_fields.id, else the number of the example",
    "prompt": "input_text",
    "answer": "output_text_a or output_text_b",
    "correct": "custom_fields.correct",
    "scores": "per-model numbers; the raters' score as preference",
}

READER = Reader(
    "llm-comparator",
    "LLM Comparator JSON; --select a or b",
    _detect,
    _read,
    None,
    _choices,
    _USES,
    takes=("metric", "select"),
)
