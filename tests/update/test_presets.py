"""Every file that `init` writes is one that the commands read, with the paper's values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muscle_llm.cli import main

pytest.importorskip("torch")

from muscle_llm.config import load_update
from muscle_llm.train.settings import LoraSettings, TrainSettings
from muscle_llm.update.presets import PRESETS, update_template

pytestmark = pytest.mark.train

PAPER = {
    "learning_rate": 1e-4,
    "warmup_steps": 500,
    "weight_decay": 0.0,
    "gradient_accumulation": 8,
    "epochs": 10,
    "validation_share": 0.2,
}


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_preset_loads_with_the_papers_values(preset, tmp_path):
    path = tmp_path / "update.yaml"
    arguments = ["init", "update", "--out", str(path), "--task", "piqa", "--task", "samsum"]
    assert main(arguments if preset is None else [*arguments, "--preset", preset]) == 0
    settings = load_update(path)
    assert [t.label for t in settings.tasks] == ["piqa", "samsum"]
    assert settings.lora == LoraSettings(rank=128, alpha=256, dropout=0)
    assert {name: getattr(settings.training, name) for name in PAPER} == PAPER
    if preset is None:
        assert settings.training == TrainSettings()
        return
    wanted = PRESETS[preset]
    assert (settings.old.base, settings.new.base) == (wanted.old.name, wanted.new.name)
    assert [r.name for r in settings.remedies] == (["keep", "muscle"] if wanted.same_tokenizer else [])
    text = path.read_text()
    assert "Needs a GPU" in text
    assert ("Gated: accept" in text) == ("meta-llama" in wanted.old.name + wanted.new.name)


def test_what_is_commented_out_can_be_switched_on(tmp_path):
    text = update_template("phi-1-to-1.5", ["gsm8k"])
    for line in ("- {name: muscle_ce", "- {name: careful", "limit: 200", "old_adapter: path"):
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    (tmp_path / "update.yaml").write_text(text)
    settings = load_update(tmp_path / "update.yaml")
    assert [r.name for r in settings.remedies] == ["keep", "muscle", "muscle_ce", "careful"]
    assert settings.tasks[0].limit == 200


@pytest.mark.parametrize("name", ["my tasks/a.yaml", "x: #1/a.yaml", "'ü'/a.yaml", "- b/a.yaml"])
def test_any_name_of_a_task_stays_a_name(name, tmp_path):
    (tmp_path / "u.yaml").write_text(update_template(None, [name]), encoding="utf-8")
    assert load_update(tmp_path / "u.yaml").tasks[0].task == name


def test_an_unknown_preset_is_named(capsys):
    assert main(["init", "update", "--preset", "llama-1-2"]) == 2
    assert "Did you mean 'llama-1-to-2'" in capsys.readouterr().err


ROWS = {
    "choice": {"question": "which?", "Options": ["a", "b"], "gold": 1},
    "answer": {"input": "1 + 1", "target": "2"},
    "reference": {"dialogue": "A: hi", "summary": "greeting"},
}


@pytest.mark.parametrize("kind", list(ROWS))
@pytest.mark.parametrize("given", [True, False])
def test_a_task_file_loads(kind, given, tmp_path):
    pytest.importorskip("lm_eval")
    from muscle_llm.tasks import load_task, training_examples

    default = {"choices": ["a", "b"], "answer": 1, "reference": "text"}
    row = ROWS[kind] if given else {"prompt": "which?", **default}
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "test"):
        (data / f"{split}.jsonl").write_text(json.dumps({**row, "n": split}) + "\n")
    path = tmp_path / "tasks" / "mine.yaml"
    path.parent.mkdir()
    arguments = ["init", "task", "--out", str(path)]
    files = ["--test", str(data / "test.jsonl"), "--train", str(data / "train.jsonl")]
    kinds = [] if given else ["--kind", kind]
    if not given:
        path = path.parent.parent / "data" / "mine.yaml"  # beside train.jsonl and test.jsonl
        arguments = ["init", "task", "--out", str(path)]
    assert main([*arguments, *(files if given else kinds)]) == 0
    task = load_task(path)
    assert (task.name, task.kind) == (
        "mine",
        {"choice": "choice", "answer": "exact_match", "reference": "score"}[kind],
    )
    assert training_examples(task)[0].completion.strip()


def test_init_task_without_training_data(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"prompt": "a", "answer": "b"}\n')
    path = tmp_path / "t.yaml"
    assert main(["init", "task", "--test", str(tmp_path / "t.jsonl"), "--chat", "--out", str(path)]) == 0
    text = path.read_text()
    assert 'data: {test: "t.jsonl"}' in text
    assert "\nchat: true\n" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("", "no JSON object"), ("[1]", "no JSON object"), ("{", "no JSON object")],
)
def test_data_that_cannot_be_read_is_one_sentence(content, message, tmp_path, capsys):
    path: Path = tmp_path / "t.jsonl"
    if content is not None:
        path.write_text(content)
    assert main(["init", "task", "--test", str(path), "--out", "-"]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_there_stays(tmp_path, capsys):
    path = tmp_path / "update.yaml"
    path.write_text("mine")
    assert main(["init", "update", "--out", str(path)]) == 2
    assert path.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main(["init", "update", "--out", str(path), "--force"]) == 0
