"""Laws of the flip metrics over repeats and clusters: exact shares, and intervals that never vanish."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.metrics.averaged import averaged_flip_metrics, cell_values
from muscle_llm.metrics.repeats import (
    excess_per_instance,
    noise_floor,
    pair_cells,
    reliable_flips,
)
from muscle_llm.metrics.uncertainty import wilson

shares = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=2, max_size=20)


def cells_of(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Cells of right answers of shape (N, K)."""
    n, k = old.shape
    good = np.ones(n * k, bool)
    right = old.ravel(), new.ravel()
    return pair_cells(np.repeat(np.arange(n), k), n, right, (good, good), None)


def counted(hits: list[int], k: int) -> np.ndarray:
    return np.arange(k) < np.array(hits)[:, None]


@pytest.mark.parametrize("k", range(2, 13))
def test_shares_of_one_are_one_and_equal_shares_do_not_differ(k):
    some = counted([i % (k + 1) for i in range(50)], k)
    every = np.ones((50, k), bool)
    metrics = averaged_flip_metrics(cells_of(every, some), answers_known=False)
    assert metrics["accuracy_old"].value == 1
    assert 0.9 < metrics["accuracy_old"].low < 1
    assert metrics["bec"].reason == "old has nothing wrong"
    back = averaged_flip_metrics(cells_of(some, every), answers_known=False)
    assert back["accuracy_new"].value == 1
    assert back["nfr_relative"].reason == "old has nothing right, or new nothing wrong"
    same = averaged_flip_metrics(cells_of(some, some[:, ::-1]), answers_known=False)["accuracy_difference"]
    assert (same.value, same.low) == (0, -same.high)
    assert same.high > 0.01
    assert not excess_per_instance(*[(np.full(9, float(k)), np.full(9, float(k)))] * 2).any()


@given(shares, st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_rate_has_an_interval_with_room_inside_its_range(data, clustered):
    old, new = (counted([row[v] for row in data], 7) for v in (0, 1))
    clusters = np.arange(len(data)) // 2 if clustered and len(data) > 3 else None
    metrics = averaged_flip_metrics(cells_of(old, new), clusters, answers_known=False)
    for name in ("accuracy_old", "nfr", "pfr", "both_right", "btc", "bec"):
        e = metrics[name]
        if e.defined and not (np.isnan(e.low) and name in ("btc", "bec")):
            assert -1e-9 <= e.low <= e.value + 1e-9 <= e.high + 2e-9 <= 1 + 3e-9, name
        elif not e.defined:
            assert e.reason is not None


def test_nothing_lost_is_not_certainty():
    right = np.ones((40, 4), bool)
    right[0, 0] = False
    metrics = averaged_flip_metrics(cells_of(right, np.ones((40, 4), bool)), answers_known=False)
    assert metrics["btc"].value == 1
    assert metrics["btc"].low < 0.95
    some = np.ones((40, 4), bool)
    some[:10] = False
    relative = averaged_flip_metrics(cells_of(some, some), answers_known=False)["nfr_relative"]
    assert (relative.value, relative.low) == (0, 0)
    assert relative.high > 0.1


def test_given_old_is_right_single_answers_have_the_plain_rate():
    old = np.repeat([True, False], [60, 40])[:, None]
    new = np.concatenate([np.arange(60) < 45, np.arange(40) < 10])[:, None]
    metrics = averaged_flip_metrics(cells_of(old, new), answers_known=False)
    for name, k, n in (("btc", 45, 60), ("bec", 30, 40)):
        plain = [float(x) for x in wilson(k, n)]
        assert metrics[name].value == k / n
        assert (metrics[name].low, metrics[name].high) == pytest.approx(plain, abs=0.01)


def test_one_cluster_gives_no_interval_and_no_false_one():
    old, new = np.ones((4, 2), bool), np.zeros((4, 2), bool)
    metrics = averaged_flip_metrics(cells_of(old, new), np.zeros(4, int), answers_known=False)
    assert metrics["nfr_floor"].value == 1
    assert np.isnan([metrics["nfr_floor"].low, metrics["nfr_floor"].high]).all()


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_floor_of_noise_lies_between_nothing_and_a_half(hits):
    floor = noise_floor(np.array(hits, float), np.full(len(hits), 4.0))
    assert 0 <= floor.low <= floor.value + 1e-9 <= floor.high + 2e-9 <= 0.5 + 3e-9
    assert floor.high > floor.low


def test_the_level_of_the_noise_floor():
    rng = np.random.default_rng(0)
    p = rng.choice([0.0, 0.5, 0.9, 1.0], 4000, p=[0.2, 0.05, 0.05, 0.7])
    truth = float((p * (1 - p)).mean())
    hits = []
    for _ in range(300):
        some = rng.choice(p, 200)
        floor = noise_floor(rng.binomial(4, some).astype(float), np.full(200, 4.0))
        hits.append(floor.low <= truth <= floor.high)
    assert 0.92 <= np.mean(hits) <= 0.99


def test_three_of_three_becoming_none_of_three_meets_five_percent():
    tries = np.full(40, 3.0)
    worse, better = reliable_flips((tries, tries), (np.zeros(40), tries))
    assert worse.all()
    assert not better.any()


def test_instances_without_answers_do_not_weaken_the_others():
    old, new = np.full(60, 8.0), np.full(60, 8.0)
    new[0] = 1.0
    tries = np.full(60, 8.0)
    alone = reliable_flips((old, tries), (new, tries))[0]
    padded = [np.concatenate([x, np.zeros(10_000)]) for x in (old, tries, new, tries)]
    beside = reliable_flips((padded[0], padded[1]), (padded[2], padded[3]))[0]
    assert beside.sum() == alone.sum() == 1


def test_values_of_an_instance_without_pairs_are_unknown():
    assert np.isnan(cell_values(np.zeros((1, 8)), "nfr")).all()
