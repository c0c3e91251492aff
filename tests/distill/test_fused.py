"""The fused loss is the plain loss: value and gradients, over dtypes, shapes, masks and ragged batches."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from muscle_llm.distill.divergences import DIVERGENCES, forward_kl  # noqa: E402
from muscle_llm.distill.fused import fused_compatibility_loss  # noqa: E402
from muscle_llm.distill.heads import Head  # noqa: E402
from muscle_llm.distill.losses import compatibility_loss  # noqa: E402
from muscle_llm.distill.masks import IGNORED, MASKS  # noqa: E402
from muscle_llm.distill.teacher_tokens import HiddenTokens, top_k_of  # noqa: E402
from muscle_llm.errors import ConfigError  # noqa: E402

pytestmark = pytest.mark.train

ALL_MASKS = [*sorted(MASKS), "mixture:0.3"]


def world(seed, lengths, V, H=5, dtype=torch.float64, old_V=None, **head_options):
    """Random hidden states and heads of three models, on a ragged batch."""
    g = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    B, T = len(lengths), max(lengths) + 1
    targets_BT = torch.randint(0, V, (B, T), generator=g)
    for b, length in enumerate(lengths):
        targets_BT[b, length:] = IGNORED
    heads = [Head((randn(v, H) * 2).to(dtype), **head_options) for v in (V, old_V or V, V)]
    hidden = [randn(B, T, H).to(dtype) for _ in range(3)]
    # a student that is right half the time
    aim = (torch.rand(B, T, generator=g) < 0.5)[..., None] * heads[0].weight_VH[targets_BT.clamp(min=0)]
    hidden[0] = (hidden[0] + 2 * aim).to(dtype)
    return hidden, heads, targets_BT


def fused(hidden, heads, targets_BT, **options):
    valid = targets_BT != IGNORED
    old, new = (HiddenTokens(hidden[i][valid], heads[i]) for i in (1, 2))
    return fused_compatibility_loss(hidden[0], heads[0], old, new, targets_BT, **options)


def plain(hidden, heads, targets_BT, **options):
    return compatibility_loss(
        *(head.logits(h) for head, h in zip(heads, hidden, strict=True)), targets_BT, **options
    )


def compare(hidden, heads, targets_BT, chunk_tokens=3, rel=1e-9, **options):
    """Assert equal values, parts and gradients of the student's hidden states."""
    results = []
    for function, extra in ((plain, {}), (fused, {"chunk_tokens": chunk_tokens})):
        student = hidden[0].clone().requires_grad_()
        parts = function([student, *hidden[1:]], heads, targets_BT, **options, **extra)
        parts.loss.backward()
        results.append((parts, student.grad))
    (a, gradient_a), (b, gradient_b) = results
    for name in ("loss", "tokens", "old_tokens", "old_sum", "new_sum", "ce_sum"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None)
        if left is not None:
            assert right.item() == pytest.approx(left.item(), rel=rel, abs=rel), name
    assert (gradient_a - gradient_b).norm() <= rel * gradient_a.norm() + rel * 1e-2


@pytest.mark.parametrize("mask", ALL_MASKS)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    V=st.integers(2, 23),
    chunk=st.integers(1, 9),
    divergence=st.sampled_from(sorted(DIVERGENCES)),
    temperature=st.sampled_from([0.7, 1.0, 2.0]),
    squared=st.booleans(),
    ce_weight=st.sampled_from([0.0, 0.4, 1.0]),
    weighted=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_fused_equals_plain(
    mask, seed, lengths, V, chunk, divergence, temperature, squared, ce_weight, weighted
):
    hidden, heads, targets_BT = world(seed, lengths, V)
    compare(
        hidden,
        heads,
        targets_BT,
        chunk_tokens=chunk,
        mask=mask,
        divergence=divergence,
        temperature=temperature,
        temperature_squared=squared,
        ce_weight=ce_weight,
        instance_weights_B=torch.linspace(0.5, 2.0, len(lengths), dtype=torch.float64) if weighted else None,
        token_count=7.0 if weighted else None,
    )


