"""The two task models of an update, as a compatibility training needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedTokenizerBase

from muscle_llm.errors import ConfigError
from muscle_llm.models import load_adapted, load_base
from muscle_llm.train.merged_lora import use_merged_forward
from muscle_llm.train.teaching import tokenizer_hash

__all__ = ["COMPAT", "NEW", "check_same_tokenizer", "load_student", "load_task_model"]

NEW, COMPAT = "new", "compat"  # the two adapters on the new base


def check_same_tokenizer(
    old: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase, old_name: str, new_name: str
) -> None:
    """Raise ConfigError unless both tokenizers turn every text into the same tokens."""
    if tokenizer_hash(old) == tokenizer_hash(new):
        return
    problem = "they have the same vocabulary, but cut texts differently"
    if old.get_vocab() != new.get_vocab():
        problem = f"their vocabularies differ ({len(old)} and {len(new)} tokens)"
    elif old.eos_token_id != new.eos_token_id:
        problem = f"their end-of-sequence tokens differ ({old.eos_token!r} and {new.eos_token!r})"
    raise ConfigError(
        f"The old base '{old_name}' and the new base '{new_name}' have different tokenizers: {problem}. "
        "A compatibility adapter compares them token by token and needs identical tokenizers."
    )


def load_task_model(base: str | Path, adapter: str | Path, dtype: str) -> nn.Module:
    """Load a task model to teach with, frozen.

    In float32 the adapter is merged into the weights: the same values to rounding, in less time.
    """
    adapted = load_adapted(load_base(base, dtype=dtype), {"task": adapter})
    model = adapted
    if next(adapted.parameters()).dtype == torch.float32:
        model = cast("Any", adapted).merge_and_unload()
    model.config.use_cache = False
    return model.requires_grad_(False)


def load_student(base: str | Path, adapter: str | Path, dtype: str) -> PeftModel:
    """Load the new base with the task adapter twice: ``new`` frozen, ``compat`` active and trainable."""
    model = load_adapted(load_base(base, dtype=dtype), {NEW: adapter})
    model.load_adapter(str(adapter), adapter_name=COMPAT, is_trainable=True)
    model.set_adapter(COMPAT)
    model.config.use_cache = False
    use_merged_forward(model)
    return model
