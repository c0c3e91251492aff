"""The registry of flip figures: an entry of it is a figure in every design, with an interval of its kind."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from muscle_llm.comparison import compare
from muscle_llm.metrics import figures
from muscle_llm.metrics.averaged import averaged_flip_metrics, cell_values, one_hot
from muscle_llm.metrics.clusters import difference_estimate, rate_estimate
from muscle_llm.metrics.definitions import DEFINITIONS
from muscle_llm.metrics.figures import (
    ALL,
    CHANGED,
    FIGURES,
    NEW_RIGHT,
    NEW_WRONG,
    OLD_RIGHT,
    OLD_WRONG,
    SAME,
    Difference,
    Drop,
    Lift,
    Share,
    needs_answers,
)
from muscle_llm.metrics.flips import flip_metrics, joint_codes, joint_counts
from muscle_llm.metrics.slices import slice_cells, slice_metrics
from muscle_llm.metrics.uncertainty import paired_difference, wilson
from muscle_llm.predictions import Predictions

NEW = {
    "stable_right": Share(OLD_RIGHT & NEW_RIGHT & SAME),
    "moved_errors": Share(CHANGED, given=OLD_WRONG & NEW_WRONG, reason="nothing is wrong twice"),
    "changed_more_than_lost": Difference(CHANGED, OLD_RIGHT & NEW_WRONG),
    "lost_more_than_changed": Drop(Difference(CHANGED, OLD_RIGHT & NEW_WRONG)),
    "errors_together": Lift(OLD_WRONG, NEW_WRONG, reason="a version has nothing wrong"),
}


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", MappingProxyType({**FIGURES, **NEW}))


def answers(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Old right, new right, same answer: equal answers are equally right."""
    rng = np.random.default_rng(seed)
    old, same = rng.random(n) < 0.6, rng.random(n) < 0.5
    return old, np.where(same, old, rng.random(n) < 0.5), same


def plain(old: np.ndarray, new: np.ndarray, same: np.ndarray) -> dict[str, float]:
    """The new figures written as what they are, one instance at a time."""
    rows = list(zip(old.tolist(), new.tolist(), same.tolist(), strict=True))
    n = len(rows)
    wrong_twice = [s for c, d, s in rows if not c and not d]
    more = sum(not s for _, _, s in rows) / n - sum(c and not d for c, d, _ in rows) / n
    chance = (sum(not c for c, _, _ in rows) / n) * (sum(not d for _, d, _ in rows) / n)
    return {
        "stable_right": sum(c and d and s for c, d, s in rows) / n,
        "moved_errors": sum(not s for s in wrong_twice) / len(wrong_twice) if wrong_twice else math.nan,
        "changed_more_than_lost": more,
        "lost_more_than_changed": max(0.0, -more),
        "errors_together": len(wrong_twice) / n / chance if chance else math.nan,
    }


@pytest.mark.usefixtures("registered")
def test_a_figure_of_counts_has_its_value_and_the_interval_of_its_kind():
    old, new, same = answers(300)
    counts = joint_counts(old, new, same)
    found, cells = flip_metrics(counts), Counter(joint_codes(old, new, same).tolist())
    for name, value in plain(old, new, same).items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name
    bounds = {n: (found[n].low, found[n].high) for n in NEW}
    assert bounds["stable_right"] == pytest.approx([float(x) for x in wilson(cells[7], 300)])
    wrong_twice = cells[0] + cells[1]
    assert bounds["moved_errors"] == pytest.approx([float(x) for x in wilson(cells[0], wrong_twice)])
    up, down = cells[0] + cells[2] + cells[6], cells[5]
    low, high = (float(x) for x in paired_difference(up, down, 300))
    assert bounds["changed_more_than_lost"] == pytest.approx((low, high))
    assert bounds["lost_more_than_changed"] == pytest.approx((max(0, -high), max(0, -low)))
    assert bounds["errors_together"][0] < found["errors_together"].value < bounds["errors_together"][1]


@pytest.mark.usefixtures("registered")
def test_a_figure_of_slices_is_that_of_each_slice_alone():
    old, new, same = answers(400)
    where = np.random.default_rng(1).integers(0, 3, 400)
    at_once, _ = slice_metrics(slice_cells(where, joint_codes(old, new, same), 3), answers_known=True)
    for index, found in enumerate(at_once):
        inside = where == index
        alone = flip_metrics(joint_counts(old[inside], new[inside], same[inside]))
        assert list(found) == list(alone)
        for name in NEW:
            tolerance = {"rel": 0.1} if name == "errors_together" else {"abs": 1e-12}
            expected = [alone[name].value, alone[name].low, alone[name].high]
            assert [found[name].value, found[name].low, found[name].high] == pytest.approx(
                expected, **tolerance
            )


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("clustered", [False, True])
def test_a_figure_over_repeats_and_clusters_has_its_value_and_the_interval_of_its_kind(clustered):
    old, new, same = answers(300)
    cells = one_hot(joint_codes(old, new, same))
    clusters = np.arange(300) // 3 if clustered else None
    found = averaged_flip_metrics(cells, clusters, answers_known=True)
    for name, value in plain(old, new, same).items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name
    stable, changed, lost = cells[:, 7], 1.0 - same, (old & ~new).astype(float)
    assert found["stable_right"] == rate_estimate(stable, clusters)
    assert found["changed_more_than_lost"] == difference_estimate(changed - lost, clusters)
    twice = ~old & ~new
    inside = None if clusters is None else clusters[twice]
    given = rate_estimate(changed[twice], inside)
    assert (found["moved_errors"].low, found["moved_errors"].high) == pytest.approx((given.low, given.high))
    together = found["errors_together"]
    assert 0 < together.low < together.value < together.high


