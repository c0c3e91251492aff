"""Versions made from a few counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from muscle_llm.comparison import Comparison, compare
from muscle_llm.predictions import Predictions, Provenance


def _versions(
    right: Sequence[tuple[bool | None, bool | None]],
    *,
    repeats: int = 1,
    ids: Sequence[str] | None = None,
    answers: bool = False,
    subject: Sequence[str] | None = None,
    scores: Sequence[tuple[float, float]] | None = None,
    task: str | None = None,
) -> tuple[Predictions, Predictions]:
    """Old and new from one (old right, new right) per row; rows of one instance follow each other."""
    names = ids or [f"q{i // repeats}" for i in range(len(right))]
    sides = []
    for version in (0, 1):
        columns: dict[str, Any] = {"id": list(names), "repeat": [i % repeats for i in range(len(names))]}
        columns["correct"] = [r[version] for r in right]
        if answers:
            columns["answer"] = ["right" if r[version] else f"wrong {version}" for r in right]
        if subject is not None:
            columns["slices"] = [{"subject": s} for s in subject]
        if scores is not None:
            columns["scores"] = [{"rouge1": s[version]} for s in scores]
        if all(c is None for c in columns["correct"]):
            del columns["correct"]
        sides.append(Predictions.from_columns(columns, Provenance(task=task)))
    return sides[0], sides[1]


@pytest.fixture(scope="session")
def flips() -> Callable[..., Comparison]:
    """A comparison with so many instances lost, gained, right and wrong in both."""

    def make(lost: int, gained: int, both_right: int, both_wrong: int = 0, **how: Any) -> Comparison:
        rows = [(True, False)] * lost + [(False, True)] * gained
        rows += [(True, True)] * both_right + [(False, False)] * both_wrong
        confidence = how.pop("confidence", 0.95)
        return compare(*_versions(rows, **how), confidence=confidence)

    return make


@pytest.fixture(scope="session")
def repeated() -> Callable[..., Comparison]:
    """A comparison of instances with (right of old, right of new) out of K answers each."""

    def make(shares: Sequence[tuple[int, int]], k: int) -> Comparison:
        rows = [(i < a, i < b) for a, b in shares for i in range(k)]
        return compare(*_versions(rows, repeats=k))

    return make


@pytest.fixture(scope="session")
def of_rows() -> Callable[..., Comparison]:
    """A comparison from one (old right, new right) per row."""

    def make(rows: Sequence[tuple[bool | None, bool | None]], **how: Any) -> Comparison:
        return compare(*_versions(rows, **how))

    return make
