"""Get the two teachers of a compatibility training ready: live, or read from a cache on disk."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from muscle_llm.distill.heads import Head
from muscle_llm.distill.store import TeacherStore, nearest_store, open_store, store_key
from muscle_llm.distill.teachers import (
    CachedHiddenTeacher,
    CachedTopKTeacher,
    LiveTeacher,
    Teacher,
    fill_store,
    hidden_record,
    top_k_record,
)
from muscle_llm.errors import ConfigError, InputError, RunError
from muscle_llm.files import atomic_path, atomic_write_text
from muscle_llm.models import adapter_hash, base_fingerprint
from muscle_llm.train.data import TokenRow, collate, data_hash
from muscle_llm.train.progress import counting_bar

__all__ = [
    "TEACHER_KINDS",
    "CacheSettings",
    "TeacherKind",
    "cached_teacher",
    "check_teacher_kind",
    "filled_store",
    "shared_vocabulary",
    "teacher_identity",
    "tokenizer_hash",
]

TeacherKind = Literal["cached", "top_k", "live", "plain"]
TEACHER_KINDS: tuple[TeacherKind, ...] = ("cached", "top_k", "live", "plain")

_LAYOUT = "layout.json"
_HEAD = "head.safetensors"
_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class CacheSettings:
    """What a cache of a teacher keeps.

    Args:
        folder: where caches are; each has a folder of its own in it, named by its content.
        top_k: keep so many likeliest tokens; None keeps the final hidden states, which is exact.
        temperature: of the loss; only a truncated cache depends on it.
        vocabulary: how many tokens old and new both score; only a truncated cache depends on it.
        fill: write what is missing; False makes that an error.
    """

    folder: Path
    top_k: int | None
    temperature: float
    vocabulary: int
    fill: bool = True


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 over a tokenizer's vocabulary and rules."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {}
    kept = {name: rules[name] for name in rules if name not in ("truncation", "padding")}
    text = json.dumps([sorted(tokenizer.get_vocab().items()), kept, tokenizer.eos_token_id], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def teacher_identity(base: str | Path, adapter: str | Path, dtype: str) -> dict[str, str]:
    """Say which model a teacher is, wherever its files lie."""
    return {"base": base_fingerprint(base) or str(base), "adapter": adapter_hash(adapter), "dtype": dtype}


def cached_teacher(
    *,
    identity: Mapping[str, str],
    live: Callable[[], LiveTeacher],
    rows: Sequence[TokenRow],
    tokenizer: PreTrainedTokenizerBase,
    settings: CacheSettings,
    device: torch.device,
    title: str,
    progress: bool,
) -> Teacher:
    """Return a teacher that reads from a cache, after filling in what the cache lacks.

    The model is only loaded when something is missing, and can be dropped afterwards.

    Args:
        identity: as :func:`teacher_identity` says it.
        live: loads the model.
        rows: that it is to be asked about.
        tokenizer: of the rows.
        settings: what to keep, and where.
        device: of the student.
        title: of the progress bar.
        progress: show one.

    Raises:
        InputError: the cache is damaged, was made for something else, or is not there and may not be made.
        RunError: there is not enough room on the disk.
    """
    store, layout = filled_store(
        identity=identity,
        live=live,
        rows=rows,
        tokenizer=tokenizer,
        settings=settings,
        device=device,
        title=title,
        progress=progress,
    )
    position_of_row = {row.index: position for position, row in enumerate(rows)}
    if settings.top_k is not None:
        return CachedTopKTeacher(store, position_of_row, device)
    return CachedHiddenTeacher(store, position_of_row, _read_head(store.folder, layout, device))


def filled_store(
    *,
    identity: Mapping[str, str],
    live: Callable[[], LiveTeacher],
    rows: Sequence[TokenRow],
    tokenizer: PreTrainedTokenizerBase,
    settings: CacheSettings,
    device: torch.device,
    title: str,
    progress: bool,
    rank: int = 0,
    processes: int = 1,
) -> tuple[TeacherStore, dict[str, Any]]:
    """Open a teacher's cache and fill in what it lacks; the arguments are those of :func:`cached_teacher`.

    Args:
        identity: as :func:`teacher_identity` says it.
        live: loads the model.
        rows: that it is to be asked about.
        tokenizer: of the rows.
        settings: what to keep, and where.
        device: where the batches go.
        title: of the progress bar.
        progress: show one.
        rank: of this process.
        processes: that fill the cache together; each fills its own shards only.

    Returns:
        The store, whole if this is the only process, and what is known of the model.
    """
    description = {
        "teacher": dict(identity),
        "data": data_hash(rows),
        "tokenizer": tokenizer_hash(tokenizer),
        "form": "hidden" if settings.top_k is None else "top_k",
        "top_k": settings.top_k,
        "temperature": None if settings.top_k is None else settings.temperature,
        "vocabulary": None if settings.top_k is None else settings.vocabulary,
    }
    folder = settings.folder / store_key(description)
    layout, loaded = _read_layout(folder), None
    if layout is None:
        if not settings.fill:
            raise _not_there(settings.folder, description, title)
        loaded = live()
        layout = _write_layout(folder, loaded.head(), settings)
    k = None if settings.top_k is None else min(settings.top_k, settings.vocabulary)
    record = (
        hidden_record(layout["width"], getattr(torch, layout["dtype"]))
        if k is None
        else top_k_record(k, settings.vocabulary)
    )
    store = open_store(folder, description, tokens_of_rows=[row.targets for row in rows], record=record)
    missing = store.missing(rank=rank, processes=processes)
    if missing and not settings.fill:
        raise InputError(
            f"{folder}: {len(missing)} of {store.shards} shards of this teacher cache are missing. "
            "Run 'muscle-llm teachers' with the same settings to write them."
        )
    if missing:
        _check_room(store, missing)
        tokens = sum(int(store.counts[store.rows_of(shard)].sum()) for shard in missing)
        with counting_bar(title, tokens, shown=progress) as advance:
            fill_store(
                store,
                loaded or live(),
                batches_of=lambda positions: _batches(rows, positions, device),
                top_k=k,
                temperature=settings.temperature,
                vocabulary=settings.vocabulary,
                on_tokens=advance,
                rank=rank,
                processes=processes,
            )
    return store, layout


def _not_there(folder: Path, description: Mapping[str, Any], title: str) -> InputError:
    """Return the error that a cache is wanted which is not there, with what the nearest one differs in."""
    found = nearest_store(folder, description)
    near = f"{folder} holds no teacher cache." if found is None else ""
    if found is not None:
        near = f"The nearest cache there, {found[0].name}, is of another {' and another '.join(found[1])}."
    return InputError(
        f"{folder}: no cache of the {title} for these data and settings. {near} Run 'muscle-llm teachers' "
        "with the same settings to write it."
    )


def shared_vocabulary(old_size: int, new_size: int, tokens: int) -> int:
    """Return how many tokens both models score.

    Raises:
        ConfigError: one of them scores fewer than the tokenizer has.

    Example:
        >>> shared_vocabulary(32_000, 32_064, 31_999)
        32000
    """
    if min(old_size, new_size) < tokens:
        raise ConfigError(
            f"The tokenizer has {tokens} tokens, but the old base scores {old_size} and the new base "
            f"{new_size}. Use bases that score every token of their tokenizer."
        )
    return min(old_size, new_size)


def _batches(
    rows: Sequence[TokenRow], positions: Sequence[int], device: torch.device
) -> Iterator[tuple[list[int], Mapping[str, Tensor]]]:
    """Yield rows in batches of similar length and at most so many tokens."""
    by_length = sorted(positions, key=lambda position: -len(rows[position].tokens))
    start = 0
    while start < len(by_length):
        size = max(1, _BATCH_TOKENS // len(rows[by_length[start]].tokens))
        chosen = by_length[start : start + size]
        batch = collate([rows[position] for position in chosen])
        yield chosen, {name: tensor.to(device) for name, tensor in batch.items()}
        start += size


def _read_layout(folder: Path) -> dict[str, Any] | None:
    """Return what is known of a cache's model, or None for a new cache."""
    file = folder / _LAYOUT
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: not valid JSON. Delete the folder '{folder}' to make it anew.") from error


