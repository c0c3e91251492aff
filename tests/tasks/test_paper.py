"""The paper's tasks on small files in their original formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.tasks import load_task, refuse_leaks, task_fingerprint, training_examples

pytestmark = pytest.mark.train
pytest.importorskip("lm_eval")


def lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


@pytest.fixture
def piqa(tmp_path: Path) -> Path:
    row = {"goal": "open a jar", "sol1": "turn the lid", "sol2": "shout at it"}
    lines(tmp_path / "train.jsonl", [row, {**row, "goal": "close a jar"}])
    (tmp_path / "train-labels.lst").write_text("0\n1\n")
    lines(tmp_path / "valid.jsonl", [{**row, "goal": "dry a cup"}])
    (tmp_path / "valid-labels.lst").write_text("1\n")
    return tmp_path


def test_piqa_takes_its_labels_from_the_file_beside(piqa: Path) -> None:
    task = load_task("piqa", data_dir=piqa)
    assert (task.kind, task.metric) == ("choice", "acc")
    assert set(task.sources or {}) == {"train.jsonl", "train-labels.lst", "valid.jsonl", "valid-labels.lst"}
    examples = training_examples(task)
    assert [e.completion for e in examples] == [" turn the lid", " shout at it"]
    assert examples[0].prompt == "Question: open a jar\nAnswer:"
    refuse_leaks(examples, task)
    assert task.harness.doc_to_target(task.harness.eval_docs[0]) == 1


def test_piqa_without_or_with_wrong_labels(piqa: Path) -> None:
    before = task_fingerprint("piqa", data_dir=piqa)
    (piqa / "valid-labels.lst").write_text("0\n")
    assert task_fingerprint("piqa", data_dir=piqa) != before
    (piqa / "valid-labels.lst").write_text("2\n")
    with pytest.raises(InputError, match=r"valid-labels\.lst, line 1: a label is 0 or 1, not '2'"):
        load_task("piqa", data_dir=piqa)
    (piqa / "valid-labels.lst").unlink()
    with pytest.raises(InputError, match=r"its labels, valid-labels\.lst, are not beside it"):
        load_task("piqa", data_dir=piqa)


def test_a_folder_without_training_files_can_be_evaluated_only(piqa: Path) -> None:
    (piqa / "train.jsonl").unlink()
    task = load_task("piqa", data_dir=piqa)
    assert len(task.harness.eval_docs) == 1
    with pytest.raises(InputError, match="its training split 'train' has no instances"):
        training_examples(task)
    (piqa / "valid.jsonl").unlink()
    with pytest.raises(InputError, match=r"has no valid\.jsonl or validation\.jsonl"):
        load_task("piqa", data_dir=piqa)
    with pytest.raises(InputError, match=r"data folder .* does not exist"):
        load_task("piqa", data_dir=piqa / "none")


def test_hellaswag_is_shown_as_the_harness_shows_it(tmp_path: Path) -> None:
    row = {
        "ind": 4,
        "activity_label": "Baking",
        "ctx_a": "Heat it. [title] Go on.",
        "ctx_b": "then you",
        "ctx": "Heat it. [title] Go on. then you",
        "endings": ["stir [substeps] it.", "leave.", "sing.", "sleep."],
        "label": 0,
        "split": "train",
    }
    lines(tmp_path / "hellaswag_train.jsonl", [row])
    lines(tmp_path / "hellaswag_val.jsonl", [{**row, "label": 2, "activity_label": "Cooking"}])
    task = load_task("hellaswag", data_dir=tmp_path)
    example = training_examples(task)[0]
    assert example.prompt == "Baking: Heat it.. Go on. Then you"
    assert example.completion == " stir it."
    from lm_eval.tasks.hellaswag.utils import preprocess

    assert example.prompt == preprocess("Baking: Heat it. [title] Go on. Then you")
    assert list(task.harness.aggregation()) == ["acc", "acc_norm"]


def test_gsm8k_has_both_filters_and_the_final_number(tmp_path: Path) -> None:
    row = {"question": "1 + 1?", "answer": "One and one.\n#### 2"}
    lines(tmp_path / "train.jsonl", [row])
    lines(tmp_path / "test.jsonl", [{**row, "question": "2 + 2?", "answer": "Count.\n#### 1,004"}])
    task = load_task("gsm8k", data_dir=tmp_path)
    assert (task.kind, task.metric, task.filter) == ("exact_match", "exact_match", "strict-match")
    assert load_task("gsm8k", data_dir=tmp_path, filter="flexible-extract").filter == "flexible-extract"
    with pytest.raises(ConfigError, match="Did you mean 'strict-match'"):
        load_task("gsm8k", data_dir=tmp_path, filter="strict")
    assert training_examples(task)[0].completion == " One and one.\n#### 2"
    doc = task.harness.eval_docs[0]
    right = [task.harness.process_results(doc, [a])["exact_match"] for a in ("1004", "$1,004", "104")]
    assert right == [1.0, 1.0, 0.0]


def test_samsum_reads_its_original_lists(tmp_path: Path) -> None:
    row = {"id": "7", "dialogue": "Ann: Cake?\r\nTom: Yes.", "summary": "Ann offers Tom a cake."}
    (tmp_path / "train.json").write_text(json.dumps([row]))
    (tmp_path / "test.json").write_text(json.dumps([{**row, "dialogue": "Ann: Tea?\r\nTom: No."}]))
    task = load_task("samsum", data_dir=tmp_path)
    assert (task.kind, task.metric) == ("score", "rouge1")
    example = training_examples(task)[0]
    assert example.prompt == "Dialogue:\nAnn: Cake?\nTom: Yes.\n\nSummary:"
    assert example.completion == " Ann offers Tom a cake."
    settings = task.harness.config.generation_kwargs
    assert settings["no_repeat_ngram_size"] == 2
    assert settings["until"] == ["Dialogue:", "Summary:", "</s>", "\n\n"]


def test_broken_rows_are_named(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question": "a"}\n')
    with pytest.raises(InputError, match=r"test\.jsonl, row 2: no 'answer'"):
        load_task("gsm8k", data_dir=tmp_path)
    (tmp_path / "test.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question\n')
    with pytest.raises(InputError, match=r"test\.jsonl, line 2: not valid JSON"):
        load_task("gsm8k", data_dir=tmp_path)
