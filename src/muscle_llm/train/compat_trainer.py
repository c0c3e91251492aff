"""The trainer of compatibility adapters, in the conventions of TRL.

trainer = CompatTrainer(
    model=new_task_model,                  # a PEFT model, or a plain one together with peft_config
    old_model=old_task_model,
    args=CompatConfig(output_dir="out", mask="student_wrong", selection="nfr"),
    train_dataset=train,                   # rows with prompt and completion
    eval_dataset=valid,
    processing_class=tokenizer,
)
trainer.train()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainingArguments

from muscle_llm.distill.fused import chunked_cross_entropy, fused_compatibility_loss
from muscle_llm.distill.heads import final_hidden, head_of
from muscle_llm.distill.losses import compatibility_loss, next_token_targets
from muscle_llm.distill.masks import IGNORED
from muscle_llm.distill.teachers import LiveTeacher, Teacher
from muscle_llm.errors import ConfigError, InputError
from muscle_llm.tasks.example import Example
from muscle_llm.train.data import TokenRow, tokenize
from muscle_llm.train.pairs import COMPAT, NEW
from muscle_llm.train.selection import (
    check_selection,
    flip_metrics,
    rows_right,
    selection_score,
)
from muscle_llm.train.settings import LossSettings
from muscle_llm.train.trainer import AdapterTrainer

__all__ = ["CompatConfig", "CompatTrainer", "prepare_student", "token_rows"]


@dataclass
class CompatConfig(TrainingArguments):
    """The arguments of a compatibility training: those of transformers, and these.

    Args:
        mask: which teacher a token follows, a name in :data:`muscle_llm.distill.masks.MASKS`.
        temperature: T > 0, divides both sides' logits.
        ce_weight: share of the cross-entropy in the loss, 0 to 1 (1 - lambda of eq. 5).
        divergence: a name in :data:`muscle_llm.distill.divergences.DIVERGENCES`.
        temperature_squared: multiply the divergences by T^2.
        plain_loss: compute the loss from full logits, in its reference form; both teachers must be live.
        selection: how the epoch is chosen, a name in :data:`muscle_llm.train.selection.SELECTIONS`.
        accuracy_loss: with ``nfr``: how much lower than the new task model's the accuracy may be, a share.
        validation_nfr: measure negative flips at each evaluation even where they do not decide.
        max_length: tokens of an example; longer prompts lose their beginning.
        train_on: ``all`` tokens (the paper's) or the ``completion`` only.
        append_eos: end every example with the end-of-sequence token.
        batches_by_length: batches of similar length, so that little padding is computed.
        checkpoint_steps: also write a checkpoint every so many steps.

    Raises:
        ConfigError: an unknown name, or a value out of range.

    Source: paper, eq. 1 and eq. 5.
    """

    mask: str = "student_wrong"
    temperature: float = 2.0
    ce_weight: float = 0.0
    divergence: str = "forward_kl"
    temperature_squared: bool = False
    plain_loss: bool = False
    selection: str = "cross_entropy"
    accuracy_loss: float = 0.0
    validation_nfr: bool = False
    max_length: int = 1024
    train_on: str = "all"
    append_eos: bool = True
    batches_by_length: bool = True
    checkpoint_steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_selection(self.selection, self.accuracy_loss)
        self.loss_settings()
        # which metric names the best checkpoint follows from the selection
        if self.eval_strategy != "no":
            self.metric_for_best_model = "score" if self.selection == "nfr" else "ce"
            self.greater_is_better = False
        self.label_names = ["labels"]
        self.remove_unused_columns = False

    def loss_settings(self) -> LossSettings:
        """Return the settings of the loss, checked."""
        return LossSettings(
            self.mask, self.temperature, self.ce_weight, self.divergence, self.temperature_squared
        )


def token_rows(
    dataset: Iterable[Any] | None, args: CompatConfig, tokenizer: PreTrainedTokenizerBase, first: int = 0
) -> list[TokenRow]:
    """Turn a data set into token rows.

    Args:
        dataset: token rows, examples, or mappings with ``prompt`` and ``completion`` (a ``Dataset``).
        args: how to cut texts.
        tokenizer: of the base.
        first: number of the first row.

    Raises:
        InputError: a row is none of these.
    """
    found = list(dataset or ())
    if all(isinstance(row, TokenRow) for row in found):
        return found
    examples = []
    for number, row in enumerate(found):
        if isinstance(row, Mapping) and isinstance(row.get("prompt"), str):
            completion = row.get("completion")
            if isinstance(completion, str):
                row = Example(str(row.get("id", number)), row["prompt"], completion)
        if not isinstance(row, Example):
            raise InputError(
                f"Row {number + 1} of the data set has no texts 'prompt' and 'completion'. Rename columns."
            )
        examples.append(row)
    rows = tokenize(
        examples, tokenizer, max_length=args.max_length, train_on=args.train_on, append_eos=args.append_eos
    )
    return [TokenRow(first + row.index, row.tokens, row.trained_from, row.completion_from) for row in rows]


def prepare_student(model: nn.Module, peft_config: LoraConfig | None) -> tuple[PeftModel, LiveTeacher]:
    """Return the student with its one trainable adapter ``compat``, and the new task model on the same base.

    Args:
        model: the new task model. With one adapter: the student starts as a copy of it. Without one: it is
            the new teacher as it is, and the student gets a new adapter of ``peft_config``.
        peft_config: shape of the new adapter; only for a model without one.

    Raises:
        ConfigError: the model has an adapter and ``peft_config`` is given, or neither.
    """
    if isinstance(model, PeftModel):
        if {NEW, COMPAT} <= model.peft_config.keys():
            return model, LiveTeacher(model, NEW, COMPAT)
        if peft_config is not None:
            raise ConfigError(
                "The new task model has an adapter already, whose shape the student takes over: leave out "
                "peft_config, or merge the adapter first (merge_and_unload)."
            )
        task = cast("str", model.active_adapter)
        model.add_adapter(COMPAT, model.peft_config[task])
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in parameters.items():
                if f".{COMPAT}." in name:
                    value.copy_(parameters[name.replace(f".{COMPAT}.", f".{task}.")])
        model.set_adapter(COMPAT)
        return model, LiveTeacher(model, task, COMPAT)
    if peft_config is None:
        raise ConfigError(
            "The new task model has no adapter: give peft_config, the shape of the compatibility adapter."
        )
    student = get_peft_model(cast("PreTrainedModel", model), peft_config, adapter_name=COMPAT)
    return cast("PeftModel", student), LiveTeacher(student, None, None, without_adapter=True)


class CompatTrainer(AdapterTrainer):
    """Train the adapter ``compat`` to follow the old or the new task model, token by token.

    Teachers speak before the student's forward pass, without gradients; the student's adapter stays active
    from its forward to its backward pass. The log has, a token each: ``old_share`` (tokens that follow the
    old model), ``old_kl``, ``new_kl`` and, where it is part of the loss, ``ce``. Evaluations have ``eval_ce``
    and, if asked for, ``eval_accuracy``, ``eval_nfr`` and ``eval_pfr`` over the held-out completions.

    Args:
        model: the new task model, as :func:`prepare_student` takes it.
        old_model: the old task model, or any teacher.
        args: the settings.
        train_dataset: to learn from, as :func:`token_rows` takes it.
        eval_dataset: to choose the epoch by; may be empty.
        processing_class: the tokenizer, the same for old and new.
        peft_config: shape of the adapter, for a model that has none.
        new_teacher: instead of the new task model in memory, for instance a cached one.
        old_right: row -> whether the old task model has it right, for the validation NFR; by default it is
            asked, if it is a model in memory.
        instance_weights: weight of a row of ``train_dataset``, by its number; 1 where not given.
        base_name: recorded in the saved adapter; by default the model's own name.
        callbacks: of transformers' kind.

    Raises:
        ConfigError: the model and ``peft_config`` do not go together, or the NFR cannot be measured.

    Source: paper, section 4.
    """

    args: CompatConfig

    def __init__(
        self,
        model: nn.Module,
        old_model: nn.Module | Teacher,
        args: CompatConfig,
        train_dataset: Iterable[Any],
        eval_dataset: Iterable[Any] | None = None,
        *,
        processing_class: PreTrainedTokenizerBase,
        peft_config: LoraConfig | None = None,
        new_teacher: Teacher | None = None,
        old_right: Mapping[int, bool] | None = None,
        instance_weights: Mapping[int, float] | None = None,
        base_name: str | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        student, self.new_live = prepare_student(model, peft_config)
        cast("Any", student).config.use_cache = False
        train_rows = token_rows(train_dataset, args, processing_class)
        eval_rows = token_rows(eval_dataset, args, processing_class, first=len(train_rows))
        super().__init__(
            student,
            args,
            train_rows=train_rows,
            eval_rows=eval_rows,
            adapter_name=COMPAT,
            base_name=base_name or str(cast("Any", student).config.name_or_path),
            processing_class=processing_class,
            group_by_length=args.batches_by_length,
            checkpoint_steps=args.checkpoint_steps,
            callbacks=callbacks,
        )
        self.old = LiveTeacher(old_model) if isinstance(old_model, nn.Module) else old_model
        self.new = self.new_live if new_teacher is None else new_teacher
        self.loss_options = args.loss_settings()
        self.instance_weights = instance_weights
        self.validation, self.eos = eval_rows, cast("int | None", processing_class.eos_token_id)
        self.old_right = old_right
        self.accuracy_floor: float | None = None
        if self.measures_flips and old_right is None and not isinstance(self.old, LiveTeacher):
            raise ConfigError(
                "The validation NFR needs the old task model in memory, or old_right, what it has right."
            )

    @property
    def measures_flips(self) -> bool:
        """Whether evaluations count negative flips."""
        return bool(self.validation) and (self.args.validation_nfr or self.args.selection == "nfr")

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
        loss = self.loss_options
        shared: dict[str, Any] = {
            "mask": loss.mask,
            "divergence": loss.divergence,
            "temperature": loss.temperature,
            "temperature_squared": loss.temperature_squared,
            "ce_weight": loss.ce_weight,
            "token_count": count,
            "instance_weights_B": self._weights(inputs["row"]),
        }
        if self.args.plain_loss:
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
        if self.args.plain_loss:
            return super().cross_entropy_sum(model, batch)
        targets_BT = next_token_targets(batch["labels"])
        valid_BT = targets_BT != IGNORED
        hidden_NH = final_hidden(model, batch["input_ids"])[valid_BT]
        head = head_of(self.accelerator.unwrap_model(model))
        return chunked_cross_entropy(hidden_NH, head, targets_BT[valid_BT])

    # --- negative flips on the validation part ---

    def rows_right(self, model: nn.Module) -> dict[int, bool]:
        """Tell of each validation row whether a model's greedy decoding would give its completion."""
        return rows_right(
            model, self.validation, self.eos, self.args.per_device_eval_batch_size, plain=self.args.plain_loss
        )

    def further_metrics(self, model: nn.Module, cross_entropy: float) -> dict[str, float]:
        """Return accuracy, NFR and PFR against the old task model, and the score the epoch is chosen by."""
        if not self.measures_flips:
            return {}
        if self.old_right is None:
            with cast("LiveTeacher", self.old).teaching() as old:
                self.old_right = self.rows_right(old)
        if self.accuracy_floor is None:
            with self.new_live.teaching() as new:
                self.accuracy_floor = self._accuracy(self.rows_right(new)) - self.args.accuracy_loss
        right = self.rows_right(model)
        flips = flip_metrics(self.old_right, right)
        if not flips:
            raise ConfigError("The validation NFR cannot be measured: no validation row has a completion.")
        score = selection_score(
            flips["nfr"], flips["accuracy"], self.accuracy_floor, cross_entropy, len(right)
        )
        return {**{f"eval_{name}": value for name, value in flips.items()}, "eval_score": score}

    def _accuracy(self, right: Mapping[int, bool]) -> float:
        return sum(right.values()) / max(1, len(right))

    def _weights(self, row_B: Tensor) -> Tensor | None:
        """Return the weights of a batch's rows."""
        if self.instance_weights is None:
            return None
        weights = [self.instance_weights.get(row, 1.0) for row in row_B.tolist()]
        return torch.tensor(weights, device=row_B.device)
