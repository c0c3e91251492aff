"""Train a compatibility adapter: two teachers, chosen per token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from muscle_llm.distill.losses import compatibility_loss, next_token_targets
from muscle_llm.distill.masks import find_mask
from muscle_llm.errors import ConfigError
from muscle_llm.models import adapter_hash, check_adapter, load_adapted, load_base, load_tokenizer
from muscle_llm.tasks.example import Example
from muscle_llm.train.data import TokenRow
from muscle_llm.train.merged_lora import use_merged_forward
from muscle_llm.train.run import describe, prepare_rows, run_training
from muscle_llm.train.settings import TrainResult, TrainSettings
from muscle_llm.train.trainer import AdapterTrainer, evaluating, training_arguments, update_steps

__all__ = ["CompatTrainer", "check_same_tokenizer", "load_old_model", "load_student", "train_compat_adapter"]

NEW, COMPAT = "new", "compat"  # the two adapters on the new base


class CompatTrainer(AdapterTrainer):
    """Train the adapter ``compat`` to follow the old or the new task model, token by token.

    The new task model is the same base with the frozen adapter ``new``, so that only the old model takes
    extra memory. The teachers run first, without gradients; the student's adapter stays active from
    its forward pass to its backward pass.

    Args:
        model: the new base with the adapters ``new`` and ``compat``, the latter active and trainable.
        args: as :func:`training_arguments` makes them.
        old_model: the old task model, any causal model with the same vocabulary.
        mask: which teacher a token follows, a name in :data:`muscle_llm.distill.masks.MASKS`.
        temperature: T > 0, of both divergences.
        ce_weight: share of the cross-entropy in the loss, 0 to 1 (1 - lambda of eq. 5).
        train_rows: to learn from.
        eval_rows: to choose the epoch by; may be empty.
        training: the settings.
        base_name: recorded in the saved adapter.
        processing_class: the tokenizer.
        callbacks: of transformers' kind.

    Raises:
        ConfigError: an unknown mask, a temperature or a weight out of range.

    Source: paper, section 4.
    """

    def __init__(
        self,
        model: PeftModel,
        args: TrainingArguments,
        *,
        old_model: nn.Module,
        mask: str = "student_wrong",
        temperature: float = 2.0,
        ce_weight: float = 0.0,
        train_rows: Sequence[TokenRow],
        eval_rows: Sequence[TokenRow],
        training: TrainSettings,
        base_name: str,
        processing_class: PreTrainedTokenizerBase,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        check_loss_settings(mask, temperature, ce_weight)
        super().__init__(
            model,
            args,
            train_rows=train_rows,
            eval_rows=eval_rows,
            training=training,
            adapter_name=COMPAT,
            base_name=base_name,
            processing_class=processing_class,
            callbacks=callbacks,
        )
        self.old_model = old_model.to(args.device).eval().requires_grad_(False)
        self.mask, self.temperature, self.ce_weight = mask, temperature, ce_weight

    def teacher_logits(self, model: nn.Module, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return the old and the new task model's logits, both (B, T, V), without gradients."""
        peft_model = cast("PeftModel", self.accelerator.unwrap_model(model))
        with torch.no_grad(), evaluating(peft_model):
            old_BTV = self.old_model(input_ids=ids_BT).logits
            peft_model.set_adapter(NEW)
            new_BTV = peft_model(input_ids=ids_BT).logits
        peft_model.set_adapter(COMPAT)
        return old_BTV, new_BTV

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return eq. 1 (eq. 5 with cross-entropy) summed over this batch, over the accumulated tokens."""
        old_BTV, new_BTV = self.teacher_logits(model, inputs["input_ids"])
        student_BTV = model(input_ids=inputs["input_ids"]).logits
        targets_BT = next_token_targets(inputs["labels"])
        parts = compatibility_loss(
            student_BTV,
            old_BTV,
            new_BTV,
            targets_BT,
            mask=self.mask,
            temperature=self.temperature,
            ce_weight=self.ce_weight,
            token_count=None
            if num_items_in_batch is None
            else self.token_count(targets_BT, num_items_in_batch),
        )
        self.note(
            tokens=parts.tokens, old_share=parts.old_tokens, old_kl=parts.old_sum, new_kl=parts.new_sum
        )
        if parts.ce_sum is not None:
            self.note(ce=parts.ce_sum)
        return (parts.loss, {"logits": student_BTV}) if return_outputs else parts.loss


def check_loss_settings(mask: str, temperature: float, ce_weight: float) -> None:
    """Raise ConfigError for an unknown mask or a value out of range."""
    find_mask(mask)
    if not temperature > 0:
        raise ConfigError(f"The temperature must be above 0, not {temperature!r}.")
    if not 0 <= ce_weight <= 1:
        raise ConfigError(f"The weight of the cross-entropy must be between 0 and 1, not {ce_weight!r}.")


def check_same_tokenizer(
    old: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase, old_name: str, new_name: str
) -> None:
    """Raise ConfigError unless both tokenizers turn every text into the same tokens."""
    problem = None
    if old.get_vocab() != new.get_vocab():
        problem = f"their vocabularies differ ({len(old)} and {len(new)} tokens)"
    elif _tokenizer_rules(old) != _tokenizer_rules(new):
        problem = "they have the same vocabulary, but cut texts differently"
    elif old.eos_token_id != new.eos_token_id:
        problem = f"their end-of-sequence tokens differ ({old.eos_token!r} and {new.eos_token!r})"
    if problem is not None:
        raise ConfigError(
            f"The old base '{old_name}' and the new base '{new_name}' have different tokenizers: {problem}. "
            "A compatibility adapter compares them token by token and needs identical tokenizers."
        )


def _tokenizer_rules(tokenizer: PreTrainedTokenizerBase) -> Any:
    """Return how a tokenizer cuts texts, in comparable values; None where it does not say."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    rules = json.loads(backend.to_str())
    return {name: rules[name] for name in rules if name not in ("truncation", "padding")}


