"""Laws of a whole comparison: order, direction, the same instances everywhere, words that are true."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from muscle_llm import compare
from muscle_llm.comparison import Comparison, summarise_tasks
from muscle_llm.errors import ComparabilityError, InputError
from muscle_llm.gate import Policy, Rules, judge
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.predictions import Predictions, Provenance

Rows = list[dict[str, Any]]


def draws(seed: int, *, n: int = 24, k: int = 3, clusters: int = 0, p: float = 0.6) -> Rows:
    """Random answers of n instances, k each; the questions are the same for every seed."""
    rng = np.random.default_rng(seed)
    return [
        {
            "id": f"q{i}",
            "repeat": r,
            "answer": str(rng.integers(0, 3)),
            "correct": bool(rng.random() < (p if i % 4 else 1.0)),
            "score_f": float(rng.integers(0, 5)) / 4,
            "slice_topic": "xyz"[i % 3],
            **({"cluster": f"c{i % clusters}"} if clusters else {}),
        }
        for i in range(n)
        for r in range(k)
    ]


def shuffled(rows: Rows, seed: int) -> Rows:
    return [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]


def assert_alike(a: Any, b: Any) -> None:
    """Equal but for the last digits of sums taken in another order."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_alike(a[key], b[key])
    elif isinstance(a, list | tuple):
        for x, y in zip(a, b, strict=True):
            assert_alike(x, y)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12, nan_ok=True)
    else:
        assert a == b


DESIGNS = [
    pytest.param({"k": 1}, id="plain"),
    pytest.param({"k": 3}, id="repeated"),
    pytest.param({"k": 1, "clusters": 7}, id="clustered"),
    pytest.param({"k": 4, "clusters": 7}, id="repeated and clustered"),
]


@pytest.mark.parametrize("design", DESIGNS)
def test_the_order_of_rows_changes_nothing_random_bounds_included(design):
    sides = [draws(seed, **design) for seed in range(4)]

    def measured(rows: list[Rows]) -> dict[str, Any]:
        others = {"fix": rows[2], "again": rows[3]}
        return compare(rows[0], rows[1], others, roles={"again": "noise_floor"}).to_dict()

    assert_alike(measured(sides), measured([shuffled(rows, 9 + i) for i, rows in enumerate(sides)]))


@pytest.mark.parametrize("design", DESIGNS)
def test_the_way_back_mirrors_the_way(design):
    old, new = draws(0, **design), draws(1, **design)
    there, back = compare(old, new), compare(new, old)
    mirrored = {"nfr": "pfr", "accuracy_old": "accuracy_new", "both_right": "both_right", "churn": "churn"}
    mirrored["detectable_difference"] = "detectable_difference"
    for a, b in mirrored.items():
        e, f = there.metrics[a], back.metrics[b]
        assert (e.value, e.low, e.high) == pytest.approx((f.value, f.low, f.high), abs=1e-9, nan_ok=True), a
    e, f = there.metrics["accuracy_difference"], back.metrics["accuracy_difference"]
    assert (e.value, e.low, e.high) == pytest.approx((-f.value, -f.high, -f.low), abs=1e-9)
    assert there.counts["negative_flips"] == back.counts["positive_flips"]
    assert there.counts.get("reliable_negative_flips") == back.counts.get("reliable_positive_flips")


@pytest.mark.parametrize("design", DESIGNS)
def test_a_slice_that_broke_wholly_is_called_worse(design):
    old = [{**row, "correct": True} for row in draws(0, n=60, **design)]
    new = [{**row, "correct": row["slice_topic"] != "x"} for row in old]
    assert [s.value for s in compare(old, new).slices if s.worse] == ["x"]
    scored = [[{**r, "score_f": 0.5 + 0.2 * r["correct"]} for r in side] for side in (old, new)]
    for side in scored:
        for row in side:
            del row["correct"]
    assert [s.value for s in compare(*scored).slices if s.worse] == ["x"]


def test_a_slice_without_any_value_is_no_slice():
    rows = [{"id": i, "correct": i > 0, "score_f": 0.5, "slice_x": None} for i in range(3)]
    assert compare(rows, rows).slices == ()


def test_a_floor_of_noise_is_never_below_nothing():
    rows = draws(0, k=1)
    for design in DESIGNS:
        old, new, again = (draws(s, **design.values[0]) for s in (0, 1, 0))
        floor = compare(old, new, {"again": again}, roles={"again": "noise_floor"}).metrics["noise_floor"]
        assert floor.low >= 0
    steady = compare(rows, rows, {"again": rows}, roles={"again": "noise_floor"}).metrics["noise_floor"]
    assert (steady.value, steady.low) == (0, 0)
    assert 0 < steady.high < 0.2


