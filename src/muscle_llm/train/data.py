"""From examples to batches: tokens, a split, batches of similar length, padding."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from muscle_llm.distill.masks import IGNORED
from muscle_llm.errors import InputError
from muscle_llm.tasks.example import Example

__all__ = [
    "LengthGroupedBatches",
    "TokenDataset",
    "TokenRow",
    "collate",
    "data_hash",
    "split_examples",
    "tokenize",
]

# Batches sorted by length together. Large pools save more padding, but make batches of one kind where the
# length tells the kind: 50 cost the demo's adapters 0.03 nats and ten points of accuracy.
_POOL_BATCHES = 8


@dataclass(frozen=True)
class TokenRow:
    """One tokenized example.

    Args:
        index: its position in the list it came from; names it in caches.
        tokens: token ids, end-of-sequence included.
        trained_from: the first position that is a target.
        completion_from: where the completion begins; validation judges it.
    """

    index: int
    tokens: tuple[int, ...]
    trained_from: int
    completion_from: int = 0

    @property
    def targets(self) -> int:
        """How many positions are targets; the first token never is."""
        return len(self.tokens) - max(1, self.trained_from)


def tokenize(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    train_on: str = "all",
    append_eos: bool = True,
) -> list[TokenRow]:
    """Turn examples into token rows.

    Prompt and completion are tokenized together, as one text. The completion begins where the
    prompt tokenized alone ends, which is also how the evaluation harness splits them. A row that is
    too long loses the beginning of its prompt.

    Args:
        examples: at least one.
        tokenizer: of the base.
        max_length: tokens, at least 2.
        train_on: ``all`` or ``completion``.
        append_eos: end with the end-of-sequence token.

    Returns:
        One row per example, in order.

    Raises:
        InputError: no examples, no end-of-sequence token, or an example without anything to train on.
    """
    if not examples:
        raise InputError("There are no training examples. Give a task whose training split is not empty.")
    eos = tokenizer.eos_token_id
    if append_eos and eos is None:
        raise InputError("The tokenizer has no end-of-sequence token. Set append_eos to false for this base.")
    # The texts may be longer than the model takes: cut below, so the tokenizer's warning would mislead.
    texts = tokenizer([e.text for e in examples], truncation=False, verbose=False)["input_ids"]
    prompts = tokenizer([e.prompt for e in examples], truncation=False, verbose=False)["input_ids"]
    rows: list[TokenRow] = []
    for index, (example, ids, prompt) in enumerate(
        zip(examples, cast("list[list[int]]", texts), cast("list[list[int]]", prompts), strict=True)
    ):
        tokens = [*ids, cast("int", eos)] if append_eos and (not ids or ids[-1] != eos) else list(ids)
        cut = max(0, len(tokens) - max_length)
        completion = max(0, min(len(prompt), len(tokens)) - cut)
        row = TokenRow(index, tuple(tokens[cut:]), completion if train_on == "completion" else 0, completion)
        if row.targets < 1:
            raise InputError(
                f"Example '{example.id}' (number {index + 1}) has nothing to train on: "
                "its completion is empty. Leave it out of the training split."
            )
        rows.append(row)
    return rows


def data_hash(rows: Sequence[TokenRow]) -> str:
    """Return the SHA-256 over token rows, in order.

    Example:
        >>> data_hash([TokenRow(0, (1, 2), 0)]) == data_hash([TokenRow(0, (1, 3), 0)])
        False
    """
    digest = hashlib.sha256()
    for row in rows:
        digest.update(np.asarray([len(row.tokens), row.trained_from, *row.tokens], dtype="<i4").tobytes())
    return digest.hexdigest()


def split_examples(
    rows: Sequence[TokenRow], validation_share: float, seed: int
) -> tuple[list[TokenRow], list[TokenRow]]:
    """Split rows at random into a training and a validation part.

    Args:
        rows: in a fixed order.
        validation_share: 0 to below 1; above 0 at least one row is held out and one is kept.
        seed: the same seed and rows give the same split on every machine.

    Returns:
        (training, validation), each in the order of ``rows``.

    Raises:
        InputError: there are too few rows to hold one out.

    Example:
        >>> rows = [TokenRow(i, (1, 2), 0) for i in range(10)]
        >>> [len(part) for part in split_examples(rows, 0.2, seed=0)]
        [8, 2]

    Source: paper, section 5 (80/20).
    """
    if validation_share == 0:
        return list(rows), []
    if len(rows) < 2:
        raise InputError(
            f"{len(rows)} training example cannot be split. Give more examples, or set validation_share to 0."
        )
    count = min(len(rows) - 1, max(1, round(validation_share * len(rows))))
    held_out = set(np.random.default_rng(seed).permutation(len(rows))[:count].tolist())
    return (
        [row for i, row in enumerate(rows) if i not in held_out],
        [row for i, row in enumerate(rows) if i in held_out],
    )


class TokenDataset(Dataset[TokenRow]):
    """Token rows as torch's data loader wants them."""

    def __init__(self, rows: Sequence[TokenRow]) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TokenRow:
        return self.rows[index]


