from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muscle_llm.errors import ConfigError
from muscle_llm.gate import Margins, Outcome, Policy, Rules, ScoreMargins, SliceRules, TaskRules, judge

ORDER = tuple(Outcome)
PASS, OPEN, FAIL = Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL


def clause(verdict, name, scope=""):
    (found,) = [c for c in verdict.clauses if c.name == name and c.scope == scope]
    return found


def outcomes(verdict):
    return {c.title: c.outcome for c in verdict.clauses}


# The three cases that the best rival gets wrong.


def test_50_of_1000_falling_from_8_of_8_to_1_of_8_are_50_regressions(repeated):
    comparison = repeated([(8, 1)] * 50 + [(8, 8)] * 950, 8)
    verdict = judge(Policy(all=Rules(reliable_flips=0.0)), comparison)
    found = clause(verdict, "reliable_flips")
    assert verdict.outcome is FAIL
    assert set(found.ids) == {f"q{i}" for i in range(50)}
    assert "50 of 1000 instances are reliably worse (0 allowed)" in found.text
    assert judge(Policy(all=Rules(reliable_flips=0.04)), comparison).outcome is FAIL
    assert judge(Policy(all=Rules(reliable_flips=0.05)), comparison).outcome is PASS


def test_8_of_8_becoming_7_of_8_is_no_regression(repeated):
    comparison = repeated([(8, 7)] * 50 + [(8, 8)] * 950, 8)
    assert judge(Policy(all=Rules(reliable_flips=0.01)), comparison).outcome is PASS
    found = clause(judge(Policy(all=Rules(reliable_flips=0.0)), comparison), "reliable_flips")
    assert (found.outcome, found.ids, found.repeats_needed) == (OPEN, (), 9)


def test_200_lost_and_200_gained_of_1000_is_no_pass_on_flips(flips):
    policy = Policy(all=Rules(accuracy_drop=0.05, nfr=0.05))
    verdict = judge(policy, flips(200, 200, 400, 200))
    assert outcomes(verdict) == {"accuracy_drop": PASS, "nfr": FAIL}
    assert (verdict.outcome, verdict.exit_code) == (FAIL, 1)
    assert verdict.sentence == (
        "FAIL: 1 of 2 clauses fails; first nfr: negative flips 20.00 % (17.64 % to 22.59 %): "
        "exceeds the margin of 5.00 %."
    )


def test_power_is_told_in_the_units_of_the_metric(flips):
    # 200 lost and 200 gained of 1000: the difference has a standard error of 2 points, so that a drop of
    # 1 + (1.96 + 0.84) 2 = 6.6 points would be shown to exceed a margin of 1 point.
    found = clause(judge(Policy(all=Rules(accuracy_drop=0.01)), flips(200, 200, 400, 200)), "accuracy_drop")
    assert found.outcome is OPEN
    assert found.detectable == pytest.approx(0.066, abs=0.0003)
    assert "would show a true harm of 6.6" in found.text
    assert "points" in found.text
    assert found.instances_needed == pytest.approx(1000 * 5.6**2, rel=0.01)
    again = flips(200 * 32, 200 * 32, 400 * 32, 200 * 32)
    assert judge(Policy(all=Rules(accuracy_drop=0.01)), again).outcome is PASS


# Margins


def test_every_margin_is_its_own_clause(flips):
    margins = Rules(accuracy_drop=0.01, nfr=0.05, excess_nfr=0.05, nfr_mc=0.05, churn=0.5)
    verdict = judge(Policy(all=margins), flips(2, 50, 850, 98, answers=True))
    assert outcomes(verdict) == {
        "accuracy_drop": PASS,
        "nfr": PASS,
        "excess_nfr": OPEN,
        "nfr_mc": FAIL,
        "churn": PASS,
    }
    assert clause(verdict, "accuracy_drop").harm.value == pytest.approx(-0.048)
    assert "--old-rerun" in clause(verdict, "excess_nfr").text
    json.dumps(verdict.to_dict(), allow_nan=False)


