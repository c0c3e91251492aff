"""The compatibility loss against a float64 reference written straight from eq. 1."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from muscle_llm.distill.divergences import forward_kl, jensen_shannon, reverse_kl  # noqa: E402
from muscle_llm.distill.losses import compatibility_loss, cross_entropy, next_token_targets  # noqa: E402
from muscle_llm.distill.masks import IGNORED, MASKS, Facts, find_mask  # noqa: E402
from muscle_llm.errors import ConfigError  # noqa: E402

pytestmark = pytest.mark.train


def softmax(row, temperature):
    top = max(v / temperature for v in row)
    powers = [math.exp(v / temperature - top) for v in row]
    return [p / sum(powers) for p in powers]


def reference_mask(name, student, old, targets):
    """The masks, one token at a time, in plain Python floats."""

    def argmax(row):
        return max(range(len(row)), key=lambda v: row[v])

    def logp(row, y):
        return math.log(softmax(row, 1.0)[y])

    B, T = len(targets), len(targets[0])
    mask = [[0.0] * T for _ in range(B)]
    for b in range(B):
        valid = [t for t in range(T) if targets[b][t] != IGNORED]
        student_sum = sum(logp(student[b][t], targets[b][t]) for t in valid)
        old_sum = sum(logp(old[b][t], targets[b][t]) for t in valid)
        for t in valid:
            y = targets[b][t]
            mask[b][t] = float(
                {
                    "student_wrong": lambda b=b, t=t, y=y: argmax(student[b][t]) != y,
                    "old_right": lambda b=b, t=t, y=y: argmax(old[b][t]) == y,
                    "old_only": lambda: True,
                    "new_only": lambda: False,
                    "token_likelihood": lambda b=b, t=t, y=y: logp(student[b][t], y) < logp(old[b][t], y),
                    "sequence_likelihood": lambda s=student_sum, o=old_sum: s < o,
                }[name]()
            )
    return mask


def reference_loss(student_BTV, old_BTV, new_BTV, targets_BT, mask_BT, temperature, ce_weight):
    """Eq. 1 and eq. 5 in float64, token by token."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for b in range(targets_BT.shape[0]):
        for t in range(targets_BT.shape[1]):
            y = int(targets_BT[b, t])
            if y == IGNORED:
                continue
            count += 1
            q = torch.log_softmax(student_BTV[b, t] / temperature, -1)
            kl = torch.zeros((), dtype=torch.float64)
            for share, teacher in ((mask_BT[b][t], old_BTV[b, t]), (1 - mask_BT[b][t], new_BTV[b, t])):
                p = torch.softmax(teacher / temperature, -1)
                kl = kl + share * (p * (p.log() - q)).sum()
            ce = -torch.log_softmax(student_BTV[b, t], -1)[y]
            total = total + (1 - ce_weight) * kl + ce_weight * ce
    return total / max(1, count)


def ragged(seed, lengths, V, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    T = max(lengths)
    logits = [
        torch.randn(len(lengths), T, V, generator=generator, dtype=torch.float64) * scale for _ in range(3)
    ]
    targets_BT = torch.randint(0, V, (len(lengths), T), generator=generator)
    for b, length in enumerate(lengths):
        targets_BT[b, length:] = IGNORED
        # a student that is sometimes right
        right = torch.rand(length, generator=generator) < 0.5
        rows = torch.arange(length)[right]
        logits[0][b, rows, targets_BT[b, rows]] += 8
    return [z.float() for z in logits], targets_BT


PAPER_MASKS = [
    "new_only",
    "old_only",
    "old_right",
    "sequence_likelihood",
    "student_wrong",
    "token_likelihood",
]


@pytest.mark.parametrize("mask", PAPER_MASKS)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    V=st.integers(2, 17),
    temperature=st.sampled_from([0.7, 1.0, 2.0]),
    ce_weight=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=8, deadline=None)
def test_value_and_gradient_equal_the_float64_reference(mask, seed, lengths, V, temperature, ce_weight):
    (student, old, new), targets_BT = ragged(seed, lengths, V)
    student.requires_grad_()
    parts = compatibility_loss(
        student, old, new, targets_BT, mask=mask, temperature=temperature, ce_weight=ce_weight
    )
    parts.loss.backward()

    exact = student.detach().double().requires_grad_()
    mask_BT = reference_mask(mask, exact.tolist(), old.double().tolist(), targets_BT.tolist())
    loss = reference_loss(exact, old.double(), new.double(), targets_BT, mask_BT, temperature, ce_weight)
    loss.backward()

    assert parts.loss.item() == pytest.approx(loss.item(), rel=1e-5, abs=1e-6)
    # The gradient is a difference of probabilities of order 1: below a few of their ulps nothing is left.
    scale = exact.grad.norm().item()
    assert (student.grad.double() - exact.grad).norm().item() <= 1e-5 * scale + 5e-7
    assert parts.tokens.item() == sum(lengths)
    assert parts.old_tokens.item() == pytest.approx(sum(map(sum, mask_BT)))


