"""HELM run folders: ``scenario_state.json`` (what was asked and answered) and ``per_instance_stats.json``.

A folder of runs (a suite) holds one run folder per scenario and model; the name of a run without its model
is the task. The first completion by log-probability is the answer, as HELM takes it; a letter becomes the
option it stands for. Train trials are repeats; perturbed instances get their own id and share a cluster
with the original.

Which metric decides ``correct``: ``--metric``; else the first of `RIGHT_OR_WRONG` that the run carries. The
other metrics become scores, without HELM's bookkeeping (lengths, costs, log-probabilities).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from muscle_llm.errors import InputError, clip
from muscle_llm.files import sha256_text
from muscle_llm.predictions.folders import files_in
from muscle_llm.predictions.readers.base import Part, Reader, ReadOptions
from muscle_llm.predictions.readers.documents import first_keys, json_document
from muscle_llm.predictions.readers.fields import Fields, kind_of
from muscle_llm.predictions.readers.rows import Row, assemble, choose_metric, extra
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import Source, find_source

__all__ = ["READER", "RIGHT_OR_WRONG"]

_STATE, _STATS, _SPEC = "scenario_state.json", "per_instance_stats.json", "run_spec.json"
_OTHERS = {_SPEC, "scenario.json", "stats.json", "instances.json", "display_predictions.json"}

RIGHT_OR_WRONG = (
    "chain_of_thought_correctness",
    "math_equiv_chain_of_thought",
    "math_equiv",
    "final_number_exact_match",
    "exact_match_indicator",
    "exact_match",
    "quasi_exact_match",
    "prefix_exact_match",
    "quasi_prefix_exact_match",
    "code_eval_acc",
    "pass",
)
_BOOKKEEPING = re.compile(
    r"num_.*|inference_.*|training_.*|batch_size|finish_reason_.*|max_prob|logprob.*|prompt_truncated"
    r"|predicted_index|.*perplexity.*|bits_per_byte|runtime|.*@\d+|selective_.*|ece_.*|platt_.*"
)
_LOWER = re.compile(r"absolute_value_difference|(chinese_)?(wer|mer|wip|cer)_score|edit_distance|toxic_frac")

Key = tuple[str, str, int]


def _detect(source: Source) -> bool:
    if source.container == "directory":
        return any(p.name in (_STATE, _STATS) for p in files_in(source.path))
    if source.path.name in _OTHERS and (source.path.parent / _STATE).is_file():
        return True
    keys = first_keys(source)
    return {"adapter_spec", "request_states"} <= keys or {"instance_id", "stats", "train_trial_index"} <= keys


def _parts(source: Source) -> list[Part]:
    folders = dict.fromkeys(p.parent for p in files_in(source.path) if p.name in (_STATE, _STATS))
    parts = []
    for folder in folders:
        name, model = _run_name(folder)
        parts.append(Part(_task(name), Source(folder, "directory"), (model or "", name, folder.name)))
    return parts


def _run_name(folder: Path) -> tuple[str, str | None]:
    """Return a run's name and model, from its run_spec.json or the name of its folder."""
    path = folder / _SPEC
    if not path.is_file():
        match = re.search(r"[:,-]model=([^,]+)", folder.name)
        return folder.name, match[1] if match else None
    spec = Fields(json_document(find_source(path)), str(path))
    return spec.text("name") or folder.name, spec.inner("adapter_spec").text("model")


def _task(name: str) -> str:
    """Return the name of a run without its model.

    Example:
        >>> _task("mmlu:subject=law,model=openai_gpt2,seed=1"), _task("gsm:model=m")
        ('mmlu:subject=law,seed=1', 'gsm')
    """
    return re.sub(r"[:,-]model(_deployment)?=[^,]+", "", name).replace(":,", ":").rstrip(":,")


def _read(source: Source, options: ReadOptions) -> Predictions:
    folder = source.path
    if source.container != "directory":
        if folder.name not in (_STATE, _STATS):
            raise InputError(
                f"{source.label}: describes a HELM run but holds no instances; name its folder, "
                f"{folder.parent}."
            )
        folder = folder.parent
    sources: dict[str, str] = {}
    states = _states(folder, sources)
    stats, places = _stats(folder, sources)
    if not states and not stats:
        raise InputError(
            f"{folder}: holds neither {_STATE} nor {_STATS}; is this the folder of one HELM run?"
        )
    values = _metric_values(stats)
    metric = choose_metric(values, options.metric, RIGHT_OR_WRONG, str(folder), lambda name: True)
    keys = list(states) or list(stats)
    if states and stats and set(states) != set(stats):
        raise InputError(
            f"{folder}: {_STATE} holds {len(states)} answers and {_STATS} the figures of "
            f"{len(stats)}; they are not "
            "of one run."
        )
    rows = []
    for key in keys:
        row = _row(key, states[key]) if states else _bare(key, places[key])
        _judge(row, stats.get(key, {}), metric, states.get(key, []))
        rows.append(row)
    _only_telling(rows)
    return assemble(rows, str(folder), _provenance(folder, metric, sources), options)


