"""Inspect logs (.eval and .json), read through the package inspect-ai itself (the extra ``inspect``).

Epochs are repeats. The values C, I, P and N are 1, 0, 0.5 and 0, as Inspect counts them. Which scorer
decides ``correct``: ``--metric``; else the first whose values are all right or wrong; else the first whose
values are C, I, P or N: then only a whole point is right, and the score keeps the half ones. All other
scorers become scores; a scorer with several values becomes one score per value (``scorer.value``). A sample
with an error is an error, not a wrong answer.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from muscle_llm.errors import InputError, MissingExtraError, did_you_mean
from muscle_llm.predictions.convert import value_text
from muscle_llm.predictions.folders import files_in
from muscle_llm.predictions.readers.base import Part, Reader, ReadOptions
from muscle_llm.predictions.readers.documents import first_keys
from muscle_llm.predictions.readers.fields import Fields
from muscle_llm.predictions.readers.inspect_run import run_provenance
from muscle_llm.predictions.readers.rows import Row, assemble, extra
from muscle_llm.predictions.schema import Predictions
from muscle_llm.predictions.source import Source, find_source

__all__ = ["READER", "predictions_of"]

_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_HEAVY = {"events", "store", "attachments", "messages", "files", "setup"}
_WANTED = {"id", "epoch", "input", "choices", "target", "output", "scores", "metadata", "error", "limit"}


def _detect(source: Source) -> bool:
    if source.container == "directory":
        return any(
            _is_log(p.name) and _detect(find_source(p)) for p in files_in(source.path) if p.stat().st_size
        )
    if source.container == "zip":
        return any(n == "header.json" or n.startswith("_journal/") for n in source.members)
    keys = first_keys(source)
    return {"eval", "status"} <= keys or {"eval", "plan"} <= keys


def _is_log(name: str) -> bool:
    return name.endswith((".eval", ".json"))


def _log(source: Source, *, header_only: bool = False) -> Any:
    """Return the log as inspect-ai reads it."""
    try:
        read_eval_log = importlib.import_module("inspect_ai.log").read_eval_log
    except ImportError as error:
        raise MissingExtraError(f"{source.label}: reading an Inspect log", "inspect") from error
    kind = "eval" if source.container == "zip" else "json"
    target: Any = str(source.path)
    if source.container == "gzip":
        with source.open() as stream:
            target = io.BytesIO(stream.read())
    try:
        return read_eval_log(target, header_only=header_only, format=kind, exclude_fields=set(_HEAVY))
    except Exception as error:  # What another package raises on a broken file is not known beforehand.
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise InputError(f"{source.label}: inspect-ai cannot read this log ({reason}).") from error


def _read(source: Source, options: ReadOptions) -> Predictions:
    log = _log(source)
    header = log.model_dump(mode="json", exclude={"samples", "reductions", "stats"})
    samples = [s.model_dump(mode="json", include=_WANTED) for s in log.samples or []]
    return predictions_of(header, samples, source.label, {source.path.name: source.sha256}, options)


def _parts(source: Source) -> list[Part]:
    found = []
    for path in files_in(source.path):
        if not _is_log(path.name) or not path.stat().st_size:
            continue
        inner = find_source(path)
        if _detect(inner):
            log = _log(inner, header_only=True)
            labels = (str(log.eval.model), str(log.eval.created), path.name)
            found.append((str(log.eval.created), Part(str(log.eval.task), inner, labels)))
    return [part for _, part in sorted(found, key=lambda pair: pair[0])]


def predictions_of(
    header: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    label: str,
    sources: Mapping[str, str],
    options: ReadOptions,
) -> Predictions:
    """Return the predictions in a log whose header and samples are plain JSON values.

    Args:
        header: the log without its samples.
        samples: the samples, in the log's order.
        label: how messages name the file.
        sources: file name -> SHA-256, for the provenance.
        options: what the user said.

    Raises:
        InputError: the log holds no samples, or a scorer's values do not fit.
    """
    document = Fields(dict(header), label)
    evaluation, results = document.inner("eval"), document.inner("results")
    total = results.whole("total_samples")
    if not samples:
        many = f", although {total} were scored" if total else ""
        status = document.text("status") or "unknown"
        raise InputError(
            f"{label}: the log holds no samples{many} (status {status}); without them versions cannot "
            "be compared. "
            "Run the evaluation with its samples logged."
        )
    rows, values = [], []
    for number, sample in enumerate(samples, 1):
        fields = Fields(dict(sample), f"{label}, sample {number}")
        rows.append(_row(fields))
        values.append(_values(fields))
    metric, halves = _decider(values, _order(evaluation, results), options.metric, label)
    for row, sample, named in zip(rows, samples, values, strict=True):
        _judge(row, Fields(dict(sample), row.place), named, metric, halves)
    provenance = run_provenance(evaluation, document, metric, sources)
    notes = extra(
        samples=f"{len(samples)} of {total}" if total and total != len(samples) else None,
        partly_right=f"{halves} answers count half and so not as right" if halves else None,
    )
    provenance = dataclasses.replace(provenance, extra={**provenance.extra, **notes})
    again = "Inspect names each sample once per epoch; is this log merged from several?"
    return assemble(rows, label, provenance, options, twice=again)


def _row(sample: Fields) -> Row:
    output = sample.inner("output")
    limit = sample.inner("limit").text("type")
    options = output.items("choices")
    first = Fields(options[0], f"{sample.place}, 'output'") if options else Fields({}, sample.place)
    return Row(
        place=sample.place,
        raw=sample.raw,
        id=sample.text("id"),
        repeat=max(0, (sample.whole("epoch") or 1) - 1),
        prompt=_conversation(sample.raw.get("input")),
        output=output.text("completion") or _conversation(first.inner("message").raw.get("content")),
        references=_targets(sample),
        choices=sample.texts("choices") or None,
        error=sample.inner("error").text("message"),
        finish_reason=f"limit: {limit}" if limit else first.text("stop_reason"),
    )


def _targets(sample: Fields) -> list[str | None] | None:
    targets = sample.texts("target")
    return targets if targets and any(targets) else None


def _conversation(value: Any) -> str | None:
    """Return an input or a message's content as text: of a conversation each message with its role."""
    if not isinstance(value, list):
        return value_text(value)
    said = []
    for part in value:
        if not isinstance(part, dict):
            said.append(value_text(part) or "")
        elif "role" in part:
            said.append(f"{part['role']}: {_conversation(part.get('content')) or ''}")
        elif isinstance(part.get("text"), str):
            said.append(part["text"])
        else:
            said.append(f"[{part.get('type', 'part')}]")
    return value_text("\n".join(said)) or None