def load_old_model(base: str | Path, adapter: str | Path, dtype: str) -> nn.Module:
    """Load the old task model to teach with.

    In float32 the adapter is merged into the weights: the same values to rounding, in less time.
    """
    adapted = load_adapted(load_base(base, dtype=dtype), {"old": adapter})
    if next(adapted.parameters()).dtype != torch.float32:
        return adapted
    return cast("Any", adapted).merge_and_unload()


def load_student(base: str | Path, adapter: str | Path, dtype: str) -> PeftModel:
    """Load the new base with the task adapter twice: ``new`` frozen, ``compat`` active and trainable."""
    model = load_adapted(load_base(base, dtype=dtype), {NEW: adapter})
    model.load_adapter(str(adapter), adapter_name=COMPAT, is_trainable=True)
    model.set_adapter(COMPAT)
    use_merged_forward(model)
    return model


def _check_same_vocabulary(old: PreTrainedModel, new: PreTrainedModel) -> None:
    """Raise ConfigError unless both models score as many tokens."""
    if old.config.vocab_size != new.config.vocab_size:
        raise ConfigError(
            f"The old base scores {old.config.vocab_size} tokens, the new base {new.config.vocab_size}. "
            "Bases whose output layers are padded to different sizes cannot be used together yet."
        )


def train_compat_adapter(
    *,
    new_base: str | Path,
    new_adapter: str | Path,
    old_base: str | Path,
    old_adapter: str | Path,
    examples: Sequence[Example],
    output_dir: str | Path,
    mask: str = "student_wrong",
    temperature: float = 2.0,
    ce_weight: float = 0.0,
    training: TrainSettings | None = None,
    seed: int = 0,
    progress: bool = True,
) -> TrainResult:
    """Train a copy of ``new_adapter`` to follow the old task model where it is wrong.

    A run that was interrupted continues from its last checkpoint.

    Args:
        new_base: folder or hub name of the new base.
        new_adapter: the task adapter on it: the start of the student, and the second teacher.
        old_base: folder or hub name of the old base; it must have the same tokenizer.
        old_adapter: the task adapter on it.
        examples: the task's training text, the same that the task adapters learned from.
        output_dir: the adapter, ``training.json`` and, until it is done, ``checkpoints/`` go here.
        mask: which teacher a token follows, a name in :data:`muscle_llm.distill.masks.MASKS`.
        temperature: T > 0, of both divergences.
        ce_weight: share of the cross-entropy in the loss, 0 to 1.
        training: how to train (default: the paper's).
        seed: of the split and the order; give the task adapter's to hold out the same examples.
        progress: show a progress bar on stderr.

    Returns:
        What was left behind, and the validation cross-entropy per epoch.

    Raises:
        InputError: a base or the examples cannot be used.
        AdapterError: an adapter does not belong to its base.
        ConfigError: different tokenizers, an unknown mask, a value out of range.
        RunError: an unfinished training of other settings is in ``output_dir``, or the loss diverged.

    Source: paper, sections 4 and 5.
    """
    check_loss_settings(mask, temperature, ce_weight)
    training, folder = training or TrainSettings(), Path(output_dir)
    check_adapter(new_adapter, new_base)
    check_adapter(old_adapter, old_base)
    tokenizer = load_tokenizer(new_base)
    check_same_tokenizer(load_tokenizer(old_base), tokenizer, str(old_base), str(new_base))
    set_seed(seed)
    student = load_student(new_base, new_adapter, training.dtype)
    old_model = load_old_model(old_base, old_adapter, training.dtype)
    _check_same_vocabulary(cast("PreTrainedModel", old_model), cast("PreTrainedModel", student))
    train_rows, eval_rows = prepare_rows(examples, tokenizer, cast("Any", student), training, seed)
    arguments = training_arguments(
        training,
        output_dir=folder / "checkpoints",
        seed=seed,
        steps=update_steps(training, len(train_rows)),
        validated=bool(eval_rows),
    )
    trainer = CompatTrainer(
        student,
        arguments,
        old_model=old_model,
        mask=mask,
        temperature=temperature,
        ce_weight=ce_weight,
        train_rows=train_rows,
        eval_rows=eval_rows,
        training=training,
        base_name=str(new_base),
        processing_class=tokenizer,
    )
    description = {
        "seed": seed,
        "base_weights": describe(new_base),
        "new_adapter": adapter_hash(new_adapter),
        "old_base_weights": describe(old_base),
        "old_adapter": adapter_hash(old_adapter),
        "loss": {"mask": mask, "temperature": temperature, "ce_weight": ce_weight},
        "training": asdict(training),
    }
    title = f"compat ({mask})"
    return run_training(
        trainer, output_dir=folder, kind="compat", description=description, title=title, progress=progress
    )
