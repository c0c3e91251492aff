"""Which option a model chose, told from the log-likelihoods of the options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from muscle_llm.predictions.readers.rows import Row

__all__ = ["RULES", "chosen_options"]

# How a metric weighs an option's log-likelihood: name -> divisor of an option's text.
RULES: Mapping[str, Callable[[str], float]] = {
    "sum": lambda option: 1.0,
    "per character": lambda option: float(max(1, len(option))),
    "per byte": lambda option: float(max(1, len(option.encode("utf-8", "replace")))),
}


def chosen_options(rows: Sequence[Row], texts: Sequence[Sequence[str]], rules: Sequence[str]) -> str | None:
    """Set each row's answer to the option with the highest log-likelihood, weighed by the first rule that
    agrees with what the log says is right; where none agrees, set none.

    Args:
        rows: rows with ``choices`` and ``choice_scores``; others are left alone.
        texts: per row, the options' texts, whose lengths the rules take.
        rules: names in `RULES`, the surest first.

    Returns:
        The rule that agrees with every row's ``correct``; ``None`` where none does.

    Example:
        >>> row = Row("p", {}, "1", choices=["no", "maybe"], choice_scores=[-2.0, -3.0], references=["maybe"])
        >>> row.correct = True
        >>> chosen_options([row], [["no", "maybe"]], ["sum", "per character"]), row.answer
        ('per character', 'maybe')
    """
    multiple = [(r, t) for r, t in zip(rows, texts, strict=True) if r.choices and r.choice_scores]
    for rule in rules:
        picked = [_argmax(row, text, RULES[rule]) for row, text in multiple]
        if all(_agrees(row, n) for (row, _), n in zip(multiple, picked, strict=True)):
            for (row, _), number in zip(multiple, picked, strict=True):
                row.answer = (row.choices or [])[number]
            return rule
    return None


def _argmax(row: Row, texts: Sequence[str], divisor: Callable[[str], float]) -> int:
    return int(np.argmax(np.array(row.choice_scores) / np.array([divisor(t) for t in texts])))


def _agrees(row: Row, number: int) -> bool:
    if row.correct is None or not row.references or not set(row.references) <= set(row.choices or []):
        return True
    return ((row.choices or [])[number] in row.references) == row.correct
