"""The compatibility loss from hidden states, without ever holding the logits of a batch.

The trained tokens are worked through in chunks. For each chunk: the student's logits, from which the mask
is read; then each token's teacher's logits, as a rule of one teacher only; the divergence; and at once its
gradient with respect to the student's hidden states. What remains of a chunk is a row of H values a token.
The plain form of the same loss is :func:`muscle_llm.distill.losses.compatibility_loss`.

Shapes: B sequences, T positions, N trained tokens, n tokens of a chunk, H hidden, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from muscle_llm.distill.divergences import Divergence, find_divergence
from muscle_llm.distill.heads import Head
from muscle_llm.distill.losses import LossParts
from muscle_llm.distill.masks import IGNORED, Facts, Mask, find_mask, teacher_weights
from muscle_llm.distill.teacher_tokens import HiddenTokens, TeacherTokens, TopKTokens, bucket_divergence
from muscle_llm.errors import ConfigError

__all__ = ["chunked_cross_entropy", "fused_compatibility_loss"]

_CHUNK_VALUES = {"cpu": 1 << 23, "cuda": 1 << 26}  # logits held at a time, per kind of device


class _WithGradients(torch.autograd.Function):
    """A scalar whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *pairs: Tensor | None) -> Tensor:
        """Keep the gradients: ``pairs`` are the inputs, then as many gradients (None where not wanted)."""
        ctx.save_for_backward(*pairs[len(pairs) // 2 :])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        """Scale the kept gradients."""
        kept = ctx.saved_tensors
        return (
            None,
            *(None if g is None else g * outer[0].to(g.dtype) for g in kept),
            *(None for _ in kept),
        )


@dataclass(frozen=True)
class _Loss:
    """What stays the same from chunk to chunk."""

    mask: Mask
    divergence: Divergence
    temperature: float
    factor: float  # of the divergences: T^2 if wanted, else 1
    ce_weight: float
    keep_logits: bool  # they are needed once more: for the cross-entropy, or for the cap


def fused_compatibility_loss(
    hidden_BTH: Tensor,
    head: Head,
    old: TeacherTokens,
    new: TeacherTokens,
    targets_BT: Tensor,
    *,
    mask: str = "student_wrong",
    divergence: str = "forward_kl",
    temperature: float = 2.0,
    temperature_squared: bool = False,
    ce_weight: float = 0.0,
    instance_weights_B: Tensor | None = None,
    token_count: Tensor | float | None = None,
    chunk_tokens: int | None = None,
) -> LossParts:
    """Compute eq. 1 (eq. 5) and its gradients, chunk by chunk.

    Formula: that of :func:`muscle_llm.distill.losses.compatibility_loss`.

    Args:
        hidden_BTH: the student's final hidden states.
        head: the student's output layer; its weight and bias get gradients if they require them.
        old: the old teacher on the N positions with a target, row by row.
        new: the new teacher likewise.
        targets_BT: int, IGNORED where there is no target.
        mask: a name in :data:`muscle_llm.distill.masks.MASKS`.
        divergence: a name in :data:`muscle_llm.distill.divergences.DIVERGENCES`; truncated teachers know
            ``forward_kl`` only.
        temperature: T > 0; truncated teachers must have been truncated at it.
        temperature_squared: multiply the divergences by T^2.
        ce_weight: share of the cross-entropy, 0 to 1.
        instance_weights_B: one weight per sequence.
        token_count: divide by this instead of by N.
        chunk_tokens: how many tokens at a time; None chooses by the vocabulary and the device.

    Returns:
        The loss and its parts, as the plain form returns them.

    Raises:
        ConfigError: no such mask or divergence, or one that truncated teachers cannot serve.

    Example:
        >>> hidden = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], requires_grad=True)
        >>> head = Head(torch.eye(2))
        >>> same = HiddenTokens(hidden.detach()[0, :1], head)
        >>> fused_compatibility_loss(hidden, head, same, same, torch.tensor([[1, -100]])).loss.item()
        0.0

    Source: paper, eq. 1 and eq. 5.
    """
    if divergence != "forward_kl" and (isinstance(old, TopKTokens) or isinstance(new, TopKTokens)):
        raise ConfigError(
            f"Truncated teachers give forward_kl only, not {divergence}. Cache hidden states instead."
        )
    shared = min(t.head.vocabulary for t in (_Student(head), old, new) if not isinstance(t, TopKTokens))
    head, old, new = head.cut(shared), _cut(old, shared), _cut(new, shared)
    valid_BT = targets_BT != IGNORED
    hidden_NH, targets_N = hidden_BTH[valid_BT], targets_BT[valid_BT]
    tokens = valid_BT.sum()
    count = tokens.clamp(min=1) if token_count is None else token_count
    rule = find_mask(mask)
    loss = _Loss(
        rule,
        find_divergence(divergence),
        temperature,
        temperature**2 if temperature_squared else 1.0,
        ce_weight,
        temperature != 1 and (ce_weight > 0 or head.cap is not None),
    )
    if chunk_tokens is None:
        chunk_tokens = max(16, _CHUNK_VALUES.get(hidden_NH.device.type, 1 << 24) // shared)
    with torch.no_grad():
        weights = None
        if rule.whole_sequences:
            weights = _sequence_weights(rule, hidden_NH, head, old, new, targets_BT, chunk_tokens)
        instance_N = (
            None if instance_weights_B is None else instance_weights_B[:, None].expand_as(valid_BT)[valid_BT]
        )
        sums, gradients = _run(
            loss, hidden_NH, head, old, new, targets_N, weights, instance_N, count, chunk_tokens
        )
    inputs = (hidden_NH, head.weight_VH, head.bias_V)
    value = _WithGradients.apply(sums["loss"] / count, *inputs, *gradients)
    return LossParts(
        loss=value,
        tokens=tokens,
        old_tokens=sums["old_tokens"],
        old_sum=sums["old"],
        new_sum=sums["new"],
        ce_sum=sums["ce"] if ce_weight > 0 else None,
    )


def chunked_cross_entropy(hidden_NH: Tensor, head: Head, targets_N: Tensor) -> Tensor:
    """Return the cross-entropy summed over tokens, in nats, without gradient, chunk by chunk.

    Args:
        hidden_NH: final hidden states.
        head: the output layer.
        targets_N: token ids.

    Example:
        >>> chunked_cross_entropy(torch.zeros(3, 2), Head(torch.eye(2)), torch.tensor([0, 1, 1])).item()
        2.079
    """
    size = max(16, _CHUNK_VALUES.get(hidden_NH.device.type, 1 << 24) // head.vocabulary)
    with torch.no_grad():
        parts = [
            functional.cross_entropy(head.logits(hidden), targets, reduction="sum")
            for hidden, targets in zip(hidden_NH.split(size), targets_N.split(size), strict=True)
        ]
        return torch.stack(parts).sum() if parts else hidden_NH.new_zeros((), dtype=torch.float32)


@dataclass(frozen=True)
class _Student:
    """The student's head, named like a teacher's."""

    head: Head


def _cut(teacher: TeacherTokens, vocabulary: int) -> TeacherTokens:
    """Return a teacher that scores the first tokens only."""
    if isinstance(teacher, TopKTokens):
        return teacher  # a truncated teacher was cut when it was made
    return HiddenTokens(teacher.hidden_NH, teacher.head.cut(vocabulary))


def _facts(
    needs: tuple[str, ...],
    z_nV: Tensor,
    old_nV: Tensor | None,
    new_nV: Tensor | None,
    targets_n: Tensor,
    rows: slice,
    teachers: tuple[TeacherTokens, TeacherTokens],
) -> Facts:
    """Return what a mask looks at, of shape (1, n), from logits or truncated teachers."""
    found: dict[str, Tensor] = {}
    for who, logits, tokens in (
        ("student", z_nV, None),
        ("old", old_nV, teachers[0]),
        ("new", new_nV, teachers[1]),
    ):
        if f"{who}_argmax_BT" in needs:
            argmax_n = (
                tokens.token_NK[rows, 0] if isinstance(tokens, TopKTokens) else _known(logits).argmax(-1)
            )
            found[f"{who}_argmax_BT"] = argmax_n[None].long()
        if f"{who}_logp_BT" in needs:
            logp_n = (
                tokens.target_logp_N[rows].to(z_nV.dtype)
                if isinstance(tokens, TopKTokens)
                else -functional.cross_entropy(_known(logits), targets_n, reduction="none")
            )
            found[f"{who}_logp_BT"] = logp_n[None]
    return Facts(targets_n[None], **found)


def _known(logits: Tensor | None) -> Tensor:
    assert logits is not None
    return logits


def _teacher_logits(needs: tuple[str, ...], who: str, teacher: TeacherTokens, rows: slice) -> Tensor | None:
    """Return a teacher's logits on a whole chunk if the mask must see them, else None."""
    if isinstance(teacher, TopKTokens) or not any(name.startswith(who) for name in needs):
        return None
    return teacher.logits(rows)


def _sequence_weights(
    rule: Mask,
    hidden_NH: Tensor,
    head: Head,
    old: TeacherTokens,
    new: TeacherTokens,
    targets_BT: Tensor,
    chunk_tokens: int,
) -> tuple[Tensor, Tensor]:
    """Return the weights (N,) of a mask that looks at whole sequences: a pass of its own over all tokens."""
    valid_BT = targets_BT != IGNORED
    targets_N = targets_BT[valid_BT]
    found: dict[str, Tensor] = {}
    for start in range(0, len(targets_N), chunk_tokens):
        rows = slice(start, start + chunk_tokens)
        facts = _facts(
            rule.needs,
            head.logits(hidden_NH[rows]),
            _teacher_logits(rule.needs, "old", old, rows),
            _teacher_logits(rule.needs, "new", new, rows),
            targets_N[rows],
            rows,
            (old, new),
        )
        for name in rule.needs:
            values = getattr(facts, name)[0]
            if name not in found:
                found[name] = values.new_zeros(len(targets_N))
            found[name][rows] = values
    spread = {
        name: torch.zeros(targets_BT.shape, dtype=values.dtype, device=values.device).masked_scatter(
            valid_BT, values
        )
        for name, values in found.items()
    }
    old_BT, new_BT = teacher_weights(rule, Facts(targets_BT, **spread))
    return old_BT[valid_BT], new_BT[valid_BT]


def _run(
    loss: _Loss,
    hidden_NH: Tensor,
    head: Head,
    old: TeacherTokens,
    new: TeacherTokens,
    targets_N: Tensor,
    weights: tuple[Tensor, Tensor] | None,
    instance_N: Tensor | None,
    count: Tensor | float,
    chunk_tokens: int,
) -> tuple[dict[str, Tensor], list[Tensor | None]]:
    """Work through all chunks; return the sums and the gradients of hidden states, weight and bias."""
    wide = torch.float64 if hidden_NH.dtype == torch.float64 else torch.float32
    sums = {
        name: torch.zeros((), dtype=wide, device=hidden_NH.device)
        for name in ("loss", "old", "new", "ce", "old_tokens")
    }
    need = [bool(x is not None and x.requires_grad) for x in (hidden_NH, head.weight_VH, head.bias_V)]
    hidden_gradient = torch.empty_like(hidden_NH) if need[0] else None
    weight_gradient = torch.zeros_like(head.weight_VH, dtype=wide) if need[1] else None
    bias_gradient = torch.zeros(head.vocabulary, dtype=wide, device=hidden_NH.device) if need[2] else None
    for start in range(0, len(targets_N), chunk_tokens):
        rows = slice(start, min(start + chunk_tokens, len(targets_N)))
        z_nV = head.logits(hidden_NH[rows])
        instance_n = None if instance_N is None else instance_N[rows].to(wide)
        gradient_nV = _chunk(loss, z_nV, old, new, targets_N[rows], rows, weights, instance_n, sums)
        if not any(need):
            continue
        # back through the cap and the scale of the logits
        if head.cap is not None:
            gradient_nV.mul_(1 - (z_nV / head.cap).square())
        narrow_nV = gradient_nV.to(hidden_NH.dtype)
        if hidden_gradient is not None:
            torch.mm(narrow_nV, head.weight_VH.detach(), out=hidden_gradient[rows])
        if weight_gradient is not None:
            weight_gradient += narrow_nV.T @ hidden_NH[rows].detach()
        if bias_gradient is not None:
            bias_gradient += gradient_nV.sum(dim=0)
    factor = head.scale / torch.as_tensor(count, dtype=wide, device=hidden_NH.device)
    gradients = [hidden_gradient, weight_gradient, bias_gradient]
    for i, (tensor, gradient) in enumerate(
        zip((hidden_NH, head.weight_VH, head.bias_V), gradients, strict=True)
    ):
        if tensor is not None and gradient is not None:
            gradients[i] = gradient.mul_(factor).to(tensor.dtype)
    return sums, gradients


def _chunk(
    loss: _Loss,
    z_nV: Tensor,
    old: TeacherTokens,
    new: TeacherTokens,
    targets_n: Tensor,
    rows: slice,
    weights: tuple[Tensor, Tensor] | None,
    instance_n: Tensor | None,
    sums: dict[str, Tensor],
) -> Tensor:
    """Add a chunk to the sums; return the gradient by its logits, not yet divided by the token count."""
    needs = () if weights is not None else loss.mask.needs
    old_nV, new_nV = _teacher_logits(needs, "old", old, rows), _teacher_logits(needs, "new", new, rows)
    if weights is None:
        facts = _facts(needs, z_nV, old_nV, new_nV, targets_n, rows, (old, new))
        old_weight_n, new_weight_n = (w[0].to(z_nV.dtype) for w in teacher_weights(loss.mask, facts))
    else:
        old_weight_n, new_weight_n = (w[rows].to(z_nV.dtype) for w in weights)
    logq_nV = _softened(z_nV.clone() if loss.keep_logits else z_nV, loss.temperature)
    parts = [
        _Part("old", old, old_nV, old_weight_n),
        _Part("new", new, new_nV, new_weight_n),
    ]
    sums["old_tokens"] += (old_weight_n / (old_weight_n + new_weight_n).clamp(min=1e-30)).sum()
    gradient_nV = _divergences(loss, parts, logq_nV, rows, instance_n, sums)
    if loss.ce_weight > 0:
        _add_cross_entropy(loss, gradient_nV, z_nV, targets_n, instance_n, sums)
    return gradient_nV


def _softened(z_nV: Tensor, temperature: float) -> Tensor:
    """Return log-probabilities at T; overwrites the logits."""
    return functional.log_softmax(z_nV if temperature == 1 else z_nV.div_(temperature), dim=-1)


@dataclass(frozen=True)
class _Part:
    """One teacher in one chunk."""

    name: str
    teacher: TeacherTokens
    logits_nV: Tensor | None  # where the mask had to see them already
    weight_n: Tensor

    def logp(self, index_m: Tensor, start: int, temperature: float) -> Tensor:
        """Return log-probabilities at T of some tokens of the chunk, (m, V)."""
        assert isinstance(self.teacher, HiddenTokens)
        z_mV = self.teacher.logits(index_m + start) if self.logits_nV is None else self.logits_nV[index_m]
        return _softened(z_mV, temperature)


def _divergences(
    loss: _Loss,
    parts: list[_Part],
    logq_nV: Tensor,
    rows: slice,
    instance_n: Tensor | None,
    sums: dict[str, Tensor],
) -> Tensor:
    """Return the gradient by the logits of the weighted divergences of a chunk; add them to the sums."""
    start = rows.start
    index = {part.name: part.weight_n.nonzero()[:, 0] for part in parts}
    one_each = bool(((parts[0].weight_n != 0) ^ (parts[1].weight_n != 0)).all())
    if one_each and all(isinstance(part.teacher, HiddenTokens) for part in parts):
        # gather each token's teacher into one matrix, so that nothing of the student is copied
        used = [part for part in parts if len(index[part.name])]
        if len(used) == 1:
            logp_nV = used[0].logp(index[used[0].name], start, loss.temperature)
        else:
            logp_nV = torch.empty_like(logq_nV)
            for part in used:
                logp_nV[index[part.name]] = part.logp(index[part.name], start, loss.temperature)
        value_n, gradient_nV = loss.divergence.fused(logp_nV, logq_nV)
        for part in parts:
            sums[part.name] += (part.weight_n * value_n).sum() * loss.factor
        weight_n = parts[0].weight_n + parts[1].weight_n
        return _weighted(loss, gradient_nV, value_n, weight_n, instance_n, sums)
    gradient_nV = torch.zeros_like(logq_nV)
    for part in parts:
        index_m = index[part.name]
        if not len(index_m):
            continue
        if isinstance(part.teacher, TopKTokens):
            value_m, gradient_mV = bucket_divergence(part.teacher, index_m + start, logq_nV[index_m])
        else:
            value_m, gradient_mV = loss.divergence.fused(
                part.logp(index_m, start, loss.temperature), logq_nV[index_m]
            )
        weight_m = part.weight_n[index_m]
        sums[part.name] += (weight_m * value_m).sum() * loss.factor
        instance_m = None if instance_n is None else instance_n[index_m]
        gradient_nV.index_add_(0, index_m, _weighted(loss, gradient_mV, value_m, weight_m, instance_m, sums))
    return gradient_nV


def _weighted(
    loss: _Loss,
    gradient_mV: Tensor,
    value_m: Tensor,
    weight_m: Tensor,
    instance_m: Tensor | None,
    sums: dict[str, Tensor],
) -> Tensor:
    """Weigh gradients in place, and add the weighted values to the loss."""
    if instance_m is not None:
        weight_m = weight_m * instance_m
    weight_m = weight_m * ((1 - loss.ce_weight) * loss.factor)
    sums["loss"] += (weight_m * value_m).sum()
    return gradient_mV.mul_((weight_m / loss.temperature)[:, None])


def _add_cross_entropy(
    loss: _Loss,
    gradient_nV: Tensor,
    z_nV: Tensor,
    targets_n: Tensor,
    instance_n: Tensor | None,
    sums: dict[str, Tensor],
) -> None:
    """Add the cross-entropy's share to the gradient and the sums."""
    logp_nV = functional.log_softmax(z_nV, dim=-1)
    ce_n = -logp_nV.gather(-1, targets_n[:, None])[:, 0]
    weight_n = torch.full_like(ce_n, loss.ce_weight) if instance_n is None else loss.ce_weight * instance_n
    sums["ce"] += ce_n.sum()
    sums["loss"] += (weight_n * ce_n).sum()
    by_logits_nV = logp_nV.exp_()
    by_logits_nV.scatter_add_(-1, targets_n[:, None], -torch.ones_like(ce_n)[:, None])
    gradient_nV.addcmul_(by_logits_nV, weight_n[:, None].expand_as(by_logits_nV))
