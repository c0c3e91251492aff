from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

from safetensors.torch import load_file  # noqa: E402

from muscle_llm.distill.losses import compatibility_loss, next_token_targets  # noqa: E402
from muscle_llm.distill.teachers import LiveTeacher  # noqa: E402
from muscle_llm.errors import AdapterError, ConfigError, RunError  # noqa: E402
from muscle_llm.models import load_base, load_tokenizer, save_adapter  # noqa: E402
from muscle_llm.train import train_compat_adapter, train_task_adapter  # noqa: E402
from muscle_llm.train.compat_trainer import CompatConfig, CompatTrainer  # noqa: E402
from muscle_llm.train.data import collate, split_examples, tokenize  # noqa: E402
from muscle_llm.train.merged_lora import use_merged_forward  # noqa: E402
from muscle_llm.train.pairs import load_student, load_task_model  # noqa: E402
from muscle_llm.train.trainer import argument_values  # noqa: E402

pytestmark = pytest.mark.train

IDS = torch.tensor([[5, 6, 7, 8, 9, 20, 21]])


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


def same_weights(a, b):
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def train_compat(tiny_base, tiny_base_2, adapters, examples, output_dir, training, **settings):
    return train_compat_adapter(
        new_base=tiny_base_2,
        new_adapter=adapters[1],
        old_base=tiny_base,
        old_adapter=adapters[0],
        examples=examples,
        output_dir=output_dir,
        training=training,
        progress=settings.pop("progress", False),
        **settings,
    )


def compat_trainer(tiny_base, tiny_base_2, adapters, examples, folder, training, plain=False, **settings):
    student = load_student(tiny_base_2, adapters[1], "auto")
    tokenizer = load_tokenizer(tiny_base_2)
    rows = tokenize(examples, tokenizer, max_length=128)
    train_rows, eval_rows = split_examples(rows, training.validation_share, 0)
    return CompatTrainer(
        student,
        load_task_model(tiny_base, adapters[0], "auto"),
        CompatConfig(
            **argument_values(training, output_dir=folder, seed=0, steps=8, validated=bool(eval_rows)),
            **settings,
            plain_loss=plain,
        ),
        train_rows,
        eval_rows,
        processing_class=tokenizer,
        base_name=str(tiny_base_2),
    )


def test_a_task_adapter_learns_and_keeps_its_best_epoch(tiny_base, examples, short, lora, tmp_path):
    result = train_task_adapter(
        base=tiny_base,
        examples=examples,
        output_dir=tmp_path / "a",
        lora=lora,
        training=short,
        progress=False,
    )
    assert result.steps == 8  # 32 rows, batches of 4, 2 accumulated, 2 epochs
    assert len(result.eval_losses) == 2
    assert result.best_epoch == 1 + result.eval_losses.index(min(result.eval_losses))
    assert result.eval_losses[-1] < math.log(64)
    assert not (tmp_path / "a" / "checkpoints").exists()
    record = json.loads((tmp_path / "a" / "training.json").read_text())
    assert record["kind"] == "task"
    assert record["steps"] == 8
    assert record["tokens"] == result.tokens
    assert record["examples"] == {"training": 32, "validation": 8}
    assert record["training"]["learning_rate"] == short.learning_rate
    rows = tokenize(examples, load_tokenizer(tiny_base), max_length=1024)
    train_rows, eval_rows = split_examples(rows, 0.2, 0)
    assert result.tokens == 2 * sum(row.targets for row in train_rows)

    # the adapter saved gives the validation cross-entropy that was reported
    model = peft.PeftModel.from_pretrained(load_base(tiny_base), str(tmp_path / "a")).eval()
    total = 0.0
    with torch.no_grad():
        for row in eval_rows:
            logp = model(input_ids=torch.tensor([row.tokens])).logits.log_softmax(-1)[0]
            total -= sum(logp[t, row.tokens[t + 1]].item() for t in range(len(row.tokens) - 1))
    mean = total / sum(row.targets for row in eval_rows)
    assert mean == pytest.approx(min(result.eval_losses), rel=1e-5)


def test_continuing_an_adapter_starts_from_it(tiny_base, examples, short, adapters, tmp_path):
    settings = replace(short, learning_rate=1e-12)
    train_task_adapter(
        base=tiny_base,
        examples=examples,
        output_dir=tmp_path / "a",
        training=settings,
        init_adapter=adapters[0],
        progress=False,
    )
    before, after = weights(adapters[0]), weights(tmp_path / "a")
    assert all(torch.allclose(before[key], after[key], atol=1e-8) for key in before)


