"""promptfoo results of version 3: what ``promptfoo eval -o results.json`` (or ``.jsonl``) writes.

One result per test and column, a column being a provider with a prompt. A file with several columns needs a
choice: ``--select`` with the provider, the prompt's label or the column's number.

``success`` (all assertions hold) decides ``correct``, unless ``--metric`` names a named score; of a test
without assertions nothing is known, although promptfoo passes it. A result whose ``failureReason`` is 2 is an
error, not a wrong answer. With ``repeat`` set, results of the same variables and assertions are repeats of
one instance, which is named by the number of its first test; ``--repeat`` leaves no trace in the file but
that every test is there the same number of times.

Its CSV and YAML are recognised, to say what to write instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from muscle_llm.errors import InputError, clip, did_you_mean
from muscle_llm.files import sha256_text
from muscle_llm.predictions.convert import value_text
from muscle_llm.predictions.readers.base import Reader, ReadOptions
from muscle_llm.predictions.readers.documents import first_keys, json_document
from muscle_llm.predictions.readers.fields import Fields
from muscle_llm.predictions.readers.rows import Row, assemble, extra
from muscle_llm.predictions.readers.table import json_lines
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import Source

__all__ = ["READER"]

_ERROR = 2
_VERSION = 3


def _detect(source: Source) -> bool:
    if _other_output(source):
        return True
    keys = first_keys(source)
    return {"evalId", "results"} <= keys or {"promptIdx", "testIdx", "success"} <= keys


def _other_output(source: Source) -> str | None:
    """Return which of promptfoo's outputs that leave out too much this is, if any."""
    first = source.head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].strip()
    if first.startswith(b"evalId:"):
        return "YAML"
    return "CSV" if first.endswith(b",Status,Score,Named Scores,Grader Reason,Comment") else None


def _load(source: Source) -> tuple[list[Fields], Fields]:
    """Return the results and the rest of the document (empty for JSON lines)."""
    other = _other_output(source)
    if other:
        raise InputError(
            f"{source.label}: is promptfoo's {other}, which is not read; write JSON with "
            "'promptfoo eval -o results.json', or afterwards with 'promptfoo export eval ID -o results.json'."
        )
    if "evalId" not in first_keys(source):
        numbers: list[int] = []
        rows = [Fields(row, f"{source.label}, line {numbers[-1]}") for row in json_lines(source, numbers)]
        return rows, Fields({}, source.label)
    document = Fields(json_document(source), source.label)
    summary = document.inner("results")
    version = summary.raw.get("version")
    if version != _VERSION:
        raise InputError(
            f"{source.label}: holds promptfoo results of version "
            f"{clip(value_text(version) or 'none', 20)}; version "
            f"{_VERSION} is "
            "needed: export them again with a current promptfoo."
        )
    return list(summary.objects("results", "result")), document


def _provider(row: Fields) -> tuple[str, ...]:
    """Return the names a result's provider goes by: label, id."""
    value = row.raw.get("provider")
    if isinstance(value, dict):
        names = [value_text(value.get("label")), value_text(value.get("id"))]
    else:
        names = [value_text(value)]
    return tuple(n for n in names if n)


def _columns(rows: list[Fields], label: str) -> dict[int, tuple[str, ...]]:
    """Return the names each column goes by: provider label, provider id, prompt label."""
    columns: dict[int, tuple[str, ...]] = {}
    for row in rows:
        number = row.whole("promptIdx")
        if number is None:
            raise InputError(f"{row.place}: has no 'promptIdx'; is this promptfoo's own output?")
        if number not in columns:
            prompt = row.raw.get("prompt")
            named = value_text(prompt.get("label")) if isinstance(prompt, dict) else None
            columns[number] = (*_provider(row), *([named] if named else []))
    if not columns:
        raise InputError(f"{label}: holds no results.")
    return dict(sorted(columns.items()))


def _shown(columns: Mapping[int, tuple[str, ...]]) -> list[str]:
    return [f"{n} ({', '.join(dict.fromkeys(x[:40] for x in names))})" for n, names in columns.items()]


def _column(columns: Mapping[int, tuple[str, ...]], select: str | None, label: str) -> int:
    found = list(columns)
    if select is not None:
        found = [n for n, names in columns.items() if select in names]
        if not found and select.isdecimal() and int(select) in columns:
            found = [int(select)]
        if not found:
            known = [*dict.fromkeys(x for names in columns.values() for x in names), *map(str, columns)]
            raise InputError(
                f"{label}: no provider or prompt is called {select!r}. {did_you_mean(select, known)}"
            )
    if len(found) == 1:
        return found[0]
    listed = ", ".join(_shown({n: columns[n] for n in found}))
    raise InputError(
        f"{label}: holds {len(found)} columns (provider and prompt): {listed}. Choose one with "
        "--select NUMBER or "
        f"{label}#NUMBER, or with a name that only one has."
    )


