"""Real outputs of real models: the counts were computed independently of this project."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from muscle_llm.cli import main
from muscle_llm.predictions import read_predictions

SHARED = Path(os.environ.get("MUSCLE_LLM_SHARED", Path(__file__).parents[2].parent / "shared"))
OUTPUTS = SHARED / "data" / "outputs"
GSM8K = OUTPUTS / "gsm8k_openai" / "example_model_solutions.jsonl"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not OUTPUTS.is_dir(), reason="the real data (MUSCLE_LLM_SHARED) are not there"),
]


def compare(capsys, *arguments):
    assert main(["compare", *map(str, arguments), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def check(document, *, old, new, negative, positive, n, nfr):
    counts, metrics = document["counts"], document["metrics"]
    assert (counts["negative_flips"], counts["positive_flips"], counts["n"]) == (negative, positive, n)
    found = [round(metrics[k]["value"], 5) for k in ("accuracy_old", "accuracy_new", "nfr")]
    assert found == [old, new, nfr]


def test_gsm8k_6b_to_175b(capsys):
    sides = [
        "--old-map",
        "correct=6b_finetuning.is_correct",
        "--new-map",
        "correct=175b_finetuning.is_correct",
    ]
    document = compare(capsys, GSM8K, GSM8K, "--map", "id=question", *sides)
    check(document, old=0.21683, new=0.34723, negative=88, positive=260, n=1319, nfr=0.06672)


def test_gsm8k_finetuning_to_verification(capsys):
    sides = [
        "--old-map",
        "correct=175b_finetuning.is_correct",
        "--new-map",
        "correct=175b_verification.is_correct",
    ]
    document = compare(capsys, GSM8K, GSM8K, "--map", "id=question", *sides)
    check(document, old=0.34723, new=0.56255, negative=76, positive=360, n=1319, nfr=0.05762)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "Llama-2-7b-hf",
            "Meta-Llama-3-8B",
            {"old": 0.18343, "new": 0.34176, "negative": 841, "positive": 2746, "nfr": 0.0699},
        ),
        (
            "Mistral-7B-v0.1",
            "Mistral-7B-v0.2-hf",
            {"old": 0.29771, "new": 0.29172, "negative": 1073, "positive": 1001, "nfr": 0.08918},
        ),
    ],
)
def test_mmlu_pro_straight_from_the_zip_files(capsys, old, new, expected):
    files = [OUTPUTS / "mmlu_pro" / f"model_outputs_{m}_5shots.zip" for m in (old, new)]
    document = compare(capsys, *files, "--map", "id=question_id,answer=pred,reference=answer")
    check(document, n=12032, **expected)
    assert document["counts"]["no_answer_old"] > 1000


NUMBER = r"(-?\d[\d,]*(?:\.\d+)?)"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "Meta-Llama-3-8B-Instruct",
            "Meta-Llama-3.1-8B-Instruct",
            {"old": 0.78544, "new": 0.84003, "negative": 87, "positive": 159, "nfr": 0.06596},
        ),
        (
            "gpt-4o-2024-05-13",
            "gpt-4o-2024-08-06",
            {"old": 0.95375, "new": 0.96209, "negative": 11, "positive": 22, "nfr": 0.00834},
        ),
    ],
)
def test_zeroeval_with_an_answer_extraction(capsys, old, new, expected):
    """The command of docs/logs.md: the first number after "answer" in the model's JSON."""
    files = [OUTPUTS / "zeroeval_gsm8k" / f"{m}.json.gz" for m in (old, new)]
    columns = "id=id,answer=output.0,reference=answer,prompt=question"
    extract = ["--extract", rf'answer="answer":\D*?{NUMBER}', "--extract", f"reference={NUMBER}"]
    document = compare(capsys, *files, "--map", columns, *extract)
    check(document, n=1319, **expected)


def test_a_real_lm_eval_log_is_recognised_with_its_settings():
    path = next((SHARED / "data" / "logs").glob("**/samples_math_perturbed_full_*.jsonl"))
    p = read_predictions(path)
    assert len(p) == 10
    provenance = p.provenance
    assert (provenance.format, provenance.task, provenance.num_fewshot) == (
        "lm-eval",
        "math_perturbed_full",
        0,
    )
    assert provenance.harness_version == "0.4.9.2"
    assert p.table["correct"].to_pylist() == [False] * 10
