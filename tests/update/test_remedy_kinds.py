"""Every kind of remedy in one small real update, and a study of it: stages, controls, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.cli import main  # noqa: E402
from muscle_llm.config import load_study, load_update  # noqa: E402
from muscle_llm.errors import ConfigError  # noqa: E402
from muscle_llm.predictions.store import read_store  # noqa: E402
from muscle_llm.study.results import read_outcomes  # noqa: E402

TASK = """\
task: tiny_sums
dataset_path: json
dataset_kwargs:
  data_files: {train: train.jsonl, test: test.jsonl}
training_split: train
test_split: test
output_type: generate_until
doc_to_text: "what is {{sum}}?"
doc_to_target: " {{answer}}"
target_delimiter: ""
generation_kwargs: {until: ["\\n", "</s>"], max_gen_toks: 4, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
COMMON = """\
tasks: [{task: task.yaml, name: sums, prompts: prompts.jsonl}]
lora: {rank: 2, alpha: 4}
training: {epochs: 1, batch_size: 8, gradient_accumulation: 1, learning_rate: 1e-2, warmup_steps: 1}
remedies:
  - {name: plain, temperature: 1}
  - {name: replayed, temperature: 1, replay: 5}
  - {kind: dial, name: none, of: plain, share: 0}
  - {kind: dial, name: all, of: plain, share: 1}
  - {kind: ensemble, name: new_alone, share: 0}
  - {kind: ensemble, name: both}
  - {kind: rerank, name: best, candidates: 2}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_base_2: Path) -> Path:
    folder = tmp_path_factory.mktemp("world")
    for split, count, start in (("train", 20, 0), ("test", 8, 40)):
        rows = [{"sum": f"{start + i}+1", "answer": start + i + 1} for i in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    prompts = [{"prompt": f"what is {80 + i}+1?"} for i in range(6)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts), encoding="utf-8")
    (folder / "task.yaml").write_text(TASK, encoding="utf-8")
    sides = f'{{old: {{base: "{tiny_base}"}}, new: {{base: "{tiny_base_2}"}}}}'
    (folder / "study.yaml").write_text(
        f"updates: {{one: {sides}}}\nseeds: [1, 2]\nvalidation_share: 0.5\n" + COMMON, encoding="utf-8"
    )
    (folder / "update.yaml").write_text(
        f'old: {{base: "{tiny_base}"}}\nnew: {{base: "{tiny_base_2}"}}\n' + COMMON, encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def study(world: Path) -> Path:
    assert main(["study", str(world / "study.yaml"), "--out", str(world / "run"), "--quiet"]) == 0
    return world / "run"


def answers(run: Path, version: str, seed: int = 1) -> list[str | None]:
    file = run / f"cells/one/sums/seed-{seed}/tasks/sums/predictions/{version}.parquet"
    return read_store(file).table["answer"].to_pylist()


def test_both_ends_of_the_dial_are_its_ends(study: Path) -> None:
    assert answers(study, "none") == answers(study, "new")
    assert answers(study, "all") == answers(study, "plain")


def test_an_ensemble_without_a_share_is_the_new_model(study: Path) -> None:
    assert answers(study, "new_alone") == answers(study, "new")


def test_replay_takes_as_many_steps_and_holds_nothing_of_it_out(study: Path) -> None:
    home = study / "cells/one/sums/seed-1/tasks/sums"
    plain, replayed = (
        json.loads((home / f"adapters/{name}/training.json").read_text(encoding="utf-8"))
        for name in ("plain", "replayed")
    )
    assert replayed["steps"] == plain["steps"]
    assert replayed["examples"]["training"] == plain["examples"]["training"] + 5
    assert replayed["examples"]["validation"] == plain["examples"]["validation"]
    rows = [json.loads(line) for line in (home / "replay/5.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == [f"what is {80 + i}+1?" for i in range(5)]
    assert not (home / "teachers").exists()


def test_the_old_rerun_is_the_next_seeds_old_adapter_made_once(study: Path) -> None:
    first, second = (study / f"cells/one/sums/seed-{seed}/tasks/sums/adapters" for seed in (1, 2))
    weights = "adapter_model.safetensors"
    assert (first / "old_rerun" / weights).samefile(second / "old" / weights)
    assert answers(study, "old_rerun", 1) == answers(study, "old", 2)


def test_results_say_what_the_predictions_say(study: Path) -> None:
    (found,) = read_outcomes(study / "results.parquet")
    assert found.seeds == (1, 2)
    assert found.versions[:5] == ("old", "new", "old_rerun", "continued", "plain")
    assert found.roles_V[-4:] == ("dial", "ensemble", "ensemble", "rerank")
    for v, version in enumerate(found.versions):
        for s, seed in enumerate(found.seeds):
            right = [
                answer == str(i + 41)
                for i, answer in enumerate((a or "").strip() for a in answers(study, version, seed))
            ]
            assert found.values_VSN[v, s].tolist() == right
    assert found.steps_VS[found.versions.index("plain")].tolist() == [2, 2]
    assert "| plain" in (study / "README.md").read_text(encoding="utf-8")


def test_a_second_call_runs_nothing(study: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def written() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in study.rglob("*.parquet") if "cells" in p.parts}

    before = written()
    assert main(["study", str(world / "study.yaml"), "--out", str(study), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["study"] == str(study)
    assert written() == before


def test_several_processes_share_the_cells(study: Path, world: Path, tmp_path: Path) -> None:
    # everything but predictions is taken from the first run, so that this is quick
    (tmp_path / "run").mkdir()
    (tmp_path / "run/shared").symlink_to(study / "shared")
    arguments = [
        "study",
        str(world / "study.yaml"),
        "--out",
        str(tmp_path / "run"),
        "--processes",
        "2",
        "--quiet",
    ]
    assert main(arguments) == 0
    assert (tmp_path / "run/results.parquet").exists()


def test_what_is_finished_is_told_and_collected(
    study: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(world / "study.yaml")
    assert main(["study", config, "--out", str(study), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [" begun  one, sums, seed 1", " begun  one, sums, seed 2"]
    assert main(["study", config, "--out", str(tmp_path / "other"), "--collect"]) == 2
    assert "no cell of the study is finished" in capsys.readouterr().err
    changed = tmp_path / "changed.yaml"
    text = (world / "study.yaml").read_text(encoding="utf-8").replace(": task.yaml", f": {world}/task.yaml")
    text = text.replace(": prompts.jsonl", f": {world}/prompts.jsonl")
    changed.write_text(text.replace("epochs: 1", "epochs: 2"), encoding="utf-8")
    assert main(["study", str(changed), "--out", str(study), "--collect"]) == 2  # those were other settings
    assert "no cell of the study is finished" in capsys.readouterr().err
    page = tmp_path / "page.md"
    assert main(["study", config, "--out", str(study), "--collect", "--ablation", "--page", str(page)]) == 0
    assert "| replayed | student\\_wrong | 1.0 | 0.0 | replay 5 |" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: dial, name: none", "kind: dail, name: none", "line 9.*no kind of remedy is 'dail'.*'dial'"),
        ("of: plain, share: 0", "oof: plain, share: 0", "line 9: unknown key 'oof'.*'of'"),
        ("of: plain, share: 0", "of: plian, share: 0", "'plian', which does not come before it.*'plain'"),
        ("of: plain, share: 0", "of: old, share: 0", "belongs to the old base"),
        ("name: all, of: plain", "name: all, of: later", "'later', which does not come before it"),
        ("of: plain, share: 0", "of: plain, share: 2", "share must be between 0 and 1"),
        (", prompts: prompts.jsonl", "", "replays prompts, but task 'sums' has none"),
        ("candidates: 2", "candidates: 1", "at least 2"),
        ("candidates: 2", "tasks: [summs]", "no task is called 'summs'.*'sums'"),
    ],
)
def test_mistakes_are_named(world: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (world / "update.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "update.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load_update(tmp_path / "update.yaml")


def test_a_study_needs_different_seeds(world: Path, tmp_path: Path) -> None:
    text = (world / "study.yaml").read_text(encoding="utf-8").replace("[1, 2]", "[1, 1]")
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="different seeds"):
        load_study(tmp_path / "study.yaml")
