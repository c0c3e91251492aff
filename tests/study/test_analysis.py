"""Laws of a study's figures, and how often their intervals hold what they should."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("torch")

from scipy.stats import multivariate_normal, norm

from muscle_llm.errors import InputError
from muscle_llm.study.analysis import (
    FIGURES,
    Measured,
    choose,
    correlation,
    measure,
    per_instance,
    pooled_difference,
    removed_share,
    removed_share_difference,
)
from muscle_llm.study.results import read_outcomes

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def cells(study) -> list[Measured]:
    return [measure(outcomes, replicates=200) for outcomes in read_outcomes(study)]


def test_the_re_run_removes_all_of_the_excess_and_new_nothing(cells):
    for group in (cells, cells[:1]):
        assert dataclasses.astuple(removed_share(group, "old_rerun")) == pytest.approx((1, 1, 1))
        assert dataclasses.astuple(removed_share(group, "new")) == (0, 0, 0)


def test_accuracy_changes_by_positive_less_negative_flips(cells):
    for m in cells:
        if m.outcomes.is_score:
            continue
        for name in m.outcomes.versions:
            flips = m.estimate("pfr", name).value - m.estimate("nfr", name).value
            assert m.difference("accuracy", name, "old").value == pytest.approx(flips)
            assert m.estimate("nfr_mc", name).value >= m.estimate("nfr", name).value


def test_old_has_no_flips_against_itself(cells):
    for m in cells:
        for figure in FIGURES[1:]:
            if figure in m.means:
                assert m.estimate(figure, "old") == m.difference("nfr", "old", "old")


def test_a_difference_of_shares_is_the_difference_of_the_shares(cells):
    more = removed_share_difference(cells, "keep", "muscle")
    assert more.value == pytest.approx(
        removed_share(cells, "keep").value - removed_share(cells, "muscle").value
    )
    back = removed_share_difference(cells, "muscle", "keep")
    assert dataclasses.astuple(back) == pytest.approx((-more.value, -more.high, -more.low), abs=0.02)


def test_pooling_one_cell_is_that_cell_and_several_their_mean(cells):
    one = pooled_difference(cells[:1], "accuracy", "keep", "new")
    assert one == cells[0].difference("accuracy", "keep", "new")
    every = [m.difference("accuracy", "keep", "new").value for m in cells]
    assert pooled_difference(cells, "accuracy", "keep", "new").value == pytest.approx(np.mean(every))


def test_a_version_for_each_cell(cells):
    assert removed_share(cells, ["keep"] * len(cells)) == removed_share(cells, "keep")
    with pytest.raises(ValueError, match="zip"):
        removed_share(cells, ["keep"])


def test_the_order_of_instances_and_seeds_matters_to_no_figure(study):
    first = read_outcomes(study)[0]
    rng = np.random.default_rng(1)
    seeds, instances = rng.permutation(len(first.seeds)), rng.permutation(len(first.validation_N))
    moved = dataclasses.replace(
        first,
        values_VSN=first.values_VSN[:, seeds][..., instances],
        answers_VSN=first.answers_VSN[:, seeds][..., instances],
        validation_N=first.validation_N[instances],
    )
    before, after = measure(first), measure(moved)
    for figure in FIGURES:
        np.testing.assert_allclose(before.means[figure], after.means[figure])
    a, b = removed_share([before], "keep"), removed_share([after], "keep")
    assert a.value == pytest.approx(b.value)
    assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=0.2)  # other draws


def test_updates_with_fewer_seeds_see_the_same_instances_drawn(outcomes_of):
    values = np.random.default_rng(0).random((3, 1, 50)) > 0.5
    one = outcomes_of(values)
    several = outcomes_of(np.repeat(values, 4, axis=1))
    a, b = measure(one), measure(several)
    np.testing.assert_allclose(a.replicates["nfr"], b.replicates["nfr"], atol=1e-6)


def test_figures_of_two_instances_by_hand():
    values = np.array([[[1.0, 1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0, 1.0]]])
    answers = np.array([[[0, 0, 1, 2]], [[3, 0, 1, 0]]])
    found = {k: v[1].mean() for k, v in per_instance(values, answers, old=0).items()}
    assert found == {"accuracy": 0.5, "nfr": 0.25, "pfr": 0.25, "nfr_mc": 0.25}
    assert "nfr_mc" not in per_instance(values, None, old=0)


def test_no_excess_leaves_the_share_undefined(outcomes_of):
    right, wrong = np.ones((2, 20)), np.zeros((2, 20))
    none = measure(outcomes_of([right, right, right, right, wrong]))
    assert math.isnan(removed_share([none], "keep").value)
    unsure = np.ones((2, 20))
    unsure[:, 0] = 0
    little = removed_share([measure(outcomes_of([right, unsure, right, right, right]))], "keep")
    assert little.value == 1
    assert math.isnan(little.low)


def test_the_choice_looks_at_the_validation_part_alone(outcomes_of):
    old = np.ones((1, 8))
    new = np.array([[0, 0, 1, 1, 1, 1, 1, 1]])
    good_there = np.array([[1, 1, 1, 1, 0, 0, 0, 0]])
    good_elsewhere = np.array([[0, 0, 1, 1, 1, 1, 1, 1]])
    names = ("old", "new", "old_rerun", "continued", "a", "b", "two")
    values = [old, new, old, old, good_there, good_elsewhere, old]
    roles = (*names[:4], "distillation", "distillation", "ensemble")
    validation = np.arange(8) < 4
    found = outcomes_of(values, names=names, roles=roles, validation=validation)
    assert choose(found) == "a"  # neither the two models nor the control
    assert choose(dataclasses.replace(found, validation_N=~validation)) == "b"
    worse = [old, old, old, old, good_there, good_elsewhere, old]
    lower = outcomes_of(worse, names=names, roles=roles, validation=~validation)
    assert choose(lower) == "b"
    assert (
        choose(outcomes_of([*worse[:4], new, new, old], names=names, roles=roles, validation=validation))
        is None
    )


def test_a_part_without_instances_is_named(outcomes_of):
    found = outcomes_of(np.ones((3, 1, 4)))
    with pytest.raises(InputError, match=r"task 't' has no instances in its validation part"):
        measure(found, validation=True)


def test_correlations():
    assert correlation([1, 2, 3], [2, 4, 6]).pearson == pytest.approx(1)
    assert correlation([1, 2, 3, 4], [10, 5, 2, 1]).spearman == pytest.approx(-1)
    # Hand: ranks 1 2.5 2.5 4 against 1 2 3 4
    assert correlation([1, 2, 2, 3], [1, 2, 3, 4]).spearman == pytest.approx(0.9486832980505138)
    assert math.isnan(correlation([1, 1, 1], [1, 2, 3]).pearson)
    assert math.isnan(correlation([1, 2], [1, 2]).spearman)


# How alike new, old_rerun, continued and keep are to old, and how much better.
KINDS_OF = {"new": (0.5, 0.2), "old_rerun": (0.95, 0.0), "continued": (0.6, 0.4), "keep": (0.8, 0.2)}


def simulated(rng: np.random.Generator, seeds: int, instances: int, spread: float) -> np.ndarray:
    """Values (V, S, N) of old and the above: what belongs to instances, to seeds and to neither adds up."""
    hardness = rng.normal(size=instances)
    old = hardness + rng.normal(size=(seeds, instances))
    found = [old]
    for alike, better in KINDS_OF.values():
        own = hardness + rng.normal(size=(seeds, instances))
        level = better + spread * rng.normal(size=(seeds, 1))
        found.append(alike * old + math.sqrt(1 - alike**2) * own + level)
    return (np.stack(found) > 0).astype(float)


def expected(spread: float) -> dict[str, float]:
    """The same figures of all instances and seeds there could be, from the normal distribution."""
    accuracy, nfr = {}, {}
    for name, (alike, better) in KINDS_OF.items():
        rest = math.sqrt(1 - alike**2)
        variance, covariance = 2 + 2 * alike * rest + spread**2, 2 * alike + rest
        both = multivariate_normal([0, better], [[2, covariance], [covariance, variance]])
        wrong = norm.cdf(-better / math.sqrt(variance))
        accuracy[name], nfr[name] = 1 - wrong, wrong - both.cdf([0, 0])
    excess = nfr["new"] - nfr["old_rerun"]
    return {
        "accuracy": accuracy["keep"] - accuracy["new"],
        "nfr": nfr["keep"],
        "share": (nfr["new"] - nfr["keep"]) / excess,
        "lead": (nfr["continued"] - nfr["keep"]) / excess,
    }


@pytest.mark.parametrize(("spread", "seeds", "least"), [(0.1, 5, 0.92), (0.3, 5, 0.82), (0.3, 20, 0.9)])
def test_how_often_the_intervals_hold_the_truth(spread, seeds, least, outcomes_of):
    """Of 95 % nominally: at least 92 % where seeds differ little in level or there are many of them; five
    seeds that differ much give 82 % or more. An undefined interval claims nothing, so it holds the truth.

    The levels leave room for the chance of 150 runs (a standard error of 2 to 3 points).
    """
    truth, rng, runs = expected(spread), np.random.default_rng(2), 150
    held = dict.fromkeys(truth, 0)
    for _ in range(runs):
        m = measure(outcomes_of(simulated(rng, seeds, 200, spread)), replicates=300)
        found = {
            "accuracy": m.difference("accuracy", "keep", "new"),
            "nfr": m.estimate("nfr", "keep"),
            "share": removed_share([m], "keep"),
            "lead": removed_share_difference([m], "keep", "continued"),
        }
        for name, e in found.items():
            held[name] += math.isnan(e.low) or e.low <= truth[name] <= e.high
    assert min(held.values()) / runs >= least, {name: count / runs for name, count in held.items()}
