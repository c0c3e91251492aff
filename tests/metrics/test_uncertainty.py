from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.metrics.uncertainty import (
    bootstrap_counts,
    difference_standard_error,
    mcnemar,
    paired_difference,
    wilson,
    z_value,
)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # statsmodels 0.14 proportion_confint(k, n, 0.05, "wilson")
    [
        (88, 1319, 0.05446987576018642, 0.08148100302541031),
        (0, 10, 0.0, 0.27753279986288926),
        (5, 100, 0.021543679154367966, 0.11175046923191914),
        (50, 50, 0.9286524008666412, 1.0),
    ],
)
def test_wilson_equals_statsmodels(k, n, low, high):
    assert np.allclose(wilson(k, n), (low, high), rtol=1e-12)


def test_wilson_at_99_percent_equals_statsmodels():
    assert np.allclose(wilson(5, 100, 0.99), (0.016848316042600647, 0.13915030290164004), rtol=1e-12)


def test_wilson_equals_scipy():
    from scipy.stats import binomtest

    for k, n in [(0, 7), (3, 7), (7, 7), (88, 1319), (1, 12032)]:
        interval = binomtest(k, n).proportion_ci(0.9, method="wilson")
        assert np.allclose(wilson(k, n, 0.9), (interval.low, interval.high), atol=1e-12)


def test_wilson_of_no_trials_is_undefined():
    assert np.isnan(wilson(0, 0)).all()


@given(st.integers(1, 10**7), st.floats(0, 1), st.floats(0.5, 0.999))
@settings(max_examples=60, deadline=None)
def test_wilson_holds_the_rate(n, share, confidence):
    k = round(share * n)
    low, high = wilson(k, n, confidence)
    assert 0 <= low <= k / n <= high <= 1


def test_mcnemar_equals_statsmodels_and_the_binomial_test():
    # statsmodels: mcnemar([[101, 121], [59, 33]], exact=True) and ([[10, 2], [10, 10]])
    assert mcnemar(59, 121, two_sided=True) == pytest.approx(4.4344492637551645e-06, rel=1e-10)
    assert mcnemar(121, 59, two_sided=True) == pytest.approx(4.4344492637551645e-06, rel=1e-10)
    assert mcnemar(10, 2, two_sided=True) == pytest.approx(0.03857421875, rel=1e-12)
    assert mcnemar(88, 260, two_sided=True) == pytest.approx(7.466006443046378e-21, rel=1e-8)
    from scipy.stats import binomtest

    for k, m in [(0, 0), (0, 5), (5, 0), (10, 2), (2, 10), (7, 7), (300, 260)]:
        expected = binomtest(k, k + m, alternative="greater").pvalue if k + m else 1.0
        assert mcnemar(k, m) == pytest.approx(expected, rel=1e-9)
        both = binomtest(k, k + m).pvalue if k + m else 1.0
        assert mcnemar(k, m, two_sided=True) == pytest.approx(both, rel=1e-9)


def _reference_score(b: int, c: int, n: int, delta: float) -> float:
    """Score statistic with the constrained maximum-likelihood estimate found by a plain grid search."""
    low, high = max(0.0, -delta), (1 - delta) / 2 if delta < 1 else 0.0
    grid = np.linspace(low, max(low, high), 200_001)
    up, rest = grid + delta, 1 - 2 * grid - delta
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(k == 0, 0.0, k * np.log(p)) for k, p in ((b, up), (c, grid), (n - b - c, rest))]
    likelihood = np.where(np.isnan(sum(terms)), -np.inf, sum(terms))
    q = grid[np.argmax(likelihood)]
    return (b - c - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(("b", "c", "n"), [(9, 1, 40), (3, 3, 20), (260, 88, 1319), (0, 4, 30)])
def test_paired_interval_ends_where_the_score_test_rejects(b, c, n):
    low, high = (float(x) for x in paired_difference(b, c, n))
    z = z_value(0.95)
    assert low < (b - c) / n < high
    assert _reference_score(b, c, n, low) == pytest.approx(z, abs=2e-3)
    assert _reference_score(b, c, n, high) == pytest.approx(-z, abs=2e-3)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 300))
@settings(max_examples=80, deadline=None)
def test_paired_interval_is_antisymmetric_and_holds_the_difference(b, c, rest):
    n = b + c + rest
    if n == 0:
        assert np.isnan(paired_difference(b, c, n)).all()
        return
    low, high = paired_difference(b, c, n)
    other = paired_difference(c, b, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert np.allclose((low, high), (-other[1], -other[0]), atol=1e-9)


def test_paired_interval_nears_the_standard_error_for_many_instances():
    b, c, n = 26_000, 8_800, 131_900
    half = z_value(0.95) * float(difference_standard_error(b / n, c / n, n))
    assert np.allclose(paired_difference(b, c, n), ((b - c) / n - half, (b - c) / n + half), atol=2e-6)


def test_paired_interval_equals_the_published_one():
    # Airway hyper-responsiveness of 21 children, 1 against 7 discordant: Tango's interval in Fagerland,
    # Lydersen and Laake (2014), Recommended tests and confidence intervals for paired binomial proportions.
    low, high = paired_difference(1, 7, 21)
    assert (round(float(low), 3), round(float(high), 3)) == (-0.517, -0.026)


@given(st.lists(st.integers(-1, 1), min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_the_paired_standard_error_is_that_of_the_differences(data):
    d = np.array(data, float)
    error = difference_standard_error((d > 0).mean(), (d < 0).mean(), d.size)
    assert error == pytest.approx(d.std() / np.sqrt(d.size), abs=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_mcnemar_is_the_same_summed_and_by_the_beta_function(negative, positive):
    alone = float(mcnemar(negative, positive))
    beside_many = float(mcnemar([negative, 50_000], [positive, 50_000])[0])
    assert alone == pytest.approx(beside_many, rel=1e-9, abs=1e-300)


def test_no_discordant_instance_still_leaves_uncertainty():
    low, high = paired_difference(0, 0, 100)
    assert -0.06 < low < -0.02
    assert high == pytest.approx(-float(low), abs=1e-9)


def test_bootstrap_over_counts_equals_the_bootstrap_over_instances():
    rng = np.random.default_rng(1)
    right = rng.random(400) < 0.3
    plain = [right[rng.integers(0, 400, 400)].mean() for _ in range(4000)]
    low, high = bootstrap_counts([(~right).sum(), right.sum()], lambda c: {"rate": c[:, 1] / c.sum(1)})[
        "rate"
    ]
    assert np.allclose((low, high), np.quantile(plain, [0.025, 0.975]), atol=0.006)


def test_bootstrap_is_seeded_and_leaves_undefined_draws_out():
    def ratio(c):
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"ratio": c[:, 0] / c[:, 1]}

    assert bootstrap_counts([5, 5], ratio) == bootstrap_counts([5, 5], ratio)
    assert np.isnan(bootstrap_counts([5, 0], ratio)["ratio"]).all()
    assert np.isnan(bootstrap_counts([0, 0], ratio)["ratio"]).all()


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0])
def test_levels_outside_the_open_unit_interval_are_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        z_value(confidence)


def test_the_standard_error_of_enormous_numbers_does_not_overflow():
    from muscle_llm.metrics.clusters import cluster_standard_error

    values = np.array([1.0, 0.0, 0.5, 0.25])
    small, _ = cluster_standard_error(values, None)
    large, _ = cluster_standard_error(values * 1e300, None)
    assert large == pytest.approx(small * 1e300)