def test_an_accuracy_that_drops_is_harm_and_one_that_rises_is_none(flips):
    policy = Policy(all=Rules(accuracy_drop=0.05))
    assert judge(policy, flips(150, 0, 850)).outcome is FAIL
    assert judge(policy, flips(0, 150, 850)).outcome is PASS


def test_an_accuracy_that_stays_is_a_drop_of_0_and_not_of_minus_0(flips):
    found = clause(judge(Policy(all=Rules(accuracy_drop=0.02)), flips(5, 5, 190)), "accuracy_drop")
    assert found.text.startswith("accuracy drop 0.00 points (-")
    assert str(found.to_dict()["harm"]["value"]) == "0.0"


def test_excess_over_the_floor_is_judged(repeated):
    comparison = repeated([(4, 0)] * 100 + [(4, 4)] * 300, 4)
    verdict = judge(Policy(all=Rules(excess_nfr=0.05)), comparison)
    assert comparison.excess_nfr is not None
    assert clause(verdict, "excess_nfr").outcome is FAIL


def test_scores_are_judged_by_name(of_rows):
    scores = [(0.8, 0.5)] * 100 + [(0.5, 0.52)] * 300
    comparison = of_rows([(None, None)] * 400, scores=scores)
    margins = {
        "rouge1": ScoreMargins(mean_drop=0.02, nfr=0.1, regress=0.5),
        "rouge2": ScoreMargins(nfr=0.5),
    }
    verdict = judge(Policy(all=Rules(nfr=0.5, scores=margins)), comparison)
    assert outcomes(verdict) == {
        "nfr": OPEN,
        "scores.rouge1.mean_drop": FAIL,
        "scores.rouge1.nfr": FAIL,
        "scores.rouge1.regress": PASS,
        "scores.rouge2.nfr": OPEN,
    }
    assert clause(verdict, "scores.rouge1.mean_drop").harm.value == pytest.approx(0.06)
    assert not clause(verdict, "nfr").measured
    assert not clause(verdict, "scores.rouge2.nfr").measured


def test_a_mean_fall_is_no_harm_where_nothing_fell(of_rows):
    margins = ScoreMargins(regress=0.05)
    policy = Policy(all=Rules(scores={"rouge1": margins}))
    for new, outcome in ((0.9, PASS), (0.8, PASS), (0.5, FAIL)):
        comparison = of_rows([(None, None)] * 100, scores=[(0.8, new)] * 100)
        assert judge(policy, comparison).outcome is outcome
    once = of_rows([(None, None)] * 100, scores=[(0.8, 0.8)] * 99 + [(0.8, 0.79)])
    assert judge(policy, once).outcome is OPEN  # a single fall does not tell how far others are


def test_too_few_instances_leave_the_verdict_open_but_a_fail_is_a_fail(flips):
    policy = Policy(all=Rules(min_instances=200, nfr=0.5))
    verdict = judge(policy, flips(0, 0, 150))
    assert outcomes(verdict) == {"min_instances": OPEN, "nfr": PASS}
    assert verdict.exit_code == 3
    assert clause(verdict, "min_instances").instances_needed == 200
    assert judge(policy, flips(0, 0, 200)).outcome is PASS
    assert judge(policy, flips(150, 0, 0)).outcome is FAIL


@pytest.mark.parametrize(
    ("on_inconclusive", "outcome", "code"), [("fail", FAIL, 1), ("pass", PASS, 0), ("inconclusive", OPEN, 3)]
)
def test_what_inconclusive_means_is_the_policys_to_say(flips, on_inconclusive, outcome, code):
    verdict = judge(Policy(on_inconclusive=on_inconclusive, all=Rules(nfr=0.05)), flips(5, 0, 95))
    assert (verdict.evidence, verdict.outcome, verdict.exit_code) == (OPEN, outcome, code)


