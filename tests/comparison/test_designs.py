"""Comparisons of repeated, clustered and sliced predictions, with causes and the noise floor."""

from __future__ import annotations

import json

import numpy as np
import pytest

from muscle_llm.comparison import compare
from muscle_llm.errors import ComparabilityError
from muscle_llm.metrics.causes import CAUSES
from muscle_llm.metrics.definitions import DEFINITIONS
from muscle_llm.predictions import Predictions


def repeated(right: np.ndarray, **columns) -> Predictions:
    """Predictions of shape (instances, repeats)."""
    n, k = right.shape
    return Predictions.from_columns(
        {
            "id": [f"q{i}" for i in range(n) for _ in range(k)],
            "repeat": np.tile(np.arange(k), n).tolist(),
            "answer": ["good" if r else "bad" for r in right.ravel()],
            "correct": right.ravel().tolist(),
            **columns,
        }
    )


def test_eight_right_becoming_one_right_is_a_regression_and_a_slip_is_not():
    old = np.ones((1000, 8), bool)
    new = old.copy()
    new[:50, 1:] = False
    new[50:100, 0] = False
    result = compare(repeated(old), repeated(new))
    assert result.counts["n"] == 1000
    assert (result.counts["rows"], result.counts["repeats"]) == (8000, 8)
    assert result.counts["reliable_negative_flips"] == 50
    assert result.counts["reliable_positive_flips"] == 0
    flags = result.instances.filter(result.instances["reliable_flip"].is_valid())
    assert set(flags["id"].to_pylist()) == {f"q{i}" for i in range(50)}
    assert "50 instances are reliably worse" in result.sentence
    assert result.metrics["nfr"].value == pytest.approx((50 * 7 / 8 + 50 / 8) / 1000)
    assert result.metrics["mcnemar_p"].reason is not None
    json.dumps(result.to_dict(), allow_nan=False)


def test_averages_come_first_and_the_floor_is_taken_off():
    rng = np.random.default_rng(0)
    p = rng.beta(4, 2, 800)
    q = np.clip(p - 0.15, 0, 1)
    old, new = rng.random((800, 4)) < p[:, None], rng.random((800, 4)) < q[:, None]
    result = compare(repeated(old), repeated(new))
    a, b = old.mean(1), new.mean(1)
    assert result.metrics["accuracy_old"].value == pytest.approx(a.mean())
    assert result.metrics["nfr"].value == pytest.approx((a * (1 - b)).mean())
    floor = (a * (1 - a) * 4 / 3).mean()
    assert result.metrics["noise_floor"].value == pytest.approx(floor)
    excess = result.excess_nfr
    assert excess is not None
    assert excess.value == pytest.approx(result.metrics["nfr"].value - floor)
    truth = float((p * (1 - q) - p * (1 - p)).mean())
    assert excess.low < truth < excess.high
    same = compare(repeated(old), repeated(rng.random((800, 4)) < p[:, None])).excess_nfr
    assert same is not None
    assert same.low < 0 < same.high
    assert set(result.metrics) <= set(DEFINITIONS)


def test_the_order_of_repeats_and_rows_does_not_matter():
    rng = np.random.default_rng(1)
    old, new = rng.random((2, 30, 3)) < 0.6
    straight = compare(repeated(old), repeated(new))
    shuffled = Predictions(repeated(new).table.take(rng.permutation(90)))
    assert compare(repeated(old), shuffled).to_dict() == straight.to_dict()


def test_errors_in_some_repeats_leave_the_others():
    old = np.ones((2, 3), bool)
    table = repeated(old, error=["timeout", None, None, None, None, None])
    result = compare(table, repeated(~old))
    assert result.counts["n"] == 2
    assert result.metrics["nfr"].value == 1
    every = repeated(old, error=["timeout"] * 3 + [None] * 3)
    assert compare(every, repeated(~old)).counts["n"] == 1


def test_candidates_of_repeated_answers():
    rng = np.random.default_rng(2)
    p = rng.random(300)
    draw = lambda q: repeated(rng.random((300, 4)) < q[:, None])  # noqa: E731
    old, new, fix = draw(p), draw(p - 0.2), draw(p - 0.05)
    result = compare(old, new, {"fix": fix, "again": draw(p)}, roles={"again": "noise_floor"})
    against = result.candidates["fix"].against_new
    change = result.candidates["fix"].metrics["nfr"].value - result.metrics["nfr"].value
    assert against.metrics["d_nfr"].value == pytest.approx(change)
    assert against.metrics["d_nfr_percent"].value == pytest.approx(100 * change / result.metrics["nfr"].value)
    assert against.metrics["d_nfr"].high < 0
    assert result.metrics["noise_floor"].value == pytest.approx(
        result.candidates["again"].metrics["nfr"].value
    )


