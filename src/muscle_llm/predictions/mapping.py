"""Which column of a log is the id, the answer, the reference: named by the user, or guessed from obvious
names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from muscle_llm.errors import InputError, did_you_mean

__all__ = [
    "ADDABLE",
    "NTH",
    "ROLES",
    "ROW",
    "as_roles",
    "auto_map",
    "look_up",
    "only_adds",
    "parse_map",
    "split_path",
    "with_guesses",
]

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
    "instance_hash",
)
# Roles that can be added to a log whose own format tells everything else.
ADDABLE = ("slice", "cluster", "prompt", "score")
# Roles that are guessed even where the user names what is right: without them rows cannot be told apart, and
# an error would count as a wrong answer.
_ALWAYS = ("id", "repeat", "error")
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
            roles[_role(role, path)] = path
    return roles


def _role(role: str, path: str) -> str:
    """Return a role under its full name."""
    base, _, name = role.partition(".")
    if base not in ROLES or (name and base not in ("score", "slice")):
        raise InputError(f"--map: {role!r} is no role of a column. {did_you_mean(role, ROLES)}")
    if base in ("score", "slice") and not name:
        return f"{base}.{path.rsplit('.', 1)[-1]}"
    return role


def as_roles(columns: str | Mapping[str, str] | None) -> dict[str, str]:
    """Return role -> path from a text or a mapping; see `parse_map`.

    Raises:
        InputError: a role is unknown, or a path is not a text.

    Example:
        >>> as_roles("id=q"), as_roles({"score": "m.f1"}), as_roles(None)
        ({'id': 'q'}, {'score.f1': 'm.f1'}, {})
    """
    if isinstance(columns, str):
        return parse_map([columns])
    for role, path in (columns or {}).items():
        if not isinstance(path, str) or not path:
            raise InputError(f"columns: {role!r} must be the name of a column, not {path!r}.")
    return {_role(role, path): path for role, path in (columns or {}).items()}


def only_adds(roles: Iterable[str]) -> bool:
    """Whether the user's columns only add to what a log tells by itself."""
    return all(role.partition(".")[0] in ADDABLE for role in roles)


def with_guesses(named: Mapping[str, str], columns: Sequence[str]) -> dict[str, str]:
    """Return role -> column as the user named them, completed by obvious names.

    Once the user names the answer, the reference or what else decides, only ``id``, ``repeat`` and ``error``
    are still guessed: a further guess could change what is right.

    Args:
        named: role -> path, from the user.
        columns: the columns there are.

    Example:
        >>> with_guesses({"answer": "said"}, ["id", "said", "answer", "correct"])
        {'id': 'id', 'answer': 'said'}
        >>> with_guesses({"slice.topic": "field"}, ["id", "field", "correct"])
        {'id': 'id', 'correct': 'correct', 'slice.topic': 'field'}
    """
    if only_adds(named):
        return {**auto_map(columns), **named}
    taken = {path for role, path in named.items() if not only_adds([role])}
    guessed = auto_map([c for c in columns if c not in taken])
    return {**{role: guessed[role] for role in _ALWAYS if role in guessed}, **named}


def auto_map(columns: Sequence[str]) -> dict[str, str]:
    """Return role -> column for obvious names among ``columns``.

    A column ``answer`` is the model's answer, unless another column is a prediction by its name and none a
    reference: then it is the reference, as in many benchmark files. ``score_NAME``, ``score.NAME`` and
    ``slice_NAME``, ``slice.NAME`` become scores and slices. The order of the columns decides nothing.

    Example:
        >>> auto_map(["question_id", "pred", "answer"])
        {'id': 'question_id', 'answer': 'pred', 'reference': 'answer'}
    """
    by_plain: dict[str, str] = {}
    for column in columns:
        plain = re.sub(r"[-\s]+", "_", column.strip().lower())
        alike = (column, by_plain.get(plain, column))
        by_plain[plain] = min(alike, key=lambda name: (name != plain, name))
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
                role = f"{base}.{match[1]}"
                roles[role] = min(column, roles.get(role, column))
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
