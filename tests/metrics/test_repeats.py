from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.metrics.averaged import averaged_flip_metrics, cell_values, one_hot
from muscle_llm.metrics.clusters import (
    cluster_bootstrap,
    cluster_standard_error,
    difference_estimate,
    rate_estimate,
    smooth_estimate,
)
from muscle_llm.metrics.flips import flip_metrics, joint_counts
from muscle_llm.metrics.repeats import (
    benjamini_hochberg,
    excess_over_repeats,
    excess_per_instance,
    fisher_worse,
    noise_floor,
    pair_cells,
    reliable_flips,
    share_right,
)

answers = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4), min_size=1, max_size=8
)


def _arrays(data, valid=None):
    instance = np.repeat(np.arange(len(data)), [len(rows) for rows in data])
    a, b = (np.array([row[v] for rows in data for row in rows]) for v in (0, 1))
    good = np.ones(len(instance), bool) if valid is None else valid
    return instance, (a == 0, b == 0), (good, good), (a, b)


@given(answers)
@settings(max_examples=60, deadline=None)
def test_pair_cells_count_all_pairs_of_answers(data):
    instance, right, valid, codes = _arrays(data)
    cells = pair_cells(instance, len(data), right, valid, codes)
    for row, rows in zip(cells, data, strict=True):
        plain = np.zeros(8)
        for (a, _), (_, b) in itertools.product(rows, rows):
            plain[4 * (a == 0) + 2 * (b == 0) + (a == b)] += 1
        assert row.tolist() == plain.tolist()
    without = pair_cells(instance, len(data), right, valid, None)
    assert np.allclose(without.reshape(-1, 4, 2).sum(2), cells.reshape(-1, 4, 2).sum(2))


@given(answers)
@settings(max_examples=40, deadline=None)
def test_identities_hold_for_averages_too(data):
    instance, right, valid, codes = _arrays(data)
    cells = pair_cells(instance, len(data), right, valid, codes)
    m = averaged_flip_metrics(cells, answers_known=True)
    v = {k: e.value for k, e in m.items()}
    assert v["accuracy_new"] - v["accuracy_old"] == pytest.approx(v["pfr"] - v["nfr"], abs=1e-12)
    assert v["accuracy_difference"] == pytest.approx(v["accuracy_new"] - v["accuracy_old"], abs=1e-12)
    assert v["nfr_mc"] == pytest.approx(v["nfr"] + v["both_wrong_changed"])
    assert v["both_right"] + v["both_wrong"] + v["gain"] + v["regression"] == pytest.approx(1)
    hits, tries = share_right(right[0], valid[0], instance, len(data))
    assert v["accuracy_old"] == pytest.approx(np.mean(hits / tries))


def test_one_answer_each_gives_the_plain_metrics():
    rng = np.random.default_rng(0)
    a, b, y = rng.integers(0, 3, (3, 200))
    plain = flip_metrics(joint_counts(a == y, b == y, a == b))
    code = (4 * (a == y) + 2 * (b == y) + (a == b)).astype(np.uint8)
    averaged = averaged_flip_metrics(one_hot(code), answers_known=True)
    for name, estimate in plain.items():
        if name == "mcnemar_p":
            continue
        assert averaged[name].value == pytest.approx(estimate.value), name
        assert averaged[name].low == pytest.approx(estimate.low, abs=0.012), name
        assert averaged[name].high == pytest.approx(
            estimate.high, abs=0.012 if name != "nfr_relative" else 0.05
        ), name


def test_unjudged_answers_leave_an_instance_unknown():
    instance = np.array([0, 0, 1])
    right = np.array([True, False, True])
    valid = np.array([True, True, False])
    cells = pair_cells(instance, 2, (right, right), (np.ones(3, bool), valid), None)
    assert cell_values(cells, "accuracy_old")[0] == 0.5
    assert not cells[1].any()
    assert np.isnan(cell_values(cells, "nfr")[1])