@pytest.mark.parametrize("rules", [Rules(nfr_mc=0.5), Rules(min_instances=500), Rules(must_not_break=("x",))])
def test_what_is_not_measured_never_passes(flips, rules):
    assert judge(Policy(on_inconclusive="pass", all=rules), flips(0, 0, 100)).outcome is OPEN
    assert judge(Policy(on_inconclusive="fail", all=rules), flips(0, 0, 100)).outcome is FAIL


# Laws, through the whole comparison


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=60), st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_breaking_one_more_instance_or_a_smaller_margin_is_never_better(of_rows, rows, data):
    a, b = sorted(data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))

    def at(margin, rows):
        listed = Rules(accuracy_drop=margin, nfr=margin, nfr_mc=margin, must_not_break=("q0", "q1"))
        return [
            ORDER.index(c.outcome) for c in judge(Policy(all=listed), of_rows(rows, answers=True)).clauses
        ]

    before = at(a, rows)
    assert all(x >= y for x, y in zip(before, at(b, rows), strict=True))
    right = [i for i, (_, new) in enumerate(rows) if new]
    if right:
        place = data.draw(st.sampled_from(right))
        worse = [(old, new and i != place) for i, (old, new) in enumerate(rows)]
        assert all(x >= y for x, y in zip(at(a, worse), before, strict=True))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=12), st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_right_answer_less_is_never_better_for_reliable_flips(repeated, shares, data):
    margin = data.draw(st.sampled_from([0.0, 0.1, 0.5]))
    policy = Policy(all=Rules(reliable_flips=margin, must_not_break=("q0", "q1")))
    before = [ORDER.index(c.outcome) for c in judge(policy, repeated(shares, 6)).clauses]
    place = data.draw(st.integers(0, len(shares) - 1))
    worse = [(a, max(0, b - (i == place))) for i, (a, b) in enumerate(shares)]
    after = [ORDER.index(c.outcome) for c in judge(policy, repeated(worse, 6)).clauses]
    assert all(x >= y for x, y in zip(after, before, strict=True))


# Single instances


def test_a_listed_instance_that_breaks_fails_whatever_else_holds(flips):
    policy = Policy(all=Rules(nfr=0.5, must_not_break=("q0", "q5")))
    verdict = judge(policy, flips(1, 300, 500))
    assert outcomes(verdict) == {"nfr": PASS, "must_not_break": FAIL}
    assert clause(verdict, "must_not_break").ids == ("q0",)
    assert judge(Policy(all=Rules(must_not_break=("q1", "q5"))), flips(1, 300, 500)).outcome is PASS


def test_an_instance_that_was_wrong_before_is_not_broken_and_this_is_said(of_rows):
    verdict = judge(Policy(all=Rules(must_not_break=("q0", "q1"))), of_rows([(False, False), (True, True)]))
    assert verdict.outcome is PASS
    assert "(1 was wrong before)" in verdict.sentence


def test_an_instance_that_is_not_there_leaves_the_verdict_open_and_names_a_near_one(of_rows):
    rows = [(True, True), (True, None)]
    comparison = of_rows(rows, ids=["question-10", "other"])
    for wanted, hint in (
        ("question-1O", "'question-1O'. Did you mean 'question-10'?"),
        ("other", "'other'. It is ungraded."),
        ("zzzzz", "'zzzzz'."),
    ):
        found = clause(judge(Policy(all=Rules(must_not_break=(wanted,))), comparison), "must_not_break")
        assert (found.outcome, found.measured, found.ids) == (OPEN, False, (wanted,))
        assert found.text.endswith(hint)


@pytest.mark.parametrize(
    ("old", "new", "k", "outcome"),
    [
        (8, 8, 8, PASS),
        (0, 0, 8, PASS),
        (3, 8, 8, PASS),
        (8, 7, 8, OPEN),
        (8, 1, 8, FAIL),
        (2, 0, 2, FAIL),
        (2, 1, 2, OPEN),
    ],
)
def test_repeated_answers_of_a_listed_instance(repeated, old, new, k, outcome):
    comparison = repeated([(old, new), (k, k), (k, k)], k)
    assert judge(Policy(all=Rules(must_not_break=("q0",))), comparison).outcome is outcome


