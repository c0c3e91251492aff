from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.metrics.ratios import paired_ratio, ratio_estimate
from muscle_llm.metrics.uncertainty import z_value

counts = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 300))


def plain_score(both: int, first: int, second: int, n: int, ratio: float) -> float:
    """Score statistic with the constrained maximum-likelihood estimate found by a plain grid search."""
    any_of = (both + first + second) / n
    second_only = np.linspace(0, any_of / (1 + ratio), 400_001)
    in_both = (any_of - (1 + ratio) * second_only) / ratio
    first_only = ratio * second_only - (1 - ratio) * in_both
    cells = ((both, in_both), (first, first_only), (second, second_only))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(k == 0, np.where(p < -1e-12, -np.inf, 0.0), k * np.log(p)) for k, p in cells]
    best = np.argmax(np.nan_to_num(sum(terms), nan=-np.inf))
    variance = n * ratio * (first_only[best] + second_only[best])
    return (both + first - ratio * (both + second)) / math.sqrt(variance)


@pytest.mark.parametrize("cells", [(3, 2, 5, 40), (20, 0, 10, 1000), (50, 10, 30, 1000), (0, 4, 6, 100)])
def test_the_interval_ends_where_the_score_test_rejects(cells):
    low, high = paired_ratio(*cells)
    z = z_value(0.95)
    assert plain_score(*cells, low) == pytest.approx(z, abs=5e-3)
    assert plain_score(*cells, high) == pytest.approx(-z, abs=5e-3)


@given(counts)
@settings(max_examples=100, deadline=None)
def test_the_interval_holds_the_ratio_turns_with_it_and_grows_with_the_level(cells):
    both, first, second, rest = cells
    n = both + first + second + rest
    if both + second == 0:
        return
    ratio = (both + first) / (both + second)
    low, high = paired_ratio(both, first, second, n)
    wide = paired_ratio(both, first, second, n, 0.99)
    assert 0 <= low <= ratio + 1e-9 <= high + 2e-9
    assert wide[0] <= low + 1e-9
    assert high <= wide[1] + 1e-9
    if both + first and high < 1e6:
        turned = paired_ratio(both, second, first, n)
        assert (1 / turned[1], 1 / turned[0]) == pytest.approx((low, high), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("n", "rate", "kept", "added"),
    [(200, 0.05, 0.5, 0.01), (1000, 0.05, 0.1, 0), (1000, 0.05, 0.7, 0), (1000, 0.005, 0.05, 0)],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(n, rate, kept, added):
    rng = np.random.default_rng(0)
    truth = (rate * kept + added) / rate
    chances = [rate * kept, added, rate * (1 - kept), 1 - rate - added]
    hits = []
    for both, first, second, _ in rng.multinomial(n, chances, size=600).tolist():
        if both + second:
            low, high = paired_ratio(both, first, second, n)
            hits.append(low <= truth <= high)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_copies_in_clusters_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    second = (rng.random(150) < 0.2).astype(float)
    first = second * (rng.random(150) < 0.6) + (1 - second) * (rng.random(150) < 0.05)
    one = ratio_estimate(first, second, counted=False, reason="")
    copies = ratio_estimate(
        np.repeat(first, 8), np.repeat(second, 8), np.repeat(np.arange(150), 8), counted=False, reason=""
    )
    assert (copies.low, copies.high) == pytest.approx((one.low, one.high), rel=1e-6)
    counted = ratio_estimate(first, second, counted=True, reason="")
    assert (one.low, one.high) == pytest.approx((counted.low, counted.high), rel=0.03)


def test_what_has_no_ratio_says_why():
    none = np.zeros(3)
    assert ratio_estimate(none, none, counted=True, reason="nothing below").reason == "nothing below"
    assert ratio_estimate(none[:0], none[:0], counted=True, reason="x").reason == "no instances"
    alone = ratio_estimate(np.ones(2), np.ones(2), np.zeros(2, int), counted=False, reason="x")
    assert alone.value == 1
    assert math.isnan(alone.low)
