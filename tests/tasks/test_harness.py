"""Loading tasks: what they say, what is refused, and that changed data is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.tasks import load_task, training_examples
from muscle_llm.tasks.fingerprint import harness_task_files, task_fingerprint

pytestmark = pytest.mark.train
pytest.importorskip("lm_eval")

CHOICE = {
    "task": "colours",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"train": "train.jsonl", "test": "test.jsonl"}},
    "output_type": "multiple_choice",
    "training_split": "train",
    "test_split": "test",
    "doc_to_text": "Q: {{question}}\nA:",
    "doc_to_choice": "options",
    "doc_to_target": "gold",
}


def write(folder: Path, name: str, rows: list[dict]) -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    row = {"question": "colour of snow?", "options": ["black", "white"], "gold": 1}
    write(tmp_path, "train.jsonl", [row, {**row, "question": "colour of coal?", "gold": 0}])
    write(tmp_path, "test.jsonl", [{**row, "question": "colour of milk?"}])
    return tmp_path


def test_mapping_and_yaml_give_the_same_task(folder: Path) -> None:
    import yaml

    (folder / "colours.yaml").write_text(yaml.safe_dump(CHOICE))
    by_mapping = load_task(CHOICE, data_dir=folder)
    by_yaml = load_task(folder / "colours.yaml")
    assert (by_yaml.name, by_yaml.kind, by_yaml.metric, by_yaml.filter) == (
        "colours",
        "choice",
        "acc",
        "none",
    )
    assert by_mapping.hash == by_yaml.hash
    assert set(by_yaml.sources or {}) == {"train.jsonl", "test.jsonl"}


def test_data_dir_goes_before_the_yaml_files_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import yaml

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "colours.yaml").write_text(yaml.safe_dump(CHOICE))
    with pytest.raises(InputError, match=r"jsonl of split 't[a-z]+' does not exist"):
        load_task(elsewhere / "colours.yaml")
    assert load_task(elsewhere / "colours.yaml", data_dir=folder).kind == "choice"


def test_environment_variables_in_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOURS", str(folder))
    files = {"train": "$COLOURS/train.jsonl", "test": "${COLOURS}/test.jsonl"}
    assert len(training_examples(load_task({**CHOICE, "dataset_kwargs": {"data_files": files}}))) == 2


def test_functions_named_in_a_yaml_are_found_beside_it(folder: Path) -> None:
    (folder / "ask.py").write_text("def ask(doc):\n    return doc['question'].upper()\n")
    text = "\n".join(f"{k}: {json.dumps(v)}" for k, v in CHOICE.items() if k != "doc_to_text")
    (folder / "colours.yaml").write_text(text + "\ndoc_to_text: !function ask.ask\n")
    assert training_examples(load_task(folder / "colours.yaml"))[0].prompt == "COLOUR OF SNOW?"


def test_changed_data_is_noticed_though_name_size_and_time_stay(folder: Path) -> None:
    import os

    first = load_task(CHOICE, data_dir=folder)
    path = folder / "train.jsonl"
    before = path.stat()
    path.write_text(path.read_text().replace("snow", "milk"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = load_task(CHOICE, data_dir=folder)
    assert "snow" in training_examples(first)[0].prompt
    assert "milk" in training_examples(second)[0].prompt
    assert first.hash != second.hash


def test_the_fingerprint_is_quick_and_follows_code_data_and_includes(folder: Path) -> None:
    common = "\n".join(f"{k}: {json.dumps(v)}" for k, v in CHOICE.items() if k != "doc_to_text")
    (folder / "common.yaml").write_text(common)
    (folder / "ask.py").write_text("raise SystemExit('a fingerprint runs no code')\n")
    path = folder / "colours.yaml"
    path.write_text("include: common.yaml\ndoc_to_text: !function ask.ask\nmetadata: {version: 1}\n")
    seen = [task_fingerprint(path)]
    (folder / "ask.py").write_text("def ask(doc):\n    return doc['question']\n")
    seen.append(task_fingerprint(path))
    (folder / "common.yaml").write_text(common + "\nnum_fewshot: 1\n")
    seen.append(task_fingerprint(path))
    write(folder, "train.jsonl", [{"question": "?", "options": ["a", "b"], "gold": 0}])
    seen += [task_fingerprint(path), task_fingerprint(path, metric="acc_norm")]
    assert len(set(seen)) == len(seen)
    path.write_text(path.read_text().replace("version: 1", "version: 2"))
    assert task_fingerprint(path) == seen[-2] == load_task(path).hash


def test_the_spec_is_not_changed(folder: Path) -> None:
    before = json.dumps(CHOICE)
    load_task(CHOICE, data_dir=folder)
    assert json.dumps(CHOICE) == before


def test_known_names_are_found_without_the_harness_index() -> None:
    files = harness_task_files()
    assert {"arc_easy", "hellaswag", "piqa", "gsm8k"} <= set(files)
    assert files["piqa"].name == "piqa.yaml"


@pytest.mark.parametrize(
    ("metrics", "filters", "kind", "metric"),
    [
        (["exact_match"], None, "exact_match", "exact_match"),
        (["rouge1"], None, "score", "rouge1"),
        (["rouge1", "exact_match"], None, "exact_match", "exact_match"),
        (["rougeL", "rouge1"], None, "score", "rougeL"),
    ],
)
def test_kind_and_metric_of_generation(
    folder: Path, metrics: list[str], filters: None, kind: str, metric: str
) -> None:
    config = {
        **CHOICE,
        "output_type": "generate_until",
        "doc_to_target": "{{options[gold]}}",
        "metric_list": [{"metric": m} for m in metrics],
    }
    del config["doc_to_choice"]
    task = load_task(config, data_dir=folder)
    assert (task.kind, task.metric) == (kind, metric)
    assert load_task(config, data_dir=folder, metric=metrics[0]).metric == metrics[0]
    with pytest.raises(ConfigError, match="Did you mean"):
        load_task(config, data_dir=folder, metric=metrics[0] + "x")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"test_split": None}, ConfigError, "neither 'test_split' nor"),
        ({"test_split": "validation"}, ConfigError, "validation"),
        ({"task": None}, ConfigError, "the key 'task'"),
        ({"task": ["a", "b"]}, ConfigError, "group of tasks"),
        ({"dataset_path": None}, ConfigError, "'dataset_path' is missing"),
        ({"output_type": "loglikelihood_rolling"}, ConfigError, "perplexity"),
        ({"output_type": "guessing"}, ConfigError, "invalid output_type 'guessing'"),
        ({"doc_to_text": "{{nothing}}"}, ConfigError, "'nothing' is undefined"),
        ({"metric_list": [{"metric": "mcc"}]}, ConfigError, "none of its metrics"),
        ({"no_such_key": 1}, ConfigError, "no_such_key"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said(
    folder: Path, change: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_task({**CHOICE, **change}, data_dir=folder)


def test_an_unknown_name_gets_near_names() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'arc_esy'.*Did you mean 'arc_easy'"):
        load_task("arc_esy")


def test_missing_files_and_broken_files(folder: Path) -> None:
    with pytest.raises(InputError, match=r"task file .*none\.yaml does not exist"):
        load_task(folder / "none.yaml")
    (folder / "broken.yaml").write_text("task: [a\nb: c")
    with pytest.raises(ConfigError, match=r"broken\.yaml, line 2: not valid YAML"):
        load_task(folder / "broken.yaml")
    (folder / "list.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match=r"list\.yaml: cannot be read as a task"):
        load_task(folder / "list.yaml")
    (folder / "test.jsonl").write_text('{"question": "a"}\n{"question": \n')
    with pytest.raises(InputError, match=r"test\.jsonl, line 2: not valid JSON"):
        load_task(CHOICE, data_dir=folder)
    (folder / "test.jsonl").write_text("")
    with pytest.raises(InputError, match=r"test\.jsonl of split 'test' is empty"):
        load_task(CHOICE, data_dir=folder)
