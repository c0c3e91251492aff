from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.comparison import QUADRANTS, Comparison, compare
from muscle_llm.errors import ComparabilityError, InputError
from muscle_llm.metrics.definitions import DEFINITIONS, SMOOTH_DEFINITIONS
from muscle_llm.predictions import Predictions, Provenance


def predictions(ids: list[str], provenance: Provenance | None = None, **columns: Any) -> Predictions:
    return Predictions.from_columns({"id": ids, **columns}, provenance)


IDS = ["a", "b", "c", "d", "e", "f"]
OLD = predictions(IDS, answer=["1", "1", "0", "0", "0", "1"], correct=[True, True, False, False, False, True])
NEW = predictions(IDS, answer=["1", "2", "1", "0", "3", "4"], correct=[True, True, True, False, False, False])


def test_counts_quadrants_and_document():
    result = compare(OLD, NEW)
    assert result.instances["quadrant"].to_pylist() == list(QUADRANTS)[:3] + list(QUADRANTS)[3:]
    assert result.counts["negative_flips"] == result.counts["positive_flips"] == 1
    assert result.counts["both_wrong_changed"] == result.counts["both_right_changed"] == 1
    assert result.counts["n"] == 6
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert document["schema"] == "muscle-llm/comparison"
    assert document["metrics"]["nfr_mc"]["value"] == pytest.approx(2 / 6)
    assert set(document["metrics"]) <= set(DEFINITIONS)
    assert "excess_nfr" not in document
    assert "1 of 6 instances" in result.sentence


@given(st.permutations(IDS))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_does_not_matter(order):
    rows = [IDS.index(i) for i in order]
    shuffled = Predictions(NEW.table.take(rows))
    assert compare(OLD, shuffled).to_dict() == compare(OLD, NEW).to_dict()
    assert compare(OLD, shuffled).instances["answer:new"].to_pylist() == NEW.table["answer"].to_pylist()


def test_quadrants_count_what_the_counts_say():
    rng = np.random.default_rng(0)
    ids = [str(i) for i in range(300)]
    sides = []
    for _ in range(2):
        answer = rng.integers(0, 3, 300)
        sides.append(
            predictions(ids, answer=[str(a) for a in answer], correct=[bool(a == 0) for a in answer])
        )
    result = compare(*sides)
    seen = dict(
        zip(*(x.to_pylist() for x in result.instances["quadrant"].value_counts().flatten()), strict=True)
    )
    names = {"gain": "positive_flips", "regression": "negative_flips"}
    assert seen == {q: k for q in QUADRANTS if (k := result.counts[names.get(q, q)])}


def test_unmatched_ids_are_refused_or_left_out():
    fewer = Predictions(NEW.table.slice(1))
    with pytest.raises(ComparabilityError, match=r"1 of 6 only in old, 0 of 5 only in new \(such as 'a'\)"):
        compare(OLD, fewer)
    result = compare(OLD, fewer, on_mismatch="intersect")
    assert (result.counts["n"], result.counts["unmatched_old"], result.counts["unmatched_new"]) == (5, 1, 0)
    assert any("Only the common ones" in w for w in result.warnings)
    back = compare(fewer, OLD, on_mismatch="intersect")
    assert (back.counts["n"], back.counts["unmatched_old"], back.counts["unmatched_new"]) == (5, 0, 1)


def test_nothing_in_common_shows_both_ids():
    other = predictions(["x"], correct=[True])
    for mode in ("error", "intersect"):
        with pytest.raises(
            ComparabilityError, match=r"no id in common \(old starts with 'a', new with 'x'\)"
        ):
            compare(OLD, other, on_mismatch=mode)


def test_duplicates_are_refused():
    double = predictions(["a", "a"], correct=[True, True])
    with pytest.raises(InputError, match="'a' occurs 2 times"):
        compare(double, double)


