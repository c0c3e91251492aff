from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.metrics.candidates import (
    difference_counts,
    difference_metrics,
    paired_indicators,
    smooth_differences,
)
from muscle_llm.metrics.flips import flip_values, joint_counts

triples = st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=60)


@given(triples)
@settings(max_examples=80, deadline=None)
def test_differences_are_the_differences_of_the_metrics(data):
    a, b, e, y = (np.array(v) for v in zip(*data, strict=True))
    c, d, f = a == y, b == y, e == y
    new = flip_values(joint_counts(c, d, a == b).cells)
    candidate = flip_values(joint_counts(c, f, a == e).cells)
    m = difference_metrics(c, d, f, a == b, a == e)
    for name, key in (
        ("d_nfr", "nfr"),
        ("d_pfr", "pfr"),
        ("d_nfr_mc", "nfr_mc"),
        ("d_accuracy", "accuracy_new"),
    ):
        assert m[name].value == pytest.approx(float(candidate[key] - new[key]), abs=1e-12)
        assert m[name].low - 1e-9 <= m[name].value <= m[name].high + 1e-9
    if new["nfr"] > 0:
        percent = m["d_nfr_percent"]
        assert -100 - 1e-9 <= percent.low <= percent.value + 1e-9 <= percent.high + 2e-9
        assert m["d_nfr_percent"].value == pytest.approx(float(100 * (candidate["nfr"] / new["nfr"] - 1)))
    else:
        assert m["d_nfr_percent"].reason == "new has no negative flips"
    counts = difference_counts(c, d, f)
    assert m["d_nfr"].value * len(y) == pytest.approx(counts["newly_broken"] - counts["recovered"])
    assert m["d_pfr"].value * len(y) == pytest.approx(counts["new_gains"] - counts["lost_gains"])


def test_a_remedy_that_mends_every_flip_leaves_uncertainty():
    # Three flips of a thousand, all mended: exact McNemar p = 0.25, which is no proof of any change.
    old, new = np.ones(1000, bool), np.ones(1000, bool)
    new[:3] = False
    percent = difference_metrics(old, new, old)["d_nfr_percent"]
    assert (percent.value, percent.low) == (-100, -100)
    assert percent.high > 0
    new[:60] = False
    assert -100 < difference_metrics(old, new, old)["d_nfr_percent"].high < -80


@pytest.mark.parametrize(
    ("n", "rate", "kept", "added"), [(200, 0.05, 0.5, 0.01), (1000, 0.05, 0.1, 0), (1000, 0.01, 0.3, 0.002)]
)
def test_the_percentage_holds_the_truth_as_often_as_it_says(n, rate, kept, added):
    rng = np.random.default_rng(0)
    truth = 100 * ((rate * kept + added) / rate - 1)
    chances = [rate * kept, added, rate * (1 - kept), 1 - rate - added]
    hits = []
    for both, fresh, mended, rest in rng.multinomial(n, chances, size=400):
        lost_c = np.repeat([True, True, False, False], [both, fresh, mended, rest])
        lost = np.repeat([True, False, True, False], [both, fresh, mended, rest])
        if lost.any():
            found = difference_metrics(np.ones(n, bool), ~lost, ~lost_c)["d_nfr_percent"]
            hits.append(found.low <= truth <= found.high)
    assert np.mean(hits) >= 0.92


def test_no_instances_and_no_answers_are_undefined():
    empty = np.zeros(0, bool)
    assert paired_indicators(empty, empty).reason == "no instances"
    one = np.ones(1, bool)
    assert difference_metrics(one, ~one, one)["d_nfr_mc"].reason == "no answers in the logs"


def test_smooth_differences_equal_the_difference_of_means_and_cover_by_bootstrap():
    rng = np.random.default_rng(0)
    s, t, u = rng.random((3, 400))
    m = smooth_differences(s, t, u)

    def values(i):
        d, e = t[i] - s[i], u[i] - s[i]
        return e[e > 0].mean() - d[d > 0].mean(), -e[e < 0].mean() + d[d < 0].mean()

    whole = values(np.arange(400))
    assert m["d_gain"].value == pytest.approx(whole[0])
    assert m["d_regress"].value == pytest.approx(whole[1])
    assert m["d_mean"].value == pytest.approx((u - t).mean())
    draws = np.array([values(rng.integers(0, 400, 400)) for _ in range(2000)])
    for column, name in enumerate(("d_gain", "d_regress")):
        low, high = np.quantile(draws[:, column], [0.025, 0.975])
        assert (m[name].low, m[name].high) == pytest.approx((low, high), abs=0.012)


def test_smooth_differences_without_flips_say_so():
    s = np.array([0.5, 0.5])
    m = smooth_differences(s, s, s + 0.1)
    assert m["d_gain"].reason == "no instance improved in new"
    assert m["d_regress"].reason == "no instance got worse in the candidate"
