"""Inspect logs: what a plain header and samples mean needs no package; reading files does."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from muscle_llm.errors import InputError, MissingExtraError
from muscle_llm.predictions import read_many, read_predictions
from muscle_llm.predictions.readers.base import ReadOptions
from muscle_llm.predictions.readers.inspect_ai import predictions_of

INSTALLED = importlib.util.find_spec("inspect_ai") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="needs the package inspect-ai")


def _read(logs, samples, metric=None, header=None):
    return predictions_of(
        header or logs.inspect_header(), samples, "log.json", {}, ReadOptions(metric=metric)
    )


def _scored(logs, values):
    return [logs.inspect_sample(i, scores=v) for i, v in enumerate(values)]


def test_settings_epochs_and_answers(logs):
    samples = [logs.inspect_sample(i, epoch) for i in range(2) for epoch in (1, 2)]
    p = _read(logs, samples)
    provenance = p.provenance
    assert (provenance.model, provenance.task, provenance.metric) == ("mockllm/model", "warmth", "choice")
    assert provenance.harness_version == "0.3.200"
    assert provenance.extra["samples"] == "4 of 6"
    assert p.table["repeat"].to_pylist() == [0, 1, 0, 1]
    assert p.table["answer"].to_pylist() == ["A", "A", "B", "B"]
    assert p.score_names == ("style",)


def test_settings_of_the_task_count_over_those_of_the_model(logs):
    header = logs.inspect_header()
    header["eval"]["model_generate_config"] = {"temperature": 1.0, "top_p": 0.9, "seed": None}
    header["eval"]["scorers"] = [{"name": "choice", "options": {"model": "org/grader", "seed": None}}]
    header["plan"] = {
        "steps": [
            {"solver": "system_message", "params": {"template": "Be brief", "more": None}},
            {"solver": "multiple_choice", "params": {"cot": True, "n": 1}, "params_passed": {"cot": True}},
        ],
        "config": {"temperature": 0.5, "seed": 3, "top_p": None},
    }
    provenance = _read(logs, [logs.inspect_sample(0)], header=header).provenance
    assert provenance.seed == 3
    told = {name: json.loads(provenance.extra[name]) for name in ("generation", "solver", "scorer")}
    assert told["generation"] == {"temperature": 0.5, "top_p": 0.9, "seed": 3}
    assert told["solver"] == [
        {"solver": "system_message", "template": "Be brief", "more": None},
        {"solver": "multiple_choice", "cot": True},
    ]
    assert told["scorer"] == {"model": "org/grader"}
    solvers = []
    for last in "ab":  # What differs far behind still tells two runs apart.
        header["plan"]["steps"][0]["params"] = {"template": "Be brief. " * 100 + last}
        provenance = _read(logs, [logs.inspect_sample(0)], header=header).provenance
        solvers.append(provenance.extra["solver"])
    assert solvers[0] != solvers[1]
    assert max(map(len, solvers)) < 400


def test_how_a_model_was_called_and_ids_of_tools_are_no_settings(logs):
    def extra(calls: int, instance: str, **config: float):
        header = logs.inspect_header()
        tool = {"type": "tool", "name": "browser", "params": {"instance": instance, "interactive": True}}
        header["plan"]["steps"] = [{"solver": "use_tools", "params": {"tools": [[tool]]}}]
        header["plan"]["config"] = {
            "max_connections": calls,
            "timeout": calls,
            "extra_headers": {"Authorization": f"secret {calls}"},
            **config,
        }
        return _read(logs, [logs.inspect_sample(0)], header=header).provenance.extra

    assert extra(4, "abc") == extra(40, "xyz")
    assert "generation" not in extra(4, "abc")
    assert json.loads(extra(4, "abc", temperature=0.5)["generation"]) == {"temperature": 0.5}
    assert json.loads(extra(4, "abc")["solver"])[0]["tools"][0][0]["params"] == {"interactive": True}


def test_columns_that_decide_do_not_make_an_archive_a_table(logs, tmp_path):
    with pytest.raises(InputError, match="--map correct= does not fit: this log says itself"):
        read_predictions(logs.inspect_eval(tmp_path), columns="correct=score")


@pytest.mark.parametrize(
    ("values", "correct"),
    [
        (["C", "I", "N"], [True, False, False]),
        ([1, 0, 1.0], [True, False, True]),
        ([True, False, True], [True, False, True]),
        (["1", "0", "yes"], [True, False, True]),
        (["C", None, "I"], [True, None, False]),
        (["C", float("nan"), "I"], [True, None, False]),
    ],
)
def test_right_and_wrong_in_every_spelling(logs, values, correct):
    p = _read(logs, _scored(logs, [{"s": {"value": v}} for v in values]))
    assert p.table["correct"].to_pylist() == correct


def test_a_partly_right_answer_counts_half_as_a_score_and_not_as_right(logs):
    p = _read(logs, _scored(logs, [{"s": {"value": v}} for v in "CPIN"]))
    assert p.table["correct"].to_pylist() == [True, False, False, False]
    assert [s["s"] for s in p.table["scores"].to_pylist()] == [1.0, 0.5, 0.0, 0.0]
    assert p.provenance.extra["partly_right"].startswith("1 answers count half")


def test_several_scorers_one_decides_and_the_others_are_scores(logs):
    values = [
        {"grade": {"value": 0.3 * i}, "match": {"value": "CI"[i % 2]}, "many": {"value": {"a": 1, "b": i}}}
        for i in range(4)
    ]
    samples = _scored(logs, values)
    p = _read(logs, samples)
    assert p.provenance.metric == "match"
    assert p.score_names == ("grade", "many.a", "many.b")
    assert _read(logs, samples, "many.a").table["correct"].to_pylist() == [True] * 4
    with pytest.raises(InputError, match=r"there is no scorer 'matc'. Did you mean 'match'"):
        _read(logs, samples, "matc")
    with pytest.raises(InputError, match="'grade' does not say right or wrong"):
        _read(logs, samples, "grade")
    graded = _read(logs, _scored(logs, [{"grade": {"value": 0.3 * i}} for i in range(3)]))
    assert "correct" not in graded.table.column_names
    assert graded.score_names == ("grade",)


def test_the_first_scorer_of_the_log_decides_among_equals(logs):
    header = logs.inspect_header()
    header["results"]["scores"] = [{"name": "second"}, {"name": "first"}]
    samples = _scored(logs, [{"first": {"value": "C"}, "second": {"value": "I"}}])
    p = _read(logs, samples, header=header)
    assert p.provenance.metric == "second"
    assert p.table["correct"].to_pylist() == [False]
    assert p.table["scores"].to_pylist() == [{"first": 1.0}]


def test_errors_limits_and_conversations(logs):
    samples = [
        logs.inspect_sample(0, error={"message": "sandbox died"}, scores={}),
        logs.inspect_sample(1, limit={"type": "token", "limit": 5}),
        logs.inspect_sample(
            2,
            input=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image"}]},
            ],
        ),
    ]
    table = _read(logs, samples).table
    assert table["error"].to_pylist() == ["sandbox died", None, None]
    assert table["correct"].to_pylist() == [None, True, True]
    assert table["finish_reason"].to_pylist() == ["stop", "limit: token", "stop"]
    assert table["prompt"].to_pylist()[2] == "system: Be brief.\nuser: Look:\n[image]"


def test_logs_without_samples_are_refused_with_their_status(logs):
    header = logs.inspect_header() | {"status": "cancelled"}
    with pytest.raises(InputError, match=r"holds no samples, although 6 were scored \(status cancelled\)"):
        _read(logs, [], header=header)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "sample 1: the id is missing"),
        ({"scores": {"s": "C"}}, "sample 1, 'scores', 's': is a text"),
        ({"epoch": 1.5}, "'epoch' is a number"),
        ({"output": []}, "sample 1, 'output': is a list"),
    ],
)
def test_what_cannot_be_read_is_said(logs, change, message):
    with pytest.raises(InputError, match=message):
        _read(logs, [logs.inspect_sample(0, **change)])


def test_without_the_package_the_message_says_how_to_install_it(logs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    for write in (logs.inspect_json, logs.inspect_eval):
        with pytest.raises(MissingExtraError, match=r"pip install 'muscle-llm\[inspect\]'"):
            read_predictions(write(tmp_path))


@needs_package
def test_files_of_both_kinds_say_the_same_and_epochs_are_repeats(logs, tmp_path):
    one = read_predictions(logs.inspect_json(tmp_path))
    many = read_predictions(logs.inspect_eval(tmp_path))
    assert len(many) == 2 * logs.N
    first = many.table.filter(many.table["repeat"].to_numpy() == 0)
    assert first["correct"].to_pylist() == one.table["correct"].to_pylist()
    region = read_predictions(tmp_path / "log.json", columns="slice.region=metadata.region")
    assert region.table["slices"].to_pylist()[1] == {"region": "north"}


@needs_package
def test_a_folder_of_logs_holds_tasks_and_runs(logs, tmp_path):
    logs.inspect_json(tmp_path, "a.json", task="warmth")
    logs.inspect_json(tmp_path, "b.json", task="rain")
    assert sorted(read_many(tmp_path)) == ["rain", "warmth"]
    logs.inspect_json(tmp_path, "c.json", task="rain", created="2026-05-05T00:00:00+00:00")
    with pytest.raises(InputError, match=r"holds 2 runs of 'rain': 2026-02-03.*, 2026-05-05"):
        read_many(tmp_path)
    newest = read_many(tmp_path, select="last")
    assert newest["rain"].provenance.extra["created"].startswith("2026-05-05")


@needs_package
@pytest.mark.parametrize("size", [40, 400, 1500])
def test_a_log_that_breaks_off_is_one_sentence(logs, tmp_path, size):
    for write in (logs.inspect_json, logs.inspect_eval):
        path = write(tmp_path)
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(InputError, match=path.name):
            read_predictions(path, format="inspect")