@pytest.mark.parametrize(
    ("column", "what", "old", "new"),
    [
        ("prompt", "prompt", ["p", "q", None], ["p", "r", "z"]),
        ("prompt_hash", "prompt", ["p", "q", "z"], ["p", "r", "z"]),
        ("references", "reference", [["1"], ["1", "2"], ["3"]], [["1"], ["1", "x"], ["3"]]),
        ("references", "reference", [["1"], ["1", "2"], None], [["1"], ["1"], ["3"]]),
        ("reference_hash", "reference", ["p", "q", "z"], ["p", "r", "z"]),
    ],
)
def test_other_questions_under_the_same_id_are_refused_or_left_out(column, what, old, new):
    a = predictions(["1", "2", "3"], correct=[True] * 3, **{column: old})
    b = predictions(["3", "2", "1"], correct=[False] * 3, **{column: new[::-1]})
    with pytest.raises(ComparabilityError, match=rf"the {what} of 1 of 3 instances differs .*such as id '2'"):
        compare(a, b)
    result = compare(a, b, on_mismatch="intersect")
    assert result.counts["n"] == 2
    assert result.counts[f"dropped_{what}"] == 1
    assert result.instances["id"].to_pylist() == ["1", "3"]


def test_texts_that_agree_outweigh_hashes():
    a = predictions(["1"], correct=[True], prompt=["p"], prompt_hash=["x"])
    b = predictions(["1"], correct=[True], prompt=["p"], prompt_hash=["y"])
    assert compare(a, b).counts["n"] == 1


def test_everything_different_leaves_nothing_to_compare():
    a, b = (predictions(["1"], correct=[True], prompt=[p]) for p in "xy")
    with pytest.raises(ComparabilityError, match="no instance is left"):
        compare(a, b, on_mismatch="intersect")


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("task", "task"),
        ("metric", "metric"),
        ("filter", "answer filter"),
        ("num_fewshot", "number of examples"),
        ("chat_template", "chat template"),
        ("harness_version", "harness version"),
    ],
)
def test_other_settings_are_refused_or_told(field, what):
    values = (0, 5) if field == "num_fewshot" else ("x", "y")
    a, b = (predictions(["1"], Provenance(**{field: v}), correct=[True]) for v in values)
    with pytest.raises(ComparabilityError, match=rf"differ in the {what}"):
        compare(a, b)
    assert any(what in w for w in compare(a, b, on_mismatch="intersect").warnings)
    unknown = predictions(["1"], correct=[True])
    assert compare(a, unknown).warnings == ()


def test_errors_are_counted_apart_and_never_wrong():
    old = predictions(["1", "2", "3"], correct=[True, True, None], error=[None, None, "timeout"])
    new = predictions(["1", "2", "3"], correct=[True, None, False], error=[None, "limit", None])
    result = compare(old, new)
    assert (result.counts["n"], result.counts["excluded_errors"]) == (1, 2)
    assert (result.counts["errors_old"], result.counts["errors_new"]) == (1, 1)
    assert result.metrics["nfr"].value == 0
    assert result.instances["id"].to_pylist() == ["1"]
    broken = predictions(["1", "2", "3"], correct=[None] * 3, error=["x"] * 3)
    with pytest.raises(InputError, match=r"no column says which answers are right|every row has an error"):
        compare(old, broken)


def test_ungraded_rows_are_left_out_and_told():
    a = predictions(["1", "2"], correct=[True, None])
    b = predictions(["1", "2"], correct=[False, True])
    result = compare(a, b)
    assert (result.counts["n"], result.counts["excluded_unscored"]) == (1, 1)
    assert any("ungraded" in w for w in result.warnings)


def test_same_answer_with_other_grades_is_told():
    a = predictions(["1"], correct=[True], answer=["x"])
    b = predictions(["1"], correct=[False], answer=["x"])
    result = compare(a, b)
    assert result.metrics["nfr"].value == 1
    assert result.metrics["nfr_mc"].value == 0
    assert any("same answer" in w for w in result.warnings)