def test_floor_and_excess_from_repeats_are_measured_on_the_same_instances():
    old = draws(0, n=12, k=2)
    new = [{**r, "error": "timeout" if r["id"] == "q1" else None} for r in draws(1, n=12, k=2)]
    result = compare(old, new)
    assert result.excess_nfr is not None
    assert result.counts["n"] == 11
    total = result.metrics["noise_floor"].value + result.excess_nfr.value
    assert total == pytest.approx(result.metrics["nfr"].value)


def test_scores_and_flips_of_repeats_are_measured_on_the_same_instances():
    # Each version answers, but never in the same repeat: both are known.
    error = ["timeout", None]
    old = [{"id": "a", "repeat": r, "correct": True, "score_f": 1.0, "error": error[r]} for r in (0, 1)]
    new = [{"id": "a", "repeat": r, "correct": False, "score_f": 0.0, "error": error[1 - r]} for r in (0, 1)]
    whole = [{"id": "b", "repeat": r, "correct": True, "score_f": 1.0} for r in (0, 1)]
    result = compare(old + whole, new + whole)
    assert result.counts["n"] == 2
    assert result.metrics["nfr"].value == result.scores["f"]["nfr"].value == 0.5
    assert result.warnings[0].startswith("2 rows with an error")


def test_the_instances_hold_every_answer_that_was_measured():
    """So that the gate, which reads them, counts the same reliable flips as the comparison."""
    right = {"id": "a", "answer": "1", "correct": True}
    old = [{**right, "repeat": r} for r in range(4)]
    new = [{**right, "repeat": r, "correct": False, "answer": "2"} for r in range(4)]
    # What is left: old in two repeats, new in the other two and one of old's.
    for row in old[2:]:
        row.update(error="timeout", answer=None, correct=False)
    new[0].update(error="timeout", answer=None, correct=False)
    steady = [{**right, "id": "b", "repeat": r} for r in range(4)]
    result = compare(old + steady, new + steady)
    table = result.instances
    assert sum(x is not None for x in table["correct:old"].to_pylist()) == 2 + 4
    assert sum(x is not None for x in table["correct:new"].to_pylist()) == 3 + 4
    clause = next(
        c for c in judge(Policy(all=Rules(reliable_flips=0.0)), result).clauses if c.name == "reliable_flips"
    )
    assert clause.harm is not None
    assert clause.harm.value * 2 == result.counts["reliable_negative_flips"]


def test_the_sentence_has_no_figure_that_is_not_there():
    one = [{"id": i, "correct": True, "cluster": "c"} for i in range(5)]
    other = [{**row, "correct": row["id"] > 1} for row in one]
    result = compare(one, other)
    assert result.sentence == (
        "From old to new, 2 of 5 instances turn from right to wrong (40.0 %, no interval) and 0 from wrong "
        "to right; accuracy goes from 100.0 % to 60.0 % (-40.0 points)."
    )
    assert any("one cluster" in w for w in result.warnings)
    reason = result.metrics["detectable_difference"].reason
    assert reason == "a single instance or cluster does not tell how much the difference varies"
    assert "nan" not in compare(draws(0, n=1), draws(1, n=1)).sentence


def test_the_sentence_of_repeats_reads():
    text = compare(draws(0), draws(1)).sentence
    assert " of the pairs of answers (95 % interval " in text
    assert "( " not in text


def test_the_sentence_of_a_score_counts_the_instances_that_have_it():
    old, new = ([{"id": i, "score_f": s} for i, s in enumerate(v)] for v in ([1, 1, None], [0.5, 1, 0.2]))
    result = compare(old, new)
    assert (
        "falls on 50.0 % of the 2 instances that have it (95 % interval 9.5 % to 90.5 %)" in result.sentence
    )


def test_slices_of_scores_count_the_instances_without_error():
    old = [{"id": i, "score_f": 1.0, "slice_x": "a", "error": None} for i in range(4)]
    new = [{**r, "error": "timeout" if r["id"] == 0 else None} for r in old]
    result = compare(old, new)
    assert result.slices[0].counts["n"] == result.counts["n"] == 3


def test_an_answer_that_is_missing_but_right_is_not_said_to_be_wrong():
    rows = [{"id": 1, "answer": None, "correct": True}, {"id": 2, "answer": "x", "correct": True}]
    said = " ".join(compare(rows, rows).warnings)
    assert "1 row has no answer in old; the log counts 1 of them as right." in said
    wrong = [{**r, "correct": r["id"] == 2} for r in rows]
    assert "1 row has no answer in new and counts as not right." in " ".join(compare(rows, wrong).warnings)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("11", "11", "no instance changed, so the spread of the difference is not known"),
        ("111", "000", "all instances changed alike, so the spread of the difference is not known"),
        ("11", "01", None),
        ("1", "0", "all instances changed alike, so the spread of the difference is not known"),
    ],
)
def test_why_no_detectable_difference_is_known(old, new, reason):
    sides = ([{"id": i, "correct": c == "1"} for i, c in enumerate(text)] for text in (old, new))
    found = compare(*sides).metrics["detectable_difference"]
    assert found.reason == reason
    assert reason or 0 < found.value <= 1