def _values(sample: Fields) -> dict[str, Any]:
    """Return the values of all scorers of a sample; several values of one scorer by ``scorer.value``."""
    found: dict[str, Any] = {}
    for score in sample.inner("scores").raw:
        value = sample.inner("scores").inner(score).raw.get("value")
        if isinstance(value, dict):
            found.update({f"{score}.{name}": inner for name, inner in value.items()})
        else:
            found[score] = value
    # Inspect writes NaN where a sample was not scored.
    return {name: None if value != value else value for name, value in found.items()}


def _number(value: Any) -> float | None:
    """Return a score's value as a number, as Inspect counts it; ``None`` for anything it does not count.

    Example:
        >>> [_number(v) for v in ("C", "I", "P", "N", "yes", "0.25", True, "blue")]
        [1.0, 0.0, 0.5, 0.0, 1.0, 0.25, 1.0, None]
    """
    if isinstance(value, str):
        text = value.strip()
        if text in _LETTERS:
            return _LETTERS[text]
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        try:
            value = float(text)
        except ValueError:
            return None
    if not isinstance(value, bool | int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return None if number != number else number


def _order(evaluation: Fields, results: Fields) -> list[str]:
    """Return the scorers' names in the order of the log."""
    named = [s.text("name") or "" for s in (*results.objects("scores"), *evaluation.objects("scorers"))]
    return list(dict.fromkeys(named))


def _decider(
    values: Sequence[Mapping[str, Any]], order: Sequence[str], wanted: str | None, label: str
) -> tuple[str | None, int]:
    """Return the scorer that decides right or wrong, and how many of its values are half points."""
    names = list(
        dict.fromkeys([*(n for n in order if any(n in v for v in values)), *(n for v in values for n in v)])
    )
    if wanted is not None and wanted not in names:
        raise InputError(f"{label}: there is no scorer {wanted!r}. {did_you_mean(wanted, names)}")
    lettered = None
    for name in [wanted] if wanted is not None else names:
        given = [v[name] for v in values if v.get(name) is not None]
        numbers = [n for n in (_number(g) for g in given) if n is not None]
        if numbers and len(numbers) == len(given) and set(numbers) <= {0.0, 1.0}:
            return name, 0
        if lettered is None and given and all(isinstance(g, str) and g in _LETTERS for g in given):
            lettered = name
    if lettered is not None:
        return lettered, sum(1 for v in values if v.get(lettered) == "P")
    if wanted is not None:
        odd = next(value_text(v[wanted]) for v in values if v.get(wanted) is not None)
        raise InputError(
            f"{label}: the scorer {wanted!r} does not say right or wrong (such as {str(odd)[:40]!r}); "
            "its values "
            "are read as a score without --metric."
        )
    return None, 0


def _judge(row: Row, sample: Fields, values: Mapping[str, Any], metric: str | None, halves: int) -> None:
    """Add right or wrong, the answer and the scores to a row."""
    scores = sample.inner("scores")
    decider = metric if metric in scores.raw else (metric or "").partition(".")[0]
    judged = scores.inner(decider or "")
    answer = judged.text("answer")
    if answer is None:
        row.answer, row.output = row.output, None
    else:
        row.answer, row.output = answer, None if answer == row.output else row.output
    for name, value in values.items():
        if name != metric or halves:
            row.scores[name] = _number(value)
    if row.error is not None:
        row.answer, row.scores = None, {}
    elif metric is not None and values.get(metric) is not None:
        row.correct = _number(values[metric]) == 1.0


def _choices(source: Source) -> dict[str, list[str]]:
    log = _log(source)
    values = [
        _values(Fields(s.model_dump(mode="json", include={"scores"}), source.label))
        for s in log.samples or []
    ]
    return {"--metric": list(dict.fromkeys(n for v in values for n in v))}


_USES = {
    "id": "id",
    "repeat": "epoch",
    "prompt": "input",
    "answer": "scores, the answer of the scorer",
    "output": "output.completion",
    "references": "target",
    "choices": "choices",
    "correct": "the scorer's value",
    "scores": "the other scorers",
    "error": "error.message",
    "finish_reason": "limit, or output's stop_reason",
}

READER = Reader(
    "inspect",
    "Inspect log, .eval or .json, or a folder of them (extra: inspect)",
    _detect,
    _read,
    _parts,
    _choices,
    _USES,
    takes=("metric",),
)
