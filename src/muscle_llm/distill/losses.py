"""The compatibility loss in its plain form: the reference every faster path is tested against.

Shapes: B sequences, T positions, V vocabulary. ``logits_BTV[b, t]`` scores the token at t + 1;
``targets_BT[b, t]`` is that token, IGNORED where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from muscle_llm.distill.divergences import at_least_float32, find_divergence
from muscle_llm.distill.masks import IGNORED, Facts, find_mask, teacher_weights

__all__ = ["LossParts", "compatibility_loss", "cross_entropy", "gather_facts", "next_token_targets"]


@dataclass(frozen=True)
class LossParts:
    """The compatibility loss and what it is made of, all summed over the trained tokens.

    Args:
        loss: what to minimise, divided by the token count; carries the gradient.
        tokens: how many positions have a target.
        old_tokens: how many of them (in shares) follow the old teacher.
        old_sum: weighted divergence from the old teacher.
        new_sum: weighted divergence from the new teacher.
        ce_sum: the student's cross-entropy (nats); None when it was not needed.
    """

    loss: Tensor
    tokens: Tensor
    old_tokens: Tensor
    old_sum: Tensor
    new_sum: Tensor
    ce_sum: Tensor | None


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


def cross_entropy(student_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Cross-entropy of the targets at temperature 1, per row, in nats.

    Formula: -log softmax(student)[target]

    Example:
        >>> cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item()
        0.693
    """
    return functional.cross_entropy(at_least_float32(student_NV), targets_N, reduction="none")


def gather_facts(
    needs: tuple[str, ...], student_BTV: Tensor, old_BTV: Tensor, new_BTV: Tensor, targets_BT: Tensor
) -> Facts:
    """Compute what a mask looks at, from logits.

    Args:
        needs: names of fields of :class:`Facts`.
        student_BTV: the student's logits.
        old_BTV: the old teacher's logits.
        new_BTV: the new teacher's logits.
        targets_BT: IGNORED where there is no target.

    Example:
        >>> logits = torch.tensor([[[0.0, 1.0]]])
        >>> gather_facts(("old_argmax_BT",), logits, logits, logits, torch.tensor([[0]])).old_argmax_BT
        tensor([[1]])
    """
    found: dict[str, Tensor] = {}
    for who, logits_BTV in (("student", student_BTV), ("old", old_BTV), ("new", new_BTV)):
        if f"{who}_argmax_BT" in needs:
            found[f"{who}_argmax_BT"] = logits_BTV.argmax(dim=-1)
        if f"{who}_logp_BT" in needs:
            logp_BTV = functional.log_softmax(at_least_float32(logits_BTV), dim=-1)
            logp_BT = logp_BTV.gather(-1, targets_BT.clamp(min=0)[..., None])[..., 0]
            found[f"{who}_logp_BT"] = logp_BT.masked_fill(targets_BT == IGNORED, 0.0)
    return Facts(targets_BT, **found)


def compatibility_loss(
    student_BTV: Tensor,
    old_BTV: Tensor,
    new_BTV: Tensor,
    targets_BT: Tensor,
    *,
    mask: str = "student_wrong",
    divergence: str = "forward_kl",
    temperature: float = 2.0,
    temperature_squared: bool = False,
    ce_weight: float = 0.0,
    instance_weights_B: Tensor | None = None,
    token_count: Tensor | float | None = None,
) -> LossParts:
    """Distil from the old model where the mask says so, from the new one elsewhere.

    Formula: L = mean_i v_b [ (1-w) (m_i D(old_i, student_i) + (1-m_i) D(new_i, student_i)) + w CE_i ]
    over the positions i that have a target; D at temperature T; v_b = 1 unless instance weights are given;
    w = 1 - lambda of eq. 5

    The mask is a choice, not a function to learn from: no gradient flows through it. Vocabularies padded
    to different sizes are compared on the tokens they share, each renormalised.

    Args:
        student_BTV: logits, float; the gradient goes here.
        old_BTV: the old teacher's logits.
        new_BTV: the new teacher's logits.
        targets_BT: int, IGNORED where there is no target.
        mask: a name in :data:`muscle_llm.distill.masks.MASKS`.
        divergence: a name in :data:`muscle_llm.distill.divergences.DIVERGENCES`.
        temperature: T > 0.
        temperature_squared: multiply the divergences by T^2 (the paper does not), which keeps the size of
            their gradient independent of T.
        ce_weight: w, 0 to 1.
        instance_weights_B: v, 0 or more, one per sequence.
        token_count: divide by this instead of by the number of targets in this batch (for gradient
            accumulation: the count over the whole accumulated batch).

    Returns:
        The loss and its parts; a batch without any target has loss 0.

    Raises:
        ConfigError: there is no such mask or divergence.

    Example:
        >>> z = torch.tensor([[[0.0, 1.0], [2.0, 0.0]]])
        >>> parts = compatibility_loss(z, z, z, torch.tensor([[1, 1]]))
        >>> parts.loss.item(), parts.tokens.item(), parts.old_tokens.item()
        (0.0, 2, 1.0)

    Source: paper, eq. 1 and eq. 5.
    """
    rule, compare = find_mask(mask), find_divergence(divergence).plain
    shared = min(logits.shape[-1] for logits in (student_BTV, old_BTV, new_BTV))
    student_BTV, old_BTV, new_BTV = (z[..., :shared] for z in (student_BTV, old_BTV, new_BTV))
    valid_BT = targets_BT != IGNORED
    with torch.no_grad():
        facts = gather_facts(rule.needs, student_BTV, old_BTV, new_BTV, targets_BT)
        wide = at_least_float32(student_BTV[:0]).dtype
        old_weight_N, new_weight_N = (w_BT[valid_BT].to(wide) for w_BT in teacher_weights(rule, facts))
        old_tokens = (old_weight_N / (old_weight_N + new_weight_N).clamp(min=1e-30)).sum()
        factor_N: Tensor | float = temperature**2 if temperature_squared else 1.0
        instance_N: Tensor | float = 1.0
        if instance_weights_B is not None:
            instance_N = instance_weights_B[:, None].expand_as(targets_BT)[valid_BT]
    student_NV, targets_N = student_BTV[valid_BT], targets_BT[valid_BT]
    old_N = compare(old_BTV[valid_BT], student_NV, temperature) * factor_N * old_weight_N
    new_N = compare(new_BTV[valid_BT], student_NV, temperature) * factor_N * new_weight_N
    total = (1 - ce_weight) * (instance_N * (old_N + new_N)).sum()
    ce_N = cross_entropy(student_NV, targets_N) if ce_weight > 0 else None
    if ce_N is not None:
        total = total + ce_weight * (instance_N * ce_N).sum()
    tokens = valid_BT.sum()
    return LossParts(
        loss=total / (tokens.clamp(min=1) if token_count is None else token_count),
        tokens=tokens,
        old_tokens=old_tokens,
        old_sum=old_N.detach().sum(),
        new_sum=new_N.detach().sum(),
        ce_sum=None if ce_N is None else ce_N.detach().sum(),
    )