def _only_telling(rows: Sequence[Row]) -> None:
    """Drop slices that all rows share, and clusters where every instance is alone in its own."""
    for name in dict.fromkeys(n for row in rows for n in row.slices):
        if name != "perturbation" and len({row.slices.get(name) for row in rows}) == 1:
            for row in rows:
                row.slices.pop(name, None)
    perturbed = any("perturbation" in row.slices for row in rows)
    for row in rows:
        if perturbed:
            row.slices.setdefault("perturbation", "none")
        else:
            row.cluster = None


def _load(folder: Path, name: str, sources: dict[str, str]) -> Any:
    path = folder / name
    if not path.is_file():
        return None
    source = find_source(path)
    sources[name] = source.sha256
    return json_document(source)


def _key(instance: str | None, perturbation: Any, trial: int | None, place: str) -> Key:
    if instance is None:
        raise InputError(f"{place}: the instance has no id.")
    if perturbation is None:
        return instance, "", trial or 0
    return instance, json.dumps(perturbation, sort_keys=True), trial or 0


def _states(folder: Path, sources: dict[str, str]) -> dict[Key, list[Fields]]:
    """Return the requests made for each (instance, perturbation, trial); one, or one per reference."""
    document = _load(folder, _STATE, sources)
    if document is None:
        return {}
    found: dict[Key, list[Fields]] = {}
    states = Fields(document, str(folder / _STATE))
    for state in states.objects("request_states", "request"):
        instance = state.inner("instance")
        key = _key(
            instance.text("id"),
            instance.raw.get("perturbation"),
            state.whole("train_trial_index"),
            state.place,
        )
        requests = found.setdefault(key, [])
        if requests and not state.has("reference_index"):
            raise InputError(f"{state.place}: the instance {clip(key[0])!r} occurs twice in one trial.")
        requests.append(state)
    if not found:
        raise InputError(f"{states.place}: holds no requests.")
    return found


def _stats(folder: Path, sources: dict[str, str]) -> tuple[dict[Key, dict[str, float]], dict[Key, str]]:
    """Return metric -> value for each (instance, perturbation, trial), and where each stands."""
    document = _load(folder, _STATS, sources)
    found: dict[Key, dict[str, float]] = {}
    places: dict[Key, str] = {}
    path = folder / _STATS
    if document is None:
        return found, places
    if not isinstance(document, list):
        raise InputError(f"{path}: is {kind_of(document)}, not a list of instances.")
    for number, item in enumerate(document, 1):
        entry = Fields(item, f"{path}, item {number}")
        key = _key(
            entry.text("instance_id"),
            entry.raw.get("perturbation"),
            entry.whole("train_trial_index"),
            entry.place,
        )
        if key in found:
            raise InputError(f"{entry.place}: the instance {clip(key[0])!r} occurs twice in one trial.")
        places[key] = entry.place
        found[key] = _values(entry)
    return found, places


def _values(entry: Fields) -> dict[str, float]:
    values: dict[str, float] = {}
    for stat in entry.objects("stats", "stat"):
        name = stat.inner("name").text("name")
        mean = stat.number("mean")
        if name is not None and mean is not None and stat.number("count") != 0:
            values[name] = mean
    return values


def _metric_values(stats: Mapping[Key, Mapping[str, float]]) -> dict[str, list[float | None]]:
    """Return the values per metric; a tie that HELM counts in part is left for `_judge` to decide."""
    names = dict.fromkeys(n for values in stats.values() for n in values)
    found: dict[str, list[float | None]] = {}
    for name in names:
        values = [v.get(name) for v in stats.values()]
        ties = [name == "exact_match" and "predicted_index" in v for v in stats.values()]
        found[name] = [None if tie else v for v, tie in zip(values, ties, strict=True)]
        if all(ties):  # One request per reference: the chosen reference says right or wrong.
            found[name] = [0.0] * len(values)
    return found


def _row(key: Key, requests: list[Fields]) -> Row:
    state = requests[0]
    instance = state.inner("instance")
    references = list(instance.objects("references", "reference"))
    texts = [r.inner("output").text("text") or "" for r in references]
    right = [t for t, r in zip(texts, references, strict=True) if "correct" in r.items("tags")]
    mapping = state.raw.get("output_mapping")
    separate = state.has("reference_index")
    result = state.inner("result")
    question = instance.inner("input").text("text")
    row = Row(
        place=state.place,
        raw=state.raw,
        id=_identity(key),
        repeat=key[2],
        prompt=question if separate else _prompt(state),
        # The prompt holds what the model's adapter puts around the question, the question does not.
        instance_hash=sha256_text(question) if question and not separate else None,
        references=list(right) or None,
        choices=list(texts) if mapping is not None or separate else None,
        error=_error(requests),
        slices=_slices(instance, key),
        cluster=key[0],
    )
    if row.error is None and not separate:
        completion = _best(result)
        text = completion.text("text") if completion else None
        row.answer, row.output = _answer(text, state)
        row.finish_reason = completion.inner("finish_reason").text("reason") if completion else None
    return row