def test_scores_are_averaged_over_repeats():
    scores = [{"f1": s} for s in (0.25, 0.75, 0.5, 0.5)]
    old = repeated(np.ones((2, 2), bool), scores=scores)
    new = repeated(np.ones((2, 2), bool), scores=[{"f1": 1.0}, {"f1": None}, {"f1": 0.5}, {"f1": 0.0}])
    metrics = compare(old, new).scores["f1"]
    assert metrics["mean_difference"].value == pytest.approx((0.5 - 0.25) / 2)
    assert (metrics["pfr"].value, metrics["nfr"].value) == (0.5, 0.5)


def test_unequal_numbers_of_repeats_name_the_missing_one():
    with pytest.raises(ComparabilityError, match=r"such as 'q0', repeat 2"):
        compare(repeated(np.ones((2, 3), bool)), repeated(np.ones((2, 2), bool)))


def clustered(right: np.ndarray, clusters, **columns) -> Predictions:
    ids = [str(i) for i in range(len(right))]
    return Predictions.from_columns({"id": ids, "correct": right.tolist(), "cluster": clusters, **columns})


def test_a_cluster_column_widens_every_interval_of_copied_questions():
    rng = np.random.default_rng(3)
    old, new, fix = (np.repeat(rng.random(60) < 0.6, 10) for _ in range(3))
    clusters = [f"p{i // 10}" for i in range(600)]
    sides = [clustered(x, clusters) for x in (old, new, fix)]
    result = compare(sides[0], sides[1], {"fix": sides[2]})
    alone = [Predictions(s.table.drop_columns("cluster")) for s in sides]
    narrow = compare(alone[0], alone[1], {"fix": alone[2]})
    assert result.counts["clusters"] == 60
    assert result.settings["clustered"] is True
    for name in ("accuracy_difference", "nfr", "pfr", "btc", "accuracy_old", "nfr_relative"):
        wide, thin = result.metrics[name], narrow.metrics[name]
        assert wide.value == pytest.approx(thin.value)
        assert (wide.high - wide.low) > 2 * (thin.high - thin.low), name
    wide = result.candidates["fix"].against_new.metrics["d_nfr"]
    thin = narrow.candidates["fix"].against_new.metrics["d_nfr"]
    assert wide.value == pytest.approx(thin.value)
    assert (wide.high - wide.low) > 2 * (thin.high - thin.low)
    detectable = result.metrics["detectable_difference"].value
    assert detectable > 2 * narrow.metrics["detectable_difference"].value
    assert result.counts["negative_flips"] == narrow.counts["negative_flips"]


def test_questions_without_a_cluster_stand_alone():
    right = np.array([True, False, True, False])
    result = compare(clustered(right, ["a", "a", None, None]), clustered(~right, ["a", "a", None, None]))
    assert result.counts["clusters"] == 3
    every = compare(clustered(right, list("abcd")), clustered(~right, list("abcd")))
    assert every.settings["clustered"] is False


def test_slices_have_every_metric_and_the_broken_one_is_called():
    rng = np.random.default_rng(4)
    n = 3000
    kinds = [f"k{i % 20}" for i in range(n)]
    old = rng.random(n) < 0.7
    # In the other slices as many answers are lost as gained, so that only k3 can rightly be called worse.
    new = old.copy()
    for kind in set(kinds) - {"k3"}:
        inside = np.array(kinds) == kind
        for right in (True, False):
            new[np.flatnonzero(inside & (old == right))[:4]] = not right
    broken = np.array(kinds) == "k3"
    new[broken] = rng.random(int(broken.sum())) < 0.2
    sides = [
        Predictions.from_columns(
            {
                "id": [str(i) for i in range(n)],
                "correct": right.tolist(),
                "slices": [
                    {"kind": k, "half": None if i % 3 == 0 else str(i % 2)} for i, k in enumerate(kinds)
                ],
                "scores": [{"f1": float(r)} for r in right],
            }
        )
        for right in (old, new)
    ]
    result = compare(*sides)
    assert [s.value for s in result.slices if s.worse and s.name == "kind"] == ["k3"]
    assert {s.name for s in result.slices} == {"kind", "half"}
    assert len(result.slices) == 22
    total = sum(s.counts["negative_flips"] for s in result.slices if s.name == "kind")
    assert total == result.counts["negative_flips"]
    one = next(s for s in result.slices if s.value == "k7")
    inside = np.array(kinds) == "k7"
    assert one.metrics["nfr"].value == pytest.approx((old & ~new)[inside].mean())
    assert one.scores["f1"]["nfr"].value == pytest.approx((old & ~new)[inside].mean())
    assert "slice:kind" in result.instances.column_names
    json.dumps(result.to_dict(), allow_nan=False)


def test_slices_of_repeats_clusters_and_scores():
    rng = np.random.default_rng(5)
    kinds = [{"kind": "ab"[i % 2]} for i in range(100) for _ in range(3)]
    old, new = rng.random((2, 100, 3)) < 0.6
    result = compare(repeated(old, slices=kinds), repeated(new, slices=kinds))
    a = next(s for s in result.slices if s.value == "a")
    assert a.counts["n"] == 50
    p, q = old[::2].mean(1), new[::2].mean(1)
    assert a.metrics["nfr"].value == pytest.approx((p * (1 - q)).mean())
    scores = [
        Predictions.from_columns(
            {
                "id": [str(i) for i in range(100)],
                "scores": [{"f1": float(v)} for v in values],
                "slices": [{"kind": "ab"[i % 2]} for i in range(100)],
            }
        )
        for values in (np.ones(100), np.where(np.arange(100) % 2 == 0, 0.5, 1.0) + rng.random(100) / 100)
    ]
    result = compare(*scores)
    assert [s.value for s in result.slices if s.worse] == ["a"]
    assert result.slices[0].metrics == {}


