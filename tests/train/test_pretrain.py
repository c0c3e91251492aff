"""Pretraining: reproducible, resumable, whole or not at all; its tokenizer loses nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from muscle_llm.errors import ConfigError, InputError  # noqa: E402
from muscle_llm.train import pretrain as pretraining  # noqa: E402
from muscle_llm.train.pretrain import (  # noqa: E402
    PretrainSettings,
    file_texts,
    pretrain,
    pretrain_base,
    token_blocks,
)
from muscle_llm.train.tokenizer import END, PAD, special_id, train_tokenizer  # noqa: E402

TINY = PretrainSettings(hidden=16, feedforward=16, layers=1, heads=2, steps=6, batch_size=2, length=24)
TEXT = [f"Mia has {i} apples and Bo has {i * 7 % 90}." for i in range(90)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXT, 300)


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


def test_an_interrupted_run_ends_like_a_whole_one(tokenizer, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pretraining, "_CHECKPOINT_EVERY", 4)
    pretrain(iter(TEXT), tokenizer, TINY, tmp_path / "whole")
    real, seen = pretraining._learning_rate, []

    def stop_at_five(settings, step):
        if step == 5 and not seen:
            seen.append(step)
            raise KeyboardInterrupt
        return real(settings, step)

    monkeypatch.setattr(pretraining, "_learning_rate", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        pretrain(iter(TEXT), tokenizer, TINY, tmp_path / "cut")
    assert not (tmp_path / "cut").exists()
    pretrain(iter(TEXT), tokenizer, TINY, tmp_path / "cut")
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


def test_bases_from_files_share_a_tokenizer_made_from_the_same_corpus(tmp_path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (tmp_path / "book.txt").write_text("A fox ran.\n\nIt found 12 nuts.\n\n" * 40, encoding="utf-8")
    (tmp_path / "other.txt").write_text("A hen sat on 3 eggs.\n\n" * 40, encoding="utf-8")
    book, other = [tmp_path / "book.txt"], [tmp_path / "other.txt"]
    size = {
        "steps": 2,
        "layers": 1,
        "sequence_length": 16,
        "batch_size": 2,
        "vocabulary": 280,
        "progress": False,
    }
    pretrain_base(book, tmp_path / "a", hidden=16, seed=1, **size)
    pretrain_base(other, tmp_path / "b", hidden=24, seed=2, tokenizer_corpus=book, **size)
    words = [(tmp_path / name / "tokenizer.json").read_bytes() for name in "ab"]
    assert words[0] == words[1]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "b", use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "b")
    assert model.config.hidden_size == 24
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert model.config.eos_token_id == tokenizer.eos_token_id


def test_paragraphs_of_files_and_folders(tmp_path) -> None:
    (tmp_path / "b.md").write_text("three", encoding="utf-8")
    (tmp_path / "a.txt").write_text("one\n\n\n\ntwo\n", encoding="utf-8")
    (tmp_path / "c.bin").write_bytes(b"\xff")
    assert list(file_texts([tmp_path])) == ["one", "two", "three"]
    assert list(file_texts([tmp_path / "b.md"])) == ["three"]
    with pytest.raises(InputError, match=r"missing\.txt"):
        list(file_texts([tmp_path / "missing.txt"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.txt"):
        list(file_texts([tmp_path / "empty"]))


@pytest.mark.parametrize(
    ("change", "word"),
    [({"heads": 3}, "heads"), ({"steps": 0}, "steps"), ({"learning_rate": 0.0}, "learning_rate")],
)
def test_settings_out_of_range_are_refused(change, word) -> None:
    with pytest.raises(ConfigError, match=word):
        replace(TINY, **change)


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    with pytest.raises(ConfigError, match="258"):
        train_tokenizer(["a"], 200)