def test_few_clusters_need_larger_differences():
    rows = [draws(s, n=60, k=1, clusters=4) for s in (0, 1)]
    result = compare(*rows)
    change = result.metrics["accuracy_difference"]
    found = result.metrics["detectable_difference"]
    assert isinstance(change, Estimate)
    assert found.value > (change.high - change.low) / 2 or math.isnan(found.value)


def test_nothing_graded_in_both_is_undefined_without_a_warning():
    old = [{"id": 1, "correct": True}, {"id": 2, "correct": None}]
    new = [{"id": 1, "correct": None}, {"id": 2, "correct": True}]
    result = compare(old, new)
    assert result.counts["n"] == 0
    assert {e.reason for e in result.metrics.values()} == {"no instances"}


def test_a_margin_that_did_not_decide_is_no_thin_margin():
    def side(answer, correct, scores):
        return Predictions.from_columns(
            {
                "id": ["a"],
                "answer": [answer],
                "correct": [correct],
                "choices": [["a long option", "no"]],
                "choice_scores": [scores],
            }
        )

    # Per byte the long option is far ahead; the plain likelihoods are nearly equal, but did not choose.
    sure = side("a long option", True, [-10.1, -10.0])
    assert compare(sure, side("no", False, [-30.0, -10.0])).causes["negative_flips"] == {"answer_changed": 1}
    near = side("a long option", True, [-10.0, -10.1])
    assert compare(near, side("no", False, [-30.0, -10.0])).causes["negative_flips"] == {"thin_margin": 1}


def test_several_re_runs_are_told_which_is_the_floor():
    rows = draws(0, k=1)
    others = {"again": rows, "once more": draws(1, k=1)}
    result = compare(rows, rows, others, roles=dict.fromkeys(others, "noise_floor"))
    assert "of 2 re-runs of old, the first, 'again', is the noise floor." in result.warnings
    assert result.metrics["noise_floor"].value == 0


def test_tasks_without_an_interval_have_none_in_the_sentence():
    one = [{"id": i, "correct": i > 0, "cluster": "c"} for i in range(4)]
    text = summarise_tasks({"a": compare(one, one), "b": compare(draws(0), draws(1))}).sentence
    assert "nan" not in text
    assert "on the mean over tasks (no interval)" in text


def test_a_comparison_is_what_its_document_says():
    old, new, rerun = (
        [
            {"id": i, "correct": (i * k) % 7 > 1, "score_f1": i % k / 9, "slice_topic": "ab"[i % 2]}
            for i in range(40)
        ]
        for k in (3, 4, 5)
    )
    result = compare(old, new, {"rerun": rerun}, roles={"rerun": "noise_floor"})
    again = Comparison.from_dict(result.to_dict(), result.instances)
    assert again.to_dict() == result.to_dict()
    assert len(again.slices) == 2
    assert again.slices[0].excess_nfr is not None


def test_versions_that_slice_differently_are_told():
    old = [{"id": i, "correct": True, "slice_topic": "law"} for i in range(9)]
    new = [{**row, "slice_topic": "art"} if row["id"] < 2 else row for row in old]
    result = compare(old, new)
    assert any("2 rows have another 'topic' in new" in w for w in result.warnings)
    assert [s.value for s in result.slices] == ["law"]
    only_new = compare([{"id": i, "correct": True} for i in range(9)], new)
    assert {s.value for s in only_new.slices} == {"law", "art"}


def test_rows_without_a_prompt_are_compared_by_its_hash():
    shared = {"id": list("abcd"), "correct": [True] * 4, "prompt": [None, "p", "p", "p"]}
    sides = [Predictions.from_columns({**shared, "prompt_hash": [h] * 4}) for h in ("one", "other")]
    with pytest.raises(ComparabilityError, match="prompt of 1 of 4 instances differs"):
        compare(*sides)


def test_a_misspelled_on_mismatch_is_refused():
    with pytest.raises(InputError, match="'error' or 'intersect'"):
        compare([{"id": 1, "correct": True}], [{"id": 2, "correct": True}], on_mismatch="Error")  # pyright: ignore


def told(**extra: str) -> Predictions:
    provenance = Provenance(seed=int(extra.pop("seed", "0")), extra=extra)
    return Predictions(
        Predictions.from_columns({"id": ["a", "b"], "correct": [True, False]}).table, provenance
    )


