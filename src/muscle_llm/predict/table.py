"""The harness's samples as columns of the predictions table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from muscle_llm.tasks.harness import Task

__all__ = ["columns_from_samples"]

Sample = Mapping[str, Any]

_NO_ANSWER = "[invalid]"  # what the harness writes where its filter found nothing


def columns_from_samples(
    samples: Iterable[Sample], task: Task, finish_reason: Mapping[str, str]
) -> dict[str, list[Any]]:
    """Return the columns of the predictions table, one row per document, in the documents' order.

    Args:
        samples: the harness's logged samples, one per (document, filter).
        task: the task they are of; its filter and metric decide.
        finish_reason: prompt -> why its generation ended.
    """
    by_doc: dict[int, dict[str, Sample]] = {}
    for sample in samples:
        by_doc.setdefault(int(sample["doc_id"]), {})[str(sample["filter"])] = sample
    higher = {m for m, good in task.harness.higher_is_better().items() if good}
    rows = [_row(by_doc[i], task, higher, finish_reason) for i in sorted(by_doc)]
    columns = {name: [row.get(name) for row in rows] for name in _columns(task)}
    if not any(columns["scores"]):
        del columns["scores"]
    return columns


def _columns(task: Task) -> list[str]:
    common = ["id", "prompt", "answer", "references", "scores"]
    common += ["instance_hash", "prompt_hash", "reference_hash"]
    if task.kind == "choice":
        return [*common, "correct", "choices", "choice_scores"]
    if task.harness.OUTPUT_TYPE == "loglikelihood":
        return [*common, "correct", "choice_scores"]
    generated = [*common, "output", "finish_reason"]
    return generated if task.kind == "score" else [*generated, "correct"]


def _row(
    samples: Mapping[str, Sample], task: Task, higher: set[str], finish_reason: Mapping[str, str]
) -> dict[str, Any]:
    sample = samples[task.filter]
    prompt = str(sample["arguments"][0][0])
    row: dict[str, Any] = {
        "id": str(sample["doc_id"]),
        "prompt": prompt,
        "instance_hash": sample["doc_hash"],
        "prompt_hash": sample["prompt_hash"],
        "reference_hash": sample["target_hash"],
        "scores": _scores(samples, task, higher),
    }
    if task.kind != "score":
        row["correct"] = float(sample[task.metric]) > 0.5
    if task.kind == "choice":
        row |= _choice(sample, task)
    elif task.harness.OUTPUT_TYPE == "loglikelihood":
        row["references"] = [str(sample["target"])]
        row["choice_scores"] = [float(sample["filtered_resps"][0][0])]
    else:
        target = sample["target"]
        row["references"] = [str(t) for t in target] if isinstance(target, list) else [str(target)]
        answer, output = _text(sample["filtered_resps"][0]), str(sample["resps"][0][0])
        row["answer"] = None if answer == _NO_ANSWER else answer
        row["output"] = None if output == answer.strip() else output  # the table trims answers
        row["finish_reason"] = finish_reason.get(prompt)
    return row


def _text(answer: Any) -> str:
    """Return a filtered answer as text; a filter may leave a list."""
    return str(answer[0]) if isinstance(answer, list | tuple) and answer else str(answer)


def _choice(sample: Sample, task: Task) -> dict[str, Any]:
    """Return the options, their log-likelihoods, the chosen one and the gold ones."""
    harness = task.harness
    choices = [str(c) for c in harness.doc_to_choice(sample["doc"])]
    logliks = [float(r[0]) for r in sample["filtered_resps"]]
    best = chosen(logliks, choices, task.metric)
    if len(set(choices)) < len(choices):  # their texts do not tell them apart: their numbers do
        choices = [str(i) for i in range(len(choices))]
    gold = harness.doc_to_text(sample["doc"]) if getattr(harness, "multiple_input", 0) else sample["target"]
    golds = gold if isinstance(gold, list) else [gold]
    return {
        "choices": choices,
        "choice_scores": logliks[: len(choices)],
        "answer": choices[best],
        "references": [choices[g] if isinstance(g, int) and g < len(choices) else str(g) for g in golds],
    }


def chosen(logliks: Sequence[float], choices: Sequence[str], metric: str) -> int:
    """Return the index of the option that ``metric`` takes as the answer.

    Args:
        logliks: log-likelihoods in nats; for ``acc_mutual_info`` the unconditional ones follow.
        choices: the options' texts.
        metric: ``acc`` takes the largest log-likelihood, ``acc_norm`` the largest per character,
            ``acc_bytes`` per UTF-8 byte, ``acc_mutual_info`` the largest gain over no prompt.

    Example:
        >>> chosen([-2.0, -3.0], ["a", "long"], "acc"), chosen([-2.0, -3.0], ["a", "long"], "acc_norm")
        (0, 1)
    """
    scores = np.asarray(logliks[: len(choices)], float)
    if metric == "acc_norm":
        scores = scores / np.array([float(len(c)) for c in choices])
    elif metric == "acc_bytes":
        scores = scores / np.array([float(len(c.encode())) for c in choices])
    elif metric == "acc_mutual_info" and len(logliks) == 2 * len(choices):
        scores = scores - np.asarray(logliks[len(choices) :], float)
    return int(np.argmax(scores))


def _scores(samples: Mapping[str, Sample], task: Task, higher: set[str]) -> dict[str, float]:
    """Return every metric of the instance that is a number and better when higher, but the deciding one."""
    scores: dict[str, float] = {}
    for name, sample in samples.items():
        for metric in sample["metrics"]:
            value = sample[metric]
            decides = metric == task.metric and name == task.filter and task.kind != "score"
            number = isinstance(value, Real | np.generic) and math.isfinite(float(value))
            if number and metric in higher and not decides:
                scores[metric if name == task.filter else f"{metric},{name}"] = float(value)
    return scores
