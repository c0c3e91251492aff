"""One row of lm-evaluation-harness becomes one row of predictions."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

from muscle_llm.predictions.convert import value_text
from muscle_llm.predictions.readers.fields import Fields
from muscle_llm.predictions.readers.options import chosen_options
from muscle_llm.predictions.readers.rows import Row

__all__ = ["KEYS", "build_rows", "generation_settings"]

# What every row of the harness carries.
KEYS = ("doc_id", "doc", "target", "arguments", "filtered_resps")

_INVALID = "[invalid]"  # what the harness writes where its filter found no answer
_RULES = {
    "acc": ("sum",),
    "acc_mutual_info": ("sum",),
    "acc_norm": ("per character",),
    "acc_bytes": ("per byte",),
}
_ANY_RULE = ("sum", "per character", "per byte")

Pair = tuple[Any, Any]


def build_rows(
    documents: Sequence[Fields], verdicts: Sequence[bool | None] | None, metric: str | None, delimiter: str
) -> tuple[list[Row], bool]:
    """Return one row per document, and whether the chosen options can be told.

    A target such as ``"3"`` may be the number of an option or its text; the reading that agrees with the
    metric is taken.

    Args:
        documents: the log's rows under one filter.
        verdicts: whether each is right; ``None`` where no metric says so.
        metric: the metric that says so.
        delimiter: what stands between a prompt and an option.
    """
    rules = _RULES.get(metric or "acc", _ANY_RULE)
    rows: list[Row] = []
    for by_text in (False, True):
        built = [_row(d, metric, delimiter, by_text) for d in documents]
        rows = [row for row, _ in built]
        for row, verdict in zip(rows, verdicts or [None] * len(rows), strict=True):
            row.correct = None if row.error else verdict
        if chosen_options(rows, [texts for _, texts in built], rules) is not None:
            return rows, True
    return rows, False


def _row(document: Fields, metric: str | None, delimiter: str, by_text: bool) -> tuple[Row, list[str]]:
    """Return a row and the texts of its options."""
    pairs = _arguments(document)
    row = Row(
        place=document.place,
        raw=document.raw,
        id=document.text("doc_id"),
        prompt=value_text(pairs[0][0]) if pairs else None,
        prompt_hash=_hash(document, "prompt_hash"),
        reference_hash=_hash(document, "target_hash"),
        instance_hash=_hash(document, "doc_hash"),
    )
    responses = document.items("filtered_resps")
    likelihoods = [_log_likelihood(r) for r in responses]
    if len(pairs) > 1 and all(isinstance(p[1], str) for p in pairs):
        if len(pairs) != len(likelihoods):
            raise document.wrong("filtered_resps", _requests(len(pairs), len(likelihoods)))
        if None in likelihoods:
            raise document.wrong("filtered_resps", "one log-likelihood for each option")
    if not pairs or not responses or None in likelihoods or isinstance(pairs[0][1], dict):
        _generated(row, document, responses, rolling=bool(pairs) and pairs[0][1] is None)
        return row, []
    if len(pairs) != len(likelihoods):
        raise document.wrong("filtered_resps", _requests(len(pairs), len(likelihoods)))
    numbers = [v for v in likelihoods if v is not None]
    pairs, numbers = _in_context(document, pairs, numbers, metric)
    if any(math.isnan(v) for v in numbers):
        row.error = "a log-likelihood is not a number"
        return row, []
    if len(numbers) == 1:  # One text whose likelihood was asked for: there is no choice, and no answer.
        row.choice_scores = numbers
        row.references = [value_text(pairs[0][1])]
        return row, []
    return row, _multiple(row, document, pairs, numbers, delimiter, by_text)


def generation_settings(document: Fields) -> str | None:
    """Return the settings of the first request as JSON; ``None`` where nothing was generated."""
    pairs = _arguments(document)
    settings = pairs[0][1] if pairs else None
    return value_text(settings) if isinstance(settings, dict) else None


def _hash(document: Fields, name: str) -> str | None:
    value = document.raw.get(name)
    return value_text(value) if isinstance(value, str) else None


def _arguments(document: Fields) -> list[Pair]:
    """Return (context, continuation or settings) per request, of the old and the new layout."""
    arguments = document.raw["arguments"]
    if isinstance(arguments, dict):
        ordered = sorted(arguments.items(), key=lambda item: _trailing_number(item[0]))
        return [(v.get("arg_0"), v.get("arg_1")) if isinstance(v, dict) else (v, None) for _, v in ordered]
    pairs: list[Pair] = []
    for argument in document.items("arguments"):
        values = argument if isinstance(argument, list) else [argument]
        pairs.append((values[0] if values else None, values[1] if len(values) > 1 else None))
    return pairs


def _trailing_number(key: str) -> int:
    match = re.search(r"[0-9]{1,9}$", key)
    return int(match[0]) if match else 0


def _log_likelihood(response: Any) -> float | None:
    """Return the first of (log-likelihood, greedy or not); ``None`` for anything else."""
    while isinstance(response, list) and len(response) == 1:
        response = response[0]
    if not isinstance(response, list) or len(response) != 2:
        return None
    value, greedy = response
    if greedy not in (True, False, "True", "False", "true", "false"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _multiple(
    row: Row, document: Fields, pairs: list[Pair], likelihoods: list[float], delimiter: str, by_text: bool
) -> list[str]:
    """Fill in the options of a multiple-choice row; return their texts."""
    continuations = [value_text(p[1]) or "" for p in pairs]
    texts = [c.removeprefix(delimiter) for c in continuations]
    distinct = len({t.strip() for t in texts}) == len(texts)
    # Options that differ only in their contexts (as in WinoGrande) are told apart by their numbers.
    names = texts if distinct else [str(n) for n in range(len(texts))]
    row.choices = list(names)
    row.choice_scores = likelihoods
    row.references = _gold(document, names, delimiter, by_text)
    return texts


def _in_context(
    document: Fields, pairs: list[Pair], likelihoods: list[float], metric: str | None
) -> tuple[list[Pair], list[float]]:
    """Return the requests that score the options in their context, and their log-likelihoods.

    Mutual information asks for each option a second time without the context, in the second half of the
    requests; where it is the metric, what the context adds to the log-likelihood is what counts.
    """
    metrics = document.raw.get("metrics")
    half, odd = divmod(len(likelihoods), 2)
    if not isinstance(metrics, list) or "acc_mutual_info" not in metrics or odd:
        return pairs, likelihoods
    within, alone = likelihoods[:half], likelihoods[half:]
    if metric == "acc_mutual_info":
        within = [a - b for a, b in zip(within, alone, strict=True)]
    return pairs[:half], within


def _requests(asked: int, answered: int) -> str:
    return f"one response for each of the {asked} requests ({asked} requests but {answered} responses)"


def _gold(document: Fields, names: list[str], delimiter: str, by_text: bool) -> list[str | None] | None:
    """Return the right options: the target is the number of an option, its text, or a list of these."""
    raw = document.raw["target"]
    targets = _literal_list(raw) if isinstance(raw, str) else raw if isinstance(raw, list) else None
    golds: list[str | None] = []
    for target in [raw] if targets is None else targets:
        text = value_text(target)
        if text is None:
            continue
        plain = text.removeprefix(delimiter)
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else None
        indexed = number is not None and number < len(names)
        if indexed and not (by_text and plain in names):
            golds.append(names[number or 0])
        else:
            golds.append(plain)
    return golds or None


def _literal_list(text: str) -> list[Any] | None:
    """Return the list that the harness wrote as Python shows it; ``None`` for any other text."""
    if not (text.startswith("[") and text.endswith("]")) or len(text) > 100_000:
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    return (
        value if isinstance(value, list) and value and all(isinstance(v, int | str) for v in value) else None
    )


def _generated(row: Row, document: Fields, responses: list[Any], *, rolling: bool) -> None:
    """Fill in answer, whole text and references of a generated answer."""
    raw = document.raw["target"]
    targets = raw if isinstance(raw, list) else None
    if isinstance(raw, str):
        listed = _literal_list(raw)
        targets = listed if listed and all(isinstance(v, str) for v in listed) else None
    text = value_text(raw)
    row.references = [value_text(t) for t in targets] if targets else None if text is None else [text]
    if rolling:  # The likelihood of a whole text: nothing was asked, nothing answered.
        return
    answer = value_text(_first(responses[0])) if responses else None
    whole = value_text(_first(document.raw.get("resps")))
    row.answer = None if answer == _INVALID else answer
    row.output = None if whole == answer else whole


def _first(value: Any) -> Any:
    while isinstance(value, list):
        value = value[0] if value else None
    return value
