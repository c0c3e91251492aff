"""Train a compatibility adapter: two teachers, chosen per token."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedTokenizerBase, TrainerCallback, TrainingArguments, set_seed

from muscle_llm.distill.fused import chunked_cross_entropy, fused_compatibility_loss
from muscle_llm.distill.heads import check_head, final_hidden, head_of
from muscle_llm.distill.losses import compatibility_loss, next_token_targets
from muscle_llm.distill.masks import IGNORED
from muscle_llm.distill.teachers import LiveTeacher, Teacher
from muscle_llm.errors import ConfigError
from muscle_llm.models import adapter_hash, check_adapter, load_adapted, load_base, load_tokenizer
from muscle_llm.tasks.example import Example
from muscle_llm.train.data import TokenRow, collate
from muscle_llm.train.merged_lora import use_merged_forward
from muscle_llm.train.run import describe, prepare_rows, run_training
from muscle_llm.train.settings import LossSettings, TrainResult, TrainSettings
from muscle_llm.train.teaching import (
    CacheSettings,
    cached_teacher,
    check_teacher_kind,
    shared_vocabulary,
    teacher_identity,
    tokenizer_hash,
)
from muscle_llm.train.trainer import AdapterTrainer, training_arguments, update_steps

__all__ = ["CompatTrainer", "check_same_tokenizer", "load_old_model", "load_student", "train_compat_adapter"]

NEW, COMPAT = "new", "compat"  # the two adapters on the new base


class CompatTrainer(AdapterTrainer):
    """Train the adapter ``compat`` to follow the old or the new task model, token by token.

    The new task model is the same base with the frozen adapter ``new``. Teachers speak before the
    student's forward pass, without gradients; the student's adapter stays active from its forward to
    its backward pass.

    Args:
        model: the new base with the adapters ``new`` and ``compat``, the latter active and trainable.
        args: as :func:`training_arguments` makes them.
        old: the old task model.
        new: the new task model.
        loss: the loss settings.
        plain: compute the loss from full logits, in its reference form; both teachers must be live.
        instance_weights: weight of a row, by its index; 1 where not given.
        train_rows: to learn from.
        eval_rows: to choose the epoch by; may be empty.
        training: the settings.
        base_name: recorded in the saved adapter.
        processing_class: the tokenizer.
        callbacks: of transformers' kind.

    Source: paper, section 4.
    """

    def __init__(
        self,
        model: PeftModel,
        args: TrainingArguments,
        *,
        old: Teacher,
        new: Teacher,
        loss: LossSettings,
        plain: bool = False,
        instance_weights: Mapping[int, float] | None = None,
        train_rows: Sequence[TokenRow],
        eval_rows: Sequence[TokenRow],
        training: TrainSettings,
        base_name: str,
        processing_class: PreTrainedTokenizerBase,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
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
        self.old, self.new, self.loss, self.plain = old, new, loss, plain
        self.instance_weights = instance_weights

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return eq. 1 (eq. 5 with cross-entropy) summed over this batch, over the accumulated tokens."""
        targets_BT = next_token_targets(inputs["labels"])
        count = None if num_items_in_batch is None else self.token_count(targets_BT, num_items_in_batch)
        shared: dict[str, Any] = {
            **asdict(self.loss),
            "token_count": count,
            "instance_weights_B": self._weights(inputs["row"]),
        }
        if self.plain:
            assert isinstance(self.old, LiveTeacher)
            assert isinstance(self.new, LiveTeacher)
            old_BTV, new_BTV = self.old.logits(inputs), self.new.logits(inputs)
            student_BTV = model(input_ids=inputs["input_ids"]).logits
            parts = compatibility_loss(student_BTV, old_BTV, new_BTV, targets_BT, **shared)
        else:
            old_tokens, new_tokens = self.old.tokens(inputs), self.new.tokens(inputs)
            hidden_BTH = final_hidden(model, inputs["input_ids"])
            head = head_of(self.accelerator.unwrap_model(model))
            parts = fused_compatibility_loss(hidden_BTH, head, old_tokens, new_tokens, targets_BT, **shared)
        self.note(tokens=parts.tokens, old_share=parts.old_tokens, old_kl=parts.old_sum, new_kl=parts.new_sum)
        if parts.ce_sum is not None:
            self.note(ce=parts.ce_sum)
        return (parts.loss, {}) if return_outputs else parts.loss

    def cross_entropy_sum(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the cross-entropy summed over a batch's trained tokens, without its logits at once."""
        if self.plain:
            return super().cross_entropy_sum(model, batch)
        targets_BT = next_token_targets(batch["labels"])
        valid_BT = targets_BT != IGNORED
        hidden_NH = final_hidden(model, batch["input_ids"])[valid_BT]
        head = head_of(self.accelerator.unwrap_model(model))
        return chunked_cross_entropy(hidden_NH, head, targets_BT[valid_BT])

    def _weights(self, row_B: Tensor) -> Tensor | None:
        """Return the weights of a batch's rows."""
        if self.instance_weights is None:
            return None
        weights = [self.instance_weights.get(row, 1.0) for row in row_B.tolist()]
        return torch.tensor(weights, device=row_B.device)


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


def load_old_model(base: str | Path, adapter: str | Path, dtype: str) -> nn.Module:
    """Load the old task model to teach with, frozen.

    In float32 the adapter is merged into the weights: the same values to rounding, in less time.
    """
    adapted = load_adapted(load_base(base, dtype=dtype), {"old": adapter})
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
    divergence: str = "forward_kl",
    temperature_squared: bool = False,
    instance_weights: Mapping[str, float] | None = None,
    teachers: str = "cached",
    cache_dir: str | Path | None = None,
    top_k: int = 64,
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
        divergence: a name in :data:`muscle_llm.distill.divergences.DIVERGENCES`.
        temperature_squared: multiply the divergences by T^2 (the paper does not).
        instance_weights: weight of an example, by its id; 1 where not given.
        teachers: ``cached`` reads the teachers' final hidden states from disk, where they are put
            first: exact, and neither teacher runs more than once; ``top_k`` keeps their likeliest tokens
            only: small, not exact; ``live`` runs both at every step; ``plain`` does so with full logits.
        cache_dir: where the caches are and stay, to be shared by several trainings; by default they go
            to ``output_dir/teachers`` and are deleted at the end.
        top_k: how many tokens ``top_k`` keeps.
        training: how to train (default: the paper's).
        seed: of the split and the order; give the task adapter's to hold out the same examples.
        progress: show a progress bar on stderr.

    Returns:
        What was left behind, and the validation cross-entropy per epoch.

    Raises:
        InputError: a base, the examples or a cache cannot be used.
        AdapterError: an adapter does not belong to its base.
        ConfigError: different tokenizers, an unknown name, a value out of range.
        RunError: an unfinished training of other settings is in ``output_dir``, or the loss diverged.

    Source: paper, sections 4 and 5.
    """
    loss = LossSettings(mask, temperature, ce_weight, divergence, temperature_squared)
    check_teacher_kind(teachers)
    training, folder = training or TrainSettings(), Path(output_dir)
    check_adapter(new_adapter, new_base)
    check_adapter(old_adapter, old_base)
    tokenizer = load_tokenizer(new_base)
    check_same_tokenizer(load_tokenizer(old_base), tokenizer, str(old_base), str(new_base))
    set_seed(seed)
    student = load_student(new_base, new_adapter, training.dtype)
    train_rows, eval_rows = prepare_rows(examples, tokenizer, cast("Any", student), training, seed)
    if teachers != "plain":
        check_head(student, collate(train_rows[:1])["input_ids"].to(student.device))
    old, new = _teachers(
        teachers,
        student,
        new=(new_base, new_adapter),
        old=(old_base, old_adapter),
        rows=train_rows,
        tokenizer=tokenizer,
        dtype=training.dtype,
        cache=CacheSettings(
            Path(cache_dir) if cache_dir is not None else folder / "teachers",
            top_k if teachers == "top_k" else None,
            temperature,
            vocabulary=0,
        ),
        progress=progress,
    )
    trainer = CompatTrainer(
        student,
        training_arguments(
            training,
            output_dir=folder / "checkpoints",
            seed=seed,
            steps=update_steps(training, len(train_rows)),
            validated=bool(eval_rows),
        ),
        old=old,
        new=new,
        loss=loss,
        plain=teachers == "plain",
        instance_weights=_by_row(instance_weights, examples),
        train_rows=train_rows,
        eval_rows=eval_rows,
        training=training,
        base_name=str(new_base),
        processing_class=tokenizer,
    )
    result = run_training(
        trainer,
        output_dir=folder,
        kind="compat",
        description={
            "seed": seed,
            "base_weights": describe(new_base),
            "new_adapter": adapter_hash(new_adapter),
            "old_base_weights": describe(old_base),
            "old_adapter": adapter_hash(old_adapter),
            "loss": asdict(loss),
            "teachers": teachers if teachers != "top_k" else f"top_k:{top_k}",
            "instance_weights": instance_weights if instance_weights is None else dict(instance_weights),
            "training": asdict(training),
        },
        title=f"compat ({mask})",
        progress=progress,
    )
    if cache_dir is None and (folder / "teachers").exists():
        shutil.rmtree(folder / "teachers")
    return result


def _by_row(weights: Mapping[str, float] | None, examples: Sequence[Example]) -> dict[int, float] | None:
    """Turn weights by example id into weights by row index."""
    if weights is None:
        return None
    return {index: weights[e.id] for index, e in enumerate(examples) if e.id in weights}


def _teachers(
    kind: str,
    student: PeftModel,
    *,
    new: tuple[str | Path, str | Path],
    old: tuple[str | Path, str | Path],
    rows: Sequence[TokenRow],
    tokenizer: PreTrainedTokenizerBase,
    dtype: str,
    cache: CacheSettings,
    progress: bool,
) -> tuple[Teacher, Teacher]:
    """Return the old and the new teacher; cached ones leave no second model in memory."""

    def old_live() -> LiveTeacher:
        model = load_old_model(*old, dtype)
        if kind != "plain":
            check_head(model, collate(rows[:1])["input_ids"].to(next(model.parameters()).device))
        return LiveTeacher(model)

    def new_live() -> LiveTeacher:
        return LiveTeacher(student, adapter=NEW, student_adapter=COMPAT)

    if kind in ("live", "plain"):
        return old_live(), new_live()
    if cache.top_k is not None:
        sizes = [AutoConfig.from_pretrained(str(base)).get_text_config().vocab_size for base, _ in (old, new)]
        cache = replace(cache, vocabulary=shared_vocabulary(sizes[0], sizes[1], len(tokenizer)))
    made = [
        cached_teacher(
            identity=teacher_identity(*model, dtype),
            live=live,
            rows=rows,
            tokenizer=tokenizer,
            settings=cache,
            device=student.device,
            title=f"{name} teacher",
            progress=progress,
        )
        for name, model, live in (("old", old, old_live), ("new", new, new_live))
    ]
    gc.collect()  # the old model, if it was loaded, is no longer needed
    return made[0], made[1]
