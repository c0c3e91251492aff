from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from muscle_llm.gate.decide import Outcome, decide, detectable_harm, exit_code, instances_needed, worst
from muscle_llm.metrics.estimate import Estimate, undefined
from muscle_llm.metrics.uncertainty import difference_standard_error, paired_difference, wilson

ORDER = tuple(Outcome)
SHARES = st.floats(0, 1, allow_nan=False)


def rate(k: float, n: float) -> Estimate:
    low, high = wilson(k, n)
    return Estimate(k / n, float(low), float(high))


def drop(lost: int, gained: int, n: int) -> Estimate:
    low, high = paired_difference(lost, gained, n)
    return Estimate((lost - gained) / n, float(low), float(high))


def rank(outcome: Outcome) -> int:
    return ORDER.index(outcome)


@st.composite
def estimates(draw):
    low, value, high = sorted(draw(st.tuples(*[st.floats(-1, 1, allow_nan=False)] * 3)))
    return Estimate(value, low, high)


@given(estimates(), SHARES, SHARES)
@settings(max_examples=100, deadline=None)
def test_a_larger_margin_is_never_harder(harm, a, b):
    small, large = sorted((a, b))
    assert rank(decide(harm, large)) <= rank(decide(harm, small))


@given(estimates(), st.floats(0, 1), SHARES)
@settings(max_examples=100, deadline=None)
def test_more_harm_is_never_better(harm, shift, margin):
    more = Estimate(harm.value + shift, harm.low + shift, harm.high + shift)
    assert rank(decide(more, margin)) >= rank(decide(harm, margin))


@given(st.integers(1, 400), st.data(), SHARES)
@settings(max_examples=100, deadline=None)
def test_one_more_flip_is_never_better(n, data, margin):
    k = data.draw(st.integers(0, n - 1))
    assert rank(decide(rate(k + 1, n), margin)) >= rank(decide(rate(k, n), margin))
    gained = data.draw(st.integers(0, n - k - 1))
    assert rank(decide(drop(k + 1, gained, n), margin)) >= rank(decide(drop(k, gained, n), margin))


def test_exactly_at_the_bound():
    harm = Estimate(0.05, 0.03, 0.07)
    assert decide(harm, 0.07) is Outcome.PASS
    assert decide(harm, math.nextafter(0.07, 0)) is Outcome.INCONCLUSIVE
    assert decide(harm, 0.03) is Outcome.INCONCLUSIVE
    assert decide(harm, math.nextafter(0.03, 0)) is Outcome.FAIL


@pytest.mark.parametrize("harm", [undefined("no answers"), Estimate(0.5)])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_what_has_no_interval_decides_nothing(harm, margin):
    assert decide(harm, margin) is Outcome.INCONCLUSIVE
    assert detectable_harm(harm, margin) is None
    assert instances_needed(harm, margin, 100) is None
    assert instances_needed(harm, margin, 100, rate=True) is None


def test_the_worst_outcome_and_the_exit_codes():
    assert worst([Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE]) is Outcome.FAIL
    assert [exit_code(o) for o in (Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE)] == [0, 1, 3]


