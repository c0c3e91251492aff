from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from muscle_llm.distill.masks import IGNORED  # noqa: E402
from muscle_llm.errors import ConfigError, InputError  # noqa: E402
from muscle_llm.models import load_tokenizer  # noqa: E402
from muscle_llm.tasks.example import Example  # noqa: E402
from muscle_llm.train.data import (  # noqa: E402
    LengthGroupedBatches,
    TokenRow,
    collate,
    split_examples,
    tokenize,
)
from muscle_llm.train.settings import LoraSettings, TrainSettings  # noqa: E402

pytestmark = pytest.mark.train


def test_the_paper_s_settings_are_the_defaults():
    lora, training = LoraSettings(), TrainSettings()
    assert (lora.rank, lora.alpha, lora.dropout, lora.target_modules) == (128, 256, 0, "all-linear")
    assert (training.learning_rate, training.warmup_steps, training.weight_decay) == (1e-4, 500, 0)
    assert (training.gradient_accumulation, training.epochs, training.validation_share) == (8, 10, 0.2)
    assert training.train_on == "all"


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"validation_share": 1.0}, {"learning_rate": -1.0}, {"schedule": "steps"}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainSettings(**wrong)


def test_tokens_are_prompt_completion_and_end(tiny_base):
    tokenizer = load_tokenizer(tiny_base)
    (row,) = tokenize([Example("1", "1+1=", " 2")], tokenizer, max_length=64)
    assert tokenizer.decode(row.tokens[:-1]) == "1+1= 2"
    assert row.tokens[-1] == tokenizer.eos_token_id
    assert row.targets == 6
    (row,) = tokenize([Example("1", "1+1=", " 2")], tokenizer, max_length=64, train_on="completion")
    assert tokenizer.decode(row.tokens[row.trained_from : -1]) == " 2"
    assert row.targets == 3
    (row,) = tokenize([Example("1", "1+1=", " 2")], tokenizer, max_length=5, train_on="completion")
    assert tokenizer.decode(row.tokens[:-1]) == "1= 2"
    assert row.targets == 3


def test_examples_without_anything_to_learn_are_refused(tiny_base):
    tokenizer = load_tokenizer(tiny_base)
    with pytest.raises(InputError, match="no training examples"):
        tokenize([], tokenizer, max_length=8)
    with pytest.raises(InputError, match="Example 'b' \\(number 2\\)"):
        tokenize(
            [Example("a", "x", "y"), Example("b", "x", "")],
            tokenizer,
            max_length=8,
            train_on="completion",
            append_eos=False,
        )


@given(
    lengths=st.lists(st.integers(2, 30), min_size=1, max_size=60),
    batch_size=st.integers(1, 8),
    seed=st.integers(0, 99),
    grouped=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_batches_hold_every_row_once_and_depend_on_seed_and_epoch_alone(lengths, batch_size, seed, grouped):
    batches = LengthGroupedBatches(lengths, batch_size, seed, grouped=grouped)
    first = list(batches)
    assert sorted(i for batch in first for i in batch) == list(range(len(lengths)))
    assert len(first) == len(batches)
    assert max(map(len, first)) <= batch_size
    batches.set_epoch(3)
    third = list(batches)
    again = LengthGroupedBatches(lengths, batch_size, seed, grouped=grouped)
    again.set_epoch(3)
    assert list(again) == third


def test_grouping_saves_padding():
    lengths = [2 + (7 * i) % 31 for i in range(400)]

    def computed(batches):
        return sum(len(b) * max(lengths[i] for i in b) for b in batches)

    grouped = computed(LengthGroupedBatches(lengths, 8, seed=0))
    shuffled = computed(LengthGroupedBatches(lengths, 8, seed=0, grouped=False))
    assert grouped < 1.15 * sum(lengths) < shuffled


@given(n=st.integers(2, 50), share=st.floats(0.01, 0.9), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_split_is_a_partition_and_repeats(n, share, seed):
    rows = [TokenRow(i, (1, 2), 0) for i in range(n)]
    training, validation = split_examples(rows, share, seed)
    assert sorted([*training, *validation], key=lambda row: row.index) == rows
    assert training
    assert validation
    assert split_examples(rows, share, seed) == (training, validation)


def test_no_validation_share_keeps_everything():
    rows = [TokenRow(0, (1, 2), 0)]
    assert split_examples(rows, 0, 0) == (rows, [])
    with pytest.raises(InputError, match="cannot be split"):
        split_examples(rows, 0.2, 0)


def test_padding_is_never_a_target():
    batch = collate([TokenRow(0, (5, 6, 7), 0), TokenRow(1, (8, 9), 1)], pad_token=3)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 3]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [IGNORED, 9, IGNORED]]
