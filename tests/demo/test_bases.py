"""The shipped bases: small, plain, of one tokenizer, and made from the world as it is."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from muscle_llm.demo.world import MIXES, pretraining_text
from muscle_llm.files import sha256_text

pytest.importorskip("torch")
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from muscle_llm.demo.tasks import BASES, DEMO  # noqa: E402
from muscle_llm.train.pretrain import token_blocks  # noqa: E402

NAMES = (DEMO.old_base, DEMO.new_base)


@pytest.mark.parametrize("name", NAMES)
def test_a_base_is_small_and_its_weights_are_safetensors_in_float32(name) -> None:
    files = {p.name: p.stat().st_size for p in (BASES / name).iterdir()}
    assert sum(files.values()) <= 2_000_000
    assert not [file for file in files if file.endswith((".bin", ".pt", ".pkl"))]
    model = AutoModelForCausalLM.from_pretrained(BASES / name, use_safetensors=True)
    assert model.dtype == torch.float32
    made = json.loads((BASES / name / "pretraining.json").read_text())
    assert sum(p.numel() for p in model.parameters()) == made["parameters"]


def test_both_bases_share_a_tokenizer_in_which_digits_stand_alone() -> None:
    texts = [(BASES / name / "tokenizer.json").read_bytes() for name in NAMES]
    assert texts[0] == texts[1]
    for name in NAMES:
        words = AutoTokenizer.from_pretrained(BASES / name)
        assert words.tokenize("407") == ["4", "0", "7"]
        config = json.loads((BASES / name / "config.json").read_text())
        assert config["pad_token_id"] == words.pad_token_id != words.eos_token_id
        assert config["eos_token_id"] == words.eos_token_id
        assert config["vocab_size"] == len(words)


def test_the_bases_differ_in_width_and_in_what_they_read() -> None:
    old, new = (json.loads((BASES / name / "pretraining.json").read_text()) for name in NAMES)
    assert old["settings"]["hidden"] < new["settings"]["hidden"]
    assert old["settings"]["seed"] != new["settings"]["seed"]
    assert old["made_from"] != new["made_from"]


@pytest.mark.parametrize("name", NAMES)
def test_a_base_has_learnt_the_world(name) -> None:
    """On fresh text, in sequences as long as in pretraining: near the recorded loss (ln 710 is 6.6)."""
    model = AutoModelForCausalLM.from_pretrained(BASES / name)
    words = AutoTokenizer.from_pretrained(BASES / name)
    made = json.loads((BASES / name / "pretraining.json").read_text())
    blocks = token_blocks(pretraining_text(99, MIXES[name]), words, 64 * 96, made["settings"]["length"])
    ids = torch.from_numpy(blocks.astype("int64"))
    with torch.no_grad():
        loss = float(model(input_ids=ids, labels=ids).loss)
    assert loss == pytest.approx(made["final_loss_nats"], rel=0.1)


def test_the_world_is_still_the_one_the_bases_were_made_from() -> None:
    """A change of the world's words asks for new bases: `make bases`, then the new figures here."""
    found = {
        name: sha256_text("\n".join(islice(pretraining_text(1, MIXES[name]), 300)))[:12] for name in NAMES
    }
    assert found == {"old": "35a069faa3ff", "new": "ff769638c738"}