@given(st.integers(20, 2000), st.data(), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_as_many_instances_as_needed_decide_a_rate(n, data, place):
    k = data.draw(st.integers(0, n))
    harm = rate(k, n)
    margin = harm.low + place * (harm.high - harm.low)  # inside the interval, so that it decides nothing
    if decide(harm, margin) is not Outcome.INCONCLUSIVE:
        return  # the upper bound itself
    needed = instances_needed(harm, margin, n, rate=True)
    if needed is None or needed > 10**9:
        assert abs(harm.value - margin) < 1e-3
        return
    assert needed > n
    assert decide(rate(harm.value * needed, needed), margin) is not Outcome.INCONCLUSIVE


@pytest.mark.parametrize("needed", [25, 73, 400, 12_345])
def test_one_rounding_below_the_bound_takes_one_instance_more(needed):
    bound = float(wilson(0, needed)[1])
    assert instances_needed(rate(0, 20), bound, 20, rate=True) in (needed, needed + 1)
    below = math.nextafter(bound, 0)
    found = instances_needed(rate(0, 20), below, 20, rate=True)
    assert found == needed + 1
    assert decide(rate(0, found), below) is Outcome.PASS


@given(st.integers(50, 1000), st.data(), st.floats(0, 0.2))
@settings(max_examples=30, deadline=None)
def test_as_many_instances_as_needed_decide_a_difference(n, data, margin):
    lost = data.draw(st.integers(5, n // 2))
    gained = data.draw(st.integers(5, n // 2))
    harm = drop(lost, gained, n)
    assume(decide(harm, margin) is Outcome.INCONCLUSIVE)
    needed = instances_needed(harm, margin, n)
    assume(needed is not None and needed < 10**9)
    times = -(-needed // n)
    assert decide(drop(lost * times, gained * times, n * times), margin) is not Outcome.INCONCLUSIVE


def test_a_harm_at_the_margin_is_never_decided():
    assert instances_needed(rate(5, 100), 0.05, 100, rate=True) is None
    assert instances_needed(drop(10, 5, 100), 0.05, 100) is None


def test_clusters_need_more_instances_in_proportion():
    plain, clustered = rate(2, 200), Estimate(0.01, *map(float, wilson(0.5, 50)))
    few = instances_needed(plain, 0.03, 200, rate=True)
    many = instances_needed(clustered, 0.03, 200, rate=True)
    assert few is not None
    assert many == pytest.approx(4 * few, rel=0.01)


def fails(draws: np.ndarray, n: int, margin: float) -> float:
    return float((wilson(draws, n)[0] > margin).mean())


@pytest.mark.parametrize(("n", "margin"), [(500, 0.05), (1000, 0.02), (5000, 0.1)])
def test_the_detectable_rate_is_found_with_80_percent_power(n, margin):
    harm = detectable_harm(rate(margin * n, n), margin, rate=True)
    draws = np.random.default_rng(0).binomial(n, harm, 40_000)
    assert fails(draws, n, margin) == pytest.approx(0.8, abs=0.04)


def test_the_detectable_drop_is_found_with_80_percent_power():
    # 200 lost and 200 gained of 1000: in points, as the accuracy itself.
    n, margin = 1000, 0.01
    seen = drop(200, 200, n)
    harm = detectable_harm(seen, margin)
    error = float(difference_standard_error(0.2, 0.2, n))
    assert harm == pytest.approx(margin + (1.959964 + 0.841621) * error, rel=0.01)
    shares = [0.2 + harm / 2, 0.2 - harm / 2, 0.6]
    draws = np.random.default_rng(1).multinomial(n, shares, 20_000)
    low, _ = paired_difference(draws[:, 0], draws[:, 1], n)
    assert float((low > margin).mean()) == pytest.approx(0.8, abs=0.03)


def test_the_instances_needed_pass_with_80_percent_power():
    needed = instances_needed(rate(4, 200), 0.04, 200, rate=True)
    draws = np.random.default_rng(2).binomial(needed, 0.02, 40_000)
    assert float((wilson(draws, needed)[1] <= 0.04).mean()) == pytest.approx(0.8, abs=0.04)


def test_nothing_is_large_enough_for_very_few_instances():
    assert detectable_harm(rate(1, 3), 0.5, rate=True) is None


def test_at_the_margin_itself_each_decision_is_wrong_for_one_in_forty():
    draws = np.random.default_rng(3).binomial(1000, 0.1, 40_000)
    low, high = wilson(draws, 1000)
    assert float((low > 0.1).mean()) == pytest.approx(0.025, abs=0.006)
    assert float((high <= 0.1).mean()) == pytest.approx(0.025, abs=0.006)
