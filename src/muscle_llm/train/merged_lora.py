"""A faster forward pass for adapters that are wide compared with their layers.

LoRA computes ``x W' + s (x A') B'``: two extra products over all tokens, and five more going back. Forming
the sum ``W + s B A`` first costs one small product without tokens, and then a layer costs what it costs in
full fine-tuning. In units of one pass of the tokens through W, with rho = r (in + out) / (in out),
a training step takes 2 + 3 rho the usual way and 3 this way, so this pays above rho = 1/3: for small models
and the paper's wide adapters, not for a 7B model. Values agree to rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["use_merged_forward"]

_PAYS_ABOVE = 1 / 3


def use_merged_forward(model: nn.Module) -> int:
    """Let the layers of a model for which it pays add the adapter to the weight before the product.

    Only float32 layers qualify: in half precision the sum would round the adapter away.

    Args:
        model: a base with LoRA adapters; changed in place.

    Returns:
        How many layers do so.
    """
    count = 0
    for module in model.modules():
        if isinstance(module, LoraLinear) and _qualifies(module):
            module.forward = functools.partial(_forward, module, module.forward)
            count += 1
    return count


def _qualifies(layer: LoraLinear) -> bool:
    """Tell whether every adapter of a layer is plain float32 LoRA, wide enough, on a plain linear layer."""
    base: Any = layer.base_layer
    if type(base) is not nn.Linear or base.weight.dtype != torch.float32 or not layer.lora_A:
        return False
    size = base.in_features * base.out_features
    return all(
        name not in layer.lora_variant
        and isinstance(layer.lora_dropout[name], nn.Identity)
        and layer.lora_A[name].weight.dtype == torch.float32
        and layer.lora_B[name].bias is None
        and layer.r[name] * (base.in_features + base.out_features) > _PAYS_ABOVE * size
        for name in layer.lora_A
    )


def _forward(layer: Any, usual: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Compute the layer with its one active adapter merged; anything else goes the usual way."""
    names = layer.active_adapters
    if (
        args
        or kwargs
        or layer.disable_adapters
        or layer.merged
        or len(names) != 1
        or names[0] not in layer.lora_A
    ):
        return usual(x, *args, **kwargs)
    name = names[0]
    base = layer.base_layer
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    weight = torch.addmm(base.weight, up, down, alpha=layer.scaling[name])
    return functional.linear(x, weight, base.bias)
