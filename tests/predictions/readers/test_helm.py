from __future__ import annotations

import json

import pytest

from muscle_llm.comparison import compare
from muscle_llm.errors import ComparabilityError, InputError
from muscle_llm.predictions import read_many, read_predictions


def _rewrite(logs, place, states=None, stats=None):
    if states is not None:
        logs._json(place / "scenario_state.json", {"adapter_spec": {}, "request_states": states})
    if stats is not None:
        logs._json(place / "per_instance_stats.json", stats)
    return place


def test_settings_scores_and_the_likeliest_completion(logs, tmp_path):
    p = read_predictions(logs.helm(tmp_path))
    provenance = p.provenance
    assert (provenance.model, provenance.task) == ("org/model", "quiz:subject=warmth")
    assert (provenance.metric, provenance.num_fewshot) == ("exact_match", 5)
    assert p.score_names == ("f1_score",)  # lengths and costs are no scores
    assert p.table["output"].to_pylist()[0] == " A"
    assert p.table["choices"].to_pylist()[0] == logs.OPTIONS
    assert "cluster" not in p.table.column_names
    assert "slices" not in p.table.column_names


@pytest.mark.parametrize("name", ["scenario_state.json", "per_instance_stats.json"])
def test_a_file_of_the_run_stands_for_its_folder(logs, tmp_path, name):
    place = logs.helm(tmp_path)
    assert read_predictions(place / name).table.equals(read_predictions(place).table)


def test_other_files_of_the_run_are_refused(logs, tmp_path):
    place = logs.helm(tmp_path)
    with pytest.raises(InputError, match="describes a HELM run but holds no instances; name its folder"):
        read_predictions(place / "run_spec.json")


def test_a_letter_that_stands_for_no_option_is_no_answer(logs, tmp_path):
    states = [logs.helm_state(i) for i in range(2)]
    states[0]["result"]["completions"] = [{"text": " M", "logprob": -0.1}]
    place = _rewrite(logs, logs.helm(tmp_path), states, [logs.helm_stats(0), logs.helm_stats(1)])
    table = read_predictions(place).table
    assert table["answer"].to_pylist() == [None, "mild"]
    assert table["output"].to_pylist()[0] == " M"


def test_what_the_adapter_puts_around_a_question_leaves_it_the_same(logs, tmp_path):
    sides = []
    for end in ("\nAnswer:", "\nAssistant:"):
        requests = [{"model": "org/model", "prompt": f"{logs.question(i)}{end}"} for i in range(2)]
        states = [logs.helm_state(i, request=r) for i, r in enumerate(requests)]
        place = logs.helm(tmp_path / str(len(sides)))
        sides.append(
            read_predictions(_rewrite(logs, place, states, [logs.helm_stats(0), logs.helm_stats(1)]))
        )
    with pytest.raises(ComparabilityError, match="worded differently, as by another chat template"):
        compare(*sides)
    assert compare(*sides, on_mismatch="intersect").counts["n"] == 2


def test_a_failed_request_is_an_error(logs, tmp_path):
    states = [logs.helm_state(0), logs.helm_state(1, result={"success": False, "error": "quota"})]
    place = _rewrite(logs, logs.helm(tmp_path), states, [logs.helm_stats(0), logs.helm_stats(1)])
    table = read_predictions(place).table
    assert table["error"].to_pylist() == [None, "quota"]
    assert table["correct"].to_pylist() == [True, None]


def test_trials_are_repeats_and_perturbed_instances_share_a_cluster(logs, tmp_path):
    dialect = {"name": "dialect", "prob": 1.0}
    states, stats = [], []
    for trial in (0, 1):
        for changes in ({}, {"perturbation": dialect}):
            state = logs.helm_state(0, trial)
            state["instance"] |= changes
            states.append(state)
            stats.append(logs.helm_stats(0, trial, **changes))
    table = read_predictions(_rewrite(logs, logs.helm(tmp_path), states, stats)).table
    assert table["repeat"].to_pylist() == [0, 0, 1, 1]
    assert table["id"].to_pylist()[0] == "id0"
    assert table["id"].to_pylist()[1].startswith("id0 (")
    assert table["cluster"].to_pylist() == ["id0"] * 4
    assert [s["perturbation"] for s in table["slices"].to_pylist()] == ["none", "dialect"] * 2


