"""lm-evaluation-harness (0.4.3 and later): ``samples_<task>_<time>.jsonl``, with ``results_<time>.json``
beside it.

One row of the log per (document, filter). Which filter: the one named by ``--filter``; else the only one;
else ``none``, else ``strict-match``; else the user must choose. Which metric decides ``correct``: the one
named by ``--metric``; else the first of `RIGHT_OR_WRONG` that the rows carry; else the first metric whose
values are all 0 or 1 and that is not a graded similarity. All other numbers become scores.

Multiple choice: the chosen option is the one with the highest log-likelihood (for ``acc_norm`` the highest
log-likelihood per character), as the harness decides it; the log-likelihoods are kept in ``choice_scores``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from muscle_llm.errors import InputError, did_you_mean
from muscle_llm.predictions.build import check_unique
from muscle_llm.predictions.convert import to_arrow, to_text, value_text
from muscle_llm.predictions.readers.base import Reader, ReadOptions
from muscle_llm.predictions.readers.table import json_lines, text_kind
from muscle_llm.predictions.schema import COLUMNS, Predictions, Provenance
from muscle_llm.predictions.source import Source

__all__ = ["READER", "RIGHT_OR_WRONG"]

# Metrics that say right or wrong per document, the most usual first.
RIGHT_OR_WRONG = (
    "acc",
    "exact_match",
    "em",
    "acc_norm",
    "pass@1",
    "pass_at_1",
    "contains",
    "prompt_level_strict_acc",
)
_GRADED = re.compile(
    r"rouge|bleu|chrf|ter$|bert|f1|perplexity|likelihood|brier|mcc|bits|word|byte", re.IGNORECASE
)
_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d{2}-\d{2}T[\d:.-]+)$")
_LOOKS = {"doc_id", "doc", "target", "arguments", "filtered_resps"}


def _detect(source: Source) -> bool:
    if source.container == "directory" or (source.container == "zip" and len(source.members) != 1):
        return False
    if text_kind(source) not in ("jsonl", "json"):
        return False
    try:
        row = json.loads(source.first_line.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return bool(_NAME.search(source.stem))
    return isinstance(row, dict) and set(row) >= _LOOKS


def _read(source: Source, options: ReadOptions) -> Predictions:
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    for row in json_lines(source, numbers):
        if not set(row) >= _LOOKS:
            missing = ", ".join(sorted(_LOOKS - set(row)))
            raise InputError(
                f"{source.label}, line {numbers[-1]}: not a row of lm-evaluation-harness (no {missing})."
            )
        row["@line"] = numbers[-1]
        rows.append(row)
    if not rows:
        raise InputError(f"{source.label}: holds no rows.")
    chosen = _filter(rows, options.filter, source.label)
    rows = [r for r in rows if r.get("filter", "none") == chosen]
    _check_single_run(rows, source.label, chosen)
    metrics = _metric_values(rows)
    metric = _right_or_wrong(metrics, options.metric, source.label)
    columns = _columns(rows, metric, source.label)
    if metric is not None:
        columns["correct"] = _boolean(metrics.pop(metric), metric, rows, source.label)
    config = _results(source)
    scores = {
        n: (v if _higher(config, n) else [None if x is None else -x for x in v]) for n, v in metrics.items()
    }
    if scores:
        fields = [pa.array(v, pa.float64()) for v in scores.values()]
        names = [n if _higher(config, n) else f"negative_{n}" for n in scores]
        columns["scores"] = pa.StructArray.from_arrays(fields, names)
    table = pa.table({name: columns[name] for name in COLUMNS if name in columns})
    predictions = Predictions(table, _provenance(source, config, chosen, metric))
    check_unique(predictions, source.label)
    return predictions


def _filter(rows: Iterable[Mapping[str, Any]], wanted: str | None, label: str) -> str:
    filters = list(dict.fromkeys(str(r.get("filter", "none")) for r in rows))
    if wanted is not None:
        if wanted not in filters:
            raise InputError(f"{label}: there is no filter {wanted!r}. {did_you_mean(wanted, filters)}")
        return wanted
    for name in (filters[0] if len(filters) == 1 else None, "none", "strict-match"):
        if name in filters:
            return name
    raise InputError(f"{label}: holds several filters ({', '.join(filters)}); choose one with --filter.")


def _check_single_run(rows: list[dict[str, Any]], label: str, chosen: str) -> None:
    counts = Counter(value_text(r["doc_id"]) for r in rows)
    doc, times = counts.most_common(1)[0]
    if times > 1:
        lines = [r["@line"] for r in rows if value_text(r["doc_id"]) == doc][:3]
        raise InputError(
            f"{label}: document {doc} occurs {times} times under the filter {chosen!r} (lines {lines}): "
            f"several runs "
            "were appended to one file. Keep one run, or log each into its own folder."
        )


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float):
        return float(value)
    return None


def _metric_values(rows: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Return the values of every metric that is one number per document, by name."""
    names = list(dict.fromkeys(n for r in rows for n in r.get("metrics", []) if isinstance(n, str)))
    values = {n: [_number(r.get(n)) for r in rows] for n in names}
    return {n: v for n, v in values.items() if any(x is not None and np.isfinite(x) for x in v)}


