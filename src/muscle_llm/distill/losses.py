"""The compatibility loss in its plain form: the reference every faster path is tested against.

Shapes: B sequences, T positions, V vocabulary. ``logits_BTV[b, t]`` scores the token at t + 1;
``targets_BT[b, t]`` is that token, IGNORED where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from muscle_llm.distill.masks import IGNORED, Facts, find_mask

__all__ = [
    "LossParts",
    "at_least_float32",
    "compatibility_loss",
    "cross_entropy",
    "gather_facts",
    "kl_divergence",
    "next_token_targets",
]


@dataclass(frozen=True)
class LossParts:
    """The compatibility loss and what it is made of, all summed over the trained tokens.

    Args:
        loss: what to minimise, divided by the token count; carries the gradient.
        tokens: how many positions have a target.
        old_tokens: how many of them (in shares) follow the old teacher.
        old_kl_sum: divergence from the old teacher over the tokens that follow it.
        new_kl_sum: divergence from the new teacher over the tokens that follow it.
        ce_sum: the student's cross-entropy (nats); None when it was not needed.
    """

    loss: Tensor
    tokens: Tensor
    old_tokens: Tensor
    old_kl_sum: Tensor
    new_kl_sum: Tensor
    ce_sum: Tensor | None


def at_least_float32(values: Tensor) -> Tensor:
    """Return half-precision values in float32 and others as they are.

    Example:
        >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def next_token_targets(labels_BT: Tensor) -> Tensor:
    """Shift labels so that each position holds the token it should predict.

    Args:
        labels_BT: token ids in place, IGNORED where not trained.

    Returns:
        int (B, T): ``labels[:, 1:]`` and a last column of IGNORED.

    Example:
        >>> next_token_targets(torch.tensor([[5, 6, -100]]))
        tensor([[   6, -100, -100]])
    """
    return functional.pad(labels_BT[:, 1:], (0, 1), value=IGNORED)


def kl_divergence(teacher_NV: Tensor, student_NV: Tensor, temperature: float = 1.0) -> Tensor:
    """Forward Kullback-Leibler divergence of softened distributions, per row.

    Formula: KL(softmax(teacher/T) || softmax(student/T)), in nats, without a factor T^2

    Args:
        teacher_NV: logits.
        student_NV: logits.
        temperature: T > 0, divides both.

    Returns:
        float (N,), never below 0 but for rounding.

    Example:
        >>> kl_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]])).item()
        0.0

    Source: paper, eq. 1.
    """
    teacher_logp = functional.log_softmax(at_least_float32(teacher_NV) / temperature, dim=-1)
    student_logp = functional.log_softmax(at_least_float32(student_NV) / temperature, dim=-1)
    return (teacher_logp.exp() * (teacher_logp - student_logp)).sum(dim=-1)


def cross_entropy(student_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Cross-entropy of the targets at temperature 1, per row, in nats.

    Formula: -log softmax(student)[target]

    Example:
        >>> cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item()
        0.693
    """
    return functional.cross_entropy(at_least_float32(student_NV), targets_N, reduction="none")


def gather_facts(needs: tuple[str, ...], student_BTV: Tensor, old_BTV: Tensor, targets_BT: Tensor) -> Facts:
    """Compute what a mask looks at, from logits.

    Args:
        needs: names of fields of :class:`Facts`.
        student_BTV: the student's logits.
        old_BTV: the old teacher's logits.
        targets_BT: IGNORED where there is no target.

    Example:
        >>> logits = torch.tensor([[[0.0, 1.0]]])
        >>> gather_facts(("old_argmax_BT",), logits, logits, torch.tensor([[0]])).old_argmax_BT
        tensor([[1]])
    """
    found: dict[str, Tensor] = {}
    for who, logits_BTV in (("student", student_BTV), ("old", old_BTV)):
        if f"{who}_argmax_BT" in needs:
            found[f"{who}_argmax_BT"] = logits_BTV.argmax(dim=-1)
        if f"{who}_logp_BT" in needs:
            logp_BTV = functional.log_softmax(at_least_float32(logits_BTV), dim=-1)
            index_BT1 = targets_BT.clamp(min=0)[..., None]
            logp_BT = logp_BTV.gather(-1, index_BT1)[..., 0]
            found[f"{who}_logp_BT"] = logp_BT.masked_fill(targets_BT == IGNORED, 0.0)
    return Facts(targets_BT, **found)


def compatibility_loss(
    student_BTV: Tensor,
    old_BTV: Tensor,
    new_BTV: Tensor,
    targets_BT: Tensor,
    *,
    mask: str = "student_wrong",
    temperature: float = 2.0,
    ce_weight: float = 0.0,
    token_count: Tensor | float | None = None,
) -> LossParts:
    """Distil from the old model where the mask says so, from the new one elsewhere.

    Formula: L = (1-w) mean_i [ m_i KL(old_i || student_i) + (1-m_i) KL(new_i || student_i) ] + w mean_i CE_i,
    over the positions i that have a target; the KLs at temperature T, without a factor T^2;
    w = 1 - lambda of eq. 5

    The mask is a choice, not a function to learn from: no gradient flows through it.

    Args:
        student_BTV: logits, float; the gradient goes here.
        old_BTV: the old teacher's logits.
        new_BTV: the new teacher's logits.
        targets_BT: int, IGNORED where there is no target.
        mask: a name in :data:`muscle_llm.distill.masks.MASKS`.
        temperature: T > 0.
        ce_weight: w, 0 to 1.
        token_count: divide by this instead of by the number of targets in this batch (for gradient
            accumulation: the count over the whole accumulated batch).

    Returns:
        The loss and its parts; a batch without any target has loss 0.

    Raises:
        ConfigError: there is no such mask.

    Example:
        >>> z = torch.tensor([[[0.0, 1.0], [2.0, 0.0]]])
        >>> parts = compatibility_loss(z, z, z, torch.tensor([[1, 1]]))
        >>> parts.loss.item(), parts.tokens.item(), parts.old_tokens.item()
        (0.0, 2, 1.0)

    Source: paper, eq. 1 and eq. 5.
    """
    rule = find_mask(mask)
    with torch.no_grad():
        facts = gather_facts(rule.needs, student_BTV, old_BTV, targets_BT)
        valid_BT = targets_BT != IGNORED
        share_BT = at_least_float32(rule.function(facts).to(student_BTV.dtype))
        old_share_N = share_BT[valid_BT]
    student_NV, targets_N = student_BTV[valid_BT], targets_BT[valid_BT]
    old_kl_sum = (old_share_N * kl_divergence(old_BTV[valid_BT], student_NV, temperature)).sum()
    new_kl_sum = ((1 - old_share_N) * kl_divergence(new_BTV[valid_BT], student_NV, temperature)).sum()
    ce_sum = cross_entropy(student_NV, targets_N).sum() if ce_weight > 0 else None
    total = (1 - ce_weight) * (old_kl_sum + new_kl_sum)
    if ce_sum is not None:
        total = total + ce_weight * ce_sum
    tokens = valid_BT.sum()
    count = tokens.clamp(min=1) if token_count is None else token_count
    return LossParts(
        loss=total / count,
        tokens=tokens,
        old_tokens=old_share_N.sum(),
        old_kl_sum=old_kl_sum.detach(),
        new_kl_sum=new_kl_sum.detach(),
        ce_sum=None if ce_sum is None else ce_sum.detach(),
    )
