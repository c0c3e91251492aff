"""lighteval details: ``details/<model>/<time>/details_<task>_<time>.parquet``, one row per document.

Two layouts: struct columns ``doc``, ``model_response``, ``metric`` (also written ``__doc__`` and so on),
and the flat columns of versions before 0.11 (``full_prompt``, ``predictions``, ``gold``, ``metrics``).

Which metric decides ``correct``: ``--metric``; else the first of `RIGHT_OR_WRONG`; else the first whose
values are all 0 or 1 and that is not a graded similarity. All other numbers become scores. The documents
carry no stable id, so the id is the row's number unless the document has one of its own that no other has.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from muscle_llm.errors import InputError
from muscle_llm.files import sha256_text
from muscle_llm.predictions.convert import value_text
from muscle_llm.predictions.folders import files_in
from muscle_llm.predictions.readers.base import Part, Reader, ReadOptions
from muscle_llm.predictions.readers.documents import json_document
from muscle_llm.predictions.readers.fields import Fields, number_of
from muscle_llm.predictions.readers.lm_eval_metrics import PER_UNIT, log_likelihood_per_unit
from muscle_llm.predictions.readers.options import chosen_options
from muscle_llm.predictions.readers.rows import Row, assemble, choose_metric, extra
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import Source, find_source

__all__ = ["READER", "RIGHT_OR_WRONG"]

RIGHT_OR_WRONG = (
    "acc",
    "exact_match",
    "em",
    "extractive_match",
    "qem",
    "pem",
    "pqem",
    "quasi_exact_match",
    "loglikelihood_acc",
    "loglikelihood_acc_norm",
    "acc_norm",
    "pass@k:k=1",
    "pass@1:1_samples",
)
_GRADED = re.compile(r"rouge|bleu|chrf|\bter\b|bert|f1|perplexity|ppl|likelihood|brier|mcc|bits|mrr", re.I)
_LOWER = re.compile(r".*(perplexity|ppl|bits_per_byte|\bter\b|edit_distance|brier).*", re.I)
_NAME = re.compile(r"details_(?P<task>.+)_(?P<time>\d{4}-\d{2}-\d{2}T[\d:.-]+)$")
_LAYOUTS = ({"doc", "model_response", "metric"}, {"__doc__", "__model_response__", "__metric__"})
_FLAT = {"predictions", "gold", "metrics"}


def _detect(source: Source) -> bool:
    if source.container == "directory":
        return any(_NAME.match(p.stem) for p in files_in(source.path, 6) if p.suffix == ".parquet")
    if source.head[:4] != b"PAR1" or source.container != "plain":
        return False
    try:
        names = set(pq.read_schema(source.path).names)
    except (pa.ArrowException, OSError, UnicodeDecodeError):  # the last: of a column's name
        return False
    return any(layout <= names for layout in (*_LAYOUTS, _FLAT))


def _parts(source: Source) -> list[Part]:
    found = []
    for path in files_in(source.path, 6):
        match = _NAME.match(path.stem)
        if match and path.suffix == ".parquet":
            model = _model(path) or ""
            found.append((match["time"], Part(match["task"], Source(path, "plain"), (match["time"], model))))
    return [part for _, part in sorted(found, key=lambda pair: pair[0])]


def _model(path: Path) -> str | None:
    """Return the model's name from ``details/<org>/<name>/<time>/file``."""
    parents = list(path.parts[:-1])
    if "details" not in parents:
        return None
    below = parents[len(parents) - parents[::-1].index("details") :]
    return "/".join(below[:-1]) or None


def _load(source: Source) -> list[Fields]:
    try:
        table = pq.read_table(source.path)
        rows = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InputError(f"{source.label}: not a readable Parquet file ({reason}).") from error
    if not rows:
        raise InputError(f"{source.label}: holds no rows.")
    return [_uniform(Fields(r, f"{source.label}, row {n}")) for n, r in enumerate(rows, 1)]


