from __future__ import annotations

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

from safetensors.torch import load_file  # noqa: E402

from muscle_llm.distill.divergences import forward_kl  # noqa: E402
from muscle_llm.distill.heads import check_head, final_hidden, head_of  # noqa: E402
from muscle_llm.distill.losses import next_token_targets  # noqa: E402
from muscle_llm.distill.masks import IGNORED  # noqa: E402
from muscle_llm.distill.teachers import LiveTeacher  # noqa: E402
from muscle_llm.errors import AdapterError, ConfigError, InputError  # noqa: E402
from muscle_llm.models import load_base, load_tokenizer  # noqa: E402
from muscle_llm.train import mix_adapters, train_compat_adapter  # noqa: E402
from muscle_llm.train.data import collate, tokenize  # noqa: E402
from muscle_llm.train.pairs import load_student, load_task_model  # noqa: E402
from muscle_llm.train.teaching import CacheSettings, cached_teacher, shared_vocabulary  # noqa: E402

pytestmark = pytest.mark.train


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


@pytest.fixture
def run(tiny_base, tiny_base_2, adapters, examples, short):
    def run(output_dir, **options):
        return train_compat_adapter(
            new_base=tiny_base_2,
            new_adapter=adapters[1],
            old_base=tiny_base,
            old_adapter=adapters[0],
            examples=examples,
            output_dir=output_dir,
            training=options.pop("training", short),
            progress=False,
            **options,
        )

    return run


def distance(a, b, start):
    """How far two adapters are apart, against how far they have come."""
    apart = sum((a[k] - b[k]).square().sum() for k in a)
    moved = sum((a[k] - start[k]).square().sum() for k in a)
    return (apart / moved).sqrt().item()


def test_all_teachers_teach_the_same(run, adapters, tmp_path):
    """Cached exact = live = plain, to rounding; and all tokens kept is exact too, to float16."""
    start = weights(adapters[1])
    results = {kind: run(tmp_path / kind, teachers=kind) for kind in ("plain", "live", "cached")}
    results["top_k"] = run(tmp_path / "top_k", teachers="top_k", top_k=64)
    plain = weights(tmp_path / "plain")
    assert distance(plain, weights(tmp_path / "live"), start) < 0.02
    assert distance(plain, weights(tmp_path / "cached"), start) < 0.02
    assert distance(plain, weights(tmp_path / "top_k"), start) < 0.2
    for result in results.values():
        assert result.eval_losses == pytest.approx(results["plain"].eval_losses, rel=1e-3)


