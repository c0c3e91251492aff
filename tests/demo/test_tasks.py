"""The demo's tasks load and score offline through the harness itself."""

from __future__ import annotations

import json

import pytest

from muscle_llm.demo.world import TaskSizes, write_world
from muscle_llm.errors import ConfigError

pytest.importorskip("torch")
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]

from muscle_llm.demo.tasks import DEMO, TASK_NAMES, task_config  # noqa: E402


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    from muscle_llm.tasks import load_task

    folder = tmp_path_factory.mktemp("world")
    files = write_world(folder, 1, {name: TaskSizes(train=6, test=4) for name in TASK_NAMES})
    return files, {name: load_task(task_config(name, folder)) for name in TASK_NAMES}


def _docs(task):
    return list(task.harness.eval_docs)


def test_kinds_and_metrics(tasks) -> None:
    _, loaded = tasks
    assert [(loaded[n].kind, loaded[n].metric) for n in TASK_NAMES] == [
        ("choice", "acc"),
        ("exact_match", "exact_match"),
        ("score", "rouge1"),
    ]


def test_the_gold_choice_is_the_right_number(tasks) -> None:
    files, loaded = tasks
    harness = loaded["choice"].harness
    rows = [json.loads(line) for line in files["choice"]["test"].read_text().splitlines()]
    for doc, row in zip(_docs(loaded["choice"]), rows, strict=True):
        assert harness.doc_to_text(doc) == row["question"] + "\nAnswer:"
        assert harness.doc_to_choice(doc) == row["choices"]
        assert harness.doc_to_target(doc) == row["label"]


def test_exact_match_reads_the_final_number_only(tasks) -> None:
    _, loaded = tasks
    harness = loaded["exact"].harness
    doc = _docs(loaded["exact"])[0]
    assert harness.process_results(doc, [doc["answer"]])["exact_match"] == 1
    assert harness.process_results(doc, ["100"])["exact_match"] == 0
    assert harness.process_results(doc, ["[invalid]"])["exact_match"] == 0


def test_the_answer_filter_takes_the_number_after_answer() -> None:
    import re

    config = task_config("exact", "data")
    pattern = config["filter_list"][0]["filter"][0]["regex_pattern"]
    assert re.findall(pattern, " 3+4=7. Answer 7") == ["7"]
    assert re.findall(pattern, " 3+4=7.") == []


def test_rouge_of_the_reference_is_one(tasks) -> None:
    _, loaded = tasks
    harness = loaded["summary"].harness
    doc = _docs(loaded["summary"])[0]
    assert harness.process_results(doc, [doc["summary"]])["rouge1"] == pytest.approx(1.0)
    assert harness.process_results(doc, ["qqq"])["rouge1"] == 0.0


def test_training_text_ends_in_the_target(tasks) -> None:
    from muscle_llm.tasks import training_examples

    _, loaded = tasks
    for name, start in (("choice", "\nAnswer:"), ("exact", "\nSteps:"), ("summary", "\nSummary:")):
        examples = training_examples(loaded[name])
        assert len(examples) == 6
        assert all(e.prompt.endswith(start) and e.completion.startswith(" ") for e in examples)


def test_settings_name_every_task() -> None:
    assert set(DEMO.sizes) == set(DEMO.training) == set(TASK_NAMES)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="poems"):
        task_config("poems", ".")