def _uniform(row: Fields) -> Fields:
    """Return a row of any layout with the fields ``doc``, ``model_response`` and ``metric``."""
    raw = row.raw
    if "__doc__" in raw:
        named = {n.strip("_"): _parsed(v) for n, v in raw.items()}
        return Fields({**raw, **named}, row.place)
    if "doc" in raw:
        return Fields({**raw, **{n: _parsed(raw[n]) for n in ("doc", "model_response", "metric")}}, row.place)
    predictions, gold, options = (_parsed(raw.get(n)) for n in ("predictions", "gold", "choices"))
    golds = gold if isinstance(gold, list) else [gold]
    numbers = isinstance(predictions, list) and all(isinstance(p, int | float) for p in predictions)
    doc = {
        "query": raw.get("full_prompt"),
        "choices": options if isinstance(options, list) and options else golds,
        "gold_index": _parsed(raw.get("gold_index")) if options else list(range(len(golds))),
    }
    response = {"logprobs" if numbers and predictions else "text": predictions}
    return Fields(
        {**raw, "doc": doc, "model_response": response, "metric": _parsed(raw.get("metrics"))}, row.place
    )


def _parsed(value: Any) -> Any:
    """Return a value that was written as text (JSON, or as Python shows it), as what it was."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return value


def _metric_values(rows: Sequence[Fields]) -> dict[str, list[float | None]]:
    """Return the values of every metric that is a number, by name."""
    metrics = [dict(_of_document(r.inner("metric").raw)) for r in rows]
    names = dict.fromkeys(n for m in metrics for n in m)
    found: dict[str, list[float | None]] = {}
    for name in names:
        values = [number_of(m.get(name)) for m in metrics]
        if any(v is not None for v in values):
            found[name] = values
    return found


def _of_document(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the metrics of a document; of a perplexity over all documents, what it is made of."""
    for name, value in metrics.items():
        if name in PER_UNIT and isinstance(value, dict):
            yield log_likelihood_per_unit(name, value.get("logprobs"), value.get("weights"))
        else:
            yield name, value


def _read(source: Source, options: ReadOptions) -> Predictions:
    rows = _load(source)
    metrics = _metric_values(rows)
    metric = choose_metric(
        metrics, options.metric, RIGHT_OR_WRONG, source.label, lambda n: bool(_GRADED.search(n))
    )
    ids = _ids(rows)
    built = [_row(r, i) for r, i in zip(rows, ids, strict=True)]
    for name, values in metrics.items():
        lower = _LOWER.fullmatch(name) is not None
        for row, value in zip(built, values, strict=True):
            if name == metric:
                row.correct = _verdict(value, name, row.place)
            elif value is not None:
                row.scores[f"negative_{name}" if lower else name] = -value if lower else value
    texts = [[c or "" for c in r.choices or []] for r in built]
    rules = ("per character", "sum") if metric and "norm" in metric else ("sum", "per character")
    rule = chosen_options(built, texts, rules)
    return assemble(built, source.label, _provenance(source, rows, metric, rule), options)


def _verdict(value: float | None, metric: str, place: str) -> bool | None:
    if value not in (0.0, 1.0, None):
        raise InputError(f"{place}: the metric {metric!r} is {value:g}, neither right (1) nor wrong (0).")
    return None if value is None else value == 1.0


def _ids(rows: Sequence[Fields]) -> list[str]:
    """Return the documents' own ids where they tell the rows apart, else the rows' numbers."""
    own = [r.inner("doc").text("id") for r in rows]
    if all(own) and len(set(own)) == len(own):
        return [i or "" for i in own]
    return [str(n) for n in range(len(rows))]


