"""Pretraining: reproducible, resumable, whole or not at all; its tokenizer loses nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import pytest

pytest.importorskip("torch")
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from muscle_llm.demo import pretrain as pretraining  # noqa: E402
from muscle_llm.demo.pretrain import PretrainSettings, main, pretrain, token_blocks  # noqa: E402
from muscle_llm.demo.tokenizer import END, PAD, special_id, train_tokenizer  # noqa: E402
from muscle_llm.demo.world import MIXES, pretraining_text  # noqa: E402
from muscle_llm.errors import ConfigError, InputError  # noqa: E402

TINY = PretrainSettings(
    tokens=4000,
    hidden=16,
    feedforward=16,
    layers=1,
    heads=2,
    vocabulary=300,
    steps=6,
    batch_size=2,
    length=24,
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(islice(pretraining_text(0, MIXES["old"]), 500), 400)


@pytest.mark.parametrize(
    "text", ["Mia has 12 apples.\nAnswer: 7", " 99 ", "Zoë – 日本 🙂", "tab\tend  two", ""]
)
def test_any_text_survives_the_tokenizer(tokenizer, text) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_digits_and_special_tokens(tokenizer) -> None:
    assert tokenizer.tokenize("1234") == ["1", "2", "3", "4"]
    assert tokenizer("a")["input_ids"] == tokenizer("a", add_special_tokens=False)["input_ids"]
    assert tokenizer.eos_token_id == tokenizer.bos_token_id == special_id(tokenizer, END)
    assert tokenizer.pad_token_id == special_id(tokenizer, PAD) != tokenizer.eos_token_id


def test_an_answer_is_tokenized_alike_alone_and_after_its_prompt(tokenizer) -> None:
    whole = tokenizer("How many?\nAnswer: 37")["input_ids"]
    assert whole == tokenizer("How many?\nAnswer:")["input_ids"] + tokenizer(" 37")["input_ids"]


def test_blocks_join_documents_with_the_end_token(tokenizer) -> None:
    blocks = token_blocks(iter(["ab", "c"]), tokenizer, 100, 2)
    ids = [special_id(tokenizer, END)]
    for text in ("ab", "c"):
        ids += [*tokenizer(text)["input_ids"], special_id(tokenizer, END)]
    assert blocks.flatten().tolist() == ids[: len(ids) // 2 * 2]
    with pytest.raises(InputError, match="tokens"):
        token_blocks(iter(["ab"]), tokenizer, 100, 96)


def test_an_interrupted_run_ends_like_a_whole_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pretraining, "_CHECKPOINT_EVERY", 4)
    monkeypatch.setattr(pretraining, "_TOKENIZER_TEXTS", 200)
    pretrain(TINY, tmp_path / "whole")
    real, seen = pretraining._learning_rate, []

    def stop_at_five(settings, step):
        if step == 5 and not seen:
            seen.append(step)
            raise KeyboardInterrupt
        return real(settings, step)

    monkeypatch.setattr(pretraining, "_learning_rate", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        pretrain(TINY, tmp_path / "cut")
    assert not (tmp_path / "cut").exists()
    pretrain(TINY, tmp_path / "cut")
    whole, cut = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(cut[name], tensor, rtol=0, atol=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut", "whole"]


def test_batches_go_through_all_text_before_any_twice() -> None:
    settings = replace(TINY, steps=8, batch_size=3)
    blocks = np.arange(12, dtype=np.int32)[:, None]
    seen = torch.cat(list(pretraining._batches(blocks, settings, 0))).flatten().tolist()
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    later = torch.cat(list(pretraining._batches(blocks, settings, 5))).flatten().tolist()
    assert later == seen[15:]


def test_the_command_makes_a_base_from_files_with_a_shared_tokenizer(tmp_path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (tmp_path / "book.txt").write_text("A fox ran.\n\nIt found 12 nuts.\n\n" * 40, encoding="utf-8")
    shape = "--hidden 16 --feedforward 16 --layers 1 --heads 2 --vocabulary 280"
    run = "--steps 2 --batch-size 2 --length 16"
    command = ["--corpus", str(tmp_path / "book.txt"), *shape.split(), *run.split()]
    first = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "a")])
    assert first.exit_code == 0, first.output
    shared = ["--tokenizer", str(tmp_path / "a"), "--seed", "2", "--precision", "float16"]
    second = CliRunner().invoke(main, [*command, *shared, "--out", str(tmp_path / "b")])
    assert second.exit_code == 0, second.output
    assert (tmp_path / "a" / "tokenizer.json").read_bytes() == (
        tmp_path / "b" / "tokenizer.json"
    ).read_bytes()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "b", dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(tmp_path / "b")
    assert model.config.pad_token_id == words.pad_token_id
    assert json.loads((tmp_path / "b" / "pretraining.json").read_text())["settings"]["seed"] == 2


def test_unusable_input_is_one_sentence(tmp_path) -> None:
    with pytest.raises(InputError, match=r"missing\.txt"):
        pretrain(replace(TINY, corpus=(str(tmp_path / "missing.txt"),)), tmp_path / "x")
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        pretrain(TINY, tmp_path / "x", tokenizer=str(tmp_path))
    with pytest.raises(ConfigError, match="mix"):
        pretrain(replace(TINY, mix="middle"), tmp_path / "x")
    with pytest.raises(ConfigError, match="heads"):
        pretrain(replace(TINY, heads=3), tmp_path / "x")
    result = CliRunner().invoke(main, ["--corpus", str(tmp_path / "missing"), "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "does not exist" in result.output
    assert not list(tmp_path.iterdir())
