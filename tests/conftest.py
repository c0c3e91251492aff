"""Fixtures shared by all parts: tiny models made on the spot."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

TINY_CHARACTERS = string.ascii_lowercase + string.digits + " \n.,:;?!+-*/=()'\"ABCDQS"


def _write_tiny_base(folder: Path, *, hidden: int, seed: int) -> Path:
    """Write a random two-layer Llama with a character tokenizer (vocabulary 64) as safetensors."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("peft")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    specials = ["<pad>", "<s>", "</s>", "<unk>"]
    vocabulary = {token: i for i, token in enumerate([*specials, *TINY_CHARACTERS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.1,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama (hidden 32, 2 layers, vocabulary 64) with a character tokenizer."""
    return _write_tiny_base(tmp_path_factory.mktemp("bases") / "tiny", hidden=32, seed=1)


@pytest.fixture(scope="session")
def tiny_base_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like ``tiny_base``, of another width (hidden 48), with the same tokenizer."""
    return _write_tiny_base(tmp_path_factory.mktemp("bases") / "tiny2", hidden=48, seed=2)