def _row(fields: Fields, identity: str) -> Row:
    doc, response = fields.inner("doc"), fields.inner("model_response")
    choices = doc.texts("choices") or []
    gold = [g for g in _gold(doc) if 0 <= g < len(choices)]
    asked, query = _prompt(response.raw.get("input")), doc.text("query")
    row = Row(
        place=fields.place,
        raw=fields.raw,
        id=identity,
        prompt=asked or query,
        # The input is in the model's own chat template, the question is not.
        instance_hash=sha256_text(query) if asked and query else None,
        references=[choices[g] for g in gold] or None,
    )
    likelihoods = [number_of(v) for v in response.items("logprobs")]
    texts = response.texts("text_post_processed") or response.texts("text") or []
    if texts:
        row.answer = texts[0]
        whole = (response.texts("text") or [None])[0]
        row.output = whole if whole != row.answer else None
    elif len(likelihoods) == len(choices) > 1 and None not in likelihoods:
        options = [(c or "").removeprefix(" ") for c in choices]
        row.choices = (
            list(options) if len(set(options)) == len(options) else [str(n) for n in range(len(options))]
        )
        row.choice_scores = [v for v in likelihoods if v is not None]
        row.references = [row.choices[g] for g in gold] or None
    return row


def _gold(doc: Fields) -> Iterator[int]:
    value = doc.raw.get("gold_index")
    for index in value if isinstance(value, list) else [value]:
        if isinstance(index, int) and not isinstance(index, bool):
            yield index


def _prompt(value: Any) -> str | None:
    """Return the model's input as text: a text, or the messages of a conversation."""
    if isinstance(value, list) and value and all(isinstance(m, dict) for m in value):
        return "\n".join(f"{m.get('role')}: {value_text(m.get('content'))}" for m in value)
    return value_text(value)


def _settings(path: Path) -> Fields:
    """Return the general settings of a run, from ``results_<time>.json`` in the folder beside ``details``."""
    parts, match = list(path.parts), _NAME.match(path.stem)
    if match and "details" in parts:
        at = len(parts) - 1 - parts[::-1].index("details")
        results = Path(*parts[:at], "results", *parts[at + 1 : -2], f"results_{match['time']}.json")
        if results.is_file() and results.stat().st_size:
            return Fields(json_document(find_source(results)), str(results)).inner("config_general")
    return Fields({}, str(path))


def _generation(settings: Fields) -> str | None:
    """Return the settings of generation and the system prompt that are told, as JSON."""
    model = settings.inner("model_config")
    told = {**model.inner("generation_parameters").raw, "system_prompt": model.raw.get("system_prompt")}
    told = {name: value for name, value in told.items() if value is not None}
    return value_text(told) if told else None


def _provenance(source: Source, rows: Sequence[Fields], metric: str | None, rule: str | None) -> Provenance:
    match = _NAME.match(source.path.stem)
    doc, settings = rows[0].inner("doc"), _settings(source.path)
    version = settings.text("lighteval_sha")
    task = match["task"] if match else doc.text("task_name")
    shots: Mapping[str, Any] = rows[0].raw
    asked = shots.get("num_asked_few_shots")
    if asked is None and task and re.search(r"\|\d+$", task):
        asked = int(task.rpartition("|")[2])
    return Provenance(
        model=_model(source.path),
        task=task,
        format="lighteval",
        metric=metric,
        num_fewshot=asked if isinstance(asked, int) and abs(asked) < 2**31 else None,
        harness_version=None if version == "?" else version,
        sources={source.path.name: source.sha256},
        extra=extra(
            time=match["time"] if match else None,
            generation=_generation(settings),
            answers=None
            if rule
            else "unknown: the log-likelihoods do not tell which option the metric takes",
        ),
    )


def _choices(source: Source) -> dict[str, list[str]]:
    return {"--metric": list(_metric_values(_load(source)))}


_USES = {
    "id": "doc.id, else the row's number",
    "prompt": "model_response.input, else doc.query",
    "instance_hash": "hash of doc.query",
    "answer": "model_response.text (of several options: the most likely)",
    "output": "model_response.text",
    "references": "doc.choices at doc.gold_index",
    "choices": "doc.choices",
    "choice_scores": "model_response.logprobs",
    "correct": "the metric",
    "scores": "the other metrics",
}

READER = Reader(
    "lighteval",
    "lighteval details_*.parquet, or a folder of them",
    _detect,
    _read,
    _parts,
    _choices,
    _USES,
    takes=("metric",),
)
