"""The trainer both kinds of adapter share: transformers' Trainer without what they do not need."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from muscle_llm.distill.losses import at_least_float32, next_token_targets
from muscle_llm.distill.masks import IGNORED
from muscle_llm.errors import RunError
from muscle_llm.files import atomic_write_text
from muscle_llm.models import ADAPTER_WEIGHTS, save_adapter
from muscle_llm.train.data import LengthGroupedBatches, TokenDataset, TokenRow, collate
from muscle_llm.train.settings import TrainSettings

__all__ = ["AdapterTrainer", "argument_values", "training_arguments", "update_steps"]

_COUNTERS = "counters.json"


def update_steps(training: TrainSettings, rows: int) -> int:
    """Return how many optimizer steps a training takes.

    Args:
        training: the settings.
        rows: examples in the training part.

    Example:
        >>> update_steps(TrainSettings(batch_size=2, gradient_accumulation=2, epochs=3), rows=9)
        9
    """
    if training.max_steps is not None:
        return training.max_steps
    batches = -(-rows // training.batch_size)
    return -(-batches // training.gradient_accumulation) * training.epochs


def argument_values(
    training: TrainSettings, *, output_dir: Path, seed: int, steps: int, validated: bool
) -> dict[str, Any]:
    """Say the settings in transformers' words: the arguments of ``TrainingArguments``.

    Args:
        training: the settings.
        output_dir: where the checkpoints go.
        seed: of everything random.
        steps: optimizer steps of the whole run.
        validated: whether there is a validation part.
    """
    values: dict[str, Any] = dict(
        output_dir=str(output_dir),
        run_name="/".join(output_dir.parts[-4:-1]),  # for logging integrations: the end of the adapter's path
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        num_train_epochs=training.epochs,
        max_steps=-1 if training.max_steps is None else training.max_steps,
        learning_rate=training.learning_rate,
        warmup_steps=min(training.warmup_steps, steps // 10),
        lr_scheduler_type=training.schedule if training.schedule != "constant" else "constant_with_warmup",
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        **_activation_checkpointing(training.gradient_checkpointing),
        seed=seed,
        data_seed=seed,
        eval_strategy="epoch" if validated else "no",
        metric_for_best_model="ce" if validated else None,
        greater_is_better=False if validated else None,
        save_strategy="epoch",
        save_total_limit=1,  # and the best one, which is never rotated out
        logging_strategy="steps",
        logging_steps=training.logging_steps,
        logging_nan_inf_filter=False,  # it waits for the device at every step; we check when logging
        disable_tqdm=True,
        report_to=list(training.report_to) or "none",
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        label_names=["labels"],
    )
    return values


def training_arguments(
    training: TrainSettings, *, output_dir: Path, seed: int, steps: int, validated: bool
) -> TrainingArguments:
    """Return transformers' arguments; those of :func:`argument_values`."""
    return TrainingArguments(
        **argument_values(training, output_dir=output_dir, seed=seed, steps=steps, validated=validated)
    )


def _activation_checkpointing(wanted: bool) -> dict[str, Any]:
    """Return the argument that trades time for memory, under the name this version of transformers knows."""
    names = {field.name for field in dataclasses.fields(TrainingArguments)}
    known = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    return {known: True} if wanted else {}


