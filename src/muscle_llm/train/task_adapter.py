"""Train a task adapter: plain LoRA fine-tuning of one base on one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel, set_seed
from transformers.pytorch_utils import Conv1D

from muscle_llm.models import adapter_hash, check_adapter, load_base, load_tokenizer
from muscle_llm.tasks.example import Example
from muscle_llm.train.merged_lora import use_merged_forward
from muscle_llm.train.run import describe, prepare_rows, run_training
from muscle_llm.train.settings import LoraSettings, TrainResult, TrainSettings
from muscle_llm.train.trainer import AdapterTrainer, training_arguments, update_steps

__all__ = ["linear_layers", "new_adapter_config", "train_task_adapter"]

_NAME = "default"


def linear_layers(model: PreTrainedModel) -> list[str]:
    """Return the short names of all linear layers but the output head, sorted.

    The names are written out, not left as ``all-linear``, since inference servers match them.
    """
    head = model.get_output_embeddings()
    return sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear | Conv1D) and module is not head
        }
    )


def new_adapter_config(model: PreTrainedModel, lora: LoraSettings) -> LoraConfig:
    """Say the shape of a new adapter in peft's words."""
    named = lora.target_modules
    targets = (
        linear_layers(model) if named == "all-linear" else [named] if isinstance(named, str) else list(named)
    )
    return LoraConfig(
        r=lora.rank,
        lora_alpha=int(lora.alpha) if float(lora.alpha).is_integer() else lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )


def train_task_adapter(
    *,
    base: str | Path,
    examples: Sequence[Example],
    output_dir: str | Path,
    lora: LoraSettings | None = None,
    training: TrainSettings | None = None,
    seed: int = 0,
    init_adapter: str | Path | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a LoRA adapter on ``base`` by cross-entropy, or continue one.

    Continuing the new task adapter for as many steps as a remedy takes is the control every remedy
    is compared with. A run that was interrupted continues from its last checkpoint.

    Args:
        base: folder or hub name of the base.
        examples: what to learn; split into a training and a validation part by ``seed``.
        output_dir: the adapter, ``training.json`` and, until it is done, ``checkpoints/`` go here.
        lora: shape of the adapter (default: the paper's); not used with ``init_adapter``.
        training: how to train (default: the paper's).
        seed: of the adapter's first values, the split and the order.
        init_adapter: continue this adapter instead of starting a new one.
        progress: show a progress bar on stderr.

    Returns:
        What was left behind, and the validation cross-entropy per epoch.

    Raises:
        InputError: the base or the examples cannot be used.
        AdapterError: ``init_adapter`` does not belong to ``base``.
        RunError: an unfinished training of other settings is in ``output_dir``, or the loss diverged.

    Source: paper, section 5.
    """
    lora, training, folder = lora or LoraSettings(), training or TrainSettings(), Path(output_dir)
    tokenizer = load_tokenizer(base)
    base_model = load_base(base, dtype=training.dtype)
    train_rows, eval_rows = prepare_rows(examples, tokenizer, base_model.config, training, seed)
    set_seed(seed)
    if init_adapter is None:
        model = get_peft_model(base_model, new_adapter_config(base_model, lora))
    else:
        check_adapter(init_adapter, base)
        model = PeftModel.from_pretrained(
            base_model, str(init_adapter), adapter_name=_NAME, is_trainable=True
        )
    assert isinstance(model, PeftModel)
    use_merged_forward(model)
    trainer = AdapterTrainer(
        model,
        training_arguments(
            training,
            output_dir=folder / "checkpoints",
            seed=seed,
            steps=update_steps(training, len(train_rows)),
            validated=bool(eval_rows),
        ),
        train_rows=train_rows,
        eval_rows=eval_rows,
        group_by_length=training.group_by_length,
        checkpoint_steps=training.checkpoint_steps,
        adapter_name=_NAME,
        base_name=str(base),
        processing_class=tokenizer,
    )
    return run_training(
        trainer,
        output_dir=folder,
        kind="task",
        description={
            "seed": seed,
            "base_weights": describe(base),
            "lora": asdict(lora) if init_adapter is None else None,
            "init_adapter": None if init_adapter is None else adapter_hash(init_adapter),
            "training": asdict(training),
        },
        title="task adapter" if init_adapter is None else "continued adapter",
        progress=progress,
    )
