"""Write and check the caches of both teachers ahead of a training."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig

from muscle_llm.distill.divergences import forward_kl
from muscle_llm.distill.losses import next_token_targets
from muscle_llm.distill.masks import IGNORED
from muscle_llm.distill.store import TeacherStore
from muscle_llm.distill.teacher_tokens import bucket_divergence, top_k_of
from muscle_llm.distill.teachers import LiveTeacher, Teacher
from muscle_llm.models import check_adapter, load_tokenizer
from muscle_llm.tasks.example import Example
from muscle_llm.train.data import TokenRow, collate
from muscle_llm.train.pairs import check_same_tokenizer, load_task_model
from muscle_llm.train.run import prepare_rows
from muscle_llm.train.settings import TrainSettings
from muscle_llm.train.teaching import CacheSettings, filled_store, shared_vocabulary, teacher_identity

__all__ = ["CacheReport", "cache_teachers", "truncation_error"]


@dataclass(frozen=True)
class CacheReport:
    """What is known of one teacher's cache.

    Args:
        teacher: ``old`` or ``new``.
        folder: of the cache.
        form: ``hidden`` (exact) or ``top_k``.
        tokens: trained tokens it covers.
        bytes_per_token: size of a token's record.
        shards: how many files of records it has.
        missing: how many of them are still to be written, by other processes.
        rest_share: mean probability at T outside the kept tokens; None for ``hidden``.
        truncation_error: nats a token by which the truncated forward KL to the new task model falls short
            of the full one, on some rows; None where not measured.
        full_kl: the full forward KL on those rows.
    """

    teacher: str
    folder: Path
    form: str
    tokens: int
    bytes_per_token: int
    shards: int
    missing: int
    rest_share: float | None = None
    truncation_error: float | None = None
    full_kl: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**self.__dict__, "folder": str(self.folder), "bytes": self.tokens * self.bytes_per_token}


def cache_teachers(
    *,
    new_base: str | Path,
    new_adapter: str | Path,
    old_base: str | Path,
    old_adapter: str | Path,
    examples: Sequence[Example],
    cache_dir: str | Path,
    top_k: int | None = None,
    temperature: float = 2.0,
    training: TrainSettings | None = None,
    seed: int = 0,
    fill: bool = True,
    verify: bool = False,
    measure_rows: int = 0,
    rank: int = 0,
    processes: int = 1,
    progress: bool = True,
) -> list[CacheReport]:
    """Write the caches that a training with the same settings will read; those that are there stay.

    Args:
        new_base: folder or hub name of the new base.
        new_adapter: the task adapter on it.
        old_base: folder or hub name of the old base; it must have the same tokenizer.
        old_adapter: the task adapter on it.
        examples: the task's training text.
        cache_dir: where the caches go.
        top_k: keep so many likeliest tokens; None keeps the final hidden states, which is exact.
        temperature: of the loss; only truncated caches depend on it.
        training: of the training to come: its split, lengths and precision decide what is cached.
        seed: of the training to come.
        fill: False writes nothing and raises where something is missing.
        verify: also check the checksums of all shards.
        measure_rows: measure the truncation error of the old teacher on so many rows; 0 does not.
        rank: of this process, from 0.
        processes: that write together, each its own shards.
        progress: show progress bars on stderr.

    Returns:
        A report for the old and one for the new teacher.

    Raises:
        InputError: a base, the examples or a cache cannot be used; or, without ``fill``, a cache is missing.
        AdapterError: an adapter does not belong to its base.
        ConfigError: different tokenizers, or a value out of range.
        RunError: there is not enough room on the disk.
    """
    training = training or TrainSettings()
    check_adapter(new_adapter, new_base)
    check_adapter(old_adapter, old_base)
    tokenizer = load_tokenizer(new_base)
    check_same_tokenizer(load_tokenizer(old_base), tokenizer, str(old_base), str(new_base))
    rows, _ = prepare_rows(examples, tokenizer, AutoConfig.from_pretrained(str(new_base)), training, seed)
    cache = CacheSettings(Path(cache_dir), top_k, temperature, vocabulary=0, fill=fill)
    if top_k is not None:
        cache = replace(cache, vocabulary=common_vocabulary(old_base, new_base, len(tokenizer)))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reports = []
    for name, base, adapter in (("old", old_base, old_adapter), ("new", new_base, new_adapter)):
        store, _ = filled_store(
            identity=teacher_identity(base, adapter, training.dtype),
            live=partial(_live, base, adapter, training.dtype),
            rows=rows,
            tokenizer=tokenizer,
            settings=cache,
            device=device,
            title=f"{name} teacher",
            progress=progress,
            rank=rank,
            processes=processes,
        )
        if verify:
            store.verify()
        reports.append(_report(name, store, top_k))
        gc.collect()  # the model, if it was loaded, is no longer needed
    if top_k is not None and measure_rows > 0:
        models = [
            _live(base, adapter, training.dtype)
            for base, adapter in ((old_base, old_adapter), (new_base, new_adapter))
        ]
        error, full = truncation_error(models[0], models[1], rows[:measure_rows], top_k, temperature, device)
        reports[0] = replace(reports[0], truncation_error=error, full_kl=full)
    return reports


def common_vocabulary(old_base: str | Path, new_base: str | Path, tokens: int) -> int:
    """Return how many tokens both bases score, from their configurations."""
    sizes = [AutoConfig.from_pretrained(str(b)).get_text_config().vocab_size for b in (old_base, new_base)]
    return shared_vocabulary(sizes[0], sizes[1], tokens)


def truncation_error(
    teacher: Teacher,
    student: Teacher,
    rows: Sequence[TokenRow],
    k: int,
    temperature: float,
    device: torch.device | str = "cpu",
) -> tuple[float, float]:
    """Measure what keeping K tokens of a teacher loses of the divergence a student sees.

    Formula: mean_i [ KL(p_i || q_i) - KL over K tokens and a bucket ], which is never negative

    Args:
        teacher: the one to be truncated, not truncated yet.
        student: whom it would teach.
        rows: at least one.
        k: how many tokens are kept.
        temperature: T > 0.
        device: of both.

    Returns:
        The error and the full divergence, both in nats a token.
    """
    lost, whole, count = 0.0, 0.0, 0
    with torch.no_grad():
        for start in range(0, len(rows), 4):
            batch = {n: t.to(device) for n, t in collate(rows[start : start + 4]).items()}
            targets_BT = next_token_targets(batch["labels"])
            targets_N = targets_BT[targets_BT != IGNORED]
            said: list[Any] = [teacher.tokens(batch), student.tokens(batch)]
            shared = min(tokens.head.vocabulary for tokens in said)
            for part in torch.arange(len(targets_N), device=targets_N.device).split(256):
                p, q = (tokens.head.cut(shared).logits(tokens.hidden_NH[part]) for tokens in said)
                kept = top_k_of(p, targets_N[part], min(k, shared), temperature)
                logq: Tensor = (q / temperature).log_softmax(-1)
                full = forward_kl(p, q, temperature).sum().item()
                lost += full - bucket_divergence(kept, slice(None), logq)[0].sum().item()
                whole += full
            count += len(targets_N)
    return max(0.0, lost / max(1, count)), whole / max(1, count)


def _live(base: str | Path, adapter: str | Path, dtype: str) -> LiveTeacher:
    return LiveTeacher(load_task_model(base, adapter, dtype))


def _report(name: str, store: TeacherStore, top_k: int | None) -> CacheReport:
    """Say what a store holds."""
    missing = store.missing()
    rest = None
    if top_k is not None and not missing:
        shares = [np.exp(store.read(store.rows_of(shard))["rest"]).sum() for shard in range(store.shards)]
        rest = float(sum(shares) / max(1, int(store.counts.sum())))
    return CacheReport(
        teacher=name,
        folder=store.folder,
        form="hidden" if top_k is None else "top_k",
        tokens=int(store.counts.sum()),
        bytes_per_token=store.bytes_per_token(),
        shards=store.shards,
        missing=len(missing),
        rest_share=rest,
    )
