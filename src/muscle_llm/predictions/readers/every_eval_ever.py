"""every_eval_ever: instance-level JSON lines (version 0.2 and 0.3), with the aggregate JSON beside them.

``evaluation.is_correct`` decides ``correct``; ``evaluation.score`` is a score, negated where the aggregate
file says that lower is better. The aggregate file alone has no instances: it is read through the instance
file it names, where that lies beside it, and refused otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from muscle_llm.errors import InputError, clip, did_you_mean
from muscle_llm.predictions.convert import value_text
from muscle_llm.predictions.readers.base import Reader, ReadOptions
from muscle_llm.predictions.readers.documents import first_keys, json_document
from muscle_llm.predictions.readers.fields import Fields
from muscle_llm.predictions.readers.rows import Row, assemble, extra
from muscle_llm.predictions.readers.table import json_lines
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import Source, find_source

__all__ = ["READER"]

_INSTANCE = {"schema_version", "evaluation_id", "sample_id", "evaluation"}
_AGGREGATE = {"schema_version", "evaluation_id", "evaluation_results"}
_INDEX = {"record_type", "object_path", "eval_schema_version"}


def _detect(source: Source) -> bool:
    keys = first_keys(source)
    return keys >= _INSTANCE or keys >= _AGGREGATE or keys >= _INDEX


def _instances(source: Source) -> Source:
    """Return the file with the instances: the source itself, or the one its aggregate document names."""
    keys = first_keys(source)
    if keys >= _INDEX:
        raise InputError(
            f"{source.label}: is an index of every_eval_ever records; it holds no instances. Name a file of "
            "instances (..._samples.jsonl)."
        )
    if not keys >= _AGGREGATE:
        return source
    document = Fields(json_document(source), source.label)
    detailed = document.inner("detailed_evaluation_results")
    count = len(document.items("evaluation_results"))
    reason = f"{source.label}: holds {count} aggregate results of every_eval_ever and no instances"
    named = detailed.text("file_path")
    if named is None:
        raise InputError(
            f"{reason}, and names no file of instances; without them versions cannot be compared."
        )
    beside = source.path.parent / PurePosixPath(named).name
    if not beside.is_file():
        raise InputError(
            f"{reason}; they are in {clip(named, 200)!r}, which is not beside it. Name that file."
        )
    told = detailed.text("checksum")
    if told and detailed.text("hash_algorithm") == "sha256":
        actual = hashlib.sha256(beside.read_bytes()).hexdigest()
        if actual != told.lower():
            raise InputError(
                f"{beside}: is not the file that {source.path.name} describes (its SHA-256 differs); name it "
                "itself to read it anyway."
            )
    return find_source(beside)


def _aggregate(source: Source) -> Fields | None:
    """Return the aggregate document beside a file of instances."""
    name = source.stem.removesuffix("_samples") + ".json"
    path = source.path.parent / name
    if path == source.path or not path.is_file():
        return None
    other = find_source(path)
    return Fields(json_document(other), other.label) if first_keys(other) >= _AGGREGATE else None


def _load(source: Source) -> list[Fields]:
    numbers: list[int] = []
    rows = []
    for row in json_lines(source, numbers):
        rows.append(Fields(row, f"{source.label}, line {numbers[-1]}"))
    if not rows:
        raise InputError(f"{source.label}: holds no rows.")
    return rows


def _result_name(row: Fields) -> str:
    return row.text("evaluation_result_id") or row.text("evaluation_name") or ""


def _pick(rows: list[Fields], options: ReadOptions, label: str) -> tuple[list[Fields], str]:
    """Return the rows of one evaluation result: its name is a task's, or a metric's."""
    names = list(dict.fromkeys(_result_name(r) for r in rows))
    for wanted in (options.select, options.metric):
        if wanted is None:
            continue
        same = [n for n in names if n == wanted] or list(
            dict.fromkeys(
                n
                for r in rows
                if r.text("evaluation_name") == wanted
                for n in [_result_name(r)]
                if n in names
            )
        )
        if not same:
            raise InputError(f"{label}: there is no evaluation {wanted!r}. {did_you_mean(wanted, names)}")
        names = same
    if len(names) > 1:
        raise InputError(
            f"{label}: holds {len(names)} evaluations: {', '.join(n[:60] for n in names[:8])}. "
            f"Choose one with --select NAME or {label}#NAME."
        )
    return [r for r in rows if _result_name(r) == names[0]], names[0]


def _read(source: Source, options: ReadOptions) -> Predictions:
    found = _instances(source)
    rows, name = _pick(_load(found), options, found.label)
    models = list(dict.fromkeys(r.text("model_id") for r in rows))
    if len(models) > 1:
        raise InputError(
            f"{found.label}: holds rows of {len(models)} models; split it into one file per model."
        )
    aggregate = _aggregate(found)
    lower = _lower_is_better(aggregate, name)
    library = aggregate.inner("eval_library") if aggregate else Fields({}, found.label)
    provenance = Provenance(
        model=models[0],
        task=rows[0].text("evaluation_name"),
        format="every_eval_ever",
        metric=name,
        harness_version=_known(library.text("version")),
        sources={found.path.name: found.sha256},
        extra=extra(
            schema_version=rows[0].text("schema_version"),
            evaluation=rows[0].text("evaluation_id"),
            harness=_known(library.text("name")),
        ),
    )
    again = "Answers to one question in several attempts need metadata.epoch; else remove the duplicates."
    return assemble([_row(r, lower) for r in rows], found.label, provenance, options, twice=again)


def _known(text: str | None) -> str | None:
    return None if text == "unknown" else text


def _lower_is_better(aggregate: Fields | None, name: str) -> bool:
    for result in aggregate.objects("evaluation_results", "result") if aggregate else ():
        if name in (result.text("evaluation_result_id"), result.text("evaluation_name")):
            return result.inner("metric_config").raw.get("lower_is_better") is True
    return False


def _row(row: Fields, lower: bool) -> Row:
    asked, judged = row.inner("input"), row.inner("evaluation")
    score = judged.number("score")
    output = _output(row)
    answer = _answer(row.items("answer_attribution"), row.place)
    error = row.text("error")
    metadata = row.inner("metadata")
    return Row(
        place=row.place,
        raw=row.raw,
        id=row.text("sample_id"),
        repeat=_repeat(metadata),
        prompt=asked.text("formatted") or asked.text("raw"),
        answer=answer if answer is not None else output,
        output=None if answer is None or answer == output else output,
        references=asked.texts("reference"),
        choices=asked.texts("choices"),
        correct=None if error else judged.flag("is_correct"),
        scores={} if score is None else {"negative_score" if lower else "score": -score if lower else score},
        error=error,
        finish_reason=metadata.text("stop_reason"),
        instance_hash=row.text("sample_hash"),
    )


def _repeat(metadata: Fields) -> int:
    """Return the how manyth answer it is, from 0: what Inspect calls the epoch, from 1, written as text."""
    epoch = metadata.text("epoch") or ""
    told = epoch.isascii() and epoch.isdecimal() and len(epoch) < 9
    return max(0, int(epoch) - 1) if told else 0


def _output(row: Fields) -> str | None:
    """Return the model's first response, or of a conversation its last word."""
    raw = row.inner("output").raw.get("raw")
    if raw is not None:
        return value_text(raw[0] if isinstance(raw, list) and raw else raw) if raw != [] else None
    said = [m for m in row.items("messages") if isinstance(m, dict) and m.get("role") == "assistant"]
    return value_text(said[-1].get("content")) if said else None


def _answer(attributions: Iterable[Any], place: str) -> str | None:
    """Return the value extracted last, of those marked as final where any is."""
    found = [Fields(a, f"{place}, answer_attribution") for a in attributions]
    final = [a for a in found if a.raw.get("is_terminal") is True] or found
    return final[-1].text("extracted_value") if final else None


def _choices(source: Source) -> dict[str, list[str]]:
    return {"--select": list(dict.fromkeys(_result_name(r) for r in _load(_instances(source))))}


_USES = {
    "id": "sample_id",
    "repeat": "metadata.epoch",
    "prompt": "input.formatted, else input.raw",
    "answer": "answer_attribution, the final extracted_value",
    "output": "output.raw, else the last message",
    "references": "input.reference",
    "choices": "input.choices",
    "correct": "evaluation.is_correct",
    "scores": "evaluation.score",
    "error": "error",
    "finish_reason": "metadata.stop_reason",
    "instance_hash": "sample_hash",
}

READER = Reader(
    "every_eval_ever",
    "every_eval_ever instance-level JSON lines, with the aggregate JSON beside them",
    _detect,
    _read,
    None,
    _choices,
    _USES,
    takes=("metric", "select"),
)
