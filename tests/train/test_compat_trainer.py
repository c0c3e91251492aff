"""CompatTrainer in TRL's conventions, its log, and the choice of the epoch by negative flips."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from muscle_llm.errors import ConfigError, InputError  # noqa: E402
from muscle_llm.metrics.flips import joint_counts  # noqa: E402
from muscle_llm.models import load_base, load_tokenizer, save_adapter  # noqa: E402
from muscle_llm.train import CompatConfig, CompatTrainer, train_compat_adapter  # noqa: E402
from muscle_llm.train.data import TokenRow, split_examples, tokenize  # noqa: E402
from muscle_llm.train.pairs import load_task_model  # noqa: E402
from muscle_llm.train.selection import (  # noqa: E402
    completion_span,
    flip_metrics,
    rows_right,
    selection_score,
)

pytestmark = pytest.mark.train


def config(folder, **options):
    values = {
        "max_steps": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "use_cpu": True,
    }
    return CompatConfig(output_dir=str(folder), **(values | options))


def columns(examples):
    return [{"prompt": e.prompt, "completion": e.completion} for e in examples]


def trainer(model, base, adapters, examples, folder, held_out=(), peft_config=None, **options):
    return CompatTrainer(
        model,
        load_task_model(base, adapters[0], "auto"),
        config(folder, **options),
        columns(examples),
        columns(held_out),
        processing_class=load_tokenizer(base),
        peft_config=peft_config,
    )


def new_task_model(base, adapters):
    return peft.PeftModel.from_pretrained(load_base(base), str(adapters[1]), is_trainable=True)


def test_the_log_tells_what_the_loss_is_made_of(tiny_base, tiny_base_2, adapters, examples, tmp_path):
    made = trainer(
        new_task_model(tiny_base_2, adapters), tiny_base, adapters, examples, tmp_path, ce_weight=0.25
    )
    made.train()
    logs = [entry for entry in made.state.log_history if "old_share" in entry]
    assert len(logs) == 3
    for entry in logs:
        assert 0 < entry["old_share"] < 1
        assert entry["old_kl"] > 0
        expected = 0.75 * (entry["old_kl"] + entry["new_kl"]) + 0.25 * entry["ce"]
        assert entry["loss"] == pytest.approx(expected, rel=1e-3)
    # the student begins as the new task model: nothing to learn from it yet
    assert logs[0]["new_kl"] == pytest.approx(0.0, abs=1e-6)


def test_a_student_of_a_model_with_an_adapter_starts_as_it(
    tiny_base, tiny_base_2, adapters, examples, tmp_path
):
    model = new_task_model(tiny_base_2, adapters)
    made = trainer(model, tiny_base, adapters, examples, tmp_path)
    before = {n: p.detach().clone() for n, p in made.model.named_parameters()}
    for name, value in before.items():
        if ".compat." in name:
            assert torch.equal(value, before[name.replace(".compat.", ".default.")]), name
    made.train()
    moved = {n for n, p in made.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n in before if ".compat." in n}
    save_adapter(made.model, "compat", tmp_path / "c", base_name=tiny_base_2)
    peft.PeftModel.from_pretrained(load_base(tiny_base_2), str(tmp_path / "c"))


def test_a_model_without_an_adapter_teaches_as_it_is(tiny_base, tiny_base_2, adapters, examples, tmp_path):
    """The new teacher is the base alone, before and after the student has moved away from it."""
    ids = torch.tensor([[5, 6, 7, 8]])
    whole = load_base(tiny_base_2)
    with torch.no_grad():
        logits = whole(ids).logits
    shape = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    made = trainer(whole, tiny_base, adapters, examples, tmp_path, peft_config=shape, mask="old_only")
    made.train()
    with torch.no_grad():
        assert not torch.allclose(made.model.eval()(ids).logits, logits, atol=1e-3)
    with made.new_live.teaching() as new:
        assert torch.allclose(new(ids).logits, logits, atol=1e-5)
    assert {n for n, p in made.model.named_parameters() if p.requires_grad} == {
        n for n, _ in made.model.named_parameters() if ".compat." in n
    }


def test_misuse_is_named(tiny_base, tiny_base_2, adapters, examples, tmp_path):
    shape = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    model = new_task_model(tiny_base_2, adapters)
    with pytest.raises(ConfigError, match="has an adapter already"):
        trainer(model, tiny_base, adapters, examples, tmp_path, peft_config=shape)
    with pytest.raises(ConfigError, match="give peft_config"):
        trainer(load_base(tiny_base_2), tiny_base, adapters, examples, tmp_path)
    with pytest.raises(ConfigError, match="No mask is named 'student_rong'"):
        config(tmp_path, mask="student_rong")
    with pytest.raises(ConfigError, match="No selection is named"):
        config(tmp_path, selection="best")
    with pytest.raises(InputError, match="Row 1 of the data set has no texts"):
        CompatTrainer(
            new_task_model(tiny_base_2, adapters),
            load_task_model(tiny_base, adapters[0], "auto"),
            config(tmp_path),
            [{"text": "one column"}],
            processing_class=load_tokenizer(tiny_base),
        )


def test_right_is_what_greedy_decoding_gives(tiny_base, adapters, examples):
    """Some completions are the model's own, some are not; one forward pass tells which."""
    model, tokenizer = load_task_model(tiny_base, adapters[0], "auto"), load_tokenizer(tiny_base)
    rows, expected = [], {}
    for i, row in enumerate(tokenize(examples[:16], tokenizer, max_length=128)):
        prompt = row.tokens[: row.completion_from]
        own = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=3,
            do_sample=False, eos_token_id=None, pad_token_id=0,
        )[0].tolist()  # fmt: skip
        completion = own[len(prompt) :]
        if i % 2:
            completion[i % 3] = 5 if completion[i % 3] != 5 else 6
        rows.append(TokenRow(i, (*prompt, *completion, 2), 0, len(prompt)))
        expected[i] = i % 2 == 0
    assert rows_right(model, rows, eos=2) == expected
    assert rows_right(model, rows, eos=2, batch_size=3, plain=True) == expected


