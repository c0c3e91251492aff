"""Predicting: the harness's own figures to the last digit, whatever the batch size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.predict import predict
from muscle_llm.predictions.schema import Predictions
from muscle_llm.tasks import Task, load_task

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")

GENERATE = {
    "output_type": "generate_until",
    "doc_to_text": "q: {{q}}\na:",
    "doc_to_target": "{{t}}",
    "generation_kwargs": {"until": ["\n", "e"], "max_gen_toks": 12, "do_sample": False},
}
CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "q: {{q}}\na:",
    "doc_to_choice": "o",
    "doc_to_target": "g",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}


def documents(n: int = 23) -> list[dict[str, Any]]:
    words = ["red", "green", "a long blue one", "x", "7"]
    return [
        {
            "q": " ".join(words[(i * k) % 5] for k in range(1, 3 + i % 6)),
            "o": [words[(i + j) % 5] for j in range(2 + i % 3)],
            "g": i % 2,
            "t": words[i % 5],
        }
        for i in range(n)
    ]


def make(folder: Path, config: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> Task:
    (folder / "test.json").write_text(json.dumps(rows or documents()))
    common = {"task": "t", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "test.json"}}}
    return load_task({**common, "test_split": "test", **config}, data_dir=folder)


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_base), AutoTokenizer.from_pretrained(tiny_base)


def by_the_harness(base: tuple[Any, Any], task: Task, limit: int | None = None) -> dict[str, Any]:
    """What `lm_eval` run by itself reports, in float and per sample."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    from muscle_llm.tasks.quiet import quiet_harness

    with quiet_harness():
        model = HFLM(pretrained=base[0], tokenizer=base[1], batch_size=4)
        task.harness.set_config("num_fewshot", 0)
        return lm_eval.evaluate(model, {"tasks": {"t": task.harness}}, limit=limit, bootstrap_iters=0)


def column(predictions: Predictions, name: str) -> list[Any]:
    return predictions.table[name].to_pylist()


def outputs(predictions: Predictions) -> list[str]:
    """The whole texts: a null output is the answer."""
    return [r["answer"] if r["output"] is None else r["output"] for r in predictions.table.to_pylist()]


def test_choice_equals_the_harness(base: tuple[Any, Any], tmp_path: Path) -> None:
    task = make(tmp_path, CHOICE)
    ours = predict(*base, task, model_name="tiny", batch_size=8, progress=False)
    theirs = by_the_harness(base, task)
    correct = column(ours, "correct")
    assert sum(correct) / len(correct) == theirs["results"]["t"]["acc,none"]
    norm = [s["acc_norm"] for s in column(ours, "scores")]
    assert sum(norm) / len(norm) == theirs["results"]["t"]["acc_norm,none"]
    for row, sample in zip(ours.table.to_pylist(), theirs["samples"]["t"], strict=True):
        assert row["id"] == str(sample["doc_id"])
        assert row["prompt"] == sample["arguments"][0][0]
        assert row["prompt_hash"] == sample["prompt_hash"]
        assert row["choice_scores"] == pytest.approx([r[0][0] for r in sample["resps"]], abs=1e-5)
        assert row["references"] == [row["choices"][sample["target"]]]
        assert row["correct"] == (row["answer"] in row["references"])


def test_acc_norm_as_the_deciding_metric(base: tuple[Any, Any], tmp_path: Path) -> None:
    task = load_task(
        {**make(tmp_path, CHOICE).harness.config.to_dict(), "task": "t"}, data_dir=tmp_path, metric="acc_norm"
    )
    ours = predict(*base, task, model_name="tiny", batch_size=8, progress=False)
    assert ours.provenance.metric == "acc_norm"
    assert ours.score_names == ("acc",)
    for row in ours.table.to_pylist():
        per_character = [s / len(c) for s, c in zip(row["choice_scores"], row["choices"], strict=True)]
        assert row["answer"] == row["choices"][per_character.index(max(per_character))]
        assert row["correct"] == (row["answer"] in row["references"])