def _right_or_wrong(metrics: Mapping[str, list[float | None]], wanted: str | None, label: str) -> str | None:
    if wanted is not None:
        if wanted not in metrics:
            raise InputError(f"{label}: there is no metric {wanted!r}. {did_you_mean(wanted, metrics)}")
        return wanted
    binary = [n for n, v in metrics.items() if all(x in (0.0, 1.0, None) for x in v)]
    for name in RIGHT_OR_WRONG:
        if name in binary:
            return name
    return next((n for n in binary if not _GRADED.search(n)), None)


def _boolean(values: list[float | None], metric: str, rows: list[dict[str, Any]], label: str) -> pa.Array:
    for row, value in zip(rows, values, strict=True):
        if value not in (0.0, 1.0, None):
            raise InputError(
                f"{label}, line {row['@line']}: the metric {metric!r} is {value}, neither right (1) nor "
                f"wrong (0)."
            )
    return pa.array([None if v is None else v == 1.0 for v in values], pa.bool_())


def _arguments(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return (context, continuation or generation settings) per request, of the old and the new layout."""
    arguments = row["arguments"]
    if isinstance(arguments, dict):
        arguments = [
            [v.get("arg_0"), v.get("arg_1")] if isinstance(v, dict) else [v]
            for _, v in sorted(arguments.items(), key=lambda kv: int(re.sub(r"\D", "", kv[0]) or 0))
        ]
    pairs = []
    for argument in arguments if isinstance(arguments, list) else []:
        values = list(argument) if isinstance(argument, list | tuple) else [argument]
        pairs.append((values[0] if values else None, values[1] if len(values) > 1 else None))
    return pairs


def _log_likelihoods(row: Mapping[str, Any]) -> list[float] | None:
    """Return the log-likelihood per option of a multiple-choice row, ``None`` for any other row."""
    responses = row["filtered_resps"]
    if not isinstance(responses, list) or len(responses) < 2:
        return None
    values: list[float] = []
    for response in responses:
        while isinstance(response, list) and len(response) == 1:
            response = response[0]
        if not isinstance(response, list) or len(response) != 2:
            return None
        try:
            values.append(float(response[0]))
        except (TypeError, ValueError):
            return None
    return values


def _columns(rows: list[dict[str, Any]], metric: str | None, label: str) -> dict[str, Any]:
    names = ("answer", "output", "prompt", "references", "choices", "choice_scores")
    values: dict[str, list[Any]] = {n: [] for n in names}
    for row in rows:
        try:
            cells = _cells(row, metric)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise InputError(
                f"{label}, line {row['@line']}: not a row this reader knows ({error})."
            ) from error
        for name in names:
            values[name].append(cells.get(name))
    ids = to_text(to_arrow([r["doc_id"] for r in rows]))
    if ids.null_count:
        raise InputError(f"{label}: a row has no doc_id.")
    columns: dict[str, Any] = {"id": ids, "repeat": pa.array(np.zeros(len(rows), np.int32))}
    for name in names:
        if name == "answer" or any(v is not None for v in values[name]):
            columns[name] = pa.array(values[name], COLUMNS[name][0])
    for name, key in (("prompt_hash", "prompt_hash"), ("reference_hash", "target_hash")):
        if all(isinstance(r.get(key), str) for r in rows):
            columns[name] = pa.array([r[key] for r in rows], pa.string())
    return columns


def _cells(row: Mapping[str, Any], metric: str | None) -> dict[str, Any]:
    pairs = _arguments(row)
    likelihoods = _log_likelihoods(row)
    cells: dict[str, Any] = {"prompt": value_text(pairs[0][0]) if pairs else None}
    target = value_text(row["target"])
    if likelihoods is None:
        return {**cells, **_generated(row, target)}
    options = [value_text(p[1]) or "" for p in pairs]
    if len(options) != len(likelihoods):
        raise ValueError(f"{len(options)} requests but {len(likelihoods)} responses")
    if "acc_mutual_info" in row.get("metrics", []) and len(options) % 2 == 0:
        # The second half of the requests scores the options without their context.
        options, likelihoods = options[: len(options) // 2], likelihoods[: len(likelihoods) // 2]
    choices = [o.removeprefix(" ") for o in options]
    weights = [max(1, len(c)) for c in choices] if metric == "acc_norm" else [1] * len(choices)
    chosen = int(np.argmax(np.array(likelihoods) / weights))
    distinct = len(set(choices)) == len(choices)
    if not distinct:  # The options differ in their contexts (as in WinoGrande): the number is the identity.
        choices = [str(i) for i in range(len(choices))]
    gold = int(target) if target is not None and target.isdigit() and int(target) < len(choices) else None
    references = None if target is None else [choices[gold] if gold is not None else target.removeprefix(" ")]
    cells.update(answer=choices[chosen], choices=choices, choice_scores=likelihoods, references=references)
    return cells


def _generated(row: Mapping[str, Any], target: str | None) -> dict[str, Any]:
    filtered = row["filtered_resps"]
    answer = filtered[0] if isinstance(filtered, list) and filtered else filtered
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    output: Any = row.get("resps")
    while isinstance(output, list):
        output = output[0] if output else None
    text = value_text(answer)
    whole = value_text(output)
    # The harness writes this word where its filter found no answer.
    found = None if text == "[invalid]" else text
    raw = row["target"]
    references = (
        [value_text(t) for t in raw] if isinstance(raw, list) else None if target is None else [target]
    )
    return {"answer": found, "output": None if whole == text else whole, "references": references}


def _results(source: Source) -> dict[str, Any]:
    """Return the settings of the run from the results file beside the samples; empty where there is none."""
    match = _NAME.search(source.stem)
    folder = source.path.parent
    names = [folder / f"results_{match['time']}.json"] if match else []
    found = [p for p in names if p.is_file()] or sorted(folder.glob("results_*.json"))
    if len(found) != 1:
        return {}
    try:
        document = json.loads(found[0].read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{found[0]}: the results file beside the samples is broken ({error}).") from error
    task = match["task"] if match else None
    configs = document.get("configs") if isinstance(document, dict) else None
    if not isinstance(configs, dict):
        return {}
    return {"document": document, "task": task, "config": configs.get(task) or {}}


def _higher(results: Mapping[str, Any], metric: str) -> bool:
    for entry in (results.get("config") or {}).get("metric_list") or []:
        if isinstance(entry, dict) and entry.get("metric") == metric:
            return entry.get("higher_is_better", True) is not False
    return True


def _provenance(source: Source, results: Mapping[str, Any], chosen: str, metric: str | None) -> Provenance:
    match = _NAME.search(source.stem)
    document: Mapping[str, Any] = results.get("document") or {}
    config: Mapping[str, Any] = results.get("config") or {}
    run = document.get("config") if isinstance(document.get("config"), dict) else {}
    shots = config.get("num_fewshot")
    template = document.get("chat_template_sha") or ("" if "chat_template" in document else None)
    seeds = {k: str(run[k]) for k in ("random_seed", "fewshot_seed") if run and run.get(k) is not None}
    model = document.get("model_name") or None
    version = document.get("lm_eval_version")
    return Provenance(
        model=value_text(model),
        task=match["task"] if match else None,
        format="lm-eval",
        metric=metric,
        filter=chosen,
        num_fewshot=shots if isinstance(shots, int) else None,
        chat_template=value_text(template),
        harness_version=value_text(version),
        sources={Path(source.path).name: source.sha256},
        extra=seeds,
    )


READER = Reader(
    "lm-eval", "lm-evaluation-harness samples_*.jsonl, with results_*.json beside it", _detect, _read
)
