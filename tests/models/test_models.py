from __future__ import annotations

import json
import shutil

import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

from peft.tuners.lora import LoraLayer  # noqa: E402

from muscle_llm.errors import AdapterError, InputError  # noqa: E402
from muscle_llm.models import (  # noqa: E402
    adapter_hash,
    base_fingerprint,
    check_adapter,
    load_adapted,
    load_base,
    load_tokenizer,
    merge_float32,
    save_adapter,
)

pytestmark = pytest.mark.train


LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_adapter(base, folder, *, rank=4, seed=0, base_name=None):
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=rank, lora_alpha=8, target_modules=LINEAR, task_type="CAUSAL_LM")
    model = peft.get_peft_model(load_base(base), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    save_adapter(model, "default", folder, base_name=base_name or base)
    return model.eval()


IDS = torch.tensor([[5, 6, 7, 8, 9]])


def test_tokenizer_round_trip(tiny_base):
    tokenizer = load_tokenizer(tiny_base)
    assert len(tokenizer) <= 64
    assert tokenizer.decode(tokenizer("what is 1+1? 2\n")["input_ids"]) == "what is 1+1? 2\n"


def test_saved_adapter_is_an_ordinary_peft_adapter(tiny_base, tmp_path):
    model = make_adapter(tiny_base, tmp_path / "a")
    loaded = peft.PeftModel.from_pretrained(load_base(tiny_base), str(tmp_path / "a")).eval()
    with torch.no_grad():
        assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    # what vLLM reads
    assert config["peft_type"] == "LORA"
    assert config["r"] == 4
    assert config["lora_alpha"] == 8
    assert isinstance(config["target_modules"], list)
    assert config["target_modules"] == sorted(LINEAR)
    assert config["bias"] == "none"
    assert not config["modules_to_save"]
    assert config["base_model_name_or_path"] == str(tiny_base)


def test_several_adapters_share_one_base(tiny_base, tmp_path):
    first = make_adapter(tiny_base, tmp_path / "a", seed=1)
    second = make_adapter(tiny_base, tmp_path / "b", seed=2)
    both = load_adapted(load_base(tiny_base), {"a": tmp_path / "a", "b": tmp_path / "b"})
    assert not any(p.requires_grad for p in both.parameters())
    with torch.no_grad():
        assert torch.equal(both(IDS).logits, first(IDS).logits)
        both.set_adapter("b")
        assert torch.equal(both(IDS).logits, second(IDS).logits)


def test_a_name_with_a_dot_is_a_name(tiny_base, tmp_path):
    alone = make_adapter(tiny_base, tmp_path / "a", seed=1)
    loaded = load_adapted(load_base(tiny_base), {"muscle_t0.5": tmp_path / "a"})
    with torch.no_grad():
        assert torch.equal(loaded(IDS).logits, alone(IDS).logits)


def test_a_merged_adapter_predicts_the_same(tiny_base, tmp_path):
    apart = make_adapter(tiny_base, tmp_path / "a", seed=1)
    merged = merge_float32(load_adapted(load_base(tiny_base), {"a": tmp_path / "a"}))
    with torch.no_grad():
        torch.testing.assert_close(merged(IDS).logits, apart(IDS).logits)
        assert not torch.equal(merged(IDS).logits, load_base(tiny_base)(IDS).logits)


def test_in_lower_precision_nothing_is_merged(tiny_base, tmp_path):
    make_adapter(tiny_base, tmp_path / "a", seed=1)
    model = merge_float32(load_adapted(load_base(tiny_base, dtype="bfloat16"), {"a": tmp_path / "a"}))
    assert not any(module.merged for module in model.modules() if isinstance(module, LoraLayer))


def test_adapter_of_another_base_is_refused(tiny_base, tiny_base_2, tmp_path):
    make_adapter(tiny_base, tmp_path / "a")
    check_adapter(tmp_path / "a", tiny_base)
    check_adapter(tmp_path / "a", load_base(tiny_base))
    for base in (tiny_base_2, load_base(tiny_base_2)):
        with pytest.raises(AdapterError, match=r"another base.*expects 64 inputs.*this base has 96"):
            check_adapter(tmp_path / "a", base)
    with pytest.raises(AdapterError, match="another base"):
        load_adapted(load_base(tiny_base_2), {"a": tmp_path / "a"})


def test_a_moved_base_is_still_the_base(tiny_base, tmp_path):
    make_adapter(tiny_base, tmp_path / "a", base_name="another/name")
    check_adapter(tmp_path / "a", tiny_base)


def test_a_recorded_fingerprint_tells_bases_of_one_shape_apart(tiny_base, tmp_path):
    make_adapter(tiny_base, tmp_path / "a")
    record = {"base": {"fingerprint": base_fingerprint(tiny_base)}}
    (tmp_path / "a" / "training.json").write_text(json.dumps(record))
    check_adapter(tmp_path / "a", tiny_base)
    twin = load_base(tiny_base)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.01)
    twin.save_pretrained(tmp_path / "twin")
    with pytest.raises(AdapterError, match="the shapes fit, but the weights"):
        check_adapter(tmp_path / "a", tmp_path / "twin")


def test_what_is_no_adapter_is_refused(tiny_base, tmp_path):
    with pytest.raises(AdapterError, match="no such adapter folder"):
        check_adapter(tmp_path / "missing", tiny_base)
    with pytest.raises(AdapterError, match=r"has no adapter_config\.json"):
        check_adapter(tiny_base, tiny_base)
    make_adapter(tiny_base, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="not valid JSON"):
        check_adapter(tmp_path / "b", tiny_base)
    weights = tmp_path / "a" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(AdapterError, match="not a readable safetensors file"):
        check_adapter(tmp_path / "a", tiny_base)
    weights.unlink()
    with pytest.raises(AdapterError, match=r"has no adapter_model\.safetensors"):
        check_adapter(tmp_path / "a", tiny_base)


def test_adapter_hash_follows_the_weights_and_not_the_name_of_the_base(tiny_base, tmp_path):
    make_adapter(tiny_base, tmp_path / "a", seed=1)
    make_adapter(tiny_base, tmp_path / "b", seed=1, base_name="elsewhere")
    make_adapter(tiny_base, tmp_path / "c", seed=2)
    assert adapter_hash(tmp_path / "a") == adapter_hash(tmp_path / "b") != adapter_hash(tmp_path / "c")


def test_missing_or_pickled_bases_are_refused_in_one_sentence(tiny_base, tmp_path):
    with pytest.raises(InputError, match="No base model"):
        load_base(tmp_path)
    with pytest.raises(InputError, match="No tokenizer"):
        load_tokenizer(tmp_path)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    shutil.copy(tiny_base / "config.json", pickled)
    torch.save(load_base(tiny_base).state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match="No base model"):
        load_base(pickled)
