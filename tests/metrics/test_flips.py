from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.metrics.definitions import DEFINITIONS, SMOOTH_DEFINITIONS
from muscle_llm.metrics.flips import flip_metrics, flip_values, joint_counts
from muscle_llm.metrics.smooth import smooth_metrics

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def _plain(answers_old, answers_new, references):
    """The metrics written as the sums they are defined by, one instance at a time."""
    n = len(references)
    triples = list(zip(answers_old, answers_new, references, strict=True))
    right = [(a == y, b == y, a == b) for a, b, y in triples]
    old, new = sum(c for c, _, _ in right) / n, sum(d for _, d, _ in right) / n
    nfr = sum(c and not d for c, d, _ in right) / n
    return {
        "accuracy_old": old,
        "accuracy_new": new,
        "accuracy_difference": new - old,
        "nfr": nfr,
        "pfr": sum(d and not c for c, d, _ in right) / n,
        "nfr_mc": sum(not d and not s for _, d, s in right) / n,
        "btc": sum(c and d for c, d, _ in right) / (n * old) if old else math.nan,
        "bec": sum(not c and not d for c, d, _ in right) / (n * (1 - old)) if old < 1 else math.nan,
        "agreement": sum(s for _, _, s in right) / n,
        "churn": sum(not s for _, _, s in right) / n,
        "nfr_floor": max(0.0, old - new),
        "nfr_relative": nfr / (old * (1 - new)) if old and new < 1 else math.nan,
    }


@given(rows)
@settings(max_examples=100, deadline=None)
def test_metrics_equal_their_definitions_and_identities_hold(data):
    a, b, y = (np.array(v) for v in zip(*data, strict=True))
    counts = joint_counts(a == y, b == y, a == b)
    values = {k: float(v) for k, v in flip_values(counts.cells).items()}
    for name, expected in _plain(a, b, y).items():
        assert values[name] == pytest.approx(expected, abs=1e-12, nan_ok=True), name
    assert values["accuracy_new"] - values["accuracy_old"] == pytest.approx(values["pfr"] - values["nfr"])
    assert values["nfr_mc"] == pytest.approx(values["nfr"] + values["both_wrong_changed"])
    quadrants = (
        "both_right_same",
        "both_right_changed",
        "gain",
        "both_wrong_same",
        "both_wrong_changed",
        "regression",
    )
    assert sum(values[q] for q in quadrants) == pytest.approx(1)
    assert values["nfr"] >= values["nfr_floor"] - 1e-12
    assert values["agreement"] + values["churn"] == pytest.approx(1)
    document = counts.to_dict()
    assert document["negative_flips"] == round(values["nfr"] * len(y))
    assert sum(document[k] for k in ("negative_flips", "positive_flips", "both_right", "both_wrong")) == len(
        y
    )


@given(rows, st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_figure_lies_in_its_interval_or_says_why_not(data, answers):
    a, b, y = (np.array(v) for v in zip(*data, strict=True))
    metrics = flip_metrics(joint_counts(a == y, b == y, a == b if answers else None))
    assert set(metrics) <= set(DEFINITIONS)
    for name, estimate in metrics.items():
        if not estimate.defined:
            assert estimate.reason, name
            assert math.isnan(estimate.low)
        elif not math.isnan(estimate.low):
            assert estimate.low - 1e-9 <= estimate.value <= estimate.high + 1e-9, name
        elif name not in ("mcnemar_p", "nfr_relative"):
            pytest.fail(f"{name} has no interval")


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_the_relative_nfr_of_independent_errors_is_one(old_right, old_wrong, new_right, new_wrong):
    cells = np.outer([old_wrong, old_right], [new_wrong, new_right])[..., None] * [1.0, 0.0]
    values = flip_values(cells)
    assert values["nfr_relative"] == pytest.approx(1)
    assert values["btc"] == pytest.approx(values["accuracy_new"])
    assert values["bec"] == pytest.approx(1 - values["accuracy_new"])


def test_answers_unknown_is_undefined_and_not_zero():
    counts = joint_counts(np.array([True, False]), np.array([False, False]))
    metrics = flip_metrics(counts)
    for name in ("nfr_mc", "agreement", "churn", "both_wrong_same", "both_wrong_changed"):
        assert metrics[name].to_dict() == {
            "value": None,
            "low": None,
            "high": None,
            "reason": "no answers in the logs",
        }
    assert counts.to_dict()["both_wrong_same"] is None


def test_nothing_right_leaves_trust_undefined():
    metrics = flip_metrics(joint_counts(np.zeros(3, bool), np.ones(3, bool)))
    assert metrics["btc"].reason == "old has nothing right"
    assert metrics["nfr_relative"].reason is not None
    assert metrics["bec"].value == 0.0


def test_no_instances_is_undefined():
    metrics = flip_metrics(joint_counts(np.zeros(0, bool), np.zeros(0, bool)))
    assert all(e.reason == "no instances" for e in metrics.values())


def test_the_reference_pair_in_figures():
    # GSM8K, 6B fine-tuned against 175B fine-tuned: 198 both right, 88 lost, 260 gained, 773 both wrong.
    c = np.repeat([True, True, False, False], [198, 88, 260, 773])
    d = np.repeat([True, False, True, False], [198, 88, 260, 773])
    metrics = flip_metrics(joint_counts(c, d))
    assert round(metrics["nfr"].value, 5) == 0.06672
    assert round(metrics["accuracy_old"].value, 5) == 0.21683
    assert round(metrics["accuracy_new"].value, 5) == 0.34723
    assert metrics["nfr_relative"].value == pytest.approx((88 / 1319) / ((286 / 1319) * (861 / 1319)))
    assert metrics["mcnemar_p"].value > 1 - 1e-15


scores = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=50)


@given(scores, st.integers(0, 4))
@settings(max_examples=80, deadline=None)
def test_smooth_metrics_equal_their_definitions(data, eps):
    s, t = (np.array(v) / 8 for v in zip(*data, strict=True))
    m = smooth_metrics(s, t, tolerance=eps / 8)
    assert set(m) <= set(SMOOTH_DEFINITIONS)
    d = t - s
    up, down = d[d > eps / 8], -d[d < -eps / 8]
    assert m["pfr"].value == pytest.approx(len(up) / len(d))
    assert m["nfr"].value == pytest.approx(len(down) / len(d))
    assert m["gain"].value == pytest.approx(up.mean() if len(up) else math.nan, nan_ok=True)
    assert m["regress"].value == pytest.approx(down.mean() if len(down) else math.nan, nan_ok=True)
    if eps == 0:
        gained = m["gain"].value * m["pfr"].value if len(up) else 0.0
        lost = m["regress"].value * m["nfr"].value if len(down) else 0.0
        assert m["mean_difference"].value == pytest.approx(gained - lost, abs=1e-12)


def test_smooth_metrics_refuse_what_they_cannot_measure():
    with pytest.raises(ValueError, match="finite"):
        smooth_metrics(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(ValueError, match="negative"):
        smooth_metrics(np.array([0.0]), np.array([1.0]), tolerance=-1)
    assert smooth_metrics(np.zeros(0), np.zeros(0))["nfr"].reason is not None