def _write_layout(folder: Path, head: Head, settings: CacheSettings) -> dict[str, Any]:
    """Keep a teacher's head, so that its model need not be loaded again."""
    if settings.top_k is None:
        tensors = {"weight": head.weight_VH.cpu().contiguous()}
        if head.bias_V is not None:
            tensors["bias"] = head.bias_V.cpu().contiguous()
        with atomic_path(folder / _HEAD) as temporary:
            save_file(tensors, temporary)
    layout = {
        "width": head.weight_VH.shape[1],
        "dtype": str(head.weight_VH.dtype).removeprefix("torch."),
        "scale": head.scale,
        "cap": head.cap,
    }
    atomic_write_text(folder / _LAYOUT, json.dumps(layout))
    return layout


def _read_head(folder: Path, layout: Mapping[str, Any], device: torch.device) -> Head:
    """Return the head of a cached teacher."""
    try:
        tensors = load_file(folder / _HEAD, device=str(device))
        return Head(tensors["weight"], tensors.get("bias"), scale=layout["scale"], cap=layout["cap"])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{folder / _HEAD}: cannot be read. Delete the folder '{folder}'.") from error


def _check_room(store: TeacherStore, missing: Sequence[int]) -> None:
    """Raise RunError when the missing shards would not fit on the disk."""
    tokens = sum(int(store.counts[store.rows_of(shard)].sum()) for shard in missing)
    needed, free = tokens * store.bytes_per_token(), shutil.disk_usage(store.folder).free
    if needed > 0.95 * free:
        raise RunError(
            f"{store.folder}: the teacher cache needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free."
            " Choose another cache folder, teachers='top_k' (smaller) or teachers='live' (none)."
        )


def check_teacher_kind(kind: str) -> None:
    """Raise ConfigError for an unknown kind of teachers."""
    if kind not in TEACHER_KINDS:
        raise ConfigError(f"Teachers are one of {', '.join(TEACHER_KINDS)}, not {kind!r}.")