def test_max_steps_ends_the_training(tiny_base, examples, short, lora, tmp_path):
    result = train_task_adapter(
        base=tiny_base,
        examples=examples,
        output_dir=tmp_path / "a",
        lora=lora,
        training=replace(short, max_steps=3),
        progress=False,
    )
    assert result.steps == 3
    assert len(result.eval_losses) == 1


def test_what_a_logging_integration_wrote_stays(tiny_base, examples, short, lora, tmp_path, monkeypatch):
    from pathlib import Path

    import transformers.trainer

    class Board(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            assert args.run_name.endswith("/adapter")
            (Path(args.output_dir) / "runs" / "now").mkdir(parents=True)
            (Path(args.output_dir) / "runs" / "now" / "events").write_text("loss")

    monkeypatch.setattr(
        transformers.trainer, "DEFAULT_CALLBACKS", [*transformers.trainer.DEFAULT_CALLBACKS, Board]
    )
    folder = tmp_path / "adapter"
    train_task_adapter(
        base=tiny_base, examples=examples, output_dir=folder, lora=lora, training=short, progress=False
    )
    assert (folder / "runs" / "now" / "events").read_text() == "loss"
    assert not (folder / "checkpoints").exists()


def test_several_gpus_in_sight_do_not_split_the_model(
    tiny_base, tiny_base_2, adapters, examples, short, tmp_path
):
    tokenizer = load_tokenizer(tiny_base_2)
    rows = tokenize(examples, tokenizer, max_length=64)
    values = argument_values(short, output_dir=tmp_path / "run", seed=0, steps=2, validated=False)
    args = CompatConfig(**values)
    args._n_gpu = 2
    student = load_student(tiny_base_2, adapters[1], "float32")
    live = LiveTeacher(load_task_model(tiny_base, adapters[0], "float32"))
    trainer = CompatTrainer(student, live, args, rows, [], processing_class=tokenizer)
    assert trainer.args.n_gpu == 1


def test_without_validation_the_last_epoch_is_kept(tiny_base, examples, short, lora, tmp_path):
    result = train_task_adapter(
        base=tiny_base,
        examples=examples,
        output_dir=tmp_path / "a",
        lora=lora,
        training=replace(short, validation_share=0.0, epochs=1),
        progress=False,
    )
    assert result.best_epoch is None
    assert result.eval_losses == ()
    assert result.steps == 5


def test_the_same_seed_gives_the_same_adapter(tiny_base, examples, short, lora, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_task_adapter(
            base=tiny_base,
            examples=examples,
            output_dir=tmp_path / name,
            lora=lora,
            training=replace(short, epochs=1),
            seed=seed,
            progress=False,
        )
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_only_the_compatibility_adapter_changes_and_it_does(
    tiny_base, tiny_base_2, adapters, examples, short, tmp_path
):
    trainer = compat_trainer(tiny_base, tiny_base_2, adapters, examples, tmp_path, short)
    before = {
        f"{owner}.{name}": parameter.detach().clone()
        for owner, model in (("student", trainer.model), ("old", trainer.old.model))
        for name, parameter in model.named_parameters()
    }
    compat = {name for name in before if ".compat." in name}
    assert {f"student.{n}" for n, p in trainer.model.named_parameters() if p.requires_grad} == compat
    for name in compat:  # the student starts as the new task model
        assert torch.equal(before[name], before[name.replace(".compat.", ".new.")])
    trainer.train()
    after = {
        f"{owner}.{name}": parameter
        for owner, model in (("student", trainer.model), ("old", trainer.old.model))
        for name, parameter in model.named_parameters()
    }
    for name, value in before.items():
        assert torch.equal(value, after[name]) == (name not in compat), name


@pytest.mark.parametrize("plain", [True, False])
def test_the_trainer_s_gradient_is_that_of_the_plain_loss(
    plain, tiny_base, tiny_base_2, adapters, examples, short, tmp_path
):
    """Three separate models and the plain loss give the gradient the shared base gives."""
    trainer = compat_trainer(
        tiny_base, tiny_base_2, adapters, examples, tmp_path, short, plain, ce_weight=0.25
    )
    batch = collate(trainer.train_dataset.rows[:5])
    model = trainer.model
    trainer.compute_loss(model, batch).backward()

    old = peft.PeftModel.from_pretrained(load_base(tiny_base), str(adapters[0])).eval()
    new = peft.PeftModel.from_pretrained(load_base(tiny_base_2), str(adapters[1])).eval()
    student = peft.PeftModel.from_pretrained(load_base(tiny_base_2), str(adapters[1]), is_trainable=True)
    with torch.no_grad():
        old_BTV, new_BTV = (teacher(input_ids=batch["input_ids"]).logits for teacher in (old, new))
    targets_BT = next_token_targets(batch["labels"])
    logits = student(input_ids=batch["input_ids"]).logits
    compatibility_loss(logits, old_BTV, new_BTV, targets_BT, ce_weight=0.25).loss.backward()
    alone = {n.replace(".default.", "."): p.grad for n, p in student.named_parameters() if p.grad is not None}
    shared = {n.replace(".compat.", "."): p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert alone.keys() == shared.keys()
    for name, gradient in alone.items():
        assert torch.allclose(shared[name], gradient, rtol=1e-3, atol=1e-6), name


def test_a_compatibility_adapter_is_an_ordinary_adapter(
    tiny_base, tiny_base_2, adapters, examples, short, tmp_path
):
    result = train_compat(
        tiny_base, tiny_base_2, adapters, examples, tmp_path / "c", short, mask="old_only", progress=True
    )
    assert result.steps == 8
    loaded = peft.PeftModel.from_pretrained(load_base(tiny_base_2), str(tmp_path / "c")).eval()
    config = json.loads((tmp_path / "c" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_base_2)
    assert isinstance(config["target_modules"], list)
    assert weights(tmp_path / "c").keys() == weights(adapters[1]).keys()
    record = json.loads((tmp_path / "c" / "training.json").read_text())
    assert record["loss"]["mask"] == "old_only"
    assert record["loss"]["temperature"] == 2.0
    assert not (tmp_path / "c" / "teachers").exists()
    shares = [entry["old_share"] for entry in record["log"] if "old_share" in entry]
    assert shares == [1.0] * len(shares) != []
    # it moved towards the old model
    old = peft.PeftModel.from_pretrained(load_base(tiny_base), str(adapters[0])).eval()
    new = peft.PeftModel.from_pretrained(load_base(tiny_base_2), str(adapters[1])).eval()
    batch = collate(tokenize(examples, load_tokenizer(tiny_base), max_length=128))
    with torch.no_grad():
        z = {n: m(input_ids=batch["input_ids"]).logits for n, m in (("c", loaded), ("o", old), ("n", new))}
    targets_BT = next_token_targets(batch["labels"])
    distance = [
        compatibility_loss(z[s], z["o"], z["n"], targets_BT, mask="old_only").loss for s in ("n", "c")
    ]
    assert distance[1] < 0.8 * distance[0]


def test_the_saved_adapter_gives_the_trained_model_s_logits(
    tiny_base, tiny_base_2, adapters, examples, short, tmp_path
):
    trainer = compat_trainer(tiny_base, tiny_base_2, adapters, examples, tmp_path / "run", short)
    trainer.train()
    save_adapter(trainer.model, "compat", tmp_path / "c", base_name=tiny_base_2)
    loaded = peft.PeftModel.from_pretrained(load_base(tiny_base_2), str(tmp_path / "c")).eval()
    with torch.no_grad():
        assert torch.allclose(loaded(IDS).logits, trainer.model.eval()(IDS).logits, atol=1e-5)


def test_accumulation_is_the_same_as_a_larger_batch(
    tiny_base, tiny_base_2, adapters, examples, short, tmp_path
):
    """Ragged batches: the mean is over all accumulated tokens, not a mean of means."""
    settings = replace(short, max_steps=2, group_by_length=False, validation_share=0.0, warmup_steps=0)
    for name, batch, accumulate in (("8x1", 8, 1), ("1x8", 1, 8)):
        train_compat(
            tiny_base,
            tiny_base_2,
            adapters,
            examples,
            tmp_path / name,
            replace(settings, batch_size=batch, gradient_accumulation=accumulate),
        )
    one, other = weights(tmp_path / "8x1"), weights(tmp_path / "1x8")
    start = weights(adapters[1])
    for key in one:
        assert (one[key] - other[key]).norm() <= 2e-2 * (one[key] - start[key]).norm() + 1e-7, key


@pytest.mark.parametrize("killed_at", [1, 3, 6, 8])
def test_a_killed_training_ends_with_the_same_weights(
    killed_at, tiny_base, tiny_base_2, adapters, examples, short, tmp_path, monkeypatch
):
    """Bit for bit on CPU, wherever the kill came."""
    settings = replace(short, checkpoint_steps=2)
    options = {"selection": "nfr" if killed_at == 6 else "cross_entropy"}
    whole = train_compat(tiny_base, tiny_base_2, adapters, examples, tmp_path / "whole", settings, **options)

    real, calls = CompatTrainer.compute_loss, 0

    def killed(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 2 * killed_at:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(CompatTrainer, "compute_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        train_compat(tiny_base, tiny_base_2, adapters, examples, tmp_path / "parts", settings, **options)
    assert (tmp_path / "parts" / "checkpoints").exists()
    monkeypatch.setattr(CompatTrainer, "compute_loss", real)
    resumed = train_compat(
        tiny_base, tiny_base_2, adapters, examples, tmp_path / "parts", settings, **options
    )
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    assert resumed.eval_losses == whole.eval_losses
    assert resumed.eval_nfr == whole.eval_nfr
    assert (resumed.steps, resumed.tokens) == (whole.steps, whole.tokens)


def test_an_unfinished_training_of_other_settings_is_not_continued(
    tiny_base, examples, short, lora, tmp_path, monkeypatch
):
    def start(seed):
        train_task_adapter(
            base=tiny_base,
            examples=examples,
            output_dir=tmp_path,
            lora=lora,
            training=short,
            seed=seed,
            progress=False,
        )

    from muscle_llm.train.trainer import AdapterTrainer

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AdapterTrainer, "compute_loss", killed)
        with pytest.raises(KeyboardInterrupt):
            start(seed=0)
    with pytest.raises(RunError, match="unfinished training is here that differs in: seed"):
        start(seed=1)
    # a checkpoint cut off by a kill is not used
    (tmp_path / "checkpoints" / "checkpoint-4").mkdir()
    start(seed=0)
    assert (tmp_path / "adapter_model.safetensors").exists()


def test_gradients_lost_on_the_way_are_an_error(
    tiny_base, tiny_base_2, adapters, examples, short, tmp_path, monkeypatch
):
    """peft's silent trap: switching the adapter between forward and backward."""
    trainer = compat_trainer(tiny_base, tiny_base_2, adapters, examples, tmp_path, short)
    real = trainer.compute_loss

    def trapped(model, *args, **kwargs):
        loss = real(model, *args, **kwargs)
        model.set_adapter("new")
        return loss

    monkeypatch.setattr(trainer, "compute_loss", trapped)
    with pytest.raises(RunError, match="No gradient reached"):
        trainer.train()


def test_a_diverging_loss_is_an_error(tiny_base, examples, short, lora, tmp_path):
    with pytest.raises(RunError, match="no longer a number"):
        train_task_adapter(
            base=tiny_base,
            examples=examples,
            output_dir=tmp_path,
            lora=lora,
            training=replace(short, learning_rate=1e30, max_grad_norm=0.0, warmup_steps=0, epochs=8),
            progress=False,
        )


def test_wrong_inputs_are_refused(tiny_base, tiny_base_2, adapters, examples, short, tmp_path):
    with pytest.raises(AdapterError, match="another base"):
        train_compat(tiny_base, tiny_base_2, adapters[::-1], examples, tmp_path, short)
    with pytest.raises(ConfigError, match="No mask"):
        train_compat(tiny_base, tiny_base_2, adapters, examples, tmp_path, short, mask="student_rong")
    with pytest.raises(ConfigError, match="temperature"):
        train_compat(tiny_base, tiny_base_2, adapters, examples, tmp_path, short, temperature=0.0)
    with pytest.raises(AdapterError, match="another base"):
        train_task_adapter(
            base=tiny_base, examples=examples, output_dir=tmp_path, training=short, init_adapter=adapters[1]
        )


def test_other_tokenizers_are_refused(tiny_base, tiny_base_2, adapters, examples, short, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny_base, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ConfigError, match="different tokenizers: their vocabularies differ"):
        train_compat(other, tiny_base_2, adapters, examples, tmp_path / "c", short)


def test_the_merged_forward_is_the_usual_one(tiny_base, adapters):
    narrow = peft.PeftModel.from_pretrained(load_base(tiny_base), str(adapters[0]), is_trainable=True)
    assert use_merged_forward(narrow) == 4  # of 14: rank 4 pays for the keys and values (16 wide) alone
    wide = peft.LoraConfig(r=32, lora_alpha=64, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    torch.manual_seed(0)
    plain = peft.get_peft_model(load_base(tiny_base), wide)
    for name, parameter in plain.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    merged = peft.get_peft_model(load_base(tiny_base), wide)
    merged.load_state_dict(plain.state_dict())
    assert use_merged_forward(merged) == 4
    for model in (plain, merged):
        model(IDS).logits.logsumexp(-1).sum().backward()
    with torch.no_grad():
        assert torch.allclose(plain(IDS).logits, merged(IDS).logits, atol=1e-5)
    gradients = [[p.grad for p in model.parameters() if p.grad is not None] for model in (plain, merged)]
    assert len(gradients[0]) == 8
    for left, right in zip(*gradients, strict=True):
        assert torch.allclose(left, right, rtol=1e-3, atol=1e-5)