def test_scores_alone_are_enough():
    a = predictions(["1", "2", "3"], scores=[{"rouge1": 0.5}, {"rouge1": 0.5}, {"rouge1": None}])
    b = predictions(["1", "2", "3"], scores=[{"rouge1": 0.75}, {"rouge1": 0.4}, {"rouge1": 0.1}])
    result = compare(a, b, {"fixed": a}, tolerance=0.2)
    rouge = result.scores["rouge1"]
    assert set(rouge) <= set(SMOOTH_DEFINITIONS)
    assert (rouge["pfr"].value, rouge["nfr"].value) == (0.5, 0)
    assert result.metrics["nfr"].reason == "neither correctness nor references in the logs"
    assert result.counts["negative_flips"] is None
    assert result.instances["quadrant"].null_count == 3
    assert "score rouge1" in result.sentence
    assert any("lacks the score" in w for w in result.warnings)
    against = result.candidates["fixed"].against_new
    assert against.scores["rouge1"]["d_pfr"].value == -0.5
    assert against.metrics["d_nfr"].reason is not None
    json.dumps(result.to_dict(), allow_nan=False)


def test_nothing_measurable_is_refused():
    a = predictions(["1"], answer=["x"])
    with pytest.raises(InputError, match="no column says which answers are right"):
        compare(a, a)
    with pytest.raises(InputError, match="new: no column says"):
        compare(predictions(["1"], correct=[True]), a)


def test_candidates_are_measured_against_old_and_new():
    remedy = predictions(
        IDS, answer=["1", "1", "0", "0", "0", "1"], correct=[True, True, False, False, False, True]
    )
    rerun = predictions(
        IDS, answer=["1", "1", "0", "0", "0", "9"], correct=[True, True, False, False, False, False]
    )
    result = compare(OLD, NEW, {"fix": remedy, "again": rerun}, roles={"again": "noise_floor"})
    fix = result.candidates["fix"]
    assert fix.role == "remedy"
    assert fix.metrics["nfr"].value == 0
    assert fix.against_new.counts == {"recovered": 1, "newly_broken": 0, "lost_gains": 1, "new_gains": 0}
    assert fix.against_new.metrics["d_nfr"].value == pytest.approx(-1 / 6)
    assert fix.against_new.metrics["d_nfr_percent"].value == -100
    assert result.excess_nfr is not None
    assert result.excess_nfr.value == 0
    assert "noise floor" in result.sentence
    document = result.to_dict()["candidates"]["again"]
    assert document["role"] == "noise_floor"
    assert document["against_new"]["recovered"] == 0
    assert {"answer:fix", "correct:again"} <= set(result.instances.column_names)
    assert result.versions == ("old", "new", "fix", "again")


def test_candidates_with_fewer_rows_need_leave():
    short = Predictions(OLD.table.slice(0, 4))
    with pytest.raises(ComparabilityError, match="only in old"):
        compare(OLD, NEW, {"short": short})
    result = compare(OLD, NEW, {"short": short}, on_mismatch="intersect")
    assert result.counts["n"] == 6
    candidate = result.candidates["short"]
    assert candidate.counts["n"] == 4
    assert candidate.against_new.counts["recovered"] == 0
    other = predictions([*IDS[:5], "f"], answer=["1"] * 6, correct=[True] * 6, prompt=["x"] * 6)
    with_prompt = predictions(IDS, answer=["1"] * 6, correct=[True] * 6, prompt=["x"] * 5 + ["y"])
    both = compare(with_prompt, with_prompt, {"c": other}, on_mismatch="intersect")
    assert both.candidates["c"].counts["n"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"confidence": 95}, "between 0 and 1"),
        ({"tolerance": -1.0}, "at least 0"),
        ({"candidates": {"old": OLD}}, "cannot be called"),
        ({"roles": {"x": "remedy"}}, "no candidate"),
        ({"candidates": {"x": OLD}, "roles": {"x": "cure"}}, "no role"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        compare(OLD, NEW, **arguments)


def test_results_are_frozen_and_repeatable():
    result = compare(OLD, NEW)
    assert isinstance(result, Comparison)
    with pytest.raises(AttributeError):
        result.confidence = 0.5  # type: ignore[misc]
    assert result.to_dict() == compare(OLD, NEW).to_dict()
    assert pc.all(pc.equal(result.instances["id"], OLD.table["id"])).as_py()