def test_an_id_is_no_slice():
    n = 10_001
    rows = {
        "id": [str(i) for i in range(n)],
        "correct": [True] * n,
        "slices": [{"x": str(i)} for i in range(n)],
    }
    result = compare(Predictions.from_columns(rows), Predictions.from_columns(rows))
    assert result.slices == ()
    assert any("too many to slice by" in w for w in result.warnings)


def test_causes_of_flips_both_ways():
    old = Predictions.from_columns(
        {
            "id": list("abcdef"),
            "answer": ["1", "1", "1", "1", None, "1"],
            "correct": [True, True, True, True, False, True],
            "choice_scores": [[-1.0, -9.0]] * 6,
            "finish_reason": ["stop"] * 6,
        }
    )
    new = Predictions.from_columns(
        {
            "id": list("abcdef"),
            "answer": ["2", None, "2", "2", "1", "1"],
            "correct": [False, False, False, False, True, True],
            "choice_scores": [
                [-9.0, -1.0],
                [-9.0, -1.0],
                [-2.0, -1.9],
                [-9.0, -1.0],
                [-1.0, -9.0],
                [-1.0, -9.0],
            ],
            "finish_reason": ["length", "stop", "stop", "stop", "length", "stop"],
        }
    )
    result = compare(old, new)
    assert result.causes == {
        "negative_flips": {"truncated": 1, "extraction_failed": 1, "thin_margin": 1, "answer_changed": 1},
        "positive_flips": {"extraction_failed": 1},
    }
    assert result.instances["cause"].to_pylist() == [
        "truncated",
        "extraction_failed",
        "thin_margin",
        "answer_changed",
        "extraction_failed",
        None,
    ]
    assert set(result.to_dict()["causes"]["negative_flips"]) <= set(CAUSES)
    assert sum(result.causes["negative_flips"].values()) == result.counts["negative_flips"]


def test_another_filter_that_finds_the_right_answer_means_failed_extraction():
    common = {"id": ["a", "b"], "answer": ["1", "1"], "correct": [True, True]}
    old = Predictions.from_columns({**common, "scores": [{"exact_match,flexible-extract": 1.0}] * 2})
    new = Predictions.from_columns(
        {
            "id": ["a", "b"],
            "answer": ["x", "y"],
            "correct": [False, False],
            "scores": [{"exact_match,flexible-extract": 1.0}, {"exact_match,flexible-extract": 0.0}],
        }
    )
    assert compare(old, new).instances["cause"].to_pylist() == ["extraction_failed", "answer_changed"]


def test_nothing_flipped_has_no_detectable_difference():
    rows = Predictions.from_columns({"id": ["a"], "correct": [True]})
    result = compare(rows, rows)
    assert "no instance changed" in (result.metrics["detectable_difference"].reason or "")
    assert result.causes == {"negative_flips": {}, "positive_flips": {}}


@pytest.mark.parametrize("design", ["plain", "clustered", "repeated"])
def test_the_excess_of_a_slice_is_that_of_its_instances_alone(design):
    rng = np.random.default_rng(3)
    n, k = 240, 3 if design == "repeated" else 1
    topics = [["law", "art", "math"][i % 3] for i in range(n)]
    sides = {name: rng.random((n, k)) < p for name, p in (("old", 0.8), ("new", 0.7), ("rerun", 0.8))}

    def side(name, keep=None):
        rows = [i for i in range(n) if keep in (None, topics[i])]
        columns = {"slices": [{"topic": topics[i]} for i in rows for _ in range(k)]}
        if design == "clustered":
            columns["cluster"] = [f"c{i // 6}" for i in rows for _ in range(k)]
        return repeated(sides[name][rows], **columns)

    def measured(keep=None):
        # Repeats are their own floor; else a second run of old is.
        others = {} if design == "repeated" else {"rerun": side("rerun", keep)}
        roles = dict.fromkeys(others, "noise_floor")
        return compare(side("old", keep), side("new", keep), others, roles=roles)

    slices = {s.value: s.excess_nfr for s in measured().slices}
    assert set(slices) == {"law", "art", "math"}
    for value, found in slices.items():
        alone = measured(value).excess_nfr
        assert alone is not None
        assert found is not None
        assert found.to_dict() == pytest.approx(alone.to_dict())


def test_without_a_floor_slices_have_no_excess():
    one = repeated(np.ones((4, 1), bool), slices=[{"topic": "law"}] * 4)
    assert compare(one, one).slices[0].excess_nfr is None
