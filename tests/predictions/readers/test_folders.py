from __future__ import annotations

import pytest

from muscle_llm.errors import InputError
from muscle_llm.predictions import read_many, read_predictions
from muscle_llm.predictions.folders import files_in
from muscle_llm.predictions.store import write_predictions

LATER = "2026-04-03T04-05-06.700000"


def test_a_harness_folder_holds_its_tasks(logs, tmp_path):
    logs.lm_eval(tmp_path, "warmth")
    logs.lm_eval(tmp_path, "rain")
    for folder in (tmp_path, tmp_path / "org__model"):
        many = read_many(folder)
        assert sorted(many) == ["rain", "warmth"]
        assert {p.provenance.task for p in many.values()} == {"rain", "warmth"}
    assert read_predictions(f"{tmp_path}#rain").provenance.task == "rain"
    with pytest.raises(InputError, match=r"the folder holds 2 tasks: .* compare folder with folder"):
        read_predictions(tmp_path)
    with pytest.raises(InputError, match=r"holds no 'ran'. Did you mean 'rain'"):
        read_predictions(tmp_path, select="ran")


def test_runs_of_one_task_need_a_choice(logs, tmp_path):
    logs.lm_eval(tmp_path)
    logs.lm_eval(tmp_path, time=LATER)
    with pytest.raises(InputError, match=rf"holds 2 runs of 'warmth': {logs.TIME}, {LATER}. Choose one with"):
        read_predictions(tmp_path)
    name = next(iter(read_predictions(tmp_path, select="last").provenance.sources))
    assert LATER in name
    name = next(iter(read_predictions(tmp_path, select=logs.TIME).provenance.sources))
    assert logs.TIME in name


def test_a_folder_of_stored_predictions_is_read_task_by_task(logs, tmp_path):
    original = read_predictions(logs.table_lines(tmp_path / "log"))
    for task in ("rain", "warmth"):
        write_predictions(original, tmp_path / "out" / f"{task}.parquet")
    many = read_many(tmp_path / "out", name="m")
    assert list(many) == ["rain", "warmth"]
    assert many["rain"].table.equals(original.table)
    assert many["rain"].provenance.model == "m"


def test_folders_without_logs_and_with_logs_of_several_tools(logs, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder holds no log this program knows"):
        read_many(tmp_path / "empty")
    logs.lm_eval(tmp_path / "mixed")
    logs.helm(tmp_path / "mixed")
    with pytest.raises(InputError, match=r"logs of several formats \(lm-eval, helm\)"):
        read_many(tmp_path / "mixed")
    assert list(read_many(tmp_path / "mixed", format="helm")) == ["quiz:subject=warmth"]


def test_hidden_files_and_deep_folders_are_left_alone(tmp_path):
    deep = tmp_path.joinpath(*"abcdefg")
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    (tmp_path / "a" / "y").write_text("y")
    (tmp_path / ".hidden").write_text("z")
    assert [p.name for p in files_in(tmp_path)] == ["y"]


def test_a_filter_is_for_the_tasks_with_several_and_one_must_have_it(logs, tmp_path):
    logs.lm_eval_filters(tmp_path)
    logs.lm_eval(tmp_path)
    found = read_many(tmp_path, filter="flexible-extract")
    filters = {task: p.provenance.filter for task, p in found.items()}
    assert filters == {"sums": "flexible-extract", "warmth": "none"}
    with pytest.raises(InputError, match="there is no filter 'nosuch'"):
        read_many(tmp_path, filter="nosuch")
    (tmp_path / "more").mkdir()
    for task in ("one", "two"):
        logs.lm_eval(tmp_path / "more", task)
    with pytest.raises(InputError, match="no task has a filter of that name"):
        read_many(tmp_path / "more", filter="strict-match")
