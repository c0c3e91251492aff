"""A whole update on two tiny random bases: every stage is real, only the sizes are small."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.cli import main

pytestmark = [pytest.mark.train, pytest.mark.slow]

VERSIONS = ["old", "new", "old_rerun", "continued", "muscle"]


def write_task(folder: Path) -> None:
    """A choice task of a few rows whose words the tiny tokenizer knows or spells."""
    for split, count, start in (("train", 24, 0), ("test", 12, 100)):
        rows = [
            {"question": f"{start + i} or {start + i + 1}", "choices": ["a", "b"], "label": i % 2}
            for i in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (folder / "task.yaml").write_text(
        """\
task: tiny_choice
dataset_path: json
dataset_kwargs:
  data_files: {train: train.jsonl, test: test.jsonl}
training_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}:"
doc_to_choice: "{{choices}}"
doc_to_target: "{{label}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
        encoding="utf-8",
    )


def write_config(folder: Path, old: Path, new: Path, extra: str = "") -> Path:
    path = folder / "update.yaml"
    path.write_text(
        f"""\
old: {{base: "{old}"}}
new: {{base: "{new}"}}
tasks: [{{task: task.yaml, name: tiny}}]
remedies: [muscle]
lora: {{rank: 2, alpha: 4}}
training:
  epochs: 2
  batch_size: 8
  gradient_accumulation: 1
  warmup_steps: 1
  learning_rate: 1e-2
{extra}""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_base, tiny_base_2):
    """A finished run and how to run it again."""
    folder = tmp_path_factory.mktemp("update")
    write_task(folder)
    config = write_config(folder, tiny_base, tiny_base_2)
    run = folder / "run"

    def again(*options: str) -> int:
        return main(["update", str(config), "--out", str(run), *options])

    assert again() == 0
    return run, again


def titles_of(printed: str) -> tuple[list[str], list[str]]:
    """Return the stages that ran and those that were skipped, from what was printed."""
    lines = [line.split("] ", 1)[1] for line in printed.splitlines() if line.startswith("[") and "] " in line]
    skipped = [line.removesuffix(": already done") for line in lines if line.endswith(": already done")]
    return [line for line in lines if not line.endswith(": already done")], skipped


def test_every_result_is_there(finished):
    run, _ = finished
    home = run / "tasks" / "tiny"
    for version in VERSIONS:
        assert (home / "adapters" / version / "adapter_model.safetensors").is_file()
        assert (home / "predictions" / f"{version}.parquet").is_file()
    document = json.loads((home / "comparison.json").read_text())
    assert document["counts"]["n"] == 12
    assert set(document["candidates"]) == {"old_rerun", "continued", "muscle"}
    assert document["candidates"]["old_rerun"]["role"] == "noise_floor"
    assert "<html" in (home / "report.html").read_text()
    assert "tiny" in (run / "report.html").read_text()


def test_the_control_takes_as_many_steps_as_the_remedy(finished):
    run, _ = finished
    steps = {
        v: json.loads((run / "tasks" / "tiny" / "adapters" / v / "training.json").read_text())["steps"]
        for v in ("continued", "muscle")
    }
    assert steps["continued"] == steps["muscle"] > 0


def test_the_remedy_is_an_ordinary_adapter_of_the_new_base(finished, tiny_base_2):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run, _ = finished
    base = AutoModelForCausalLM.from_pretrained(tiny_base_2)
    adapted = PeftModel.from_pretrained(base, run / "tasks" / "tiny" / "adapters" / "muscle")
    assert adapted.peft_config["default"].base_model_name_or_path == str(tiny_base_2)


def test_a_second_run_skips_everything(finished, capsys):
    _, again = finished
    capsys.readouterr()
    assert again() == 0
    ran, skipped = titles_of(capsys.readouterr().out)
    assert ran == []
    assert len(skipped) == 13


def test_a_deleted_prediction_is_made_again_and_nothing_else_is(finished, capsys):
    run, again = finished
    (run / "tasks" / "tiny" / "predictions" / "new.parquet").unlink()
    capsys.readouterr()
    assert again() == 0
    ran, _ = titles_of(capsys.readouterr().out)
    assert ran == ["tiny: predict with 'new'"]


def test_json_goes_to_standard_output_alone(finished, capsys):
    _, again = finished
    capsys.readouterr()
    assert again("--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["tiny"]["counts"]["n"] == 12


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "task.yaml").unlink(), "task.yaml"),
        (lambda f: (f / "train.jsonl").unlink(), "train.jsonl"),
        (lambda f: (f / "test.jsonl").write_text('{"question": 1}\n{"question": \n'), "test.jsonl"),
        (
            lambda f: (f / "update.yaml").write_text(
                "old: {base: nowhere/at-all}\nnew: {base: x}\ntasks: [t]"
            ),
            "",
        ),
        (lambda f: (f / "update.yaml").write_text("olds: {}"), "Did you mean 'old'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(tmp_path, tiny_base, tiny_base_2, capsys, break_it, message):
    write_task(tmp_path)
    write_config(tmp_path, tiny_base, tiny_base_2)
    break_it(tmp_path)
    assert main(["update", str(tmp_path / "update.yaml"), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err + shown.out


def test_test_instances_in_the_training_text_are_refused(tmp_path, tiny_base, tiny_base_2, capsys):
    write_task(tmp_path)
    shutil.copy(tmp_path / "test.jsonl", tmp_path / "train.jsonl")
    config = write_config(tmp_path, tiny_base, tiny_base_2)
    assert main(["update", str(config), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    assert "12" in capsys.readouterr().err


def test_an_adapter_users_have_is_taken_and_one_of_another_base_is_refused(
    finished, tmp_path, tiny_base, tiny_base_2, capsys
):
    run, _ = finished
    given = run / "tasks" / "tiny" / "adapters" / "old"
    write_task(tmp_path)
    config = write_config(tmp_path, tiny_base_2, tiny_base)  # the bases the other way round
    config.write_text(config.read_text().replace("name: tiny}", f'name: tiny, old_adapter: "{given}"}}'))
    assert main(["update", str(config), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    assert "another base" in capsys.readouterr().err
    write_config(tmp_path, tiny_base, tiny_base_2)
    config.write_text(config.read_text().replace("name: tiny}", f'name: tiny, old_adapter: "{given}"}}'))
    assert main(["update", str(config), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    taken = tmp_path / "run" / "tasks" / "tiny" / "adapters" / "old" / "adapter_model.safetensors"
    assert taken.read_bytes() == (given / "adapter_model.safetensors").read_bytes()
