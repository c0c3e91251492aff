"""The commands `predict` and `tasks`: a file that compare reads, and one sentence for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from muscle_llm.errors import ConfigError

pytestmark = pytest.mark.train
pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.cli.predict import command as predict  # noqa: E402
from muscle_llm.cli.tasks import command as tasks  # noqa: E402


@pytest.fixture
def task(tmp_path: Path) -> Path:
    rows = [{"prompt": f"is {i} even?", "options": ["yes", "no"], "gold": i % 2} for i in range(5)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "even.yaml"
    path.write_text("task: even\ndata: test.jsonl\nchoices: options\nanswer: gold\n")
    return path


def test_predict_writes_what_compare_reads(task: Path, tiny_base: Path, tmp_path: Path) -> None:
    from muscle_llm.predictions.store import read_store

    out = tmp_path / "old.parquet"
    arguments = ["--base", str(tiny_base), "--task", str(task), "--out", str(out), "--quiet"]
    result = CliRunner().invoke(predict, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    found = read_store(out)
    share = sum(found.table["correct"].to_pylist()) / 5
    assert f"5 answers of 'old' on even, acc {share:.4f}" in result.output
    assert len(found.provenance.extra["base_hash"]) > 0
    assert [p.name for p in tmp_path.iterdir() if "answers" in p.name] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "a.parquet"], "either --base or --endpoint"),
        (["--base", "b", "--out", "a.csv"], r"must end with \.parquet"),
        (["--base", "b", "--out", "a.parquet", "--batch-size", "0"], "at least 1, not '0'"),
        (["--base", "b", "--out", "a.parquet", "--repeats", "3"], "several answers need a temperature"),
        (["--endpoint", "http://x", "--out", "a.parquet"], "--endpoint needs --model"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(predict, ["--task", "t", *arguments], catch_exceptions=False)


def test_tasks_lists_and_shows(task: Path) -> None:
    assert "gsm8k, hellaswag, piqa, samsum" in CliRunner().invoke(tasks, []).output
    assert "arc_easy\n" in CliRunner().invoke(tasks, ["arc_"]).output
    shown = CliRunner().invoke(tasks, ["--show", str(task)]).output
    assert "even: choice, metric acc" in shown
    assert "instances to predict: 5" in shown
