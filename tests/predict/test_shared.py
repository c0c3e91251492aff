"""Real data through `predict`: ARC-Easy in its prompted form, with a random model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from muscle_llm.errors import InputError
from muscle_llm.predict import predict
from muscle_llm.tasks import load_task, refuse_leaks, training_examples

pytestmark = [pytest.mark.train, pytest.mark.shared]
pytest.importorskip("lm_eval")

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("MUSCLE_LLM_SHARED", ROOT.parent / "shared"))
ARC = SHARED / "data" / "tasks" / "arc"


@pytest.mark.skipif(
    not ARC.is_dir(), reason="the real data (../shared/data/tasks/arc) is not beside the checkout"
)
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
    ours = predict(model, tokenizer, task, model_name="tiny", batch_size=32, limit=64, progress=False)
    assert 0.05 < sum(ours.table["correct"].to_pylist()) / 64 < 0.5