def _plain_cluster_error(values, clusters):
    groups = {
        c: [v - np.mean(values) for v, d in zip(values, clusters, strict=True) if d == c]
        for c in set(clusters)
    }
    count = len(groups)
    return np.sqrt(count / (count - 1) * sum(sum(g) ** 2 for g in groups.values())) / len(values)


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 4)), min_size=2, max_size=30))
@settings(max_examples=60, deadline=None)
def test_cluster_errors_equal_the_formula(data):
    values, clusters = (np.array(x) for x in zip(*data, strict=True))
    error, count = cluster_standard_error(values, clusters)
    assert count == len(set(clusters.tolist()))
    if count < 2:
        assert np.isnan(error)
    else:
        assert error == pytest.approx(_plain_cluster_error(values.tolist(), clusters.tolist()), abs=1e-12)


def test_clusters_of_one_are_the_usual_standard_error():
    values = np.random.default_rng(0).normal(size=50)
    expected = values.std(ddof=1) / np.sqrt(50)
    assert cluster_standard_error(values)[0] == pytest.approx(expected)
    assert cluster_standard_error(values, np.arange(50))[0] == pytest.approx(expected)


def test_copies_in_clusters_do_not_narrow_the_interval():
    rng = np.random.default_rng(3)
    values = (rng.random(200) < 0.2).astype(float)
    copies, clusters = np.repeat(values, 10), np.repeat(np.arange(200), 10)
    one, many = rate_estimate(values), rate_estimate(copies, clusters)
    assert (many.low, many.high) == pytest.approx((one.low, one.high), abs=1e-6)
    change = rng.integers(-1, 2, 200).astype(float)
    one, many = difference_estimate(change), difference_estimate(np.repeat(change, 10), clusters)
    assert (many.low, many.high) == pytest.approx((one.low, one.high), abs=1e-6)


def test_bootstrap_and_linearised_error_agree_on_a_ratio():
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(1500), 3)
    base = np.repeat(rng.random(1500), 3)
    a, b = (rng.random(4500) < 0.6 * base).astype(float), (rng.random(4500) < base).astype(float)

    def ratio(m):
        return m[0] / m[1]

    boot = smooth_estimate((a, b), ratio, clusters)
    big = smooth_estimate((np.tile(a, 2), np.tile(b, 2)), ratio, np.concatenate([clusters, clusters + 1500]))
    assert (boot.high - boot.low) / (big.high - big.low) == pytest.approx(np.sqrt(2), rel=0.08)
    assert cluster_bootstrap((a, b), ratio, clusters) == cluster_bootstrap((a, b), ratio, clusters)


def test_one_cluster_has_no_interval_and_no_instances_no_figure():
    e = rate_estimate(np.array([1.0, 0.0]), np.array([0, 0]))
    assert e.value == 0.5
    assert np.isnan(e.low)
    assert rate_estimate(np.zeros(0)).reason == "no instances"


def test_the_noise_floor_is_unbiased():
    rng = np.random.default_rng(1)
    p = rng.beta(2, 1, 20_000)
    truth = float((p * (1 - p)).mean())
    for k in (2, 3, 8):
        hits = rng.binomial(k, p).astype(float)
        floor = noise_floor(hits, np.full(p.size, float(k)))
        assert floor.low < truth < floor.high
    again = excess_over_repeats(
        (rng.binomial(8, p).astype(float), np.full(p.size, 8.0)),
        (rng.binomial(8, p).astype(float), np.full(p.size, 8.0)),
    )
    assert again.low < 0 < again.high
    assert noise_floor(np.ones(3), np.ones(3)).reason == "no instance has two answers of old"
    assert excess_over_repeats((np.ones(3), np.ones(3)), (np.ones(3), np.ones(3))).reason is not None