def _read(source: Source, options: ReadOptions) -> Predictions:
    results, document = _load(source)
    columns = _columns(results, source.label)
    column = _column(columns, options.select, source.label)
    results = [r for r in results if r.whole("promptIdx") == column]
    scores = dict.fromkeys(n for r in results for n in r.inner("namedScores").raw)
    metric = None if options.metric == "success" and "success" not in scores else options.metric
    if metric is not None and metric not in scores:
        raise InputError(f"{source.label}: has no named score {metric!r}. {did_you_mean(metric, scores)}")
    rows = [_row(r, metric) for r in results]
    _number_repeats(rows, results, document)
    if all(r.correct is None or r.scores.get("score") == float(r.correct) for r in rows):
        for row in rows:  # The score says no more than right or wrong.
            row.scores.pop("score", None)
    if metric is not None:
        for row in rows:
            row.scores.pop(metric, None)
    metadata = document.inner("metadata")
    provenance = Provenance(
        model=next(iter(columns[column]), None),
        format="promptfoo",
        metric=metric or "success",
        harness_version=metadata.text("promptfooVersion"),
        sources={source.path.name: source.sha256},
        extra=extra(
            evaluation=document.text("evalId"),
            description=document.inner("config").text("description"),
            column=str(column) if len(columns) > 1 else None,
        ),
    )
    return assemble(rows, source.label, provenance, options)


def _row(result: Fields, metric: str | None) -> Row:
    test = result.whole("testIdx")
    response = result.inner("response")
    case = result.inner("testCase")
    prompt = result.raw.get("prompt")
    named = result.inner("namedScores")
    error = _error(result, response)
    row = Row(
        place=result.place,
        raw=result.raw,
        id=None if test is None else str(test),
        prompt=value_text(prompt.get("raw")) if isinstance(prompt, dict) else value_text(prompt),
        answer=None if error else response.text("output"),
        references=_references(case),
        correct=None if error else _correct(result, named, metric),
        error=error,
        finish_reason=response.text("finishReason"),
        reference_hash=sha256_text(json.dumps(case.items("assert"), sort_keys=True)),
    )
    if error is None:
        row.scores = {"score": result.number("score"), **{n: named.number(n) for n in named.raw}}
    return row


def _error(result: Fields, response: Fields) -> str | None:
    reason = result.whole("failureReason")
    text = result.text("error") or response.text("error")
    if reason is None:  # Written before the reason was: an assertion that fails leaves a grading.
        return text if text and not result.has("gradingResult") else None
    return (text or "promptfoo reports an error") if reason == _ERROR else None


def _correct(result: Fields, named: Fields, metric: str | None) -> bool | None:
    if metric is None:
        ungraded = result.inner("gradingResult").raw.get("reason") == "No assertions"
        return None if ungraded else result.flag("success")
    return named.flag(metric)


def _references(case: Fields) -> list[str | None] | None:
    """Return the values an ``equals`` assertion demands."""
    values = [
        value_text(a["value"])
        for a in case.items("assert")
        if isinstance(a, dict) and a.get("type") == "equals" and a.get("value") is not None
    ]
    return list(values) or None


def _number_repeats(rows: list[Row], results: list[Fields], document: Fields) -> None:
    """Where the evaluation repeated its tests, give repeats of one test one id and count them."""
    keys = [_test_key(r) for r in results]
    times = set(Counter(keys).values())
    alike = len(times) == 1 and times != {1}  # Every test as often as every other.
    if not alike and not _asked_for_repeats(results, document):
        return
    first: dict[str, tuple[str | None, int]] = {}
    for row, _, key in sorted(
        zip(rows, results, keys, strict=True), key=lambda item: item[1].whole("testIdx") or 0
    ):
        name, count = first.get(key, (row.id, 0))
        row.id, row.repeat = name, count
        first[key] = (name, count + 1)


def _test_key(result: Fields) -> str:
    case = result.inner("testCase").raw
    return json.dumps(
        [result.raw.get("vars"), *(case.get(n) for n in ("description", "assert", "metadata"))],
        sort_keys=True,
    )


def _asked_for_repeats(results: list[Fields], document: Fields) -> bool:
    config = document.inner("config")
    asked = [
        config.inner("evaluateOptions").raw.get("repeat"),
        config.inner("commandLineOptions").raw.get("repeat"),
        document.inner("runtimeOptions").raw.get("repeat"),
        *(r.inner("testCase").inner("options").raw.get("repeat") for r in results),
    ]
    return any(isinstance(n, int | float) and n > 1 for n in asked)


def _choices(source: Source) -> dict[str, list[str]]:
    results, _ = _load(source)
    columns = _columns(results, source.label)
    names: Iterator[str] = (n for r in results for n in r.inner("namedScores").raw)
    return {"--select": _shown(columns), "--metric": ["success", *dict.fromkeys(names)]}


_USES = {
    "id": "testIdx",
    "repeat": "the how manyth result of the same test",
    "prompt": "prompt.raw",
    "answer": "response.output",
    "references": "testCase.assert (equals)",
    "correct": "success",
    "scores": "score, namedScores",
    "error": "error, where failureReason is 2",
    "finish_reason": "response.finishReason",
    "reference_hash": "testCase.assert",
}

READER = Reader(
    "promptfoo",
    "promptfoo results (version 3), .json or .jsonl; --select PROVIDER",
    _detect,
    _read,
    None,
    _choices,
    _USES,
    takes=("metric", "select"),
)