def test_a_cache_is_shared_and_the_models_are_not_run_again(run, tmp_path, monkeypatch):
    run(tmp_path / "a", cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2

    def refused(*args, **kwargs):
        raise AssertionError("the old model was loaded again")

    monkeypatch.setattr("muscle_llm.train.compat_adapter.load_task_model", refused)
    run(tmp_path / "b", cache_dir=tmp_path / "cache", mask="old_only")
    again = run(tmp_path / "c", cache_dir=tmp_path / "cache")
    assert again.steps == 8
    left, right = weights(tmp_path / "a"), weights(tmp_path / "c")
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_the_new_teacher_uses_the_student_s_own_output_layer(run, tmp_path, monkeypatch):
    """One matrix of V x H less in memory."""
    from muscle_llm.distill.heads import head_of
    from muscle_llm.train import compat_adapter

    seen = []

    class Watched(compat_adapter.CompatTrainer):
        def __init__(self, student, old, *args, **options):
            super().__init__(student, old, *args, **options)
            own = head_of(student).weight_VH.data_ptr()
            seen.append([t.head.weight_VH.data_ptr() == own for t in (self.old, self.new)])

    monkeypatch.setattr(compat_adapter, "CompatTrainer", Watched)
    run(tmp_path / "a")
    assert seen == [[False, True]]


def test_a_damaged_cache_is_refused(run, tmp_path):
    run(tmp_path / "a", cache_dir=tmp_path / "cache")
    for file in (tmp_path / "cache").glob("*/00000.bin"):
        data = bytearray(file.read_bytes())
        data[0] ^= 255
        file.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        run(tmp_path / "b", cache_dir=tmp_path / "cache")


def test_a_cache_of_other_data_or_temperature_is_another_cache(run, tmp_path, short):
    cache = tmp_path / "cache"
    options = {"teachers": "top_k", "cache_dir": cache, "training": replace(short, max_steps=1)}
    run(tmp_path / "a", **options)
    run(tmp_path / "b", temperature=1.0, **options)
    run(tmp_path / "c", seed=1, **options)  # another split, hence other rows
    assert len(list(cache.iterdir())) == 6
    assert {json.loads(f.read_text())["temperature"] for f in cache.glob("*/store.json")} == {1.0, 2.0}


def test_cached_hidden_states_are_the_live_ones(tiny_base, tiny_base_2, adapters, examples, tmp_path):
    tokenizer = load_tokenizer(tiny_base)
    rows = tokenize(examples, tokenizer, max_length=64, train_on="completion")
    student = load_student(tiny_base_2, adapters[1], "auto")
    live = {
        "old": LiveTeacher(load_task_model(tiny_base, adapters[0], "auto")),
        "new": LiveTeacher(student, "new", "compat"),
    }
    batch = collate([rows[i] for i in (7, 3, 30)])
    targets_BT = next_token_targets(batch["labels"])
    targets_N = targets_BT[targets_BT != IGNORED]
    for name, teacher in live.items():
        for k in (None, 5):
            cached = cached_teacher(
                identity={"name": name},
                live=lambda teacher=teacher: teacher,
                rows=rows,
                tokenizer=tokenizer,
                settings=CacheSettings(tmp_path, k, temperature=2.0, vocabulary=64),
                device=torch.device("cpu"),
                title=name,
                progress=False,
            )
            exact = teacher.tokens(batch)
            said = cached.tokens(batch)
            logits = exact.logits(slice(None))
            if k is None:
                assert torch.allclose(said.hidden_NH, exact.hidden_NH, atol=1e-5)
                assert torch.allclose(said.logits(slice(None)), logits, atol=1e-4)
            else:
                top = (logits / 2).log_softmax(-1).topk(5)
                assert torch.allclose(said.logp_NK, top.values, atol=2e-3)
                assert torch.allclose(said.rest_logp_N.exp(), 1 - top.values.exp().sum(-1), atol=1e-5)
                target = logits.log_softmax(-1).gather(-1, targets_N[:, None])[:, 0]
                assert torch.allclose(said.target_logp_N, target, atol=1e-4)
    assert student.active_adapters == ["compat"]


def test_bfloat16_hidden_states_survive_the_disk(tiny_base, adapters, examples, tmp_path):
    tokenizer = load_tokenizer(tiny_base)
    rows = tokenize(examples[:6], tokenizer, max_length=64)
    teacher = LiveTeacher(load_task_model(tiny_base, adapters[0], "bfloat16"))
    cached = cached_teacher(
        identity={"name": "bf16"},
        live=lambda: teacher,
        rows=rows,
        tokenizer=tokenizer,
        settings=CacheSettings(tmp_path, None, temperature=2.0, vocabulary=64),
        device=torch.device("cpu"),
        title="",
        progress=False,
    )
    batch = collate(rows)
    assert cached.tokens(batch).hidden_NH.dtype == torch.bfloat16
    a, b = cached.tokens(batch).hidden_NH.float(), teacher.tokens(batch).hidden_NH.float()
    assert (a - b).norm() < 1e-2 * b.norm()
    assert cached.store.bytes_per_token() == 2 * 32


def test_bfloat16_training(run, tmp_path, short):
    result = run(tmp_path / "a", training=replace(short, dtype="bfloat16", max_steps=2))
    assert result.steps == 2


def test_instance_weights_change_the_training(run, adapters, tmp_path, short):
    settings = replace(short, max_steps=1, warmup_steps=0, weight_decay=0.0)
    run(tmp_path / "a", training=settings, instance_weights={str(i): 1.0 for i in range(40)})
    run(tmp_path / "b", training=settings)
    run(tmp_path / "c", training=settings, instance_weights={str(i): 0.0 for i in range(40)})
    same, plain, none = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(same[key], plain[key]) for key in plain)
    start = weights(adapters[1])
    assert all(torch.equal(none[key], start[key]) for key in start)