@given(answers)
@settings(max_examples=60, deadline=None)
def test_the_noise_floor_is_the_mean_over_pairs_of_different_answers(data):
    """K/(K-1) times p(1-p) is the share of ordered pairs of two answers of which only the first is right."""
    instance, right, valid, _ = _arrays(data)
    old, new = (share_right(r, v, instance, len(data)) for r, v in zip(right, valid, strict=True))
    pairs = [
        np.mean([a == 0 and b != 0 for (a, _), (b, _) in itertools.permutations(rows, 2)])
        for rows in data
        if len(rows) > 1
    ]
    floor, excess = noise_floor(*old), excess_over_repeats(old, new)
    if not pairs:
        assert floor.reason is not None
        assert excess.reason is not None
        return
    assert floor.value == pytest.approx(np.mean(pairs), abs=1e-12)
    several = [rows for rows in data if len(rows) > 1]
    instance, right, valid, codes = _arrays(several)
    nfr = averaged_flip_metrics(pair_cells(instance, len(several), right, valid, codes), answers_known=True)
    assert excess.value == pytest.approx(nfr["nfr"].value - floor.value, abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40))
@settings(max_examples=100, deadline=None)
def test_the_interval_of_differences_holds_their_mean(data):
    e = difference_estimate(np.array(data))
    assert e.low - 1e-9 <= e.value <= e.high + 1e-9


def test_the_excess_of_a_large_fall_lies_in_the_middle_of_its_interval():
    # Shares between 0 and 1: their mean square is below their mean, as of no counts of -1, 0 and 1.
    rng = np.random.default_rng(2)
    tries = np.full(4000, 5.0)
    old, new = rng.binomial(5, 0.9, 4000).astype(float), rng.binomial(5, 0.4, 4000).astype(float)
    e = excess_over_repeats((old, tries), (new, tries))
    values = excess_per_instance((old, tries), (new, tries))
    half = 1.96 * values.std() / np.sqrt(4000)
    assert (e.low, e.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=2e-4)
    assert e.low < 0.9 * 0.6 - 0.9 * 0.1 < e.high


def test_fisher_equals_scipy():
    from scipy.stats import fisher_exact

    tables = [(8, 8, 1, 8), (8, 8, 7, 8), (0, 4, 4, 4), (3, 5, 2, 7), (4, 4, 4, 4), (2, 2, 0, 9)]
    old = tuple(np.array([t[i] for t in tables], float) for i in (0, 1))
    new = tuple(np.array([t[i] for t in tables], float) for i in (2, 3))
    expected = [fisher_exact([[a, k - a], [b, m - b]], alternative="greater").pvalue for a, k, b, m in tables]
    assert np.allclose(fisher_worse(old, new), expected)
    assert fisher_worse((np.zeros(1), np.zeros(1)), (np.ones(1), np.ones(1)))[0] == 1


def test_benjamini_hochberg_equals_statsmodels():
    # statsmodels 0.14: multipletests(p, method="fdr_bh")[1]
    p = np.array([0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216])
    expected = [0.01, 0.04, 0.084, 0.084, 0.084, 0.1, 0.10571429, 0.216, 0.216, 0.216]
    assert np.allclose(benjamini_hochberg(p), expected)
    assert np.allclose(benjamini_hochberg(p[::-1]), expected[::-1])
    assert benjamini_hochberg(np.zeros(0)).size == 0


def test_fifty_collapses_of_a_thousand_are_found_and_slips_are_not():
    tries = np.full(1000, 8.0)
    old = np.full(1000, 8.0)
    new = np.full(1000, 8.0)
    new[:50] = 1
    new[50:300] = 7
    worse, better = reliable_flips((old, tries), (new, tries))
    assert worse[:50].all()
    assert not worse[50:].any()
    assert not better.any()


def test_cell_values_are_means_of_metrics():
    cells = one_hot(np.arange(8, dtype=np.uint8))
    m = averaged_flip_metrics(cells, answers_known=True)
    assert m["nfr"].value == cell_values(cells, "nfr").mean() == 0.25
