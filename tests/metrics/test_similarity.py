from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.comparison import compare
from muscle_llm.comparison.similarity import with_similarity
from muscle_llm.errors import InputError, MissingExtraError
from muscle_llm.metrics.similarity import SIMILARITIES, similarity
from muscle_llm.predictions import Predictions

COMPUTED = [n for n in SIMILARITIES if n != "bertscore"]


def _available(name: str) -> None:
    if name.startswith("rouge"):
        pytest.importorskip("rouge_score")
    elif name in ("bleu", "chrf"):
        pytest.importorskip("sacrebleu")


@pytest.mark.parametrize("name", COMPUTED)
def test_equal_texts_score_one_and_foreign_ones_zero(name):
    _available(name)
    scores = similarity(
        name, ["red cats sleep well", "qqqq zz", None, "x"], [["red cats sleep well"]] * 3 + [None]
    )
    assert scores[:3] == pytest.approx([1, 0, 0], abs=1e-9)
    assert np.isnan(scores[3])


@given(st.lists(st.text("abc .,", max_size=12), min_size=2, max_size=2))
@settings(max_examples=60, deadline=None)
def test_word_scores_are_symmetric_and_bounded(texts):
    a, b = texts
    for name in ("exact", "f1"):
        forward, back = similarity(name, [a, b], [[b], [a]])
        assert forward == back
        assert 0 <= forward <= 1


def test_rouge_of_counted_words():
    pytest.importorskip("rouge_score")
    # 2 of 3 words given, 2 of 4 wanted: F = 2 (2/3)(1/2) / (2/3 + 1/2) = 4/7.
    assert similarity("rouge1", ["the red cat"], [["the cat sat down"]])[0] == pytest.approx(4 / 7)


def test_unknown_names_and_missing_libraries_say_what_to_do(monkeypatch):
    with pytest.raises(InputError, match="Did you mean 'rouge1'"):
        similarity("rogue1", ["a"], [["a"]])
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(MissingExtraError, match=r"muscle-llm\[similarity\]"):
        similarity("rouge1", ["a"], [["a"]])
    monkeypatch.setitem(sys.modules, "bert_score", None)
    with pytest.raises(MissingExtraError, match=r"muscle-llm\[bertscore\]"):
        similarity("bertscore", ["a"], [["a"]])


def test_similarities_join_the_scores_and_are_compared():
    def side(answers):
        return Predictions.from_columns(
            {
                "id": ["1", "2", "3"],
                "answer": answers,
                "references": [["red cat"]] * 3,
                "error": [None, None, "timeout"],
                "scores": [{"judge": 0.5}] * 3,
            }
        )

    old, new = (with_similarity(side(a), ["f1"]) for a in (["red cat", "dog", "x"], ["cat", "red cat", "x"]))
    assert old.table["scores"].to_pylist() == [
        {"judge": 0.5, "f1": 1.0},
        {"judge": 0.5, "f1": 0.0},
        {"judge": 0.5, "f1": None},
    ]
    result = compare(old, new)
    assert result.scores["f1"]["nfr"].value == result.scores["f1"]["pfr"].value == 0.5
    with pytest.raises(InputError, match="needs references"):
        with_similarity(Predictions.from_columns({"id": ["1"], "answer": ["x"]}), ["f1"])
