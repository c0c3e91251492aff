"""Train a compatibility adapter: two teachers, chosen per token."""

from __future__ import annotations

import functools
import gc
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from torch import nn
from transformers import AutoConfig, PreTrainedTokenizerBase, set_seed

from muscle_llm.distill.heads import check_head, head_of
from muscle_llm.distill.store import store_key
from muscle_llm.distill.teachers import CachedHiddenTeacher, LiveTeacher, Teacher
from muscle_llm.errors import ConfigError
from muscle_llm.files import atomic_write_text
from muscle_llm.models import adapter_hash, check_adapter, load_tokenizer
from muscle_llm.tasks.example import Example
from muscle_llm.train.compat_trainer import CompatConfig, CompatTrainer
from muscle_llm.train.data import TokenRow, collate, data_hash
from muscle_llm.train.pairs import COMPAT, NEW, check_same_tokenizer, load_student, load_task_model
from muscle_llm.train.run import describe, prepare_rows, replayed_rows, run_training
from muscle_llm.train.selection import check_selection, rows_right
from muscle_llm.train.settings import LossSettings, TrainResult, TrainSettings
from muscle_llm.train.teaching import (
    CacheSettings,
    cached_teacher,
    check_teacher_kind,
    shared_vocabulary,
    teacher_identity,
)
from muscle_llm.train.trainer import argument_values, update_steps

__all__ = ["train_compat_adapter"]


