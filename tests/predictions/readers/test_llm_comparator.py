from __future__ import annotations

import json

import pytest

from muscle_llm.comparison import compare
from muscle_llm.errors import InputError
from muscle_llm.predictions import read_predictions


def test_both_sides_are_in_one_file_and_one_is_chosen(logs, tmp_path):
    path = logs.llm_comparator(tmp_path)
    with pytest.raises(InputError, match=r"a \(old model\) and b \(new model\). Choose one with --select a"):
        read_predictions(path)
    a, b = read_predictions(path, select="a"), read_predictions(path, select="new model")
    assert (a.provenance.model, b.provenance.model) == ("old model", "new model")
    assert b.table["correct"].to_pylist() == [True] * logs.N
    assert b.table["id"].to_pylist() == [f"q{i}" for i in range(logs.N)]
    with pytest.raises(InputError, match=r"the sides are a \(old model\)"):
        read_predictions(path, select="c")


def test_the_difference_of_the_sides_is_the_raters_score(logs, tmp_path):
    path = logs.llm_comparator(tmp_path)
    result = compare(read_predictions(f"{path}#a"), read_predictions(f"{path}#b"))
    wrong = sum(not logs.right(i) for i in range(logs.N))
    assert result.counts["positive_flips"] == wrong
    metrics = result.scores["preference"]
    assert metrics["mean_difference"].value == pytest.approx(wrong / logs.N)
    assert metrics["gain"].value == pytest.approx(1.0)
    words = read_predictions(f"{path}#b").table["scores"].to_pylist()[3]["words"]
    assert words == 5.0


def test_without_fields_only_the_texts_are_known(logs, tmp_path):
    path = logs.llm_comparator(tmp_path)
    document = json.loads(path.read_text())
    document["metadata"]["custom_fields_schema"] = []
    for example in document["examples"]:
        example |= {"custom_fields": {}, "score": None}
    p = read_predictions(logs._json(path, document), select="b")
    assert p.table["id"].to_pylist() == [str(i) for i in range(logs.N)]
    assert p.table.column_names == ["id", "repeat", "prompt", "answer"]
    with pytest.raises(InputError, match="no custom field 'correct' says right or wrong"):
        read_predictions(path, select="b", metric="correct")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": [{"name": "one"}]}, "names 1 models"),
        ({"models": "two"}, "'models' is a text"),
        ({"examples": [3]}, "example 1: is a number"),
        ({"examples": []}, "holds no rows"),
        ({"examples": [{"output_text_a": "x", "custom_fields": {"words": 3}}]}, "not a list of two values"),
        ({"examples": [{"custom_fields": {"words": ["a", "b"]}}]}, "'value' is a text"),
    ],
)
def test_what_cannot_be_read_is_said(logs, tmp_path, change, message):
    path = logs.llm_comparator(tmp_path)
    document = json.loads(path.read_text()) | change
    with pytest.raises(InputError, match=message):
        read_predictions(logs._json(path, document), select="a", format="llm-comparator")
