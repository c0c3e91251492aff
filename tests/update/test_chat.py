"""A task that asks through a chat template: adapters learn the very text that the model is asked with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.predict import predict  # noqa: E402
from muscle_llm.tasks import load_task, training_examples  # noqa: E402
from muscle_llm.train.data import tokenize  # noqa: E402

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}({{ m['role'] }}) {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}(assistant) {% endif %}"
)
KINDS = {
    "choice": "choices: options\nanswer: gold\n",
    "answer": "answer: right\nmax_tokens: 4\n",
    "reference": "reference: right\nmax_tokens: 4\n",
}


def chat_base(folder: Path, base: Path, *, template: str = TEMPLATE, adds_bos: bool = False) -> Path:
    """Copy a base and give its tokenizer a chat template, and the habit of putting <s> first."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    shutil.copytree(base, folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = template
    if adds_bos:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
        )
    tokenizer.save_pretrained(folder)
    return folder


def write_task(folder: Path, kind: str) -> Path:
    rows = [
        {
            "prompt": f"add {i} and {i % 3}. ",
            "options": [f"{i}", f"{i + i % 3} "],
            "gold": 1,
            "right": f"{i + i % 3}",
        }
        for i in range(8)
    ]
    for split, part in (("asked", rows[:4]), ("other", rows[4:])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in part))
    text = f"task: chatty\nchat: true\ndescription: 'Be short. '\n{KINDS[kind]}"
    (folder / "asked.yaml").write_text(f"data: {{test: asked.jsonl}}\n{text}")
    (folder / "learned.yaml").write_text(f"data: {{train: asked.jsonl, test: other.jsonl}}\n{text}")
    return folder


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("kind", list(KINDS))
def test_training_text_is_what_the_model_is_asked(kind, adds_bos, tmp_path, tiny_base, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from muscle_llm.predict.transformers_engine import TransformersEngine

    base = chat_base(tmp_path / "base", tiny_base, adds_bos=adds_bos)
    write_task(tmp_path, kind)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    examples = training_examples(load_task(tmp_path / "learned.yaml"), tokenizer)
    asked = predict(model, tokenizer, load_task(tmp_path / "asked.yaml"), model_name="m", progress=False)
    prompts = asked.table["prompt"].to_pylist()
    # the tokenizer's own <s> is the only difference there may be in the text, and none in the tokens
    assert [e.prompt for e in examples] == [p.removeprefix("<s>") if adds_bos else p for p in prompts]
    assert prompts[0] == "<s>(system) Be short. \n(user) add 0 and 0. \n(assistant) " or kind != "choice"
    assert asked.provenance.chat_template

    engine = TransformersEngine(model, tokenizer)
    rows = tokenize(examples, tokenizer, max_length=200, train_on="completion", append_eos=False)
    wanted = asked.table["references"].to_pylist()
    for row, prompt, answers in zip(rows, prompts, wanted, strict=True):
        context, continuation = engine._encode_pair(prompt, answers[0])
        assert list(row.tokens) == [*context, *continuation]
        assert row.tokens.count(1) == 1


def test_an_update_on_a_chat_task(tmp_path, tiny_base, tiny_base_2):
    """Each base is trained and asked with its own template; a changed template trains again."""
    from muscle_llm.cli import main
    from muscle_llm.predictions.store import read_store

    chat_base(tmp_path / "old", tiny_base)
    chat_base(tmp_path / "new", tiny_base_2, template=TEMPLATE.replace("(assistant)", "(bot)"))
    write_task(tmp_path, "choice")
    config = tmp_path / "update.yaml"
    config.write_text(
        "old: {base: old}\nnew: {base: new}\ntasks: [{task: learned.yaml, name: chatty}]\nremedies: []\n"
        "lora: {rank: 2, alpha: 4}\ntraining: {max_steps: 1, batch_size: 2, gradient_accumulation: 1}\n"
    )
    run = tmp_path / "run"
    assert main(["update", str(config), "--out", str(run), "--quiet"]) == 0
    home = run / "tasks" / "chatty"
    tables = {v: read_store(home / "predictions" / f"{v}.parquet") for v in ("old", "new")}
    # the page shows what both were asked; the templates are in the provenance
    assert tables["old"].table["prompt"].equals(tables["new"].table["prompt"])
    assert tables["old"].table["prompt"][0].as_py().endswith("add 4 and 1. ")
    told = [t.provenance.extra["asked_through"] for t in tables.values()]
    assert told[0] != told[1]
    before = {v: (home / "adapters" / v / "training.json").stat().st_mtime_ns for v in ("old", "new")}
    shutil.rmtree(tmp_path / "new")
    chat_base(tmp_path / "new", tiny_base_2, template=TEMPLATE.replace("(assistant)", "(you)"))
    assert main(["update", str(config), "--out", str(run), "--quiet"]) == 0
    after = {v: (home / "adapters" / v / "training.json").stat().st_mtime_ns for v in ("old", "new")}
    assert (before["old"] == after["old"], before["new"] == after["new"]) == (True, False)