@pytest.mark.parametrize(
    "options",
    [{"cap": 3.0}, {"scale": 0.25}, {"scale": 2.0, "cap": 5.0}, {"bias_V": torch.randn(11).double()}],
)
@pytest.mark.parametrize("mask", ["student_wrong", "token_likelihood", "sequence_likelihood"])
def test_caps_scales_and_biases(options, mask):
    hidden, heads, targets_BT = world(1, [4, 6, 2], 11, **options)
    compare(hidden, heads, targets_BT, mask=mask, ce_weight=0.3)


def test_padded_vocabularies():
    hidden, heads, targets_BT = world(2, [4, 3], 11, old_V=16)
    compare(hidden, heads, targets_BT)
    compare(hidden, heads, targets_BT, mask="old_right")


@pytest.mark.parametrize("mask", ALL_MASKS)
def test_a_trainable_head_gets_its_gradient(mask):
    hidden, heads, targets_BT = world(3, [5, 2], 9, bias_V=torch.randn(9).double(), cap=4.0, scale=0.5)
    gradients = []
    for function in (plain, fused):
        down = torch.ones(2, 5, dtype=torch.float64, requires_grad=True)
        up = torch.full((9, 2), 0.1, dtype=torch.float64, requires_grad=True)
        bias = heads[0].bias_V.clone().requires_grad_()
        student = Head(heads[0].weight_VH + up @ down, bias, scale=0.5, cap=4.0)
        options = {"chunk_tokens": 2} if function is fused else {}
        function(
            hidden, [student, *heads[1:]], targets_BT, mask=mask, ce_weight=0.2, **options
        ).loss.backward()
        gradients.append((down.grad, up.grad, bias.grad))
    for left, right in zip(*gradients, strict=True):
        assert torch.allclose(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mask", ["student_wrong", "old_only", "sequence_likelihood", "mixture:0.5"])
def test_no_less_exact_than_the_plain_loss_in_low_precision(dtype, mask):
    """Against float64 of the same rounded inputs: the fused error is at most the plain one's."""
    errors = {"plain": 0.0, "fused": 0.0}
    for seed in range(6):
        hidden, heads, targets_BT = world(seed, [9, 5, 7, 1], 37, H=16, dtype=dtype)
        gradients = {}
        exact_hidden = [h.double() for h in hidden]
        exact_heads = [Head(h.weight_VH.double()) for h in heads]
        for name, function, h, w in (
            ("exact", plain, exact_hidden, exact_heads),
            ("plain", plain, hidden, heads),
            ("fused", fused, hidden, heads),
        ):
            student = h[0].clone().requires_grad_()
            # the mask of the exact run: whether a rounded argmax ties is not what is measured
            function([student, *h[1:]], w, targets_BT, mask=mask).loss.backward()
            gradients[name] = student.grad.double()
        for name in errors:
            errors[name] += (gradients[name] - gradients["exact"]).norm().item()
    assert errors["fused"] <= 1.1 * errors["plain"] + 1e-7


def test_float32_accumulation_of_the_loss_in_bfloat16():
    hidden, heads, targets_BT = world(0, [400, 300], 50, dtype=torch.bfloat16)
    low = fused(hidden, heads, targets_BT, chunk_tokens=7).loss
    assert low.dtype == torch.float32
    exact = plain([h.double() for h in hidden], [Head(h.weight_VH.double()) for h in heads], targets_BT).loss
    assert low.item() == pytest.approx(exact.item(), rel=2e-2)


def test_without_gradients_nothing_is_kept():
    hidden, heads, targets_BT = world(0, [4], 8)
    with torch.no_grad():
        loss = fused(hidden, heads, targets_BT).loss
    assert not loss.requires_grad


def test_a_batch_without_targets_has_loss_zero():
    hidden, heads, targets_BT = world(0, [4], 8)
    student = hidden[0].clone().requires_grad_()
    loss = fused([student, *hidden[1:]], heads, torch.full_like(targets_BT, IGNORED)).loss
    loss.backward()
    assert loss.item() == 0.0
    assert student.grad.abs().max() == 0.0


def test_the_loss_never_holds_the_logits_of_the_batch(monkeypatch):
    hidden, heads, targets_BT = world(0, [60, 50], 13)
    largest = 0
    real = Head.logits

    def watched(self, hidden_NH):
        nonlocal largest
        largest = max(largest, len(hidden_NH))
        return real(self, hidden_NH)

    monkeypatch.setattr(Head, "logits", watched)
    rows = []
    fused([hidden[0].requires_grad_(), *hidden[1:]], heads, targets_BT, chunk_tokens=16).loss.backward()
    assert largest == 16
    # and one teacher a token: student + old or new = two heads a token
    monkeypatch.setattr(Head, "logits", lambda self, h: rows.append(len(h)) or real(self, h))
    fused(hidden, heads, targets_BT, chunk_tokens=16)
    assert sum(rows) == 2 * 110


def truncated(hidden, heads, targets_BT, k, temperature):
    valid = targets_BT != IGNORED
    return [top_k_of(heads[i].logits(hidden[i][valid]), targets_BT[valid], k, temperature) for i in (1, 2)]


@pytest.mark.parametrize("mask", ALL_MASKS)
def test_truncated_teachers_with_all_tokens_kept_are_exact(mask):
    hidden, heads, targets_BT = world(4, [6, 3], 9)
    old, new = truncated(hidden, heads, targets_BT, 9, 2.0)
    gradients = []
    for teachers in ((old, new), None):
        student = hidden[0].clone().requires_grad_()
        if teachers is None:
            parts = plain([student, *hidden[1:]], heads, targets_BT, mask=mask, ce_weight=0.1)
        else:
            parts = fused_compatibility_loss(
                student, heads[0], old, new, targets_BT, mask=mask, ce_weight=0.1, chunk_tokens=4
            )
        parts.loss.backward()
        gradients.append((parts.loss.item(), student.grad))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-9)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-9)


