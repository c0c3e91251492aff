"""A comparison exported as LLM Comparator JSON comes back, side by side."""

from __future__ import annotations

import json

from muscle_llm.comparison import compare
from muscle_llm.predictions import read_predictions
from muscle_llm.report.llm_comparator import render_llm_comparator, to_llm_comparator


def _side(answers, scores, outputs=None):
    rows = [
        {
            "id": f"q{i}",
            "question": f"question {i}?",
            "answer": a,
            "reference": "x",
            "score_f1": s,
            "output": outputs[i] if outputs else None,
        }
        for i, (a, s) in enumerate(zip(answers, scores, strict=True))
    ]
    return read_predictions(rows)


OLD = (["x", "x", "y", "y", "x"], [1.0, 0.5, 0.25, 0.0, 1.0])
NEW = (["x", "z", "x", "w", "x"], [1.0, 0.0, 0.5, 0.0, 0.5])


def test_every_instance_is_an_example_with_both_sides():
    document = to_llm_comparator(compare(_side(*OLD), _side(*NEW), old_name="v1", new_name="v2"))
    assert [m["name"] for m in document["models"]] == ["v1", "v2"]
    assert [e["score"] for e in document["examples"]] == [0.0, 1.0, -1.0, 0.0, 0.0]
    assert [e["tags"][0] for e in document["examples"]] == [
        "both_right_same",
        "regression",
        "gain",
        "both_wrong_changed",
        "both_right_same",
    ]
    fields = {f["name"]: f["type"] for f in document["metadata"]["custom_fields_schema"]}
    assert fields["correct"] == "per_model_boolean"
    assert fields["f1"] == "per_model_number"
    assert fields["quadrant"] == "category"
    for example in document["examples"]:
        assert set(example["custom_fields"]) == set(fields)
        assert isinstance(example["output_text_a"], str)
        assert isinstance(example["output_text_b"], str)
    json.loads(json.dumps(document, allow_nan=False))


def test_what_is_exported_reads_back_as_it_was(tmp_path):
    old, new = _side(*OLD, outputs=["text"] * 5), _side(*NEW)
    path = tmp_path / "both.json"
    path.write_text(render_llm_comparator(compare(old, new)))
    for side, original in (("a", old), ("b", new)):
        back = read_predictions(f"{path}#{side}").table
        for name in ("id", "answer", "correct", "prompt"):
            assert back[name].to_pylist() == original.table[name].to_pylist(), name
        f1 = [row["f1"] for row in back["scores"].to_pylist()]
        assert f1 == [row["f1"] for row in original.table["scores"].to_pylist()]
    again = compare(read_predictions(f"{path}#a"), read_predictions(f"{path}#b"))
    assert again.counts["negative_flips"] == 1
    assert again.counts["positive_flips"] == 1


def test_what_one_side_does_not_know_is_text_and_never_zero():
    document = to_llm_comparator(compare(_side(["x", "x"], [None, 0.5]), _side(["x", "y"], [0.5, 0.5])))
    fields = {f["name"]: f["type"] for f in document["metadata"]["custom_fields_schema"]}
    assert fields["f1"] == "per_model_text"
    assert document["examples"][0]["custom_fields"]["f1"] == ["", "0.5"]


def test_candidates_stand_beside_the_two_sides():
    remedy = _side(["x", "x", "x", "y", "x"], [1.0] * 5)
    document = to_llm_comparator(compare(_side(*OLD), _side(*NEW), {"muscle": remedy}))
    assert document["examples"][1]["custom_fields"]["candidate muscle"] == "x"
