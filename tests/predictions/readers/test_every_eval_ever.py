from __future__ import annotations

import pytest

from muscle_llm.errors import InputError
from muscle_llm.predictions import read_predictions


def test_settings_come_from_the_aggregate_file(logs, tmp_path):
    p = read_predictions(logs.every_eval_ever(tmp_path))
    provenance = p.provenance
    assert (provenance.model, provenance.task, provenance.metric) == (
        "org/model",
        "warmth",
        "warmth.accuracy",
    )
    assert (provenance.harness_version, provenance.extra["harness"]) == ("1.2", "harness")
    assert p.table["output"].to_pylist()[0] == "I think cold"
    assert p.table["instance_hash"].to_pylist()[0] == "h0"
    assert p.table["choices"].to_pylist()[0] == logs.OPTIONS


def test_the_aggregate_file_leads_to_its_instances_or_is_refused(logs, tmp_path):
    samples = logs.every_eval_ever(tmp_path)
    aggregate = tmp_path / "abc.json"
    assert read_predictions(aggregate).table.equals(read_predictions(samples).table)
    samples.write_text(samples.read_text() + "\n")
    with pytest.raises(InputError, match=r"is not the file that abc.json describes \(its SHA-256 differs\)"):
        read_predictions(aggregate)
    samples.unlink()
    with pytest.raises(InputError, match=r"1 aggregate results .* and no instances; they are in 'data/some"):
        read_predictions(aggregate)
    logs._json(aggregate, logs.aggregate(None))
    with pytest.raises(InputError, match="and no instances, and names no file of instances"):
        read_predictions(aggregate)


def test_a_score_of_which_less_is_better_is_negated(logs, tmp_path):
    samples = logs.every_eval_ever(tmp_path)
    logs._json(tmp_path / "abc.json", logs.aggregate(samples, lower_is_better=True))
    p = read_predictions(samples)
    assert p.table["scores"].to_pylist()[0] == {"negative_score": -1.0}


def test_conversations_answer_with_the_last_word_and_errors_stay_apart(logs, tmp_path):
    said = [{"turn_idx": 0, "role": "user", "content": "?"}]
    said += [{"turn_idx": k, "role": "assistant", "content": f"turn {k}"} for k in (1, 3)]
    rows = [
        logs.instance_row(
            0, interaction_type="multi_turn", output=None, messages=said, answer_attribution=[]
        ),
        logs.instance_row(1, error="timeout"),
    ]
    table = read_predictions(logs._lines(tmp_path / "x.jsonl", rows)).table
    assert table["answer"].to_pylist()[0] == "turn 3"
    assert table["error"].to_pylist() == [None, "timeout"]
    assert table["correct"].to_pylist() == [True, None]


def test_several_evaluations_in_one_file_need_a_choice(logs, tmp_path):
    rows = [
        logs.instance_row(i, evaluation_result_id=f"warmth.{m}", evaluation={"score": s, "is_correct": s > 0})
        for m, s in (("accuracy", 1.0), ("strict", 0.0))
        for i in range(3)
    ]
    path = logs._lines(tmp_path / "x.jsonl", rows)
    with pytest.raises(InputError, match=r"holds 2 evaluations: warmth.accuracy, warmth.strict. Choose one"):
        read_predictions(path)
    assert read_predictions(path, select="warmth.strict").table["correct"].to_pylist() == [False] * 3
    assert read_predictions(path, metric="warmth.accuracy").table["correct"].to_pylist() == [True] * 3
    with pytest.raises(InputError, match=r"no evaluation 'warmth.stric'. Did you mean 'warmth.strict'"):
        read_predictions(path, select="warmth.stric")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_id": "other"}, "holds rows of 2 models"),
        (
            {"sample_id": "warmth_0"},
            r"1 id occurs more than once; 'warmth_0' occurs 2 times \(line 1, line 2\)",
        ),
        ({"sample_id": None}, "line 2: the id is missing"),
        ({"evaluation": {"score": "high", "is_correct": True}}, "'score' is a text"),
        ({"evaluation": {"score": 1, "is_correct": "yes"}}, "'is_correct' is a text"),
        ({"input": "question"}, "line 2, 'input': is a text, not an object"),
    ],
)
def test_what_cannot_be_read_is_said(logs, tmp_path, change, message):
    rows = [logs.instance_row(0), logs.instance_row(1, **change)]
    with pytest.raises(InputError, match=message):
        read_predictions(logs._lines(tmp_path / "x.jsonl", rows))


def test_an_index_of_records_is_refused(logs, tmp_path):
    row = {"record_type": "aggregate", "object_path": "a.json", "eval_schema_version": "0.2.2"}
    with pytest.raises(InputError, match="is an index of every_eval_ever records"):
        read_predictions(logs._lines(tmp_path / "aggregate.jsonl", [row, row]))


def test_epochs_of_a_converted_log_are_repeats(logs, tmp_path):
    rows = [
        logs.instance_row(i, metadata={"epoch": str(epoch), "stop_reason": "max_tokens"})
        for epoch in (1, 2)
        for i in range(2)
    ]
    table = read_predictions(logs._lines(tmp_path / "a_samples.jsonl", rows)).table
    assert table["repeat"].to_pylist() == [0, 0, 1, 1]
    assert set(table["finish_reason"].to_pylist()) == {"max_tokens"}
    without = [logs.instance_row(0), logs.instance_row(0)]
    with pytest.raises(InputError, match=r"occurs 2 times .* need metadata\.epoch"):
        read_predictions(logs._lines(tmp_path / "b_samples.jsonl", without))