def train_compat_adapter(
    *,
    new_base: str | Path,
    new_adapter: str | Path,
    old_base: str | Path,
    old_adapter: str | Path,
    examples: Sequence[Example],
    replay: Sequence[Example] = (),
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
    fill_cache: bool = True,
    selection: str = "cross_entropy",
    accuracy_loss: float = 0.0,
    validation_nfr: bool = False,
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
        replay: further prompts with the old task model's answers, learned from in the same number of steps;
            none of them is held out.
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
        fill_cache: write what the caches lack; False makes that an error.
        selection: how the epoch is chosen, a name in :data:`muscle_llm.train.selection.SELECTIONS`.
        accuracy_loss: with ``nfr``: how much lower than the new task model's the accuracy on the validation
            part may be, a share.
        validation_nfr: measure negative flips after each epoch even where they do not decide.
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
    check_selection(selection, accuracy_loss)
    training, folder = training or TrainSettings(), Path(output_dir)
    sides = _Sides(
        new_base, new_adapter, old_base, old_adapter, training.dtype, full_logits=teachers == "plain"
    )
    tokenizer = sides.checked_tokenizer()
    set_seed(seed)
    student = load_student(new_base, new_adapter, training.dtype)
    config = cast("Any", student).config
    train_rows, eval_rows = prepare_rows(examples, tokenizer, config, training, seed)
    steps = update_steps(training, len(train_rows))
    if replay:
        training = replace(training, max_steps=steps)
        train_rows += replayed_rows(replay, tokenizer, config, training, first=len(examples))
    sides.check_head(student, train_rows)
    measured = validation_nfr or selection == "nfr"
    if measured and not eval_rows:
        raise ConfigError("Negative flips are counted on a validation part: set validation_share above 0.")

    @functools.cache
    def old_live() -> LiveTeacher:
        return sides.load_old(train_rows)

    cache = CacheSettings(
        Path(cache_dir) if cache_dir is not None else folder / "teachers",
        top_k if teachers == "top_k" else None,
        temperature,
        vocabulary=0,
        fill=fill_cache,
    )
    old_right = _known_right(cache.folder, sides, eval_rows, tokenizer, old_live) if measured else None
    old, new = _teachers(teachers, student, old_live, sides, train_rows, tokenizer, cache, progress)
    if not isinstance(old, LiveTeacher):
        old_live.cache_clear()
        gc.collect()  # the old model, if it was loaded, is no longer needed
    values = argument_values(
        training,
        output_dir=folder / "checkpoints",
        seed=seed,
        steps=steps,
        validated=bool(eval_rows),
    )
    trainer = CompatTrainer(
        student,
        old,
        CompatConfig(
            **values,
            **asdict(loss),
            plain_loss=teachers == "plain",
            selection=selection,
            accuracy_loss=accuracy_loss,
            validation_nfr=validation_nfr,
            batches_by_length=training.group_by_length,
            checkpoint_steps=training.checkpoint_steps,
        ),
        train_rows,
        eval_rows,
        processing_class=tokenizer,
        new_teacher=new,
        old_right=old_right,
        instance_weights=_by_row(instance_weights, examples),
        base_name=str(new_base),
    )
    result = run_training(
        trainer,
        output_dir=folder,
        kind="compat",
        description={
            "seed": seed,
            **sides.description(),
            "loss": asdict(loss),
            "selection": {"by": selection, "accuracy_loss": accuracy_loss, "validation_nfr": validation_nfr},
            "teachers": teachers if teachers != "top_k" else f"top_k:{top_k}",
            "instance_weights": instance_weights if instance_weights is None else dict(instance_weights),
            "training": asdict(training),
            "replay": len(replay),
        },
        title=f"compat ({mask})",
        progress=progress,
    )
    if cache_dir is None and (folder / "teachers").exists():
        shutil.rmtree(folder / "teachers")
    return result


@dataclass(frozen=True)
class _Sides:
    """Both versions: bases and task adapters."""

    new_base: str | Path
    new_adapter: str | Path
    old_base: str | Path
    old_adapter: str | Path
    dtype: str
    full_logits: bool

    def checked_tokenizer(self) -> PreTrainedTokenizerBase:
        """Return the tokenizer after making sure that adapters and bases belong together."""
        check_adapter(self.new_adapter, self.new_base)
        check_adapter(self.old_adapter, self.old_base)
        tokenizer = load_tokenizer(self.new_base)
        check_same_tokenizer(load_tokenizer(self.old_base), tokenizer, str(self.old_base), str(self.new_base))
        return tokenizer

    def check_head(self, model: nn.Module, rows: Sequence[TokenRow]) -> None:
        """Make sure that hidden states and output layer give the model's own logits, where they are used."""
        if not self.full_logits:
            check_head(model, collate(rows[:1])["input_ids"].to(next(model.parameters()).device))

    def load_old(self, rows: Sequence[TokenRow]) -> LiveTeacher:
        """Load the old task model."""
        model = load_task_model(self.old_base, self.old_adapter, self.dtype)
        self.check_head(model, rows)
        return LiveTeacher(model)

    def old_identity(self) -> dict[str, str]:
        return teacher_identity(self.old_base, self.old_adapter, self.dtype)

    def new_identity(self) -> dict[str, str]:
        return teacher_identity(self.new_base, self.new_adapter, self.dtype)

    def description(self) -> dict[str, str]:
        """Say which models these are, for the record of the run."""
        return {
            "base_weights": describe(self.new_base),
            "new_adapter": adapter_hash(self.new_adapter),
            "old_base_weights": describe(self.old_base),
            "old_adapter": adapter_hash(self.old_adapter),
        }


def _by_row(weights: Mapping[str, float] | None, examples: Sequence[Example]) -> dict[int, float] | None:
    """Turn weights by example id into weights by row index."""
    if weights is None:
        return None
    return {index: weights[e.id] for index, e in enumerate(examples) if e.id in weights}


def _known_right(
    folder: Path,
    sides: _Sides,
    rows: Sequence[TokenRow],
    tokenizer: PreTrainedTokenizerBase,
    live: Callable[[], LiveTeacher],
) -> dict[int, bool]:
    """Tell which validation rows the old task model has right; asked once, then kept beside the caches."""
    file = folder / f"right-{store_key({'teacher': sides.old_identity(), 'data': data_hash(rows)})}.json"
    if file.is_file():
        try:
            return {int(row): bool(said) for row, said in json.loads(file.read_text("utf-8")).items()}
        except (ValueError, AttributeError):
            pass  # cut off: ask again
    with live().teaching() as model:
        found = rows_right(model, rows, cast("int | None", tokenizer.eos_token_id), plain=sides.full_logits)
    atomic_write_text(file, json.dumps(found))
    return found


def _teachers(
    kind: str,
    student: PeftModel,
    old_live: Callable[[], LiveTeacher],
    sides: _Sides,
    rows: Sequence[TokenRow],
    tokenizer: PreTrainedTokenizerBase,
    cache: CacheSettings,
    progress: bool,
) -> tuple[Teacher, Teacher]:
    """Return the old and the new teacher; cached ones leave no second model in memory."""

    def new_live() -> LiveTeacher:
        return LiveTeacher(student, adapter=NEW, student_adapter=COMPAT)

    if kind in ("live", "plain"):
        return old_live(), new_live()
    if cache.top_k is not None:
        sizes = [
            AutoConfig.from_pretrained(str(base)).get_text_config().vocab_size
            for base in (sides.old_base, sides.new_base)
        ]
        cache = replace(cache, vocabulary=shared_vocabulary(sizes[0], sizes[1], len(tokenizer)))
    made = [
        cached_teacher(
            identity=identity,
            live=live,
            rows=rows,
            tokenizer=tokenizer,
            settings=cache,
            device=student.device,
            title=f"{name} teacher",
            progress=progress,
        )
        for name, identity, live in (
            ("old", sides.old_identity(), old_live),
            ("new", sides.new_identity(), new_live),
        )
    ]
    _share_head(made[1], student)
    return made[0], made[1]


def _share_head(teacher: Teacher, student: PeftModel) -> None:
    """Let the new teacher use the student's own output layer where it is the same: one matrix less."""
    own = head_of(student)
    if not isinstance(teacher, CachedHiddenTeacher) or own.weight_VH.requires_grad:
        return
    said = teacher.head
    if own.bias_V is None and said.bias_V is None and torch.equal(own.weight_VH, said.weight_VH):
        teacher.head = replace(said, weight_VH=own.weight_VH)
