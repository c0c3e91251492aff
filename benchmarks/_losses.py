"""The loss alone, this package's and others', from hidden states of N tokens to their gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LOSSES = {
    "fused": "fused loss of this package (two teachers, one a token)",
    "plain": "plain loss, full logits (one teacher)",
    "trl": "TRL chunked divergence (one teacher)",
    "liger": "Liger fused linear JSD (one teacher)",
}

_T = 2.0


def loss_step(
    name: str, *, tokens: int, hidden: int, vocabulary: int, dtype: torch.dtype, device: str
) -> Callable[[], float]:
    """Return one forward and backward pass of a loss, which gives its value.

    Targets are random, so that the student is practically always wrong and every token follows the
    old teacher: all of them compute the same forward KL at T = 2.
    """
    student, old, new = ((torch.randn(tokens, hidden, device=device)).to(dtype) for _ in range(3))
    weights = [(torch.randn(vocabulary, hidden, device=device) * 0.05).to(dtype) for _ in range(2)]
    targets_N = torch.randint(0, vocabulary, (tokens,), device=device)
    loss_of = _LOSSES[name](old, new, weights, targets_N)

    def step() -> float:
        hidden_NH = student.clone().requires_grad_()
        loss = loss_of(hidden_NH)
        loss.backward()
        return loss.item()

    return step


def _fused(old: Tensor, new: Tensor, weights: list[Tensor], targets_N: Tensor) -> Callable[[Tensor], Tensor]:
    from muscle_llm.distill.fused import fused_compatibility_loss
    from muscle_llm.distill.heads import Head
    from muscle_llm.distill.teacher_tokens import HiddenTokens

    heads = [Head(weight) for weight in weights]
    said = HiddenTokens(old, heads[1]), HiddenTokens(new, heads[0])
    return lambda hidden: fused_compatibility_loss(hidden[None], heads[0], *said, targets_N[None]).loss


def _plain(old: Tensor, new: Tensor, weights: list[Tensor], targets_N: Tensor) -> Callable[[Tensor], Tensor]:
    from muscle_llm.distill.divergences import forward_kl
    from muscle_llm.distill.heads import Head

    heads = [Head(weight) for weight in weights]
    return lambda hidden: forward_kl(heads[1].logits(old), heads[0].logits(hidden), _T).mean()


def _trl(old: Tensor, new: Tensor, weights: list[Tensor], targets_N: Tensor) -> Callable[[Tensor], Tensor]:
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction  # pyright: ignore

    return lambda hidden: ChunkedDivergenceFunction.apply(
        hidden, weights[0], None, old, weights[1], None, 0.0, _T
    )[0].mean()


def _liger(old: Tensor, new: Tensor, weights: list[Tensor], targets_N: Tensor) -> Callable[[Tensor], Tensor]:
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss  # pyright: ignore

    # it always computes the cross-entropy as well, at weight 0; not compiled, as the others
    liger = LigerFusedLinearJSDLoss(0.0, 1.0, beta=0.0, temperature=_T, compiled=False)
    return lambda hidden: liger(hidden, weights[0], old, weights[1], targets_N)


_LOSSES = {"fused": _fused, "plain": _plain, "trl": _trl, "liger": _liger}
