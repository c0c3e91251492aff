from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.metrics.causes import CAUSES, choice_margin, flip_causes
from muscle_llm.metrics.flips import flip_metrics, joint_codes, joint_counts
from muscle_llm.metrics.power import detectable_difference, instances_needed
from muscle_llm.metrics.slices import mean_fell, slice_cells, slice_metrics, worse_slices

rows = st.lists(st.tuples(*[st.integers(0, 2)] * 3, st.integers(-1, 3)), min_size=1, max_size=80)


@given(rows, st.booleans())
@settings(max_examples=40, deadline=None)
def test_slices_at_once_equal_slices_one_by_one(data, answers):
    a, b, y, where = (np.array(v) for v in zip(*data, strict=True))
    same = a == b if answers else None
    cells = slice_cells(where, joint_codes(a == y, b == y, same), 4)
    at_once, p = slice_metrics(cells, answers_known=answers)
    for index in range(4):
        inside = where == index
        alone = flip_metrics(
            joint_counts((a == y)[inside], (b == y)[inside], None if same is None else same[inside])
        )
        for name, estimate in alone.items():
            found = at_once[index][name]
            assert found.reason == estimate.reason or name == "mcnemar_p", name
            assert found.value == pytest.approx(estimate.value, nan_ok=True) or not inside.any()
            if name != "nfr_relative" or estimate.value == 0:
                assert (found.low, found.high) == pytest.approx((estimate.low, estimate.high), nan_ok=True), (
                    name
                )
        if inside.any():
            assert p[index] == pytest.approx(alone["mcnemar_p"].value)


def test_the_linearised_relative_interval_is_near_the_bootstrap():
    c = np.repeat([True, True, False, False], [1980, 880, 2600, 7730])
    d = np.repeat([True, False, True, False], [1980, 880, 2600, 7730])
    counts = joint_counts(c, d)
    boot = flip_metrics(counts)["nfr_relative"]
    linear = slice_metrics(counts.cells[None], answers_known=False)[0][0]["nfr_relative"]
    assert (linear.low, linear.high) == pytest.approx((boot.low, boot.high), rel=0.01)


def test_unchanged_slices_are_called_worse_at_most_at_the_stated_rate():
    rng = np.random.default_rng(0)
    calls = 0
    for _ in range(200):
        cells = np.zeros((50, 2, 2, 2))
        flips = rng.binomial(100, 0.2, 50)
        cells[:, 1, 0, 0] = rng.binomial(flips, 0.5)
        cells[:, 0, 1, 0] = flips - cells[:, 1, 0, 0]
        cells[:, 1, 1, 1] = 100 - flips
        calls += any(t.worse for t in worse_slices(slice_metrics(cells, answers_known=True)[1]))
    assert calls / 200 <= 0.07


def test_a_slice_in_which_all_fell_alike_is_as_sure_as_tosses_of_a_coin():
    assert mean_fell(np.full(50, -1.0)) == 2.0**-50
    assert mean_fell(np.full(50, -0.1)) == 2.0**-50
    assert mean_fell(np.full(50, 0.1)) == 1
    assert mean_fell(np.zeros(50)) == mean_fell(np.array([-1.0])) == mean_fell(np.zeros(0)) == 1
    # Within each of two clusters the changes cancel but for rounding.
    assert mean_fell(np.array([0.1, 0.2, -0.3] * 2), np.repeat([0, 1], 3)) == 1
    # Ten copies of two questions are two tosses.
    assert mean_fell(np.full(20, -1.0), np.repeat([0, 1], 10)) == 0.25


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30))
@settings(max_examples=80, deadline=None)
def test_the_test_of_a_fall_is_students_but_never_surer_than_the_signs(data):
    from scipy.stats import ttest_1samp

    values = np.array(data)
    if values.std() > 1e-6:
        expected = ttest_1samp(values, 0, alternative="less").pvalue
        assert mean_fell(values) == pytest.approx(max(expected, 2.0 ** -len(data)), rel=1e-6)


def test_a_broken_slice_among_many_is_found():
    cells = np.full((100, 2, 2, 2), 5.0)
    cells[7, 1, 0] = 40
    tests = worse_slices(slice_metrics(cells, answers_known=True)[1])
    assert [i for i, t in enumerate(tests) if t.worse] == [7]
    assert worse_slices(np.zeros(0)) == []


def test_causes_in_their_order():
    names = list(CAUSES)
    n = 6
    flipped = np.array([True] * 5 + [False])
    same = np.array([False, False, True, False, False, False])
    truncated = np.array([True, False, False, False, False, True])
    unextracted = np.array([True, True, False, False, False, False])
    thin = np.array([0.1, 0.1, 0.1, 0.1, 3.0, 0.1])
    codes = flip_causes(
        flipped, same=same, truncated=truncated, unextracted=unextracted, margins=(np.full(n, np.nan), thin)
    )
    found = [names[c] if c >= 0 else None for c in codes]
    assert found == ["truncated", "extraction_failed", "same_answer", "thin_margin", "answer_changed", None]
    unknown = flip_causes(flipped, same=None, truncated=None, unextracted=None, margins=(thin, None))
    assert {names[c] for c in unknown if c >= 0} == {"unknown"}


@given(st.lists(st.lists(st.floats(-50, 0), max_size=5), min_size=1, max_size=10))
@settings(max_examples=60, deadline=None)
def test_margins_are_best_minus_next(data):
    values = np.array([v for row in data for v in row], float)
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in data])]).astype(int)
    for row, margin in zip(data, choice_margin(values, offsets), strict=True):
        best = sorted(row)[-2:]
        assert margin == pytest.approx(best[1] - best[0]) if len(best) == 2 else math.isnan(margin)


def test_power_in_the_units_of_the_figure():
    # 2000 instances of which 10 % flip either way: (1.96 + 0.8416) sqrt(0.1 / 2000) = 1.98 points.
    assert detectable_difference(math.sqrt(0.1 / 2000)) == pytest.approx(0.01981, abs=1e-5)
    needed = instances_needed(math.sqrt(0.1 / 2000), 2000, 0.01)
    assert (
        detectable_difference(math.sqrt(0.1 / needed))
        <= 0.01
        < detectable_difference(math.sqrt(0.1 / (needed - 1)))
    )
    # Over few clusters with Student's quantiles: t(0.975) + t(0.8) with 4 degrees of freedom.
    assert detectable_difference(1, clusters=5) == pytest.approx(2.7764 + 0.9410, abs=1e-4)
    assert detectable_difference(1, clusters=10**6) == pytest.approx(detectable_difference(1), rel=1e-5)
    with pytest.raises(ValueError, match="difference of 0"):
        instances_needed(0.01, 10, 0)
