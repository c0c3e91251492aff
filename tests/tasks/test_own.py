"""One's own data in five lines: the right harness task, chat templates included, and helpful refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.tasks import Example, load_task, task_fingerprint, training_examples
from muscle_llm.tasks.own import harness_config

pytestmark = pytest.mark.train
pytest.importorskip("lm_eval")

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"prompt": "sky?", "options": ["red", "blue"], "gold": 1, "said": "blue"},
        {"prompt": "coal?", "options": ["black", "white"], "gold": 0, "said": "black"},
    ]
    (tmp_path / "train.jsonl").write_text(json.dumps(rows[0]) + "\n")
    (tmp_path / "test.jsonl").write_text(json.dumps(rows[1]) + "\n")
    return tmp_path


def test_choices_by_number_or_by_text(folder: Path) -> None:
    common = {"task": "t", "data": {"train": "train.jsonl", "test": "test.jsonl"}, "choices": "options"}
    for answer in ("gold", "said"):
        task = load_task({**common, "answer": answer}, data_dir=folder)
        assert (task.kind, task.metric) == ("choice", "acc")
        assert training_examples(task) == [Example("train:0", "sky?", " blue")]


def test_exact_match_and_reference(folder: Path) -> None:
    task = load_task({"task": "t", "data": "test.jsonl", "answer": "said"}, data_dir=folder)
    assert (task.kind, task.metric, task.filter) == ("exact_match", "exact_match", "strip")
    task = load_task(
        {"task": "t", "data": "test.jsonl", "reference": "It is {{said}}.", "stop": "END", "max_tokens": 9},
        data_dir=folder,
    )
    assert (task.kind, task.metric) == ("score", "rouge1")
    assert task.harness.config.generation_kwargs["until"] == ["END"]
    assert task.harness.doc_to_target(task.harness.eval_docs[0]) == "It is black."


def test_five_lines_in_a_file_are_enough(folder: Path) -> None:
    path = folder / "mine.yaml"
    lines = [
        "task: mine",
        "data: test.jsonl",
        'prompt: "Q: {{prompt}} A:"',
        "choices: options",
        "answer: gold",
    ]
    path.write_text("\n".join(lines))
    task = load_task(path)
    assert task.harness.doc_to_text(task.harness.eval_docs[0]) == "Q: coal? A:"
    before = task_fingerprint(path)
    (folder / "test.jsonl").write_text((folder / "test.jsonl").read_text().replace("coal", "soot"))
    assert before == task.hash != task_fingerprint(path)


def test_training_and_predicting_use_the_same_chat_template(folder: Path, tiny_base: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from muscle_llm.predict import predict

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    config = {"task": "t", "data": {"train": "train.jsonl", "test": "test.jsonl"}, "answer": "said"}
    task = load_task({**config, "chat": True, "description": "Be brief."}, data_dir=folder)
    assert task.chat
    with pytest.raises(ConfigError, match="give a tokenizer that has one"):
        training_examples(task, tokenizer)
    tokenizer.chat_template = TEMPLATE
    wanted = "<|system|>Be brief.\n<|user|>{}?\n<|assistant|>"
    assert training_examples(task, tokenizer) == [Example("train:0", wanted.format("sky"), "blue")]
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    found = predict(model, tokenizer, task, model_name="t", progress=False)
    assert found.table["prompt"].to_pylist() == [wanted.format("coal")]
    assert len(found.provenance.chat_template or "") == 16
    same = {"train": "test.jsonl", "test": "test.jsonl"}
    leaky = load_task({**config, "data": same, "chat": True}, data_dir=folder)
    with pytest.raises(InputError, match="1 of 1 training examples"):
        training_examples(leaky, tokenizer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"awnser": "x"}, "unknown key 'awnser'. Did you mean 'answer'"),
        ({"task": None}, "the key 'task'"),
        ({"data": {"train": "a"}}, "names no 'test' file"),
        ({"data": {"test": "a", "dev": "b"}}, "not 'dev'"),
        ({"answer": None}, "'answer' must be a field's name"),
        ({"reference": "x"}, "leave 'answer' and 'choices' out"),
        ({"max_tokens": 0}, "at least 1, not 0"),
        ({"chat": "yes"}, "'chat' must be true or false"),
        ({"leaks": "keep"}, "'leaks' can only be 'drop'"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        harness_config({"task": "t", "data": "t.jsonl", "answer": "a", **change})
    assert message in str(caught.value)


def test_a_field_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="'wrong' is undefined"):
        load_task({"task": "t", "data": "test.jsonl", "prompt": "wrong", "answer": "said"}, data_dir=folder)
