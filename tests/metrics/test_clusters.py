from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from muscle_llm.metrics.clusters import difference_estimate, rate_estimate
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