def test_reliable_flips_need_repeats(flips, repeated):
    found = clause(judge(Policy(all=Rules(reliable_flips=0.1)), flips(50, 0, 50)), "reliable_flips")
    assert (found.outcome, found.measured, found.repeats_needed) == (OPEN, False, 2)
    found = clause(judge(Policy(all=Rules(reliable_flips=0.0)), repeated([(2, 2)] * 20, 2)), "reliable_flips")
    assert (found.outcome, found.measured, found.repeats_needed) == (OPEN, True, 6)
    enough = repeated([(6, 6)] * 20, 6)
    assert judge(Policy(all=Rules(reliable_flips=0.0)), enough).outcome is PASS


# Slices and tasks


@pytest.fixture(scope="module")
def sliced(of_rows):
    rows = [(True, True)] * 100 + [(True, False)] * 10 + [(True, True)] * 90 + [(True, False)] * 3
    return of_rows(rows, subject=["math"] * 100 + ["law"] * 100 + ["tiny"] * 3)


def test_every_value_of_a_slice_is_judged_and_small_ones_can_be_skipped(sliced):
    rules = SliceRules(nfr=0.2, skip_below=10, values={"law": Margins(nfr=0.02)})
    verdict = judge(Policy(slices={"subject": rules}), sliced)
    assert outcomes(verdict) == {"nfr [subject = law]": FAIL, "nfr [subject = math]": PASS}
    assert verdict.notes == ("Not judged, with fewer than 10 instances: subject = 'tiny'.",)
    with pytest.raises(
        ConfigError, match=r"sets no margin for this comparison.* Not judged, with fewer than 1000"
    ):
        judge(Policy(slices={"subject": SliceRules(nfr=0.2, skip_below=1000)}), sliced)


def test_a_slice_that_is_not_there_leaves_the_verdict_open_and_names_a_near_one(sliced):
    verdict = judge(Policy(on_inconclusive="pass", slices={"subjct": SliceRules(nfr=0.2)}), sliced)
    assert verdict.outcome is OPEN
    assert "Did you mean 'subject'?" in verdict.sentence
    rules = SliceRules(values={"lav": Margins(nfr=0.2)})
    verdict = judge(Policy(slices={"subject": rules}), sliced)
    assert verdict.outcome is OPEN
    assert "Did you mean 'law'?" in verdict.sentence


def test_a_task_has_its_own_margins(flips):
    policy = Policy(all=Rules(nfr=0.5), tasks={"gsm8k": TaskRules(nfr=0.01)})
    assert judge(policy, flips(50, 0, 450, task="gsm8k")).outcome is FAIL
    other = judge(policy, flips(50, 0, 450, task="piqa"))
    assert other.outcome is PASS
    assert "none for the task 'piqa'" in other.notes[0]
    assert "name no task" in judge(policy, flips(50, 0, 450)).notes[0]


def test_a_policy_that_asks_nothing_of_the_task_is_an_error(flips):
    with pytest.raises(ConfigError, match="sets no margin for task 'piqa'"):
        judge(Policy(tasks={"gsm8k": TaskRules(nfr=0.01)}), flips(1, 0, 9, task="piqa"))
    with pytest.raises(ConfigError, match="sets no margin"):
        judge(Policy(all=Rules(nfr="off")), flips(1, 0, 9))


def test_the_confidence_must_be_that_of_the_intervals(flips):
    with pytest.raises(ConfigError, match=re.escape("confidence=0.99")):
        judge(Policy(confidence=0.99, all=Rules(nfr=0.1)), flips(1, 0, 9))
    assert judge(Policy(confidence=0.5, all=Rules(nfr=0.1)), flips(1, 0, 29, confidence=0.5)).outcome is PASS
