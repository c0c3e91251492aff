"""Training text: what the task would ask and accept, and no test instance in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.tasks import (
    Example,
    Task,
    evaluation_hashes,
    find_leaks,
    load_task,
    refuse_leaks,
    training_examples,
)

pytestmark = pytest.mark.train
pytest.importorskip("lm_eval")


def make(folder: Path, rows: dict[str, list[dict[str, Any]]], **config: Any) -> Task:
    files = {}
    for split, docs in rows.items():
        (folder / f"{split}.json").write_text(json.dumps(docs))
        files[split] = f"{split}.json"
    return load_task(
        {
            "task": "t",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": files},
            "training_split": "train",
            "test_split": "test",
            **config,
        },
        data_dir=folder,
    )


CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{q}}",
    "doc_to_choice": "o",
    "doc_to_target": "g",
}


def test_choice_trains_on_the_gold_options_text(tmp_path: Path) -> None:
    rows = {"train": [{"q": "a?", "o": ["x", "y"], "g": 1}], "test": [{"q": "b?", "o": ["x", "y"], "g": 0}]}
    assert training_examples(make(tmp_path, rows, **CHOICE)) == [Example("train:0", "a?", " y")]


def test_delimiter_description_prefix_and_trailing_spaces(tmp_path: Path) -> None:
    rows = {"train": [{"q": "a? ", "t": "y"}], "test": [{"q": "b? ", "t": "y"}]}
    config = {"output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "{{t}}"}
    task = make(tmp_path, rows, **config, target_delimiter="", description="Say y.\n")
    assert training_examples(task) == [Example("train:0", "Say y.\na?", " y")]
    task = make(tmp_path, rows, **config, gen_prefix="Answer:")
    assert training_examples(task) == [Example("train:0", "a? Answer:", " y")]


def test_several_references_train_on_the_first(tmp_path: Path) -> None:
    rows = {"train": [{"q": "a?", "t": ["y", "z"]}], "test": [{"q": "b?", "t": ["y", "z"]}]}
    task = make(tmp_path, rows, output_type="generate_until", doc_to_text="{{q}}", doc_to_target="t")
    assert training_examples(task) == [Example("train:0", "a?", " y")]


def test_inputs_that_differ_instead_of_targets(tmp_path: Path) -> None:
    row = {"s": "_ is big", "o": ["mouse", "whale"], "a": 1}
    task = make(
        tmp_path,
        {"train": [row], "test": [{**row, "s": "_ is small", "a": 0}]},
        output_type="multiple_choice",
        doc_to_text="{{a}}",
        doc_to_choice="{{[o[0] + '!', o[1] + '!']}}",
        doc_to_target="{{s[2:]}}",
    )
    assert training_examples(task) == [Example("train:0", "whale!", " is big")]
    refuse_leaks(training_examples(task), task)
    assert len(find_leaks([Example("x", "mouse!", " is small")], task)) == 1


def test_no_training_split_is_said(tmp_path: Path) -> None:
    rows = {"test": [{"q": "b?", "o": ["x", "y"], "g": 0}]}
    task = make(tmp_path, rows, **CHOICE, training_split=None)
    with pytest.raises(ConfigError, match="task 't' has no training split"):
        training_examples(task)


def test_a_test_instance_in_training_is_refused(tmp_path: Path) -> None:
    same = {"q": "b?", "o": ["x", "y"], "g": 0}
    rows = {"train": [{"q": "a?", "o": ["x", "y"], "g": 1}, {**same, "q": " b?  "}], "test": [same]}
    task = make(tmp_path, rows, **CHOICE)
    with pytest.raises(InputError, match=r"1 of 2 training examples.*train:1, which is test instance 0"):
        refuse_leaks(training_examples(task), task)
    refuse_leaks(training_examples(task)[:1], task)


def test_known_leaks_can_be_left_out(tmp_path: Path) -> None:
    same = {"q": "b?", "o": ["x", "y"], "g": 0}
    rows = {"train": [{"q": "a?", "o": ["x", "y"], "g": 1}, same], "test": [same]}
    task = make(tmp_path, rows, **CHOICE, metadata={"leaks": "drop"})
    assert [e.id for e in training_examples(task)] == ["train:0"]


def test_one_prompt_with_other_options_is_another_instance(tmp_path: Path) -> None:
    rows = {
        "train": [{"q": "Which is true?", "o": ["p", "q"], "g": 1}],
        "test": [{"q": "Which is true?", "o": ["x", "y"], "g": 0}],
    }
    task = make(tmp_path, rows, **CHOICE)
    refuse_leaks(training_examples(task), task)
    assert len(evaluation_hashes(task)) == 2


def test_generation_leaks_by_prompt_whatever_the_answer(tmp_path: Path) -> None:
    rows = {"train": [{"q": "a?", "t": "1"}], "test": [{"q": "a?", "t": "2"}]}
    task = make(tmp_path, rows, output_type="generate_until", doc_to_text="{{q}}", doc_to_target="{{t}}")
    assert find_leaks(training_examples(task), task) == {0: "0"}