def test_spans_leave_out_the_prompt_and_the_end(tiny_base, examples):
    tokenizer = load_tokenizer(tiny_base)
    for train_on in ("all", "completion"):
        for example, row in zip(
            examples, tokenize(examples, tokenizer, max_length=128, train_on=train_on), strict=True
        ):
            start, end = completion_span(row, tokenizer.eos_token_id)
            assert tokenizer.decode(row.tokens[start:end]) == example.completion
    assert completion_span(TokenRow(0, (1, 2), 0, 2), eos=2) == (2, 1)  # nothing to judge


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_flips_are_those_of_the_comparing_half(pairs):
    old, student = (dict(enumerate(side)) for side in zip(*pairs, strict=True))
    found = flip_metrics(old, student)
    counts = joint_counts(*(np.array([pair[side] for pair in pairs]) for side in (0, 1))).to_dict()
    assert found["nfr"] == counts["negative_flips"] / len(pairs)
    assert found["pfr"] == counts["positive_flips"] / len(pairs)


epochs = st.tuples(st.integers(0, 30), st.integers(0, 30), st.floats(0, 20))


@settings(deadline=None)
@given(epochs, epochs, st.integers(0, 30))
def test_the_score_orders_epochs_as_it_says(a, b, floor):
    """Reaching the floor comes first, then the flips (or, below it, the accuracy), then the cross-entropy."""
    n = 30

    def score(epoch):
        return selection_score(epoch[0] / n, epoch[1] / n, floor / n, epoch[2], n)

    def rank(epoch):
        return (0, epoch[0]) if epoch[1] >= floor else (1, -epoch[1])

    if rank(a) < rank(b) or (rank(a) == rank(b) and a[2] + 1e-6 < b[2]):
        assert score(a) < score(b)


def test_the_epoch_with_the_fewest_flips_is_kept(tiny_base, tiny_base_2, adapters, examples, short, tmp_path):
    result = train_compat_adapter(
        new_base=tiny_base_2,
        new_adapter=adapters[1],
        old_base=tiny_base,
        old_adapter=adapters[0],
        examples=examples,
        output_dir=tmp_path / "c",
        selection="nfr",
        accuracy_loss=1.0,
        training=replace(short, epochs=3, validation_share=0.5),
        progress=False,
    )
    record = json.loads((tmp_path / "c" / "training.json").read_text())
    evaluations = [entry for entry in record["log"] if "eval_score" in entry]
    scores = [entry["eval_score"] for entry in evaluations]
    assert len(scores) == 3
    assert result.best_epoch == 1 + scores.index(min(scores))
    assert result.eval_nfr == tuple(entry["eval_nfr"] for entry in evaluations)
    # the adapter that was kept has the flips that were reported
    tokenizer = load_tokenizer(tiny_base)
    _, held_out = split_examples(tokenize(examples, tokenizer, max_length=128), 0.5, 0)
    old = rows_right(load_task_model(tiny_base, adapters[0], "auto"), held_out, eos=2)
    kept = rows_right(load_task_model(tiny_base_2, tmp_path / "c", "auto"), held_out, eos=2)
    found = flip_metrics(old, kept)
    assert result.eval_nfr[result.best_epoch - 1] == found["nfr"]
    assert result.eval_accuracy[result.best_epoch - 1] == found["accuracy"]


def test_flips_need_a_validation_part(tiny_base, tiny_base_2, adapters, examples, short, tmp_path):
    with pytest.raises(ConfigError, match="validation_share above 0"):
        train_compat_adapter(
            new_base=tiny_base_2,
            new_adapter=adapters[1],
            old_base=tiny_base,
            old_adapter=adapters[0],
            examples=examples,
            output_dir=tmp_path,
            selection="nfr",
            training=replace(short, validation_share=0.0),
            progress=False,
        )
