"""ROUGE: the reference library's figures, and reachable by name in a task."""

from __future__ import annotations

import math

import pytest

from muscle_llm.tasks.rouge import register, rouge1, rouge2, rouge_f, rougeL

pytestmark = pytest.mark.train
pytest.importorskip("rouge_score")


def test_literal_values() -> None:
    # reference 6 words, prediction 3, 3 in common: P = 1, R = 1/2
    assert math.isclose(rouge1(["the cat sat on the mat"], ["the cat sat"]), 2 / 3)
    # bigrams: 2 of 2, 2 of 5
    assert math.isclose(rouge2(["the cat sat on the mat"], ["the cat sat"]), 2 * 1 * 0.4 / 1.4)
    assert math.isclose(rougeL(["the cat sat on the mat"], ["the mat"]), 2 * 1 * (2 / 6) / (1 + 2 / 6))
    assert rouge1(["anything"], [""]) == 0.0


def test_the_stemmer_can_be_switched_off() -> None:
    assert rouge_f("rouge1", "runs quickly", "running quickly") == 1.0
    assert rouge_f("rouge1", "runs quickly", "running quickly", use_stemmer=False) == 0.5


def test_mean_over_texts_equals_the_library() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    pairs = [("Ann will bring cakes.", "Ann brings a cake"), ("no", "yes"), ("Tom is late", "Tom is late")]
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    truth = sum(scorer.score(r, p)["rouge1"].fmeasure for r, p in pairs) / 3
    assert math.isclose(rouge1([r for r, _ in pairs], [p for _, p in pairs]), truth)


def test_registering_twice_is_once() -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.api.registry import get_metric, is_higher_better

    register()
    register()
    assert get_metric("rouge1") is rouge1
    assert is_higher_better("rouge1")
