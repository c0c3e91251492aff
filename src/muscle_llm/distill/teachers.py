"""Teachers: live models, or what they said, read from disk.

A teacher answers one question: what does it say about the trained tokens of this batch? Both
teachers are asked about every token, since the mask moves while the student learns.

Shapes: B sequences, T positions, N trained tokens of a batch, H hidden, K kept tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn

from muscle_llm.distill.heads import Head, final_hidden, head_of
from muscle_llm.distill.losses import next_token_targets
from muscle_llm.distill.masks import IGNORED
from muscle_llm.distill.store import TeacherStore
from muscle_llm.distill.teacher_tokens import HiddenTokens, TeacherTokens, TopKTokens, top_k_of

__all__ = [
    "CachedHiddenTeacher",
    "CachedTopKTeacher",
    "LiveTeacher",
    "Teacher",
    "fill_store",
    "hidden_record",
    "top_k_record",
]


class Teacher(Protocol):
    """Whoever can say what a teacher says about a batch."""

    def tokens(self, batch: Mapping[str, Tensor]) -> TeacherTokens:
        """Return what it says about the trained tokens of a batch (``input_ids``, ``labels``, ``row``)."""
        ...


class LiveTeacher:
    """A model in memory; either a model of its own, or the student's base with another adapter or with none.

    Args:
        model: the model.
        adapter: the adapter to be active while it teaches; None leaves the model as it is.
        student_adapter: the adapter made active again afterwards.
        without_adapter: teach as the base alone.
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: str | None = None,
        student_adapter: str | None = None,
        *,
        without_adapter: bool = False,
    ) -> None:
        self.model, self.adapter, self.student_adapter = model, adapter, student_adapter
        self.without_adapter = without_adapter

    @contextlib.contextmanager
    def _teaching(self) -> Iterator[None]:
        """Be the teacher: its adapter, evaluation mode, no gradients."""
        was_training = self.model.training
        model: Any = self.model
        try:
            if self.adapter is not None:
                assert isinstance(model, PeftModel)
                model.set_adapter(self.adapter)
            if was_training:
                model.eval()
            with (
                torch.no_grad(),
                model.disable_adapter() if self.without_adapter else contextlib.nullcontext(),
            ):
                yield
        finally:
            if was_training:
                model.train()
            if self.student_adapter is not None:
                model.set_adapter(self.student_adapter)

    @contextlib.contextmanager
    def teaching(self) -> Iterator[nn.Module]:
        """Yield the model as it teaches."""
        with self._teaching():
            yield self.model

    def head(self) -> Head:
        """Return the teacher's output layer."""
        with self._teaching():
            return head_of(self.model).frozen()

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Run the model; return all its logits (B, T, V)."""
        with self._teaching():
            device = next(self.model.parameters()).device
            return self.model(input_ids=batch["input_ids"].to(device)).logits.to(batch["input_ids"].device)

    def tokens(self, batch: Mapping[str, Tensor]) -> HiddenTokens:
        """Run the model; keep the final hidden states of the trained tokens."""
        valid_BT = next_token_targets(batch["labels"]) != IGNORED
        device = next(self.model.parameters()).device
        with self._teaching():
            hidden_BTH = final_hidden(self.model, batch["input_ids"].to(device))
            return HiddenTokens(
                hidden_BTH[valid_BT.to(device)].to(valid_BT.device),
                _on(head_of(self.model).frozen(), valid_BT.device),
            )


def _on(head: Head, device: torch.device) -> Head:
    """Return a head on a device."""
    if head.weight_VH.device == device:
        return head
    bias_V = None if head.bias_V is None else head.bias_V.to(device)
    return Head(head.weight_VH.to(device), bias_V, head.scale, head.cap)


class _CachedTeacher:
    """Where the records of a batch's rows are found."""

    def __init__(self, store: TeacherStore, position_of_row: Mapping[int, int]) -> None:
        self.store, self.position_of_row = store, position_of_row

    def records(self, batch: Mapping[str, Tensor]) -> np.ndarray[Any, Any]:
        """Return the records of the trained tokens of a batch."""
        return self.store.read([self.position_of_row[row] for row in batch["row"].tolist()])


class CachedHiddenTeacher(_CachedTeacher):
    """Final hidden states on disk, and the head in memory: exactly what the live model says.

    Args:
        store: with records of :func:`hidden_record`.
        position_of_row: where in the store the rows of a batch stand, by their index.
        head: the teacher's output layer, on the student's device.
    """

    def __init__(self, store: TeacherStore, position_of_row: Mapping[int, int], head: Head) -> None:
        super().__init__(store, position_of_row)
        self.head = head

    def tokens(self, batch: Mapping[str, Tensor]) -> HiddenTokens:
        """Read the hidden states of the trained tokens."""
        hidden_NH = _from_numpy(self.records(batch)["hidden"], self.head.weight_VH.dtype)
        return HiddenTokens(hidden_NH.to(self.head.weight_VH.device, non_blocking=True), self.head)


