"""Bases and adapters: loading, checking that they fit, several adapters on one base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["adapter_hash", "check_adapter", "load_adapted", "load_base", "load_tokenizer"]


def load_tokenizer(name: str | Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a base."""
    raise NotImplementedError


def load_base(
    name: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load a causal language model from safetensors."""
    raise NotImplementedError


def load_adapted(base: PreTrainedModel, adapters: Mapping[str, str | Path]) -> PeftModel:
    """Put adapters, by name, on a loaded base; the first becomes active."""
    raise NotImplementedError


def check_adapter(path: str | Path, base: str | Path | PreTrainedModel) -> None:
    """Raise AdapterError when the adapter does not fit the base."""
    raise NotImplementedError


def adapter_hash(path: str | Path) -> str:
    """Return the SHA-256 over an adapter's configuration and weights."""
    raise NotImplementedError
