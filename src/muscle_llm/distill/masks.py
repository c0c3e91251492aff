"""Which teacher each token follows.

A mask is a pure function of what is known about each token (:class:`Facts`). It returns the share of
the old teacher per token: 1 (or True) follows the old model, 0 the new one, 0.5 both by halves. A new mask is
one function and one line in :data:`MASKS`.

Shapes: B sequences, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from muscle_llm.errors import ConfigError, did_you_mean

__all__ = [
    "IGNORED",
    "MASKS",
    "Facts",
    "Mask",
    "find_mask",
    "new_only",
    "old_only",
    "old_right",
    "sequence_likelihood",
    "student_wrong",
    "token_likelihood",
]

IGNORED = -100  # the target of a position that is not trained: padding, or a part left out


@dataclass(frozen=True)
class Facts:
    """What a mask may look at. Fields a mask did not ask for are None.

    Args:
        targets_BT: the token to be predicted at each position, IGNORED where there is none.
        student_argmax_BT: the student's likeliest token.
        student_logp_BT: the student's log-probability of the target at temperature 1; 0 where ignored.
        old_argmax_BT: the old teacher's likeliest token.
        old_logp_BT: the old teacher's log-probability of the target at temperature 1; 0 where ignored.
    """

    targets_BT: Tensor
    student_argmax_BT: Tensor | None = None
    student_logp_BT: Tensor | None = None
    old_argmax_BT: Tensor | None = None
    old_logp_BT: Tensor | None = None


class Mask(NamedTuple):
    """A mask and the facts it looks at, by field name (so that nothing else need be computed)."""

    function: Callable[[Facts], Tensor]
    needs: tuple[str, ...] = ()


def _known(fact: Tensor | None) -> Tensor:
    """Return a fact that the mask asked for."""
    assert fact is not None, "the mask's line in MASKS does not name a fact it uses"
    return fact


def student_wrong(facts: Facts) -> Tensor:
    """Follow the old model where the student's likeliest token is not the target.

    Formula: m_i = 1[argmax z_C,i != y_i]

    Args:
        facts: with ``student_argmax_BT``.

    Returns:
        bool (B, T).

    Example:
        >>> student_wrong(Facts(torch.tensor([[3, 4]]), student_argmax_BT=torch.tensor([[3, 5]])))
        tensor([[False,  True]])

    Source: paper, eq. 1.
    """
    return _known(facts.student_argmax_BT) != facts.targets_BT


def old_right(facts: Facts) -> Tensor:
    """Follow the old model where its own likeliest token is the target.

    Formula: m_i = 1[argmax z_v1,i = y_i]

    Args:
        facts: with ``old_argmax_BT``.

    Returns:
        bool (B, T).

    Example:
        >>> old_right(Facts(torch.tensor([[3, 4]]), old_argmax_BT=torch.tensor([[3, 5]])))
        tensor([[ True, False]])

    Source: paper, section 6 (ablation).
    """
    return _known(facts.old_argmax_BT) == facts.targets_BT


def old_only(facts: Facts) -> Tensor:
    """Follow the old model everywhere: plain distillation from it (the paper's "no mask").

    Returns:
        bool (B, T), all True.

    Example:
        >>> old_only(Facts(torch.tensor([[3, 4]])))
        tensor([[True, True]])

    Source: paper, section 6 (ablation).
    """
    return torch.ones_like(facts.targets_BT, dtype=torch.bool)


def new_only(facts: Facts) -> Tensor:
    """Follow the new model everywhere: plain distillation from it, a control.

    Returns:
        bool (B, T), all False.

    Example:
        >>> new_only(Facts(torch.tensor([[3, 4]])))
        tensor([[False, False]])
    """
    return torch.zeros_like(facts.targets_BT, dtype=torch.bool)


def token_likelihood(facts: Facts) -> Tensor:
    """Follow the old model where it gives the target more probability than the student.

    Formula: m_i = 1[p_C(y_i) < p_v1(y_i)], at temperature 1

    Args:
        facts: with ``student_logp_BT`` and ``old_logp_BT``.

    Returns:
        bool (B, T).

    Example:
        >>> student, old = torch.tensor([[-1.0, -1.0]]), torch.tensor([[0.0, -2.0]])
        >>> token_likelihood(Facts(torch.tensor([[3, 4]]), student_logp_BT=student, old_logp_BT=old))
        tensor([[ True, False]])

    Source: paper, eq. 2.
    """
    return _known(facts.student_logp_BT) < _known(facts.old_logp_BT)


def sequence_likelihood(facts: Facts) -> Tensor:
    """Follow the old model on the whole sequence where it finds the sequence likelier than the student does.

    Formula: m = 1[sum_i log p_C(y_i) < sum_i log p_v1(y_i)], the same for every token of the sequence

    The paper's eq. 3 is ambiguous as printed; this compares the sequences' log-likelihoods.

    Args:
        facts: with ``student_logp_BT`` and ``old_logp_BT``, both 0 at ignored positions.

    Returns:
        bool (B, T).

    Example:
        >>> student, old = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-2.5, -0.1]])
        >>> sequence_likelihood(Facts(torch.tensor([[3, 4]]), student_logp_BT=student, old_logp_BT=old))
        tensor([[True, True]])

    Source: paper, eq. 3.
    """
    student_B = _known(facts.student_logp_BT).sum(dim=-1)
    old_B = _known(facts.old_logp_BT).sum(dim=-1)
    return (student_B < old_B)[:, None].expand_as(facts.targets_BT)


MASKS: dict[str, Mask] = {
    "student_wrong": Mask(student_wrong, ("student_argmax_BT",)),
    "old_right": Mask(old_right, ("old_argmax_BT",)),
    "old_only": Mask(old_only),
    "new_only": Mask(new_only),
    "token_likelihood": Mask(token_likelihood, ("student_logp_BT", "old_logp_BT")),
    "sequence_likelihood": Mask(sequence_likelihood, ("student_logp_BT", "old_logp_BT")),
}


def find_mask(name: str) -> Mask:
    """Return a mask by name.

    Raises:
        ConfigError: there is none of that name.

    Example:
        >>> find_mask("student_wrong").needs
        ('student_argmax_BT',)
    """
    if name not in MASKS:
        raise ConfigError(f"No mask is named '{name}'. {did_you_mean(name, MASKS)}")
    return MASKS[name]