class CachedTopKTeacher(_CachedTeacher):
    """The likeliest tokens on disk: small, and nothing of the model in memory.

    Args:
        store: with records of :func:`top_k_record`.
        position_of_row: where in the store the rows of a batch stand, by their index.
        device: of the student.
    """

    def __init__(
        self, store: TeacherStore, position_of_row: Mapping[int, int], device: torch.device | str
    ) -> None:
        super().__init__(store, position_of_row)
        self.device = device

    def tokens(self, batch: Mapping[str, Tensor]) -> TopKTokens:
        """Read the kept tokens of the trained tokens."""
        records = self.records(batch)
        return TopKTokens(
            token_NK=torch.from_numpy(records["token"].astype(np.int64)).to(self.device),
            logp_NK=torch.from_numpy(records["logp"].astype(np.float32)).to(self.device),
            rest_logp_N=torch.from_numpy(records["rest"].copy()).to(self.device),
            target_logp_N=torch.from_numpy(records["target"].copy()).to(self.device),
        )


def hidden_record(width: int, dtype: torch.dtype) -> np.dtype[Any]:
    """Return the record of a token's final hidden state: ``width`` numbers of the model's own precision.

    Example:
        >>> hidden_record(64, torch.bfloat16).itemsize
        128
    """
    return np.dtype([("hidden", _NUMPY_OF[dtype], (width,))])


def top_k_record(k: int, vocabulary: int) -> np.dtype[Any]:
    """Return the record of a token's K likeliest tokens, the rest and the target.

    Example:
        >>> top_k_record(64, 32_000).itemsize
        264
    """
    token = "<u2" if vocabulary <= 1 << 16 else "<u4"
    return np.dtype([("token", token, (k,)), ("logp", "<f2", (k,)), ("rest", "<f4"), ("target", "<f4")])


# numpy has no bfloat16: its bits are kept as integers
_NUMPY_OF = {torch.float32: "<f4", torch.float16: "<f2", torch.bfloat16: "<u2", torch.float64: "<f8"}


def _from_numpy(values: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    values = np.ascontiguousarray(values)
    if dtype == torch.bfloat16:
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def _to_numpy(values: Tensor) -> np.ndarray[Any, Any]:
    values = values.detach().cpu().contiguous()
    return (
        values.view(torch.int16).numpy().view(np.uint16) if values.dtype == torch.bfloat16 else values.numpy()
    )


def fill_store(
    store: TeacherStore,
    teacher: LiveTeacher,
    *,
    batches_of: Callable[[Sequence[int]], Iterable[tuple[list[int], Mapping[str, Tensor]]]],
    top_k: int | None = None,
    temperature: float | None = None,
    vocabulary: int | None = None,
    on_tokens: Callable[[int], None] | None = None,
    rank: int = 0,
    processes: int = 1,
) -> None:
    """Let a teacher speak about every row that the store lacks.

    Args:
        store: to be filled; shards that are there are left alone.
        teacher: the model.
        batches_of: positions of rows in the store -> batches: the positions, and the batch of those rows.
        top_k: keep so many likeliest tokens; None keeps hidden states.
        temperature: with ``top_k``: of the kept log-probabilities.
        vocabulary: with ``top_k``: score the first tokens only.
        on_tokens: called with the tokens just done.
        rank: of this process.
        processes: that fill the store together.
    """
    for shard in store.missing(rank=rank, processes=processes):
        rows = store.rows_of(shard)
        first = {row: int(store.start_in_shard[row]) for row in rows}
        records = np.zeros(int(store.counts[rows].sum()), dtype=store.record)
        for positions, batch in batches_of(rows):
            said = _said(teacher, batch, top_k, temperature, vocabulary)
            done = 0
            for position in positions:
                count = int(store.counts[position])
                part = records[first[position] : first[position] + count]
                for name, values in said.items():
                    part[name] = values[done : done + count]
                done += count
            if on_tokens is not None:
                on_tokens(done)
        store.write(shard, records)


def _said(
    teacher: LiveTeacher,
    batch: Mapping[str, Tensor],
    top_k: int | None,
    temperature: float | None,
    vocabulary: int | None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Return what a teacher says about a batch, as the fields of its records."""
    tokens = teacher.tokens(batch)
    if top_k is None:
        return {"hidden": _to_numpy(tokens.hidden_NH)}
    assert temperature is not None
    targets_BT = next_token_targets(batch["labels"])
    targets_N = targets_BT[targets_BT != IGNORED]
    head = tokens.head if vocabulary is None else tokens.head.cut(vocabulary)
    fields: dict[str, list[np.ndarray[Any, Any]]] = {"token": [], "logp": [], "rest": [], "target": []}
    with torch.no_grad():
        for start in range(0, len(targets_N), 512):
            rows = slice(start, start + 512)
            kept = top_k_of(head.logits(tokens.hidden_NH[rows]), targets_N[rows], top_k, temperature)
            # float16 bounds: what is below is as good as zero
            fields["token"].append(_to_numpy(kept.token_NK))
            fields["logp"].append(_to_numpy(kept.logp_NK.clamp(min=-6e4)))
            fields["rest"].append(_to_numpy(kept.rest_logp_N))
            fields["target"].append(_to_numpy(kept.target_logp_N))
    return {name: np.concatenate(parts) for name, parts in fields.items()}
