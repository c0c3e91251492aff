from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from muscle_llm.metrics.clusters import difference_estimate, mean_estimate, rate_estimate
from muscle_llm.metrics.smooth import smooth_metrics
from muscle_llm.metrics.uncertainty import paired_difference, wilson


@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_clusters_of_one_are_independent_instances(up, down, same):
    """With Student's quantile in place of the normal one; they are told apart up to a few dozen clusters."""
    values = np.repeat([1.0, -1.0, 0.0], [up, down, same])
    n, alone = values.size, np.arange(values.size)
    quantile = stdtrit(n - 1, 0.975)
    if up + down:
        found = difference_estimate(values, alone)
        expected = paired_difference(up, down, n, quantile=quantile)
        assert (found.low, found.high) == pytest.approx([float(x) for x in expected], abs=1e-9)
    if up:
        found = rate_estimate((values > 0).astype(float), alone)
        expected = wilson(up, n, quantile=quantile)
        assert (found.low, found.high) == pytest.approx([float(x) for x in expected], abs=1e-9)


def test_sums_that_cancel_leave_no_error_of_rounding():
    values, clusters = np.array([0.7, -0.7, 0.1, -0.1]), np.array([0, 0, 1, 1])
    found = rate_estimate(np.full(5, 0.7))
    assert found.low < 0.5 < 0.9 < found.high
    assert np.isnan(mean_estimate(values, clusters).low)


@pytest.mark.parametrize("n", [2, 3, 1000])
def test_a_mean_over_equal_values_is_no_certainty(n):
    """Two falls of 0.02 are no proof that no fall is larger; a thousand scores that all stay are one."""
    old = np.tile([0.2, 0.9], n)[:n]
    same, fell = smooth_metrics(old, old.copy()), smooth_metrics(old, old - 0.02)
    assert same["mean_difference"].low < 0 < same["mean_difference"].high
    assert fell["regress"].low < 0.02 < fell["regress"].high
    assert (same["mean_difference"].high < 0.01) == (n == 1000)
    constant = smooth_metrics(np.ones(n), np.ones(n))["mean_difference"]  # on a scale of 0 to 1, it seems
    assert constant.value == 0
    assert constant.low == -constant.high < 0
    assert (constant.high < 0.01) == (n == 1000)
    unknown = smooth_metrics(np.full(n, 7.0), np.full(n, 7.0))["mean_difference"]
    assert unknown.value == 0
    assert np.isnan(unknown.low)


def test_differences_whose_square_is_0_have_an_interval():
    found = difference_estimate(np.array([0.0, 7e-162]))
    assert found.low < 0 < found.high