@given(seed=st.integers(0, 10**6), k=st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_truncation_never_adds_divergence_and_its_gradient_is_right(seed, k):
    hidden, heads, targets_BT = world(seed, [5, 2], 12)
    old, new = truncated(hidden, heads, targets_BT, k, 2.0)
    student = hidden[0].clone().requires_grad_()
    parts = fused_compatibility_loss(student, heads[0], old, new, targets_BT, mask="old_only")
    parts.loss.backward()
    valid = targets_BT != IGNORED
    teacher_NV = heads[1].logits(hidden[1][valid])
    full = forward_kl(teacher_NV, heads[0].logits(hidden[0][valid]), 2.0).mean()
    assert parts.loss.item() <= full.item() + 1e-12

    again = hidden[0].clone().requires_grad_()
    logq = (heads[0].logits(again[valid]) / 2).log_softmax(-1)
    p = (teacher_NV / 2).softmax(-1)
    kept = torch.zeros_like(p, dtype=torch.bool).scatter(-1, old.token_NK, True)
    value = (p * (p.log() - logq)).masked_fill(~kept, 0).sum(-1)
    if k < 12:
        rest_p, rest_q = p.masked_fill(kept, 0).sum(-1), logq.exp().masked_fill(kept, 0).sum(-1)
        value = value + rest_p * (rest_p / rest_q).log()
    value.mean().backward()
    assert parts.loss.item() == pytest.approx(value.mean().item(), rel=1e-9, abs=1e-12)
    assert torch.allclose(student.grad, again.grad, atol=1e-9)


def test_truncated_teachers_know_forward_kl_only():
    hidden, heads, targets_BT = world(4, [6, 3], 9)
    old, new = truncated(hidden, heads, targets_BT, 3, 2.0)
    with pytest.raises(ConfigError, match="forward_kl only"):
        fused_compatibility_loss(hidden[0], heads[0], old, new, targets_BT, divergence="jsd")