def test_exact_match_equals_the_harness(base: tuple[Any, Any], tmp_path: Path) -> None:
    take = {"function": "take_first"}
    strip = {"name": "strip", "filter": [{"function": "remove_whitespace"}, take]}
    first = {"name": "first", "filter": [{"function": "regex", "regex_pattern": "(.)"}, take]}
    config = {**GENERATE, "filter_list": [strip, first], "metric_list": [{"metric": "exact_match"}]}
    task = make(tmp_path, config)
    theirs = by_the_harness(base, task)
    # two references are made right, so that the figures are not all zero
    samples = [s for s in theirs["samples"]["t"] if s["filter"] == "strip"]
    rows = documents()
    for i in (3, 7):
        rows[i]["t"] = samples[i]["filtered_resps"][0]
    task = make(
        tmp_path,
        {**GENERATE, "filter_list": [strip, first], "metric_list": [{"metric": "exact_match"}]},
        rows,
    )
    theirs = by_the_harness(base, task)
    ours = predict(*base, task, model_name="tiny", batch_size=8, progress=False)
    correct = column(ours, "correct")
    assert sum(correct) / len(correct) == theirs["results"]["t"]["exact_match,strip"] > 0
    assert ours.score_names == ("exact_match,first",)
    assert ours.provenance.filter == "strip"
    samples = [s for s in theirs["samples"]["t"] if s["filter"] == "strip"]
    assert outputs(ours) == [s["resps"][0][0] for s in samples]
    assert column(ours, "answer") == [s["filtered_resps"][0] for s in samples]
    assert column(ours, "references") == [[r["t"]] for r in rows]


def test_rouge_equals_the_harness_and_the_library(base: tuple[Any, Any], tmp_path: Path) -> None:
    from muscle_llm.tasks.rouge import rouge_f

    task = make(tmp_path, {**GENERATE, "metric_list": [{"metric": "rouge1"}]})
    ours = predict(*base, task, model_name="tiny", batch_size=8, progress=False)
    scores = [s["rouge1"] for s in column(ours, "scores")]
    assert scores == [
        rouge_f("rouge1", r[0], o) for r, o in zip(column(ours, "references"), outputs(ours), strict=True)
    ]
    assert sum(scores) / len(scores) == by_the_harness(base, task)["results"]["t"]["rouge1,none"]
    assert "correct" not in ours.table.column_names


