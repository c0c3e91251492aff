"""The decision on one figure: a harm with its interval against a margin, and what it would take to decide.

Pure functions of numbers. A harm is a figure of which less is better, in its own unit: a share, a
difference of shares, or a score.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable

from muscle_llm.metrics import power
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.metrics.uncertainty import wilson, z_value

__all__ = ["POWER", "Outcome", "decide", "detectable_harm", "exit_code", "instances_needed", "worst"]

POWER = 0.8
_SAME = 1e-12


class Outcome(enum.StrEnum):
    """What a clause, or a whole policy, comes to."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


_EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3}
_ORDER = tuple(Outcome)


def exit_code(outcome: Outcome) -> int:
    """Return the exit code of an outcome: 0 pass, 1 fail, 3 inconclusive.

    Example:
        >>> exit_code(Outcome.INCONCLUSIVE)
        3
    """
    return _EXIT_CODES[outcome]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst of several outcomes: any fail is a fail, else any inconclusive is inconclusive.

    Example:
        >>> worst([Outcome.PASS, Outcome.INCONCLUSIVE]).value, worst([]).value
        ('inconclusive', 'pass')
    """
    return max(outcomes, key=_ORDER.index, default=Outcome.PASS)


def decide(harm: Estimate, margin: float) -> Outcome:
    """Return whether a harm stays within a margin, by the bounds of its interval (non-inferiority).

    PASS if the upper bound <= margin, FAIL if the lower bound > margin, else INCONCLUSIVE; an undefined harm
    or one without an interval is INCONCLUSIVE.

    Args:
        harm: the figure with its two-sided interval; less is better.
        margin: the largest harm that is accepted, in the same unit.

    Example:
        >>> decide(Estimate(0.02, 0.01, 0.04), 0.05).value, decide(Estimate(0.08, 0.06, 0.11), 0.05).value
        ('pass', 'fail')
        >>> decide(Estimate(0.04, 0.02, 0.06), 0.05).value
        'inconclusive'

    Source: Piaggio et al. (2012), Reporting of noninferiority and equivalence randomized trials.
    """
    if not harm.defined:
        return Outcome.INCONCLUSIVE
    if harm.high <= margin:
        return Outcome.PASS
    return Outcome.FAIL if harm.low > margin else Outcome.INCONCLUSIVE


def instances_needed(
    harm: Estimate, margin: float, n: int, *, confidence: float = 0.95, rate: bool = False
) -> int | None:
    """Return how many instances would decide with 80 % power if the harm truly is what was seen.

    Formulas, with harm v, margin m, and z, z' the normal quantiles of the confidence and of the power:
    for a rate, (n/n_e) ((z sqrt(m(1-m)) + z' sqrt(v(1-v))) / (m-v))^2, where n_e is the number of independent
    instances that would give the interval seen (n itself without clusters and repeats); for any other figure,
    n ((z + z') (h/z) / (m-v))^2, where h is the distance from v to the bound on the margin's side, since
    intervals narrow with the square root of n.

    Args:
        harm: the figure with its interval.
        margin: the largest harm that is accepted.
        n: number of instances behind the figure.
        confidence: level of the interval.
        rate: whether the figure is a share of the instances (0 to 1).

    Returns:
        A number above ``n``; ``None`` where no number would decide (the harm is the margin itself) or there
        is no interval.

    Example:
        >>> instances_needed(Estimate(0.01, 0.00275, 0.03571), 0.03, 200, rate=True)
        437
        >>> instances_needed(Estimate(0.0, -0.03, 0.03), 0.01, 500)
        9195

    Source: the usual sample size of a one-sample test of a proportion, such as Fleiss et al. (2003),
        Statistical methods for rates and proportions, section 2.4.
    """
    z, gap = z_value(confidence), abs(margin - harm.value)
    if not harm.defined or gap < _SAME:
        return None
    if rate:
        effective = _effective(harm, z)
        if effective is None:
            return None
        spread = z * _deviation(margin) + z_value(2 * POWER - 1) * _deviation(harm.value)
        ratio = effective / n
        if math.isclose(ratio, 1, rel_tol=1e-9):  # no clusters, no repeats: only rounding
            ratio = 1.0
        needed = max(n + 1, math.ceil((spread / gap) ** 2 / ratio))
        # Where nothing flipped the formula gives the very number at which the bound meets the margin, and
        # rounding decides on which side of it: the number is checked, and raised by as little as it takes.
        while _rate_open(harm.value, ratio * needed, margin, confidence):
            needed += max(1, needed // 2**40)
        return needed
    half = harm.high - harm.value if margin > harm.value else harm.value - harm.low
    if not math.isfinite(half):
        return None
    return max(n + 1, power.instances_needed(half / z, n, gap, confidence, POWER))


def detectable_harm(
    harm: Estimate, margin: float, *, confidence: float = 0.95, rate: bool = False
) -> float | None:
    """Return the smallest true harm that these instances would show to exceed the margin with 80 % power.

    Formulas, with the quantiles of `instances_needed`: for a rate, the p at which p - z' sqrt(p(1-p)/n_e) is
    m + z sqrt(m(1-m)/n_e); for any other figure, m + (z + z') SE, where z SE is half the interval's width.

    Args:
        harm: the figure with its interval, which tells how precise these instances are.
        margin: the largest harm that is accepted.
        confidence: level of the interval.
        rate: whether the figure is a share of the instances (0 to 1).

    Returns:
        In the unit of the harm; ``None`` where no harm is large enough, or there is no interval.

    Example:
        >>> round(detectable_harm(Estimate(0.05, 0.03823, 0.06533), 0.05, rate=True), 4)
        0.0703

    Source: as `instances_needed`.
    """
    z = z_value(confidence)
    if not harm.defined:
        return None
    if not rate:
        found = margin + power.detectable_difference((harm.high - harm.low) / 2 / z, confidence, POWER)
        return found if math.isfinite(found) else None
    n = _effective(harm, z)
    if n is None:
        return None
    if margin == 0:  # a single flip shows it: 1 - (1 - p)^n = power
        return 1 - (1 - POWER) ** (1 / n)
    start = margin + z * _deviation(margin) / math.sqrt(n)
    if start >= 1:
        return None
    square = z_value(2 * POWER - 1) ** 2 / n
    root = math.sqrt(square * (start * (1 - start) + square / 4))
    return (start + square / 2 + root) / (1 + square)


def _deviation(p: float) -> float:
    return math.sqrt(max(p * (1 - p), 0.0))


def _rate_open(value: float, n: float, margin: float, confidence: float) -> bool:
    """Whether a rate seen on n instances would still be inconclusive."""
    low, high = wilson(value * n, n, confidence)
    return decide(Estimate(value, float(low), float(high)), margin) is Outcome.INCONCLUSIVE


def _effective(harm: Estimate, z: float) -> float | None:
    """Return n_e, from the Wilson interval's own equation (v - b)^2 = z^2 b(1-b)/n_e at a bound b."""
    bound = harm.high if harm.high < 1 else harm.low
    if not (math.isfinite(bound) and 0 < bound < 1) or abs(bound - harm.value) < _SAME:
        return None
    return z**2 * bound * (1 - bound) / (bound - harm.value) ** 2
