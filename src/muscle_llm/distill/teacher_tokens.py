"""What a teacher says about the trained tokens of one batch, in the forms the fused loss reads.

Shapes: N trained tokens of a batch (its positions with a target, row by row), n some of them, H hidden,
K kept tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from muscle_llm.distill.heads import Head

__all__ = ["HiddenTokens", "TeacherTokens", "TopKTokens", "bucket_divergence", "top_k_of"]


@dataclass(frozen=True)
class HiddenTokens:
    """A teacher by its final hidden states: exact.

    Args:
        hidden_NH: in the dtype of the head.
        head: the teacher's output layer.
    """

    hidden_NH: Tensor
    head: Head

    def logits(self, rows_n: Tensor | slice) -> Tensor:
        """Return the logits (n, V) of some tokens."""
        return self.head.logits(self.hidden_NH[rows_n])


@dataclass(frozen=True)
class TopKTokens:
    """A teacher by its K likeliest tokens at the temperature of the loss, and the rest as one bucket.

    Args:
        token_NK: ids, likeliest first.
        logp_NK: their log-probabilities at the temperature of the loss.
        rest_logp_N: log-probability of all other tokens together.
        target_logp_N: log-probability of the target at temperature 1, for masks.
    """

    token_NK: Tensor
    logp_NK: Tensor
    rest_logp_N: Tensor
    target_logp_N: Tensor


TeacherTokens = HiddenTokens | TopKTokens


def top_k_of(logits_NV: Tensor, targets_N: Tensor, k: int, temperature: float) -> TopKTokens:
    """Keep the K likeliest tokens of a teacher.

    Args:
        logits_NV: at least float32.
        targets_N: token ids.
        k: how many to keep, at most V.
        temperature: T > 0.

    Returns:
        The teacher, truncated.

    Example:
        >>> kept = top_k_of(torch.zeros(1, 4), torch.tensor([0]), k=2, temperature=1.0)
        >>> kept.rest_logp_N.exp().item()
        0.5
    """
    k = min(k, logits_NV.shape[-1])
    values_NK, token_NK = logits_NV.topk(k, dim=-1)
    softened_NV = functional.log_softmax(logits_NV / temperature, dim=-1)
    logp_NK = softened_NV.gather(-1, token_NK)
    # summed over what is left, not 1 - sum of what was kept: that would lose small rests to rounding
    rest_logp_N = softened_NV.scatter(-1, token_NK, -torch.inf).logsumexp(dim=-1)
    target_logp_N = logits_NV.gather(-1, targets_N[:, None])[:, 0] - logits_NV.logsumexp(dim=-1)
    del values_NK
    return TopKTokens(token_NK, logp_NK, rest_logp_N, target_logp_N)


def bucket_divergence(teacher: TopKTokens, rows_n: Tensor | slice, logq_nV: Tensor) -> tuple[Tensor, Tensor]:
    """Forward KL over the kept tokens and one bucket for the rest, and its gradient.

    Formula: sum_k p_k log(p_k / q_k) + p_rest log(p_rest / q_rest); never above the full KL, and equal to it
    where teacher and student agree on the shape of the rest. Gradient (by student logits over T):
    q_j - p_j for a kept token j, q_j (1 - p_rest / q_rest) for another.

    Args:
        teacher: truncated at the temperature of ``logq_nV``.
        rows_n: the tokens meant.
        logq_nV: the student's log-probabilities.

    Returns:
        Value (n,) and gradient (n, V).

    Example:
        >>> logits = torch.tensor([[2.0, 1.0, 0.0]])
        >>> teacher = top_k_of(logits, torch.tensor([0]), k=1, temperature=1.0)
        >>> value, gradient = bucket_divergence(teacher, slice(None), logits.log_softmax(-1))
        >>> abs(value.item()) < 1e-6, gradient.abs().max().item() < 1e-6
        (True, True)
    """
    token_nK, logp_nK = teacher.token_NK[rows_n], teacher.logp_NK[rows_n].to(logq_nV.dtype)
    rest_logp_n = teacher.rest_logp_N[rows_n].to(logq_nV.dtype)
    logq_nK = logq_nV.gather(-1, token_nK)
    gradient_nV = logq_nV.exp()
    kept_n1 = logq_nK.exp()
    rest_q_n = (1 - kept_n1.sum(dim=-1)).clamp(min=torch.finfo(logq_nV.dtype).tiny)
    near_n = rest_q_n < 1e-3  # cancellation: sum over the rest itself
    if bool(near_n.any()):
        rest = gradient_nV[near_n].scatter(-1, token_nK[near_n], 0.0).sum(dim=-1)
        rest_q_n = rest_q_n.masked_scatter(near_n, rest.clamp(min=torch.finfo(logq_nV.dtype).tiny))
    p_nK, rest_p_n = logp_nK.exp(), rest_logp_n.exp()
    value_n = (p_nK * (logp_nK - logq_nK)).sum(dim=-1)
    value_n = value_n + torch.where(rest_p_n > 0, rest_p_n * (rest_logp_n - rest_q_n.log()), 0.0)
    gradient_nV.mul_((1 - rest_p_n / rest_q_n)[:, None])
    gradient_nV.scatter_(-1, token_nK, kept_n1 - p_nK)
    return value_n, gradient_nV
