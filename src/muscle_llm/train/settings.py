"""The settings of a training run, with the paper's values as defaults, and its result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from muscle_llm.distill.divergences import find_divergence
from muscle_llm.distill.masks import find_mask
from muscle_llm.errors import ConfigError

__all__ = ["LoraSettings", "LossSettings", "TrainResult", "TrainSettings"]


def _positive(owner: object, *names: str) -> None:
    """Raise when one of the named fields is not above zero."""
    for name in names:
        value = getattr(owner, name)
        if value is not None and value <= 0:
            raise ConfigError(f"{type(owner).__name__}.{name} must be above 0, not {value!r}.")


def _not_negative(owner: object, *names: str) -> None:
    """Raise when one of the named fields is below zero."""
    for name in names:
        value = getattr(owner, name)
        if value < 0:
            raise ConfigError(f"{type(owner).__name__}.{name} must be 0 or more, not {value!r}.")


@dataclass(frozen=True)
class LoraSettings:
    """The shape of an adapter: LoRA on all linear layers but the output head.

    Args:
        rank: r, the inner width of every update.
        alpha: the update is scaled by alpha / rank (by alpha / sqrt(rank) with ``use_rslora``).
        dropout: on the adapter's input while training, 0 to below 1.
        target_modules: ``"all-linear"`` or the names of the layers to adapt.
        use_rslora: rank-stabilised scaling.
        use_dora: weight-decomposed updates (DoRA).

    Raises:
        ConfigError: a value is out of range.

    Example:
        >>> LoraSettings(rank=8, alpha=16).rank
        8

    Source: paper, section 5 (r=128, alpha=256, no dropout, all linear layers).
    """

    rank: int = 128
    alpha: float = 256
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    use_rslora: bool = False
    use_dora: bool = False

    def __post_init__(self) -> None:
        _positive(self, "rank", "alpha")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"LoraSettings.dropout must be 0 or more and below 1, not {self.dropout!r}.")


@dataclass(frozen=True)
class LossSettings:
    """The compatibility loss.

    Args:
        mask: which teacher a token follows, a name in :data:`muscle_llm.distill.masks.MASKS`.
        temperature: T > 0, divides both sides' logits.
        ce_weight: share of the cross-entropy in the loss, 0 to 1 (1 - lambda of eq. 5).
        divergence: a name in :data:`muscle_llm.distill.divergences.DIVERGENCES`.
        temperature_squared: multiply the divergences by T^2.

    Raises:
        ConfigError: an unknown name, or a value out of range.

    Example:
        >>> LossSettings().mask
        'student_wrong'

    Source: paper, eq. 1 and eq. 5.
    """

    mask: str = "student_wrong"
    temperature: float = 2.0
    ce_weight: float = 0.0
    divergence: str = "forward_kl"
    temperature_squared: bool = False

    def __post_init__(self) -> None:
        find_mask(self.mask)
        find_divergence(self.divergence)
        if not self.temperature > 0:
            raise ConfigError(f"The temperature must be above 0, not {self.temperature!r}.")
        if not 0 <= self.ce_weight <= 1:
            raise ConfigError(
                f"The weight of the cross-entropy must be between 0 and 1, not {self.ce_weight!r}."
            )


@dataclass(frozen=True)
class TrainSettings:
    """How an adapter is trained.

    Args:
        learning_rate: the peak of the schedule.
        warmup_steps: optimizer steps from 0 to the peak; cut to a tenth of the run when the run is shorter.
        schedule: what follows the warm-up: ``linear`` or ``cosine`` decay to 0, or ``constant``.
        weight_decay: decoupled (AdamW).
        max_grad_norm: gradients are scaled down to this norm; 0 switches it off.
        batch_size: examples in one forward pass.
        gradient_accumulation: forward passes in one optimizer step.
        epochs: passes over the training part.
        max_steps: stop after this many optimizer steps; the schedule ends there too.
        validation_share: share of the examples held out to choose the epoch; 0 keeps the last epoch.
        max_length: tokens of an example; longer prompts lose their beginning.
        train_on: ``all`` tokens (the paper's) or the ``completion`` only.
        append_eos: end every example with the end-of-sequence token.
        group_by_length: batches of similar length, so that little padding is computed.
        gradient_checkpointing: trade time for memory.
        dtype: of the base weights; ``auto`` is the checkpoint's own. The adapter is always float32.
        checkpoint_steps: also write a checkpoint every so many steps (one is written at every epoch's end).
        logging_steps: optimizer steps between two entries of the log.
        report_to: names of transformers' logging integrations.

    Raises:
        ConfigError: a value is out of range.

    Example:
        >>> TrainSettings(epochs=4, learning_rate=2e-3).epochs
        4

    Source: paper, section 5; batch size, schedule and clipping are not stated there.
    """

    learning_rate: float = 1e-4
    warmup_steps: int = 500
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    batch_size: int = 8
    gradient_accumulation: int = 8
    epochs: int = 10
    max_steps: int | None = None
    validation_share: float = 0.2
    max_length: int = 1024
    train_on: Literal["all", "completion"] = "all"
    append_eos: bool = True
    group_by_length: bool = True
    gradient_checkpointing: bool = False
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    checkpoint_steps: int | None = None
    logging_steps: int = 50
    report_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _positive(self, "learning_rate", "batch_size", "gradient_accumulation", "epochs", "max_steps")
        _positive(self, "max_length", "checkpoint_steps", "logging_steps")
        _not_negative(self, "warmup_steps", "weight_decay", "max_grad_norm")
        if not 0 <= self.validation_share < 1:
            raise ConfigError(
                "TrainSettings.validation_share must be 0 or more and below 1, "
                f"not {self.validation_share!r}."
            )
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"TrainSettings.{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}."
                )


_CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": ("linear", "cosine", "constant"),
    "train_on": ("all", "completion"),
    "dtype": ("auto", "float32", "bfloat16", "float16"),
}


@dataclass(frozen=True)
class TrainResult:
    """What a finished training left behind.

    Args:
        adapter_dir: folder with an ordinary PEFT adapter and ``training.json``.
        steps: optimizer steps made.
        tokens: tokens trained on (positions with a target), repeats counted.
        seconds: wall-clock time of the training, over all its continuations.
        eval_losses: validation cross-entropy (nats a token) after each epoch; empty without validation.
        best_epoch: the epoch kept, counted from 1; None without validation.
        eval_nfr: share of negative flips on the validation part after each epoch; empty where not measured.
        eval_accuracy: share of validation completions right after each epoch; empty where not measured.

    Example:
        >>> result = TrainResult(
        ...     Path("a"), steps=2, tokens=9, seconds=0.5, eval_losses=(2.0, 1.5), best_epoch=2
        ... )
        >>> result.best_epoch
        2
    """

    adapter_dir: Path
    steps: int
    tokens: int
    seconds: float
    eval_losses: tuple[float, ...]
    best_epoch: int | None
    eval_nfr: tuple[float, ...] = ()
    eval_accuracy: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**dataclasses.asdict(self), "adapter_dir": str(self.adapter_dir)}
