"""Which column of a log is the id, the answer, the reference: named by the user, or guessed from obvious
names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from muscle_llm.errors import InputError, did_you_mean

__all__ = ["NTH", "ROLES", "ROW", "auto_map", "look_up", "parse_map", "split_path"]

# What a column can be mapped to, apart from `score.NAME` and `slice.NAME`.
ROLES = (
    "id",
    "repeat",
    "prompt",
    "answer",
    "output",
    "reference",
    "choices",
    "choice_scores",
    "correct",
    "score",
    "slice",
    "cluster",
    "error",
    "finish_reason",
    "prompt_hash",
    "reference_hash",
)
ROW = "@row"  # the row's number, from 0
NTH = "@nth"  # for repeat: the how manyth answer to this id, from 0

_SPLIT = re.compile(rf",(?=\s*(?:{'|'.join(ROLES)})(?:\.[^=,]+)?\s*=)")

# Obvious names by role, the surest first. Compared in lower case, `-` and ` ` read as `_`.
_OBVIOUS: dict[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        "id": "id instance_id sample_id question_id example_id item_id doc_id task_id test_id uid guid "
        "key idx index",
        "repeat": "repeat repetition epoch trial sample_index attempt",
        "answer": (
            "prediction predicted pred predicted_answer pred_answer model_answer extracted_answer "
            "parsed_answer "
            "answer response model_output completion generation output generated_text"
        ),
        "reference": (
            "reference references target targets gold gold_answer ground_truth correct_answer expected "
            "expected_answer reference_answer ref_answer answer_key label solution"
        ),
        "correct": "correct is_correct iscorrect passed success exact_match acc accuracy correctness",
        "prompt": "prompt question input query problem instruction",
        "choices": "choices options",
        "output": "output model_output generated_text generation completion response raw_output",
        "error": "error error_message exception",
        "finish_reason": "finish_reason stop_reason",
        "cluster": "cluster cluster_id passage_id group_id",
        "score": "score",
    }.items()
}


def parse_map(texts: Iterable[str]) -> dict[str, str]:
    """Return role -> path from texts such as ``"id=question_id,answer=pred"``; later ones win.

    ``score=`` and ``slice=`` without a name are named by the last part of their path.

    Raises:
        InputError: a part is no ``role=path``, or the role is unknown (with the nearest names).

    Example:
        >>> parse_map(["id=q,score=metrics.rouge1", "slice.topic=category"])
        {'id': 'q', 'score.rouge1': 'metrics.rouge1', 'slice.topic': 'category'}
    """
    roles: dict[str, str] = {}
    for text in texts:
        for part in _SPLIT.split(text):
            role, equals, path = (piece.strip() for piece in part.partition("="))
            if not equals or not path:
                raise InputError(
                    f"--map: {part.strip()!r} is not of the form role=column, such as id=question_id."
                )
            base, _, name = role.partition(".")
            if base not in ROLES or (name and base not in ("score", "slice")):
                raise InputError(f"--map: {role!r} is no role of a column. {did_you_mean(role, ROLES)}")
            if base in ("score", "slice") and not name:
                role = f"{base}.{path.rsplit('.', 1)[-1]}"
            roles[role] = path
    return roles


def auto_map(columns: Sequence[str]) -> dict[str, str]:
    """Return role -> column for obvious names among ``columns``.

    A column ``answer`` is the model's answer, unless another column is a prediction by its name and none a
    reference: then it is the reference, as in many benchmark files. ``score_NAME``, ``score.NAME`` and
    ``slice_NAME``, ``slice.NAME`` become scores and slices.

    Example:
        >>> auto_map(["question_id", "pred", "answer"])
        {'id': 'question_id', 'answer': 'pred', 'reference': 'answer'}
    """
    by_plain: dict[str, str] = {}
    for column in columns:
        by_plain.setdefault(re.sub(r"[-\s]+", "_", column.strip().lower()), column)
    roles: dict[str, str] = {}
    for role, names in _OBVIOUS.items():
        found = next((by_plain[n] for n in names if n in by_plain), None)
        if found is not None and found not in roles.values():
            roles["score.score" if role == "score" else role] = found
    answer = by_plain.get("answer")
    if answer is not None and roles.get("answer") != answer and "reference" not in roles:
        roles["reference"] = answer
    for column in columns:
        for base in ("score", "slice"):
            match = re.fullmatch(rf"{base}s?[._](.+)", column)
            if match and column not in roles.values():
                roles[f"{base}.{match[1]}"] = column
    return roles


def split_path(path: str, keys: Iterable[str]) -> tuple[str, str] | None:
    """Return the first key of a dotted path and the rest; the longest key that exists wins.

    Example:
        >>> split_path("a.b.c", ["a", "a.b"])
        ('a.b', 'c')
        >>> split_path("x.y", ["a"]) is None
        True
    """
    known = keys if isinstance(keys, set | dict | frozenset) else set(keys)
    if path in known:
        return path, ""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        first = ".".join(parts[:cut])
        if first in known:
            return first, ".".join(parts[cut:])
    return None


_MISSING: Any = object()


def look_up(row: Any, path: str, default: Any = None) -> Any:
    """Return the value at a dotted path of nested dicts and lists, or ``default`` where there is none.

    Example:
        >>> look_up({"a": {"b.c": [10, 20]}}, "a.b.c.1")
        20
        >>> look_up({"a": None}, "a.b", "none")
        'none'
    """
    if isinstance(row, dict):
        value = row.get(path, _MISSING)
        if value is not _MISSING:
            return value
        if "." not in path:
            return default
        found = split_path(path, row)
        return default if found is None else look_up(row[found[0]], found[1], default)
    if isinstance(row, list):
        first, _, rest = path.partition(".")
        if not first.lstrip("-").isdigit():
            return default
        try:
            value = row[int(first)]
        except IndexError:
            return default
        return look_up(value, rest, default) if rest else value
    return default