class LengthGroupedBatches(Sampler[list[int]]):
    """Shuffled batches of rows of similar length; the order depends on the seed and the epoch alone.

    All rows are shuffled; pools of 8 batches are sorted by length and cut into batches; the
    batches are shuffled again. No state is kept from one epoch to the next, so that a resumed run sees the
    same batches as one that was never interrupted.

    Args:
        lengths: tokens of each row.
        batch_size: rows of a batch; the last one may be smaller.
        seed: of the order.
        grouped: False only shuffles.

    Example:
        >>> batches = LengthGroupedBatches([3, 1, 2, 1], batch_size=2, seed=0)
        >>> sorted(i for batch in batches for i in batch)
        [0, 1, 2, 3]
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, *, grouped: bool = True) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.drop_last = False  # read by accelerate
        self.seed = seed
        self.grouped = grouped
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(len(self.lengths))
        if self.grouped:
            pool = self.batch_size * _POOL_BATCHES
            pools = [order[i : i + pool] for i in range(0, len(order), pool)]
            order = np.concatenate([p[np.argsort(-self.lengths[p], kind="stable")] for p in pools])
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        if self.grouped:
            batches = [batches[i] for i in generator.permutation(len(batches))]
        for batch in batches:
            yield batch.tolist()


def collate(rows: Sequence[TokenRow], pad_token: int = 0) -> dict[str, Tensor]:
    """Pad rows on the right into one batch.

    Under a causal model tokens never see what follows them, so padding on the right needs no
    attention mask; its targets are IGNORED.

    Args:
        rows: B of them.
        pad_token: fills ``input_ids``; any valid id does.

    Returns:
        ``input_ids`` int (B, T), ``labels`` int (B, T) in place (not shifted) and ``row`` int (B,), the
        rows' indices.

    Example:
        >>> batch = collate([TokenRow(7, (4, 5, 6), 0), TokenRow(8, (4, 5), 0)])
        >>> batch["labels"].tolist(), batch["row"].tolist()
        ([[-100, 5, 6], [-100, 5, -100]], [7, 8])
    """
    width = max(len(row.tokens) for row in rows)
    ids_BT = np.full((len(rows), width), pad_token, dtype=np.int64)
    labels_BT = np.full((len(rows), width), IGNORED, dtype=np.int64)
    for i, row in enumerate(rows):
        ids_BT[i, : len(row.tokens)] = row.tokens
        start = max(1, row.trained_from)
        labels_BT[i, start : len(row.tokens)] = row.tokens[start:]
    batch: dict[str, Any] = {"input_ids": torch.from_numpy(ids_BT), "labels": torch.from_numpy(labels_BT)}
    batch["row"] = torch.tensor([row.index for row in rows])
    return batch