def test_an_adapted_head_is_part_of_the_head(tiny_base, examples):
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "lm_head"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(load_base(tiny_base), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    batch = collate(tokenize(examples[:3], load_tokenizer(tiny_base), max_length=64))
    check_head(model, batch["input_ids"])
    logits = head_of(model).logits(final_hidden(model, batch["input_ids"]))
    logits.square().mean().backward()
    assert model.base_model.model.lm_head.lora_A["default"].weight.grad.abs().max() > 0


def test_a_head_that_is_not_understood_is_refused(tiny_base):
    model = load_base(tiny_base)
    model.config.logit_scale = 3.0  # the model itself does not scale
    with pytest.raises(ConfigError, match="its logits are not those"):
        check_head(model, torch.tensor([[5, 6, 7]]))


def test_shared_vocabulary_covers_the_tokenizer():
    assert shared_vocabulary(64, 70, 60) == 64
    with pytest.raises(ConfigError, match="scores 50"):
        shared_vocabulary(50, 70, 60)


def test_unknown_teachers_are_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="cached, top_k, live, plain"):
        run(tmp_path, teachers="offline")


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_dial_is_exact(run, share, tiny_base_2, adapters, tmp_path, short):
    """At every layer, the update is the weighted sum of both updates."""
    run(tmp_path / "c", training=replace(short, max_steps=3))
    mix_adapters(adapters[1], tmp_path / "c", share, tmp_path / "mix")

    def merged(folder):
        model = peft.PeftModel.from_pretrained(load_base(tiny_base_2), str(folder))
        return model.merge_and_unload().state_dict()

    new, compat, mix = merged(adapters[1]), merged(tmp_path / "c"), merged(tmp_path / "mix")
    for key in mix:
        assert torch.allclose(mix[key], (1 - share) * new[key] + share * compat[key], atol=1e-6), key
    config = json.loads((tmp_path / "mix" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 8


def test_the_dial_refuses_what_it_cannot_mix(tiny_base, adapters, tmp_path):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        mix_adapters(adapters[0], adapters[1], 1.5, tmp_path)
    other = peft.get_peft_model(
        load_base(tiny_base), peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    )
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(AdapterError, match="different layers"):
        mix_adapters(adapters[0], tmp_path / "other", 0.5, tmp_path / "mix")
    dora = peft.get_peft_model(
        load_base(tiny_base),
        peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", use_dora=True),
    )
    dora.save_pretrained(tmp_path / "dora")
    with pytest.raises(AdapterError, match="use_dora"):
        mix_adapters(tmp_path / "other", tmp_path / "dora", 0.5, tmp_path / "mix")


def test_truncation_error_falls_with_k(tiny_base, tiny_base_2, adapters, examples):
    from muscle_llm.distill.teacher_tokens import bucket_divergence, top_k_of

    old = LiveTeacher(load_task_model(tiny_base, adapters[0], "auto"))
    new = LiveTeacher(load_task_model(tiny_base_2, adapters[1], "auto"))
    batch = collate(tokenize(examples, load_tokenizer(tiny_base), max_length=64))
    p, q = (teacher.tokens(batch).logits(slice(None)) for teacher in (old, new))
    full = forward_kl(p, q, 2.0)
    targets = torch.zeros(len(p), dtype=torch.long)
    errors = []
    for k in (1, 4, 16, 64):
        kept = top_k_of(p, targets, k, 2.0)
        value, _ = bucket_divergence(kept, slice(None), (q / 2).log_softmax(-1))
        assert (value <= full + 1e-5).all()
        errors.append((full - value).mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-5