def test_generation_is_greedy_and_says_how_it_ended(base: tuple[Any, Any], tmp_path: Path) -> None:
    task = make(tmp_path, {**GENERATE, "metric_list": [{"metric": "rouge1"}]}, documents(6))
    ours = predict(*base, task, model_name="tiny", batch_size=1, progress=False)
    model, tokenizer = base
    for row, output in zip(ours.table.to_pylist(), outputs(ours), strict=True):
        ids = tokenizer(row["prompt"], return_tensors="pt")["input_ids"]
        start = ids.shape[1]
        text, reason = "", "length"
        for _ in range(12):
            with torch.no_grad():
                new = model(ids).logits[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat([ids, new], 1)
            text = tokenizer.decode(ids[0, start:])
            if any(s in text for s in ("\n", "e", tokenizer.eos_token)):
                reason = "stop"
                break
        for stop in ("\n", "e", tokenizer.eos_token):
            text = text.split(stop)[0]
        assert (output, row["finish_reason"]) == (text, reason)


@pytest.mark.parametrize("config", [CHOICE, {**GENERATE, "metric_list": [{"metric": "rouge1"}]}])
def test_the_batch_size_changes_nothing(
    base: tuple[Any, Any], tmp_path: Path, config: dict[str, Any]
) -> None:
    task = make(tmp_path, config)
    one = predict(*base, task, model_name="tiny", batch_size=1, progress=False)
    for size in (3, 64):
        other = predict(*base, task, model_name="tiny", batch_size=size, progress=False)
        for name in one.table.column_names:
            if name == "choice_scores":
                for a, b in zip(column(one, name), column(other, name), strict=True):
                    assert a == pytest.approx(b, abs=1e-5)
            else:
                assert column(one, name) == column(other, name)


def test_limit_and_provenance(base: tuple[Any, Any], tmp_path: Path) -> None:
    task = make(tmp_path, CHOICE)
    ours = predict(
        *base, task, model_name="tiny", batch_size=8, limit=5, progress=False, extra={"adapter_hash": "abc"}
    )
    whole = predict(*base, task, model_name="tiny", batch_size=8, progress=False)
    assert column(ours, "id") == ["0", "1", "2", "3", "4"]
    assert column(ours, "answer") == column(whole, "answer")[:5]
    told = ours.provenance
    assert (told.model, told.task, told.metric, told.num_fewshot) == ("tiny", "t", "acc", 0)
    assert told.extra["adapter_hash"] == "abc"
    assert told.extra["task_hash"] == task.hash
    assert told.sources == task.sources


def test_the_model_keeps_its_mode_and_the_tokenizer_its_pad_token(
    base: tuple[Any, Any], tmp_path: Path
) -> None:
    model, tokenizer = base
    pad, tokenizer.pad_token = tokenizer.pad_token, None
    model.train()
    try:
        predict(
            model, tokenizer, make(tmp_path, CHOICE), model_name="t", batch_size=8, limit=2, progress=False
        )
        assert model.training
        assert tokenizer.pad_token is None
    finally:
        model.eval()
        tokenizer.pad_token = pad


def test_few_shot_examples_are_the_same_every_time(base: tuple[Any, Any], tmp_path: Path) -> None:
    config = {**CHOICE, "num_fewshot": 2, "fewshot_split": "test"}
    one = predict(*base, make(tmp_path, config), model_name="t", batch_size=8, progress=False)
    two = predict(*base, make(tmp_path, config), model_name="t", batch_size=8, progress=False)
    assert column(one, "prompt") == column(two, "prompt")
    assert one.provenance.num_fewshot == 2


def test_nonsense_is_refused(base: tuple[Any, Any], tmp_path: Path) -> None:
    task = make(tmp_path, CHOICE)
    with pytest.raises(ConfigError, match="batch_size must be at least 1, not 0"):
        predict(*base, task, model_name="t", batch_size=0, progress=False)
    with pytest.raises(ConfigError, match="limit must be at least 1, not -3"):
        predict(*base, task, model_name="t", batch_size=1, limit=-3, progress=False)
    long = {**GENERATE, "generation_kwargs": {"until": ["\n"], "max_gen_toks": 999}}
    with pytest.raises(InputError, match=r"max tokens to generate \(999\)"):
        predict(*base, make(tmp_path, long), model_name="t", batch_size=1, progress=False)


def test_sampled_answers_can_be_drawn_again(base: tuple[Any, Any], tmp_path: Path) -> None:
    from muscle_llm.predict import Sampling

    task = make(tmp_path, {**GENERATE, "metric_list": [{"metric": "rouge1"}]}, documents(4))
    before = dict(task.harness.config.generation_kwargs)
    draw = Sampling(repeats=3, temperature=1.5, seed=7)
    one = predict(*base, task, model_name="t", progress=False, sampling=draw)
    two = predict(*base, task, model_name="t", progress=False, sampling=draw)
    assert one.table.equals(two.table)
    assert column(one, "repeat") == [0] * 4 + [1] * 4 + [2] * 4
    assert column(one, "id") == ["0", "1", "2", "3"] * 3
    answers = column(one, "answer")
    assert answers[:4] != answers[4:8]
    assert task.harness.config.generation_kwargs == before
    assert (one.provenance.seed, one.provenance.extra["temperature"]) == (7, "1.5")
    with pytest.raises(ConfigError, match="several answers need a temperature"):
        Sampling(repeats=2)
    with pytest.raises(ConfigError, match="there is nothing to sample"):
        predict(*base, make(tmp_path, CHOICE), model_name="t", progress=False, sampling=draw)