def _prompt(state: Fields) -> str | None:
    request = state.inner("request")
    if request.text("prompt"):
        return request.text("prompt")
    messages = [m for m in request.items("messages") if isinstance(m, dict)]
    said = "\n".join(f"{m.get('role')}: {m.get('content')}" for m in messages)
    return said or state.inner("instance").inner("input").text("text")


def _identity(key: Key) -> str:
    if not key[1]:
        return key[0]
    perturbation = json.loads(key[1])
    name = perturbation.get("name") if isinstance(perturbation, dict) else None
    return f"{key[0]} ({name if name == 'identity' else key[1]})"


def _slices(instance: Fields, key: Key) -> dict[str, str | None]:
    slices = {n: instance.text(n) for n in ("split", "sub_split") if instance.has(n)}
    if key[1]:
        perturbation = json.loads(key[1])
        name = perturbation.get("name") if isinstance(perturbation, dict) else perturbation
        slices["perturbation"] = str(name)
    return slices


def _error(requests: Iterable[Fields]) -> str | None:
    for state in requests:
        result = state.inner("result")
        if not state.has("result"):
            return "no result"
        if result.flag("success") is False:
            return result.text("error") or "HELM reports that the request failed"
    return None


def _best(result: Fields) -> Fields | None:
    """Return the completion with the highest log-probability, the first of equal ones."""
    completions = list(result.objects("completions", "completion"))
    return max(completions, key=lambda c: c.number("logprob") or 0.0, default=None)


def _answer(text: str | None, state: Fields) -> tuple[str | None, str | None]:
    """Return the answer and the whole text; a letter that stands for no option is no answer."""
    if text is None:
        return None, None
    mapping = state.raw.get("output_mapping")
    if mapping is None:
        stripped = text.strip()
        return stripped, None if stripped == text else text
    return state.inner("output_mapping").text(text.strip()), text


def _bare(key: Key, place: str) -> Row:
    """Return a row of a run whose answers were not kept."""
    return Row(place=place, raw={}, id=_identity(key), repeat=key[2], cluster=key[0])


def _judge(row: Row, values: Mapping[str, float], metric: str | None, requests: list[Fields]) -> None:
    """Add right or wrong and the scores to a row."""
    index = values.get("predicted_index")
    if index is not None and row.choices and 0 <= index < len(row.choices) and row.error is None:
        row.answer = row.choices[int(index)]
    for name, value in values.items():
        if name != metric and not _BOOKKEEPING.fullmatch(name):
            lower = _LOWER.fullmatch(name) is not None
            row.scores[f"negative_{name}" if lower else name] = -value if lower else value
    if metric is None or metric not in values or row.error is not None:
        return
    value = values[metric]
    if metric == "exact_match" and index is not None and requests:
        # Equal best references count in part; HELM predicts the first of them.
        tags = list(requests[0].inner("instance").objects("references", "reference"))
        row.correct = 0 <= index < len(tags) and "correct" in tags[int(index)].items("tags")
    elif value in (0.0, 1.0):
        row.correct = value == 1.0
    else:
        raise InputError(f"{row.place}: the metric {metric!r} is {value:g}, neither right (1) nor wrong (0).")


def _provenance(folder: Path, metric: str | None, sources: Mapping[str, str]) -> Provenance:
    name, model = _run_name(folder)
    path = folder / _SPEC
    spec = Fields(json_document(find_source(path)), str(path)) if path.is_file() else Fields({}, str(path))
    adapter = spec.inner("adapter_spec")
    return Provenance(
        model=model,
        task=_task(name),
        format="helm",
        metric=metric,
        num_fewshot=adapter.whole("max_train_instances"),
        sources=sources,
        extra=extra(
            run=name,
            method=adapter.text("method"),
            temperature=adapter.raw.get("temperature"),
            max_tokens=adapter.raw.get("max_tokens"),
        ),
    )


def _choices(source: Source) -> dict[str, list[str]]:
    folder = source.path if source.container == "directory" else source.path.parent
    stats, _ = _stats(folder, {})
    return {"--metric": [n for n in _metric_values(stats) if not _BOOKKEEPING.fullmatch(n)]}


_USES = {
    "id": "instance.id, with its perturbation",
    "repeat": "train_trial_index",
    "prompt": "request.prompt",
    "instance_hash": "hash of instance.input",
    "answer": "result.completions, the most likely, as output_mapping names it",
    "output": "result.completions",
    "references": "instance.references tagged correct",
    "choices": "instance.references",
    "correct": "per_instance_stats.json, the metric",
    "scores": "per_instance_stats.json, the other metrics",
    "cluster": "instance.id",
    "error": "result.error",
    "finish_reason": "finish_reason of the completion",
}

READER = Reader(
    "helm",
    "HELM run folder, or a suite of them: scenario_state.json, per_instance_stats.json",
    _detect,
    _read,
    _parts,
    _choices,
    _USES,
    takes=("metric",),
)
