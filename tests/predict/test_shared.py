"""Real data through `predict`, with a random model: the harness's own figures, and the known counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from muscle_llm.errors import InputError
from muscle_llm.predict import predict
from muscle_llm.tasks import load_task, refuse_leaks, training_examples

pytest.importorskip("lm_eval")

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("MUSCLE_LLM_SHARED", ROOT.parent / "shared"))
TASKS = SHARED / "data" / "tasks"
ARC = TASKS / "arc"

pytestmark = [
    pytest.mark.train,
    pytest.mark.shared,
    pytest.mark.skipif(not TASKS.is_dir(), reason="the real data (../shared) is not beside the checkout"),
]


@pytest.mark.parametrize(
    ("name", "data", "count", "limit"),
    [
        ("piqa", "piqa", 1838, 48),
        ("hellaswag", "hellaswag/hellaswag_val_subset1000.jsonl", 1000, 24),
        ("hellaswag", "hellaswag/hellaswag_val_full.jsonl", 10042, 24),
        ("gsm8k", "gsm8k", 1319, 6),
    ],
)
def test_paper_tasks_equal_the_harness(tiny_base: Path, name: str, data: str, count: int, limit: int) -> None:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from muscle_llm.tasks.quiet import quiet_harness

    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    model.config.max_position_embeddings = tokenizer.model_max_length = 2048  # rotary: any length will do
    task = load_task(name, data_dir=TASKS / data)
    assert len(task.harness.eval_docs) == count
    task.harness.config.generation_kwargs = {
        **(task.harness.config.generation_kwargs or {}),
        "max_gen_toks": 16,
    }
    ours = predict(model, tokenizer, task, model_name="tiny", limit=limit, progress=False)
    with quiet_harness():
        theirs = lm_eval.evaluate(
            HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8),
            {"tasks": {name: task.harness}},
            limit=limit,
            bootstrap_iters=0,
        )
    correct = ours.table["correct"].to_pylist()
    assert sum(correct) / limit == theirs["results"][name][f"{task.metric},{task.filter}"]
    for score in ours.score_names:
        values = [row[score] for row in ours.table["scores"].to_pylist()]
        key = score if "," in score else f"{score},{task.filter}"
        assert sum(values) / limit == theirs["results"][name][key]


def test_arc_easy_has_its_instances_and_two_known_leaks(tiny_base: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    task = load_task(ROOT / "examples" / "tasks" / "arc_easy_local.yaml", data_dir=ARC)
    examples = training_examples(task)
    assert len(examples) == 2249
    assert {e.completion for e in examples} == {" answer1", " answer2", " answer3", " answer4", " answer5"}
    refuse_leaks(examples, task)
    task.harness.config.metadata["leaks"] = "keep"
    examples = training_examples(task)
    assert len(examples) == 2251
    with pytest.raises(InputError, match="2 of 2251 training examples are instances of the evaluation split"):
        refuse_leaks(examples, task)
    assert len(task.harness.eval_docs) == 2376
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    ours = predict(model, tokenizer, task, model_name="tiny", batch_size=32, limit=32, progress=False)
    assert sum(ours.table["correct"].to_pylist()) < 24