class _SaveEvery(TrainerCallback):
    """Ask for a checkpoint every so many steps, besides the one at every epoch's end."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if state.global_step % self.steps == 0:
            control.should_save = True
        return control


class _OrderOfEpoch(TrainerCallback):
    """Tell the batch order which epoch begins, also after a resume."""

    def __init__(self, batches: LengthGroupedBatches) -> None:
        self.batches = batches

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.batches.set_epoch(int(state.epoch or 0))


class AdapterTrainer(Trainer):
    """Train one adapter of a model by cross-entropy.

    Differs from transformers' Trainer in this: checkpoints hold the one adapter; batches follow
    :class:`LengthGroupedBatches`, so that a resumed run is the same as an uninterrupted one; the
    validation cross-entropy is the exact mean over tokens.

    Args:
        model: a base with adapters; ``adapter_name`` is active and the only trainable part.
        args: as :func:`training_arguments` makes them.
        train_rows: to learn from.
        eval_rows: to choose the epoch by; may be empty.
        adapter_name: the adapter to train and save.
        base_name: recorded in the saved adapter.
        processing_class: the tokenizer.
        group_by_length: batches of similar length.
        checkpoint_steps: also write a checkpoint every so many steps.
        callbacks: of transformers' kind.
    """

    def __init__(
        self,
        model: PeftModel,
        args: TrainingArguments,
        *,
        train_rows: Sequence[TokenRow],
        eval_rows: Sequence[TokenRow],
        adapter_name: str,
        base_name: str,
        processing_class: PreTrainedTokenizerBase,
        group_by_length: bool = True,
        checkpoint_steps: int | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        if args.n_gpu > 1:
            # Trainer would wrap the model in DataParallel, which neither teachers nor adapters follow.
            cast("Any", args)._n_gpu = 1
        super().__init__(
            model=model,
            args=args,
            data_collator=partial(collate, pad_token=cast("int", processing_class.pad_token_id or 0)),
            train_dataset=TokenDataset(train_rows),
            eval_dataset=TokenDataset(eval_rows),
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self.adapter_name = adapter_name
        self.base_name = base_name
        self.model_accepts_loss_kwargs = True  # compute_loss divides by the accumulated batch's token count
        self.trainable = [p for p in model.parameters() if p.requires_grad]
        self.batches = LengthGroupedBatches(
            [len(row.tokens) for row in train_rows],
            args.per_device_train_batch_size,
            seed=args.seed,
            grouped=group_by_length,
        )
        self.add_callback(_OrderOfEpoch(self.batches))
        if checkpoint_steps is not None:
            self.add_callback(_SaveEvery(checkpoint_steps))
        self.counters: dict[str, float] = {"tokens": 0, "seconds": 0.0}
        self.step_sums: dict[str, Tensor] = {}  # since the last log: what the progress and the log show
        self._started = time.monotonic()
        self._gradients_seen = False

    # --- data ---

    def get_train_dataloader(self) -> DataLoader:
        """Return batches of similar length in an order fixed by seed and epoch."""
        loader = DataLoader(
            cast("TokenDataset", self.train_dataset),
            batch_sampler=self.batches,
            collate_fn=cast("Any", self.data_collator),
            pin_memory=self.args.dataloader_pin_memory,
        )
        # Preparing splits the batches over processes; alone it only costs time.
        return loader if self.args.world_size == 1 else cast("DataLoader", self.accelerator.prepare(loader))

    def eval_batches(self) -> Iterator[dict[str, Tensor]]:
        """Yield the validation part in batches, longest rows first, on the device."""
        rows = sorted(
            cast("TokenDataset", self.eval_dataset).rows, key=lambda row: (-len(row.tokens), row.index)
        )
        for start in range(0, len(rows), self.args.eval_batch_size):
            batch = cast("Any", self.data_collator)(rows[start : start + self.args.eval_batch_size])
            yield {name: tensor.to(self.args.device) for name, tensor in batch.items()}

    # --- loss ---

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the cross-entropy summed over this batch, divided by the accumulated batch's tokens."""
        ce_sum = self.cross_entropy_sum(model, inputs)
        tokens = (next_token_targets(inputs["labels"]) != IGNORED).sum()
        self.note(tokens=tokens, ce=ce_sum)
        loss = ce_sum / self.token_count(tokens, num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def token_count(self, tokens: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor | float:
        """Return what to divide the summed loss by.

        The Trainer counts over all processes and gradients are averaged over them, hence the factor.
        """
        if num_items_in_batch is None:
            return tokens.clamp(min=1)
        return num_items_in_batch / self.args.world_size

    def note(self, **sums: Tensor) -> None:
        """Add a forward pass's sums to what the progress and the log show; waits for nothing."""
        for name, value in sums.items():
            value = value.detach()
            self.step_sums[name] = self.step_sums[name] + value if name in self.step_sums else value

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Do one forward and backward pass; on the first, make sure that gradients arrived."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not self._gradients_seen:
            # peft drops them silently when the adapter is switched between forward and backward
            if not self.trainable or any(p.grad is None for p in self.trainable):
                raise RunError(
                    f"No gradient reached all of the adapter '{self.adapter_name}'. It must stay the active "
                    "adapter from the student's forward to its backward pass, and every layer must be used."
                )
            self._gradients_seen = True
        return loss

    def cross_entropy_sum(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return the cross-entropy summed over a batch's trained tokens."""
        return functional.cross_entropy(
            at_least_float32(model(input_ids=batch["input_ids"]).logits).flatten(0, 1),
            next_token_targets(batch["labels"]).flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )

    # --- validation ---

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return and log the validation cross-entropy, in nats a token, exactly averaged over tokens."""
        model = cast("nn.Module", self.model)
        total, count = 0.0, 0
        with evaluating(model), torch.no_grad():
            for batch in self.eval_batches():
                total += self.cross_entropy_sum(model, batch).item()
                count += int((next_token_targets(batch["labels"]) != IGNORED).sum())
            cross_entropy = total / max(1, count)
            metrics = {"eval_ce": cross_entropy, **self.further_metrics(model, cross_entropy)}
        metrics["epoch"] = float(self.state.epoch or 0)
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def further_metrics(self, model: nn.Module, cross_entropy: float) -> dict[str, float]:
        """Return what else is known of the model at an evaluation; names begin with ``eval_``."""
        return {}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with the means over tokens of what was noted since; stop when they are not finite."""
        if "loss" in logs:
            logs = {**logs, **self.mean_sums()}
            self.step_sums_to_counters()
            if not all(value == value and abs(value) != float("inf") for value in logs.values()):
                raise RunError(
                    f"The loss is no longer a number at step {self.state.global_step}. "
                    "Lower the learning rate, or load the base in float32 or bfloat16."
                )
        super().log(logs, start_time)

    def mean_sums(self) -> dict[str, float]:
        """Return what was noted since the last log, a token each."""
        sums = {name: float(value) for name, value in self.step_sums.items()}
        tokens = max(1.0, sums.pop("tokens", 0.0))
        return {name: value / tokens for name, value in sums.items()}

    def step_sums_to_counters(self) -> None:
        """Count the tokens noted so far and begin anew."""
        if "tokens" in self.step_sums:
            self.counters["tokens"] += int(self.step_sums["tokens"])
        self.step_sums = {}

    def seconds(self) -> float:
        """Return the time trained so far, earlier parts of a resumed run included."""
        return self.counters["seconds"] + time.monotonic() - self._started

    # --- checkpoints: the one adapter, not the model ---

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        folder = Path(output_dir or cast("str", self.args.output_dir))
        save_adapter(cast("PeftModel", self.model), self.adapter_name, folder, base_name=self.base_name)
        tokens = self.counters["tokens"] + int(self.step_sums.get("tokens", torch.zeros(())))
        atomic_write_text(folder / _COUNTERS, json.dumps({"tokens": tokens, "seconds": self.seconds()}))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        state = load_file(folder / ADAPTER_WEIGHTS)
        set_peft_model_state_dict(cast("PeftModel", self.model), state, adapter_name=self.adapter_name)
        self.counters = json.loads((folder / _COUNTERS).read_text(encoding="utf-8"))
        self._started = time.monotonic()

    # --- what a small model would spend its time on ---

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: counting walks over all parameters at every step, and nobody reads it."""
        return 0

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        if self.args.world_size > 1 or self.is_deepspeed_enabled or self.is_fsdp_enabled:
            return cast("Tensor", super()._clip_grad_norm(model))
        return nn.utils.clip_grad_norm_(self.trainable, cast("float", self.args.max_grad_norm), foreach=True)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | None = None) -> Any:
        return grad_norm if grad_norm is None or not self.is_deepspeed_enabled else float(grad_norm)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode within a block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
