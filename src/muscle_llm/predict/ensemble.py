"""Two models that answer as one: every token from the mixture of their probabilities."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, cast

import torch

from muscle_llm.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["mixed_log_probs", "together"]


def mixed_log_probs(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """Return the log-probabilities of a mixture of two models.

    Formula: log((1 - share) softmax(z_1) + share softmax(z_2))

    Args:
        first: logits (..., V1).
        second: logits (..., V2) of the same positions; tokens beyond the smaller vocabulary are padding
            and get probability 0.
        share: of the second, 0 to 1.

    Returns:
        float32 (..., V1).

    Example:
        >>> even, sure = torch.tensor([0.0, 0.0]), torch.tensor([100.0, 0.0])
        >>> mixed_log_probs(even, sure, 0.5).exp()
        tensor([0.7500, 0.2500])
    """
    both = min(first.shape[-1], second.shape[-1])
    one = first[..., :both].float().log_softmax(-1)
    two = second[..., :both].float().log_softmax(-1)
    weights = torch.tensor([1 - share, share], device=one.device).log()
    mixed = torch.logaddexp(one + weights[0], two + weights[1])
    return torch.nn.functional.pad(mixed, (0, first.shape[-1] - both), value=float("-inf"))


def together(model: PreTrainedModel, other: PreTrainedModel, share: float) -> PreTrainedModel:
    """Make ``model`` answer as the mixture of itself and ``other``.

    Its logits become the mixture's log-probabilities, in scoring and in generation alike; nothing else
    about it changes. The other model keeps key-value caches of its own beside the ones ``generate`` makes.

    Args:
        model: with or without a PEFT adapter; changed in place, for good.
        other: a model with the same tokenizer.
        share: of the other model, 0 to 1.

    Raises:
        ConfigError: ``share`` is out of range.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"share must be between 0 and 1, not {share!r}.")
    caches: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
    other.eval()

    @torch.no_grad()
    def mix(_: Any, args: tuple[Any, ...], arguments: dict[str, Any], output: Any) -> Any:
        own_cache = arguments.get("past_key_values")
        mine = dict(arguments)
        if own_cache is not None:
            if own_cache not in caches:
                caches[own_cache] = type(own_cache)()
            mine["past_key_values"] = caches[own_cache]
        output.logits = mixed_log_probs(output.logits, other(*args, **mine).logits, share)
        return output

    # generate() of a wrapped model calls the model inside
    inner: Any = cast("Any", model).get_base_model() if hasattr(model, "get_base_model") else model
    inner.register_forward_hook(mix, with_kwargs=True)
    return model