def test_settings_that_differ_are_refused_and_only_the_difference_is_shown():
    cold, hot = (told(generation=f'{{"max_tokens": 64, "temperature": {t}}}') for t in (0.0, 1.0))
    with pytest.raises(ComparabilityError, match=r"generation settings: {'temperature': 0.0} in old"):
        compare(cold, hot)
    (note,) = compare(cold, hot, on_mismatch="intersect").warnings
    assert note.startswith("old and new differ in the generation settings: {'temperature': 0.0} in old")
    with pytest.raises(ComparabilityError, match="solver"):
        compare(told(solver="[1]"), told(solver="[2]"))
    assert compare(cold, cold).warnings == ()


def test_a_rerun_may_have_another_seed_but_new_may_not():
    old, again = told(), told(seed="1")
    with pytest.raises(ComparabilityError, match="the seed: 0 in old, 1 in new"):
        compare(old, again)
    result = compare(old, old, {"again": again}, roles={"again": "noise_floor"})
    assert result.excess_nfr is not None
    settings = ('{"temperature": 0.5, "seed": 1}', '{"seed": 2, "temperature": 0.5}', '{"temperature": 0.7}')
    old, again, hot = (told(generation=g) for g in settings)
    with pytest.raises(ComparabilityError, match=r"{'seed': 1} in old, {'seed': 2} in new"):
        compare(old, again)
    assert compare(old, old, {"again": again}, roles={"again": "noise_floor"}).warnings == ()
    with pytest.raises(
        ComparabilityError, match=r"{'temperature': 0.5} in old, {'temperature': 0.7} in again"
    ):
        compare(old, old, {"again": hot}, roles={"again": "noise_floor"})


def test_the_same_question_in_another_chat_template_is_compared_when_asked():
    shared = {"id": ["a", "b"], "correct": [True, False], "instance_hash": ["1", "2"]}
    old, new = (Predictions.from_columns({**shared, "prompt": [f"<{t}>a", f"<{t}>b"]}) for t in "xy")
    with pytest.raises(ComparabilityError, match="worded differently, as by another chat template"):
        compare(old, new)
    result = compare(old, new, on_mismatch="intersect")
    assert result.counts["n"] == 2
    assert any("the questions are the same" in w for w in result.warnings)


def test_one_of_something_is_said_in_the_singular():
    rows = [{"id": i, "correct": True, "score_f": 1.0, "error": None} for i in range(3)]
    new = [{**rows[0], "error": "timeout"}, {**rows[1], "score_f": None}, rows[2]]
    assert list(compare(rows, new).warnings) == [
        "1 row with an error is left out (0 in old, 1 in new).",
        "1 instance lacks the score 'f' in old or new: left out of it.",
    ]


def test_a_summary_names_the_task_with_most_flips_only_where_something_flipped():
    right = [{"id": i, "correct": True} for i in range(4)]
    broken = [{**r, "correct": False} for r in right]
    both = {"a": compare(right, right), "b": compare(right, broken)}
    assert "over 2 tasks with 8 instances" in summarise_tasks(both).sentence
    assert "most flips: b (100.0 %)." in summarise_tasks(both).sentence
    calm = summarise_tasks({"a": compare(right, right)}).sentence
    assert "over 1 task with 4 instances" in calm
    assert "most flips" not in calm


def test_the_detectable_difference_has_no_sign():
    """A plus before it would read as a gain."""
    old = [{"id": i, "correct": i % 2 == 0} for i in range(200)]
    result = compare(old, [{**r, "correct": r["id"] % 3 == 0} for r in old])
    text = f"{100 * result.metrics['detectable_difference'].value:.2f} points"
    assert f"| detectable difference | {text} |" in result.to_markdown()
    shown = re.search(r'data-path="metrics.detectable_difference"[^>]*>([^<]+)<', result.to_html())
    assert shown is not None
    assert text.startswith(shown[1][:3])


def test_a_sentence_over_many_instances_has_more_digits():
    """With one, the interval of nothing among 12,032 would read "0.0 % to 0.0 %" and "-0.0 to +0.0"."""
    many = Predictions.from_columns({"id": [str(i) for i in range(12_032)], "correct": [True] * 12_032})
    result = compare(many, many)
    assert "(0.00 %, 95 % interval 0.00 % to 0.03 %)" in result.sentence
    assert "(+0.00 points, -0.03 to +0.03)" in result.sentence
    one = Predictions.from_columns({"id": many.table["id"].to_pylist(), "correct": [False] + [True] * 12_031})
    assert "0.01\xa0% of all answers break" in compare(many, one).to_html()


def test_a_log_without_grades_is_not_told_to_map_columns():
    ungraded = Predictions(
        Predictions.from_columns({"id": ["a"], "answer": ["x"]}).table, Provenance(format="inspect")
    )
    with pytest.raises(InputError, match=r"the log does not say which answers are right.*--metric"):
        compare(ungraded, ungraded)
