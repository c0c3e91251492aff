"""How far a student's distribution is from a teacher's: the plain form and the form with its gradient.

Shapes: N or n rows (tokens), V vocabulary. All in nats, at one temperature T, without a factor T^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from muscle_llm.errors import ConfigError, did_you_mean

__all__ = [
    "DIVERGENCES",
    "Divergence",
    "at_least_float32",
    "find_divergence",
    "forward_kl",
    "jensen_shannon",
    "reverse_kl",
]


def at_least_float32(values: Tensor) -> Tensor:
    """Return half-precision values in float32 and others as they are.

    Example:
        >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _log_softmax(logits_NV: Tensor, temperature: float) -> Tensor:
    return functional.log_softmax(at_least_float32(logits_NV) / temperature, dim=-1)


def forward_kl(teacher_NV: Tensor, student_NV: Tensor, temperature: float = 1.0) -> Tensor:
    """Forward Kullback-Leibler divergence of softened distributions, per row.

    Formula: KL(p || q) = sum_v p log(p/q), p = softmax(teacher/T), q = softmax(student/T)

    Args:
        teacher_NV: logits.
        student_NV: logits.
        temperature: T > 0, divides both.

    Returns:
        float (N,), never below 0 but for rounding.

    Example:
        >>> forward_kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]])).item()
        0.0

    Source: paper, eq. 1.
    """
    logp, logq = _log_softmax(teacher_NV, temperature), _log_softmax(student_NV, temperature)
    return (logp.exp() * (logp - logq)).sum(dim=-1)


def reverse_kl(teacher_NV: Tensor, student_NV: Tensor, temperature: float = 1.0) -> Tensor:
    """Reverse Kullback-Leibler divergence: punishes what the student likes and the teacher does not.

    Formula: KL(q || p) = sum_v q log(q/p), with p and q as in :func:`forward_kl`

    Example:
        >>> reverse_kl(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]])).item()
        0.0
    """
    logp, logq = _log_softmax(teacher_NV, temperature), _log_softmax(student_NV, temperature)
    return (logq.exp() * (logq - logp)).sum(dim=-1)


def jensen_shannon(teacher_NV: Tensor, student_NV: Tensor, temperature: float = 1.0) -> Tensor:
    """Jensen-Shannon divergence: symmetric, at most log 2.

    Formula: (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2, with p and q as in :func:`forward_kl`

    Example:
        >>> jensen_shannon(torch.tensor([[0.0, 100.0]]), torch.tensor([[100.0, 0.0]])).item()
        0.693
    """
    logp, logq = _log_softmax(teacher_NV, temperature), _log_softmax(student_NV, temperature)
    logm = torch.logaddexp(logp, logq) - math.log(2)
    return 0.5 * (logp.exp() * (logp - logm) + logq.exp() * (logq - logm)).sum(dim=-1)


def _forward_kl_fused(logp_nV: Tensor, logq_nV: Tensor) -> tuple[Tensor, Tensor]:
    """Return KL(p || q) and its gradient q - p; overwrites ``logp_nV``."""
    p_nV = logp_nV.exp()
    value_n = torch.linalg.vecdot(p_nV, logp_nV.sub_(logq_nV))
    return value_n, torch.exp(logq_nV).sub_(p_nV)


def _reverse_kl_fused(logp_nV: Tensor, logq_nV: Tensor) -> tuple[Tensor, Tensor]:
    """Return KL(q || p) and its gradient q (log q/p - KL); overwrites ``logp_nV``."""
    q_nV = logq_nV.exp()
    ratio_nV = torch.sub(logq_nV, logp_nV, out=logp_nV)
    value_n = torch.linalg.vecdot(q_nV, ratio_nV)
    return value_n, ratio_nV.sub_(value_n[:, None]).mul_(q_nV)


def _jensen_shannon_fused(logp_nV: Tensor, logq_nV: Tensor) -> tuple[Tensor, Tensor]:
    """Return JSD(p, q) and its gradient q (log q/m - KL(q || m)) / 2; overwrites ``logp_nV``."""
    q_nV = logq_nV.exp()
    logm_nV = torch.logaddexp(logp_nV, logq_nV).sub_(math.log(2))
    ratio_nV = logq_nV - logm_nV
    from_student_n = torch.linalg.vecdot(q_nV, ratio_nV)
    from_teacher_n = torch.linalg.vecdot(logp_nV.exp(), logp_nV.sub_(logm_nV))
    return 0.5 * (from_teacher_n + from_student_n), ratio_nV.sub_(from_student_n[:, None]).mul_(q_nV).mul_(
        0.5
    )


class Divergence(NamedTuple):
    """A divergence in two forms.

    Args:
        plain: (teacher logits, student logits, T) -> value per row; for autograd.
        fused: (teacher log-probabilities, student log-probabilities), both at T -> value per row and the
            gradient with respect to the student's logits over T. May overwrite its first argument.
    """

    plain: Callable[[Tensor, Tensor, float], Tensor]
    fused: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


DIVERGENCES: dict[str, Divergence] = {
    "forward_kl": Divergence(forward_kl, _forward_kl_fused),
    "reverse_kl": Divergence(reverse_kl, _reverse_kl_fused),
    "jsd": Divergence(jensen_shannon, _jensen_shannon_fused),
}


def find_divergence(name: str) -> Divergence:
    """Return a divergence by name.

    Raises:
        ConfigError: there is none of that name.

    Example:
        >>> find_divergence("forward_kl").plain is forward_kl
        True
    """
    if name not in DIVERGENCES:
        raise ConfigError(f"No divergence is named '{name}'. {did_you_mean(name, DIVERGENCES)}")
    return DIVERGENCES[name]