@given(rows=st.lists(st.booleans(), min_size=6, max_size=6), seed=st.integers(0, 1000))
@settings(max_examples=12, deadline=None)
def test_every_choice_of_mask_row(rows, seed):
    """Whatever rows follow the old model, the gradient is that of eq. 1 with exactly those rows."""
    (student, old, new), targets_BT = ragged(seed, [3, 2], 7)
    targets_BT = torch.where(targets_BT == IGNORED, IGNORED, 0)
    student = torch.zeros_like(student) + torch.randn(student.shape) * 0.1
    for position, follows_old in enumerate(rows):
        b, t = divmod(position, 3)
        student[b, t, 1 if follows_old else 0] += 5.0  # wrong, or right, as the row says
    student.requires_grad_()
    compatibility_loss(student, old, new, targets_BT).loss.backward()
    exact = student.detach().double().requires_grad_()
    mask_BT = [[float(rows[3 * b + t]) for t in range(3)] for b in range(2)]
    reference_loss(exact, old.double(), new.double(), targets_BT, mask_BT, 2.0, 0.0).backward()
    assert (student.grad.double() - exact.grad).norm() <= 1e-5 * exact.grad.norm()


def test_kl_of_a_distribution_with_itself_is_zero_and_positive_otherwise():
    logits = torch.randn(50, 11) * 5
    assert forward_kl(logits, logits, 2.0).abs().max() < 1e-6
    assert forward_kl(logits, logits + 3.0, 2.0).abs().max() < 1e-5  # logits are up to a constant
    assert (forward_kl(logits, torch.randn(50, 11), 2.0) > 0).all()


def test_kl_literal_values():
    # p = (3/4, 1/4), q = (1/2, 1/2)
    p, q = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    assert forward_kl(p, q).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    # at T = 2 both sides are divided: p ~ (sqrt(3), 1)
    root = math.sqrt(3) / (1 + math.sqrt(3))
    expected = root * math.log(2 * root) + (1 - root) * math.log(2 * (1 - root))
    assert forward_kl(p, q, 2.0).item() == pytest.approx(expected)
    assert cross_entropy(q, torch.tensor([1])).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("mask", sorted(MASKS))
def test_masked_equals_filtered(mask):
    """Ignored positions change nothing, whatever their logits say."""
    (student, old, new), targets_BT = ragged(3, [5, 2, 4], 9)
    before = compatibility_loss(student, old, new, targets_BT, mask=mask, ce_weight=0.2)
    padding = targets_BT == IGNORED
    for logits in (student, old, new):
        logits[padding] = 1e4 * torch.randn(int(padding.sum()), 9)
    after = compatibility_loss(student, old, new, targets_BT, mask=mask, ce_weight=0.2)
    assert after.loss.item() == before.loss.item()
    assert after.old_tokens.item() == before.old_tokens.item()
    if mask != "sequence_likelihood":  # the one mask that is not a matter of each token alone
        keep = ~padding
        flat = compatibility_loss(
            student[keep][None],
            old[keep][None],
            new[keep][None],
            targets_BT[keep][None],
            mask=mask,
            ce_weight=0.2,
        )
        assert flat.loss.item() == pytest.approx(before.loss.item(), rel=1e-6)


@pytest.mark.parametrize("mask", [*PAPER_MASKS, "old_unless_new_right", "mixture:0.3"])
def test_identical_teachers_are_plain_distillation(mask):
    (student, teacher, _), targets_BT = ragged(4, [5, 3], 9)
    valid = targets_BT != IGNORED
    plain = forward_kl(teacher[valid], student[valid], 2.0).mean()
    loss = compatibility_loss(student, teacher, teacher, targets_BT, mask=mask).loss
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)


def test_no_gradient_reaches_the_teachers():
    (student, old, new), targets_BT = ragged(5, [4], 6)
    student.requires_grad_()
    old.requires_grad_(False)
    parts = compatibility_loss(student, old, new, targets_BT, mask="token_likelihood")
    parts.loss.backward()
    assert old.grad is None
    assert new.grad is None
    assert not parts.old_sum.requires_grad