def predictions(right: np.ndarray, answer: list[str], **columns) -> Predictions:
    return Predictions.from_columns(
        {"id": [str(i) for i in range(len(right))], "correct": right.tolist(), "answer": answer, **columns}
    )


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("design", ["plain", "clusters", "repeats"])
def test_a_comparison_has_a_new_figure_with_its_interval_everywhere(design):
    old, new, same = answers(240)
    rows = np.arange(240)
    columns: dict[str, list] = {"slices": [{"kind": "ab"[i % 2]} for i in rows]}
    if design == "clusters":
        columns["cluster"] = [str(i // 4) for i in rows]
    if design == "repeats":
        columns |= {"id": [str(i // 2) for i in rows], "repeat": [int(i % 2) for i in rows]}
        columns["slices"] = [{"kind": "ab"[i // 2 % 2]} for i in rows]
    first = predictions(old, ["old"] * 240, **columns)
    second = predictions(new, ["old" if s else "new" for s in same], **columns)
    document = compare(first, second, {"fix": second}).to_dict()
    places = [document["metrics"], document["candidates"]["fix"]["metrics"]]
    places += [part["metrics"] for part in document["slices"]]
    assert len(places) == 4
    for metrics in places:
        assert set(NEW) < set(metrics)
        for name in NEW:
            e = metrics[name]
            assert e["low"] <= e["value"] <= e["high"], name
            assert e["high"] > 0 or name == "lost_more_than_changed"
    json.dumps(document, allow_nan=False)


@pytest.mark.usefixtures("registered")
def test_a_new_figure_says_why_it_is_undefined_the_same_in_every_design():
    old, new = np.array([True, True, False]), np.array([True, False, True])
    for known, wrong in ((True, "nothing is wrong twice"), (False, "no answers in the logs")):
        same = np.array([True, False, False]) if known else None
        codes = joint_codes(old, new, same)
        for found in (
            flip_metrics(joint_counts(old, new, same)),
            slice_metrics(slice_cells(np.zeros(3, int), codes, 1), answers_known=known)[0][0],
            averaged_flip_metrics(one_hot(codes), answers_known=known),
        ):
            assert found["moved_errors"].reason == wrong
            assert found["stable_right"].defined is known
            assert found["errors_together"].value == 0


@pytest.mark.parametrize("known", [True, False])
def test_without_instances_all_designs_say_so_of_every_figure(known):
    none = np.zeros(0, bool)
    same = none if known else None
    averaged = averaged_flip_metrics(np.zeros((0, 8)), answers_known=known, reason="no instances")
    sliced, p = slice_metrics(np.zeros((1, 2, 2, 2)), answers_known=known)
    for found in (flip_metrics(joint_counts(none, none, same)), averaged, sliced[0]):
        assert {e.reason for e in found.values()} == {"no instances"}
    assert p.tolist() == [1.0]


def test_the_registry_is_frozen_and_every_figure_is_explained():
    assert set(FIGURES) <= set(DEFINITIONS)
    with pytest.raises(TypeError):
        FIGURES["mine"] = Share(ALL)  # pyright: ignore[reportIndexIssue]
    assert {n for n, f in FIGURES.items() if needs_answers(f)} == {
        "nfr_mc",
        "agreement",
        "churn",
        "both_right_same",
        "both_right_changed",
        "both_wrong_same",
        "both_wrong_changed",
    }


def test_the_entries_in_the_docs_are_entries():
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    (entries,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    names = ("stable_right", "moved_errors", "errors_together")
    assert eval(f"{{{entries}}}", vars(figures)) == {name: NEW[name] for name in names}  # noqa: S307, our own page


def test_only_a_share_of_all_instances_has_a_value_per_instance():
    with pytest.raises(ValueError, match="btc is no share of all instances"):
        cell_values(np.eye(8), "btc")


def test_the_relative_interval_is_exact_where_a_rounded_share_would_leave_noise():
    # Old has everything right, so that the lift is 1 whatever new does; 1 - accuracy was 1e-8 off.
    cells = np.zeros((1, 2, 2, 2))
    cells[0, 1, 0, 0], cells[0, 1, 1, 1] = 47, 3
    (found,), _ = slice_metrics(cells, answers_known=True)
    assert (found["nfr_relative"].low, found["nfr_relative"].high) == (1, 1)
