"""Generated predictions and comparisons for the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from muscle_llm.comparison import Comparison, compare
from muscle_llm.predictions.schema import Predictions, Provenance

SENTENCE = (
    "the train leaves with apples and each child gets three more than before so we add then divide by half "
    "the number of seats and find what is left over for them"
)
ROLES = {"continued": "control", "old re-run": "noise_floor"}
WORDS = SENTENCE.split()
CATEGORIES = ("arithmetic", "geometry", "law", "ratios")


def prose(draw: np.random.Generator, words: int) -> str:
    return " ".join(draw.choice(WORDS, words)).capitalize() + "."


def predictions(
    right: np.ndarray,
    questions: dict[str, Any],
    *,
    seed: int,
    model: str,
    words: int = 24,
    repeats: int = 1,
) -> Predictions:
    """One version's answers: right where ``right`` says so; wrong answers vary."""
    draw = np.random.default_rng(seed)
    n = len(right)
    answers = np.where(right, questions["truth"], questions["truth"] + 1 + draw.integers(0, 3, n))
    scores = np.clip(0.35 + 0.3 * right + draw.normal(0, 0.12, n), 0, 1)
    columns: dict[str, Any] = {
        "id": questions["id"],
        "prompt": questions["prompt"],
        "references": [[str(t)] for t in questions["truth"]],
        "answer": [str(a) for a in answers],
        "output": [f"{prose(draw, words)} So the answer is {a}." for a in answers],
        "correct": right.tolist(),
        "scores": [{"rouge1": float(s)} for s in scores],
        "slices": [{"category": c} for c in questions["category"]],
        "choices": [[str(t + k) for k in range(4)] for t in questions["truth"]],
        "choice_scores": (
            draw.normal(-9, 2, (n, 4)) + 4 * (np.arange(4) == (answers - questions["truth"])[:, None])
        ).tolist(),
    }
    if repeats > 1:
        columns["repeat"] = questions["repeat"]
    provenance = Provenance(
        model=model, task="word problems", format="table", sources={f"{model}.jsonl": "0f" * 32}
    )
    table = Predictions.from_columns(columns).table
    return Predictions(table.set_column(1, "repeat", table["repeat"].cast("int32")), provenance)


def questions_of(n: int, *, seed: int, words: int, repeats: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    rows = n // repeats * repeats
    which = np.arange(rows) // repeats
    prompts = [f"{prose(draw, words)} How many are left? ({i})" for i in range(which.max() + 1)]
    truth = draw.integers(2, 99, which.max() + 1)
    kinds = draw.choice(CATEGORIES, which.max() + 1)
    return {
        "id": [f"q-{i:05d}" for i in which],
        "repeat": (np.arange(rows) % repeats).astype(np.int32).tolist(),
        "prompt": [prompts[i] for i in which],
        "truth": truth[which],
        "category": kinds[which],
    }


def versions_of(questions: dict[str, Any], *, words: int = 24, repeats: int = 1) -> dict[str, Predictions]:
    """Predictions of old, new, two remedies and both controls."""
    n = len(questions["id"])
    draw = np.random.default_rng(11)
    skill = draw.normal(size=n)
    old = skill + 0.7 * draw.normal(size=n) > 0
    new = skill + 0.7 * draw.normal(size=n) + 0.15 > 0
    chance = draw.random(n)
    right = {
        "old": old,
        "new": new,
        "muscle": np.where(chance < 0.4, old | new, new),
        "no mask": np.where(chance < 0.5, old, new),
        "continued": np.where(chance < 0.1, old | new, np.where(chance > 0.97, ~new, new)),
        "old re-run": np.where(chance < 0.06, ~old, old),
    }
    models = {"old": "llama-2-7b", "new": "llama-3-8b"}
    return {
        name: predictions(
            which, questions, seed=k + 1, model=models.get(name, name), words=words, repeats=repeats
        )
        for k, (name, which) in enumerate(right.items())
    }


def make(
    n: int = 240,
    *,
    words: int = 24,
    repeats: int = 1,
    candidates: bool = True,
    new_name: str = "llama-3-8b",
    task: str | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> Comparison:
    """A whole comparison of generated answers; ``edit`` may change the questions."""
    questions = questions_of(n, seed=7, words=words, repeats=repeats)
    if edit is not None:
        edit(questions)
    versions = versions_of(questions, words=words, repeats=repeats)
    old, new = versions.pop("old"), versions.pop("new")
    result = compare(
        old,
        new,
        versions if candidates else None,
        roles=ROLES if candidates else None,
        old_name="llama-2-7b",
        new_name=new_name,
    )
    return result if task is None else dataclasses.replace(result, task=task)


def make_large(n: int = 100_000) -> Comparison:
    """Many rows, made of a few thousand sentences, with one candidate."""
    draw = np.random.default_rng(5)
    sentences = np.array([prose(draw, 10) for _ in range(3000)], dtype=object)

    def texts() -> np.ndarray:
        return sentences[draw.integers(0, 3000, n)] + " " + sentences[draw.integers(0, 3000, n)]

    numbers = np.arange(n).astype(str).astype(object)
    prompts, truth = numbers + ": " + texts(), draw.integers(0, 100, n)
    categories = draw.choice(CATEGORIES, n)

    def version(share: float, model: str) -> Predictions:
        right = draw.random(n) < share
        answers = np.where(right, truth, truth + draw.integers(1, 4, n))
        columns = {
            "id": numbers.tolist(),
            "prompt": prompts.tolist(),
            "references": truth.astype(str).reshape(-1, 1).tolist(),
            "answer": answers.astype(str).tolist(),
            "output": texts().tolist(),
            "correct": right.tolist(),
            "scores": [{"f1": float(s)} for s in draw.random(n).round(4)],
            "slices": [{"category": c} for c in categories],
        }
        return Predictions.from_columns(columns, Provenance(model=model))

    sides = [version(share, name) for share, name in ((0.6, "a"), (0.65, "b"), (0.66, "c"))]
    return compare(sides[0], sides[1], {"muscle": sides[2]}, old_name="old-model", new_name="new-model")


@pytest.fixture(scope="session")
def make_comparison() -> Callable[..., Comparison]:
    return make


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    return make()


@pytest.fixture(scope="session")
def make_versions() -> Callable[[], dict[str, Predictions]]:
    return lambda: versions_of(questions_of(240, seed=7, words=24, repeats=1))