def test_a_batch_without_targets_has_loss_zero():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    loss = compatibility_loss(logits, logits.detach(), logits.detach(), torch.full((2, 3), IGNORED)).loss
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.abs().max() == 0


def test_token_count_replaces_the_mean():
    (student, old, new), targets_BT = ragged(6, [4, 2], 6)
    mean = compatibility_loss(student, old, new, targets_BT).loss.item()
    assert compatibility_loss(student, old, new, targets_BT, token_count=60).loss.item() == pytest.approx(
        mean / 10
    )


def test_half_precision_is_computed_in_float32():
    (student, old, new), targets_BT = ragged(7, [6, 4], 12)
    half = compatibility_loss(student.bfloat16(), old.bfloat16(), new.bfloat16(), targets_BT).loss
    assert half.dtype == torch.float32
    rounded = [z.bfloat16().float() for z in (student, old, new)]
    assert half.item() == pytest.approx(compatibility_loss(*rounded, targets_BT).loss.item(), rel=1e-6)


def test_targets_are_shifted_by_one():
    assert next_token_targets(torch.tensor([[1, 2, 3], [4, 5, IGNORED]])).tolist() == [
        [2, 3, IGNORED],
        [5, IGNORED, IGNORED],
    ]


def test_mixture_and_focal_weights():
    (student, old, new), targets_BT = ragged(8, [5, 3], 9)
    valid = targets_BT != IGNORED
    old_N, new_N = (forward_kl(teacher[valid], student[valid], 2.0) for teacher in (old, new))
    right_old, right_new = (teacher[valid].argmax(-1) == targets_BT[valid] for teacher in (old, new))
    expected = {
        "mixture:0.25": (0.25 * old_N + 0.75 * new_N).mean(),
        "focal": ((1 + 5 * right_old) * old_N).mean(),
        "double_focal": (0.5 * (1 + 5 * right_old) * old_N + 0.5 * (1 + 5 * right_new) * new_N).mean(),
    }
    for mask, value in expected.items():
        assert compatibility_loss(student, old, new, targets_BT, mask=mask).loss.item() == pytest.approx(
            value.item()
        )


@pytest.mark.parametrize(
    ("old", "new", "follows_old"),
    [(4, 4, True), (4, 5, True), (5, 5, True), (5, 6, True), (5, 4, False)],
)
def test_old_unless_the_new_one_alone_is_right(old, new, follows_old):
    facts = Facts(
        torch.tensor([[4]]), old_argmax_BT=torch.tensor([[old]]), new_argmax_BT=torch.tensor([[new]])
    )
    assert find_mask("old_unless_new_right").function(facts).item() is follows_old


def test_reverse_kl_and_jsd_laws():
    p, q = torch.randn(40, 7) * 3, torch.randn(40, 7) * 3
    assert torch.allclose(reverse_kl(p, q, 2.0), forward_kl(q, p, 2.0), rtol=1e-5, atol=1e-6)
    assert torch.allclose(jensen_shannon(p, q), jensen_shannon(q, p), rtol=1e-5, atol=1e-6)
    assert (jensen_shannon(p * 50, q * 50) <= math.log(2) + 1e-6).all()
    assert reverse_kl(p, p).abs().max() < 1e-5
    assert jensen_shannon(p, p).abs().max() < 1e-6


def test_instance_weights_and_temperature_squared():
    (student, old, new), targets_BT = ragged(9, [4, 4], 6)
    losses = [
        compatibility_loss(*(z[b : b + 1] for z in (student, old, new)), targets_BT[b : b + 1]).loss
        for b in (0, 1)
    ]
    both = compatibility_loss(student, old, new, targets_BT, instance_weights_B=torch.tensor([3.0, 0.5])).loss
    assert both.item() == pytest.approx((3 * losses[0] + 0.5 * losses[1]).item() / 2, rel=1e-5)
    squared = compatibility_loss(
        student, old, new, targets_BT, temperature=3.0, temperature_squared=True
    ).loss
    plain = compatibility_loss(student, old, new, targets_BT, temperature=3.0).loss
    assert squared.item() == pytest.approx(9 * plain.item(), rel=1e-6)


def test_padded_vocabularies_are_compared_on_what_they_share():
    (student, old, new), targets_BT = ragged(10, [4, 2], 6)
    wider = torch.cat([old, torch.full((2, 4, 3), 50.0)], dim=-1)
    expected = compatibility_loss(student, old, new, targets_BT).loss
    assert compatibility_loss(student, wider, new, targets_BT).loss.item() == expected.item()


def test_unknown_masks_name_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'student_wrong'"):
        find_mask("student_rong")
