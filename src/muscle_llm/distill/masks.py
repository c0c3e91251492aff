"""Which teacher each token follows.

A mask is a pure function of what is known about each token (:class:`Facts`). It returns the share of
the old teacher per token: 1 (or True) follows the old model, 0 the new one, 0.5 both by halves. Where the
weights of both teachers are not to add up to 1 (focal distillation), it returns the pair (weight of old,
weight of new). A new mask is one function and one line in :data:`MASKS`.

Shapes: B sequences, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from muscle_llm.errors import ConfigError, did_you_mean

__all__ = [
    "IGNORED",
    "MASKS",
    "Facts",
    "Mask",
    "double_focal",
    "find_mask",
    "focal",
    "mixture",
    "new_only",
    "old_only",
    "old_right",
    "old_unless_new_right",
    "sequence_likelihood",
    "student_wrong",
    "teacher_weights",
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
        new_argmax_BT: the new teacher's likeliest token.
    """

    targets_BT: Tensor
    student_argmax_BT: Tensor | None = None
    student_logp_BT: Tensor | None = None
    old_argmax_BT: Tensor | None = None
    old_logp_BT: Tensor | None = None
    new_argmax_BT: Tensor | None = None


class Mask(NamedTuple):
    """A mask and what computing it takes.

    Args:
        function: facts -> share of the old teacher, or (weight of old, weight of new); each (B, T).
        needs: the facts it looks at, by field name, so that nothing else need be computed.
        whole_sequences: it looks at other tokens of the sequence too.
    """

    function: Callable[[Facts], Tensor | tuple[Tensor, Tensor]]
    needs: tuple[str, ...] = ()
    whole_sequences: bool = False


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


def old_unless_new_right(facts: Facts) -> Tensor:
    """Follow the old model, unless the new one alone is right: keep what the update gains, and nothing else.

    Formula: m_i = 1 - 1[argmax z_v2,i = y_i and argmax z_v1,i != y_i]

    Args:
        facts: with ``old_argmax_BT`` and ``new_argmax_BT``.

    Returns:
        bool (B, T).

    Example:
        >>> old, new = torch.tensor([[3, 5, 5]]), torch.tensor([[3, 4, 6]])
        >>> old_unless_new_right(Facts(torch.tensor([[3, 4, 4]]), old_argmax_BT=old, new_argmax_BT=new))
        tensor([[ True, False,  True]])
    """
    old_is_right = _known(facts.old_argmax_BT) == facts.targets_BT
    return old_is_right | (_known(facts.new_argmax_BT) != facts.targets_BT)


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


def mixture(facts: Facts, share: float = 0.5) -> Tensor:
    """Follow both models everywhere, the old one with a constant share.

    Formula: m_i = share

    Args:
        facts: any.
        share: of the old model, 0 to 1.

    Returns:
        float (B, T).

    Example:
        >>> mixture(Facts(torch.tensor([[3, 4]])), share=0.25)
        tensor([[0.2500, 0.2500]])
    """
    return torch.full(facts.targets_BT.shape, share, device=facts.targets_BT.device)


def focal(facts: Facts, alpha: float = 1.0, beta: float = 5.0) -> tuple[Tensor, Tensor]:
    """Follow the old model everywhere, more closely where it is right; to be used with cross-entropy.

    Formula: weight of old = alpha + beta 1[argmax z_v1,i = y_i], weight of new = 0

    Args:
        facts: with ``old_argmax_BT``.
        alpha: weight everywhere.
        beta: added where the old model is right.

    Returns:
        Two float (B, T).

    Example:
        >>> facts = Facts(torch.tensor([[3, 4]]), old_argmax_BT=torch.tensor([[3, 5]]))
        >>> focal(facts)[0]
        tensor([[6., 1.]])

    Source: Yan et al. 2021 (2011.09161), focal distillation, per token.
    """
    old_BT = alpha + beta * (_known(facts.old_argmax_BT) == facts.targets_BT).float()
    return old_BT, torch.zeros_like(old_BT)


def double_focal(facts: Facts, alpha: float = 1.0, beta: float = 5.0) -> tuple[Tensor, Tensor]:
    """Follow both models everywhere, each more closely where it is right, by halves.

    Formula: weight of k = (alpha + beta 1[argmax z_k,i = y_i]) / 2 for k = old, new

    Args:
        facts: with ``old_argmax_BT`` and ``new_argmax_BT``.
        alpha: weight everywhere.
        beta: added where that model is right.

    Returns:
        Two float (B, T).

    Example:
        >>> facts = Facts(
        ...     torch.tensor([[3]]), old_argmax_BT=torch.tensor([[3]]), new_argmax_BT=torch.tensor([[5]])
        ... )
        >>> double_focal(facts)
        (tensor([[3.]]), tensor([[0.5000]]))

    Source: after 2511.08322 (two sources of focal distillation), in the form of :func:`focal`.
    """
    old_BT, new_BT = (
        0.5 * (alpha + beta * (_known(argmax_BT) == facts.targets_BT).float())
        for argmax_BT in (facts.old_argmax_BT, facts.new_argmax_BT)
    )
    return old_BT, new_BT


MASKS: dict[str, Mask] = {
    "student_wrong": Mask(student_wrong, ("student_argmax_BT",)),
    "old_right": Mask(old_right, ("old_argmax_BT",)),
    "old_only": Mask(old_only),
    "new_only": Mask(new_only),
    "old_unless_new_right": Mask(old_unless_new_right, ("old_argmax_BT", "new_argmax_BT")),
    "token_likelihood": Mask(token_likelihood, ("student_logp_BT", "old_logp_BT")),
    "sequence_likelihood": Mask(
        sequence_likelihood, ("student_logp_BT", "old_logp_BT"), whole_sequences=True
    ),
    "mixture": Mask(mixture),
    "focal": Mask(focal, ("old_argmax_BT",)),
    "double_focal": Mask(double_focal, ("old_argmax_BT", "new_argmax_BT")),
}


def teacher_weights(mask: Mask, facts: Facts) -> tuple[Tensor, Tensor]:
    """Return the weight of each teacher per token, from what a mask says.

    Returns:
        (weight of old, weight of new), both float32 (B, T), 0 where there is no target.

    Example:
        >>> teacher_weights(MASKS["old_only"], Facts(torch.tensor([[3, -100]])))
        (tensor([[1., 0.]]), tensor([[0., 0.]]))
    """
    said = mask.function(facts)
    old_BT, new_BT = said if isinstance(said, tuple) else (said.float(), 1 - said.float())
    ignored_BT = facts.targets_BT == IGNORED
    return old_BT.masked_fill(ignored_BT, 0.0), new_BT.masked_fill(ignored_BT, 0.0)


def find_mask(name: str) -> Mask:
    """Return a mask by name; ``mixture:0.3`` is a mixture with share 0.3.

    Raises:
        ConfigError: there is none of that name.

    Example:
        >>> find_mask("student_wrong").needs
        ('student_argmax_BT',)
        >>> find_mask("mixture:0.25").function(Facts(torch.tensor([[3]])))
        tensor([[0.2500]])
    """
    if name.startswith("mixture:"):
        try:
            share = float(name.removeprefix("mixture:"))
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise ConfigError(f"The share in '{name}' must be a number from 0 to 1, as in 'mixture:0.5'.")
        return Mask(partial(mixture, share=share))
    if name not in MASKS:
        raise ConfigError(f"No mask is named '{name}'. {did_you_mean(name, MASKS)}")
    return MASKS[name]
