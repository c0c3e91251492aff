"""The command that makes a base."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]

from click.testing import CliRunner  # noqa: E402

from muscle_llm.demo import pretrain as command  # noqa: E402

SHAPE = ["--hidden", "16", "--feedforward", "16", "--layers", "1", "--heads", "2", "--vocabulary", "280"]
RUN = ["--steps", "2", "--batch-size", "2", "--length", "16", "--tokens", "2000"]


def _run(*arguments: str):
    return CliRunner().invoke(command.main, [*SHAPE, *RUN, *arguments])


def test_the_world_and_files_with_a_shared_tokenizer(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(command, "_TOKENIZER_TEXTS", 200)
    (tmp_path / "book.txt").write_text("A fox ran.\n\nIt found 12 nuts.\n\n" * 40, encoding="utf-8")
    first = _run("--out", str(tmp_path / "a"))
    assert first.exit_code == 0, first.output
    shared = ["--tokenizer", str(tmp_path / "a"), "--corpus", str(tmp_path / "book.txt"), "--seed", "2"]
    second = _run(*shared, "--precision", "float16", "--out", str(tmp_path / "b"))
    assert second.exit_code == 0, second.output
    assert (tmp_path / "a" / "tokenizer.json").read_bytes() == (
        tmp_path / "b" / "tokenizer.json"
    ).read_bytes()
    made = json.loads((tmp_path / "b" / "pretraining.json").read_text())
    assert made["settings"]["seed"] == 2
    assert made["made_from"]["corpus"] == ["book.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--corpus", "missing.txt"], "does not exist"),
        (["--tokenizer", "."], "tokenizer.json"),
        (["--heads", "3"], "multiple"),
    ],
)
def test_unusable_input_is_one_sentence(tmp_path, arguments, words) -> None:
    result = _run(*arguments, "--out", str(tmp_path / "x"))
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())
