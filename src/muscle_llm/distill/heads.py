"""A causal model taken apart: its final hidden states, and the head that turns them into logits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from muscle_llm.errors import ConfigError

__all__ = ["Head", "check_head", "final_hidden", "head_of"]


@dataclass(frozen=True)
class Head:
    """The output layer of a causal model.

    Formula: logits = cap tanh(u / cap), u = scale (hidden W' + bias); without a cap, logits = u

    Args:
        weight_VH: W; may be tied to the embeddings, or be a sum with an adapter that carries a gradient.
        bias_V: or None.
        scale: multiplies the logits.
        cap: soft limit of the logits, or None.

    Example:
        >>> Head(torch.eye(2), scale=2.0).logits(torch.tensor([[1.0, 3.0]]))
        tensor([[2., 6.]])
    """

    weight_VH: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @property
    def vocabulary(self) -> int:
        """How many tokens it scores."""
        return self.weight_VH.shape[0]

    def logits(self, hidden_NH: Tensor) -> Tensor:
        """Return logits (N, V) in at least float32."""
        raw_NV = nn.functional.linear(hidden_NH, self.weight_VH, self.bias_V)
        if raw_NV.dtype in (torch.bfloat16, torch.float16):
            raw_NV = raw_NV.float()
        if self.scale != 1.0:
            raw_NV = raw_NV * self.scale
        return raw_NV if self.cap is None else self.cap * torch.tanh(raw_NV / self.cap)

    def cut(self, vocabulary: int) -> Head:
        """Return the head for the first tokens only."""
        if vocabulary == self.vocabulary:
            return self
        bias_V = None if self.bias_V is None else self.bias_V[:vocabulary]
        return replace(self, weight_VH=self.weight_VH[:vocabulary], bias_V=bias_V)

    def frozen(self, *, copy: bool = False) -> Head:
        """Return the head without gradients, with weights of its own if ``copy``."""
        weight, bias = self.weight_VH.detach(), None if self.bias_V is None else self.bias_V.detach()
        if copy:
            weight, bias = weight.clone(), None if bias is None else bias.clone()
        return replace(self, weight_VH=weight, bias_V=bias)


def _plain_model(model: nn.Module) -> Any:
    """Return the transformers model under peft and other wrappers."""
    while hasattr(model, "module") and isinstance(model.module, nn.Module):
        model = model.module
    return model.get_base_model() if isinstance(model, PeftModel) else model


def head_of(model: nn.Module) -> Head:
    """Return the output layer of a model, its active adapter included.

    Raises:
        ConfigError: the model has no output layer that is one matrix.
    """
    plain = _plain_model(model)
    layer, config = plain.get_output_embeddings(), plain.config
    if isinstance(layer, LoraLinear):
        weight = cast("Any", layer.base_layer).weight
        bias = cast("Any", layer.base_layer).bias
        for name in [] if layer.disable_adapters else layer.active_adapters:
            if name in layer.lora_A:
                up, down = cast("Any", layer.lora_B[name]).weight, cast("Any", layer.lora_A[name]).weight
                weight = weight + (layer.scaling[name] * (up @ down)).to(weight.dtype)
    elif isinstance(layer, nn.Linear):
        weight, bias = layer.weight, layer.bias
    else:
        raise ConfigError(f"{type(plain).__name__} has no linear output layer; the fused loss needs one.")
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    return Head(weight, bias, scale=scale, cap=getattr(config, "final_logit_softcapping", None))


def final_hidden(model: nn.Module, ids_BT: Tensor) -> Tensor:
    """Return the hidden states (B, T, H) that a model's head gets, without computing its logits.

    The model's own forward runs, so that wrappers (data parallel, sharding, checkpointing) do what they
    do; its head sees the last position only.
    """
    caught: list[Tensor] = []
    decoder = _plain_model(model).get_decoder()
    hook = decoder.register_forward_hook(lambda _module, _inputs, output: caught.append(output[0]))
    try:
        model(input_ids=ids_BT, logits_to_keep=1)
    finally:
        hook.remove()
    return caught[0]


def check_head(model: nn.Module, ids_BT: Tensor) -> None:
    """Make sure that a model taken apart gives the model's own logits.

    Raises:
        ConfigError: it does not; the model does something to its logits that is not known here.
    """
    with torch.no_grad():
        whole = model(input_ids=ids_BT).logits
        parts = head_of(model).logits(final_hidden(model, ids_BT))
    whole = whole.to(parts.dtype)
    error = (whole - parts).abs().max().item()
    if not error <= 1e-2 * max(1.0, whole.abs().max().item()):
        raise ConfigError(
            f"{type(_plain_model(model)).__name__}: its logits are not those of its hidden states and its "
            "output layer. Use the plain loss (teachers='plain') for this model."
        )