def test_one_request_per_reference_takes_the_predicted_one(logs, tmp_path):
    states, stats = [], []
    for i in range(3):
        for k in range(3):
            state = logs.helm_state(i, reference_index=k, request_mode="original", output_mapping=None)
            states.append(state)
        tie = 0.5 if i == 2 else float(logs.right(i))
        stats.append(
            logs.helm_stats(i, values={"exact_match": tie, "predicted_index": float(logs.picked(i))})
        )
    table = read_predictions(_rewrite(logs, logs.helm(tmp_path), states, stats)).table
    assert table["answer"].to_pylist() == [logs.OPTIONS[logs.picked(i)] for i in range(3)]
    assert table["correct"].to_pylist() == [logs.right(i) for i in range(3)]
    assert table["prompt"].to_pylist()[0] == logs.question(0)


def test_metrics_are_chosen_by_name_and_shares_are_refused(logs, tmp_path):
    values = {"exact_match": 1.0, "quasi_exact_match": 0.0, "f1_score": 0.5, "wer_score": 0.25}
    place = _rewrite(logs, logs.helm(tmp_path), [logs.helm_state(0)], [logs.helm_stats(0, values=values)])
    assert read_predictions(place, metric="quasi_exact_match").table["correct"].to_pylist() == [False]
    scores = read_predictions(place).table["scores"].to_pylist()[0]
    assert scores == {"quasi_exact_match": 0.0, "f1_score": 0.5, "negative_wer_score": -0.25}
    with pytest.raises(InputError, match=r"'f1_score' is 0.5, neither right"):
        read_predictions(place, metric="f1_score")
    with pytest.raises(InputError, match="Did you mean 'f1_score'"):
        read_predictions(place, metric="f1_scor")


def test_half_a_run_is_read_and_two_that_do_not_fit_are_refused(logs, tmp_path):
    place = logs.helm(tmp_path)
    _rewrite(logs, place, stats=[logs.helm_stats(0)])
    with pytest.raises(InputError, match=r"holds 6 answers and .* the figures of 1; they are not of one run"):
        read_predictions(place)
    (place / "per_instance_stats.json").unlink()
    texts = read_predictions(place).table
    assert "correct" not in texts.column_names
    assert texts["answer"].null_count == 0
    figures = logs.helm(tmp_path / "other")
    (figures / "scenario_state.json").unlink()
    table = read_predictions(figures).table
    assert table["correct"].to_pylist() == [logs.right(i) for i in range(logs.N)]
    assert "answer" not in table.column_names


def test_a_suite_holds_several_tasks_and_models(logs, tmp_path):
    for subject in ("warmth", "rain"):
        logs.helm(tmp_path, subject=subject)
    many = read_many(tmp_path)
    assert sorted(many) == ["quiz:subject=rain", "quiz:subject=warmth"]
    with pytest.raises(InputError, match="the folder holds 2 tasks"):
        read_predictions(tmp_path)
    assert len(read_predictions(f"{tmp_path}#quiz:subject=rain")) == logs.N
    logs.helm(tmp_path, model="org_new")
    with pytest.raises(InputError, match=r"the folder holds 2 runs of 'quiz:subject=warmth': org/"):
        read_many(tmp_path)
    assert list(read_many(tmp_path, select="org/new")) == ["quiz:subject=warmth"]


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ([], "holds no requests"),
        (["x"], "request 1: is a text"),
        ([{"instance": {"id": None}}], "request 1: the instance has no id"),
        (
            [{"instance": {"id": "id0"}}, {"instance": {"id": "id0"}}],
            "request 2: the instance 'id0' occurs twice",
        ),
    ],
)
def test_what_cannot_be_read_is_said(logs, tmp_path, states, message):
    place = _rewrite(logs, logs.helm(tmp_path), states)
    with pytest.raises(InputError, match=message):
        read_predictions(place)
    assert json.loads((place / "run_spec.json").read_text())
