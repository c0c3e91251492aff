"""Several tasks together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.comparison import compare, summarise_tasks
from muscle_llm.errors import InputError
from muscle_llm.metrics.across import weighted_mean
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.metrics.uncertainty import wilson
from muscle_llm.report.tasks import candidate_table, render_tasks_markdown, task_table


def rows(right):
    return [{"id": i, "answer": str(int(r)), "reference": "1"} for i, r in enumerate(right)]


OUTCOMES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12)


@given(st.lists(OUTCOMES, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_pooled_is_all_instances_in_one_and_macro_the_mean_of_tasks(tasks):
    comparisons = {
        str(i): compare(rows([a for a, _ in t]), rows([b for _, b in t])) for i, t in enumerate(tasks)
    }
    together = [pair for t in tasks for pair in t]
    all_ = compare(rows([a for a, _ in together]), rows([b for _, b in together])).metrics
    figures = summarise_tasks(comparisons).figures
    for name in ("accuracy_old", "accuracy_new", "accuracy_difference", "nfr", "pfr", "churn"):
        assert figures.pooled[name].value == pytest.approx(all_[name].value, abs=1e-12)
        mean = np.mean([c.metrics[name].value for c in comparisons.values()])
        assert figures.macro[name].value == pytest.approx(mean, abs=1e-12)
        assert figures.macro[name].low <= figures.macro[name].value <= figures.macro[name].high
    for figure in (figures.macro, figures.pooled):
        assert figure["accuracy_difference"].value == pytest.approx(
            figure["pfr"].value - figure["nfr"].value, abs=1e-12
        )


def test_one_task_is_its_own_mean():
    only = compare(rows([1, 1, 0]), rows([1, 0, 1]))
    figures = summarise_tasks({"a": only}).figures
    assert figures.macro == figures.pooled
    for bound in ("value", "low", "high"):
        assert getattr(figures.macro["nfr"], bound) == pytest.approx(getattr(only.metrics["nfr"], bound))


@pytest.mark.parametrize("rates", [(0.02, 0.05, 0.1), (0.3, 0.4, 0.5)])
def test_the_intervals_of_the_mean_cover(rates):
    generator, n, times = np.random.default_rng(0), (100, 300, 1000), 1500
    truth = {w: np.average(rates, weights=w) for w in ((1, 1, 1), n)}
    hits = dict.fromkeys(truth, 0)
    for _ in range(times):
        counts = generator.binomial(n, rates)
        estimates = [Estimate(k / m, *map(float, wilson(int(k), m))) for k, m in zip(counts, n, strict=True)]
        for weights, value in truth.items():
            found = weighted_mean(estimates, weights)
            hits[weights] += found.low <= value <= found.high
    assert all(0.93 <= h / times <= 0.97 for h in hits.values()), hits


def test_tasks_without_right_and_wrong_are_left_out_and_named():
    scores = [{"id": i, "answer": "a", "score_rouge1": i / 4} for i in range(4)]
    comparisons = {"qa": compare(rows([1, 1]), rows([1, 0])), "summary": compare(scores, scores)}
    summary = summarise_tasks(comparisons, only_old=["gone"])
    assert summary.figures.tasks["nfr"] == 1
    assert summary.n == 2
    assert "right and wrong are not known for 'summary'" in summary.warnings[0]
    assert "only old has 'gone'" in summary.warnings[1]
    table = task_table(comparisons, summary)
    assert table.rows[1][0] == "summary (rouge1)"
    assert "gone" in render_tasks_markdown(comparisons, summary)
    nothing = summarise_tasks({"summary": comparisons["summary"]})
    assert "not known in any" in nothing.sentence
    assert task_table({"summary": comparisons["summary"]}, nothing).totals == ()


def test_candidates_are_summed_up_over_the_tasks_they_have():
    old, new = rows([1, 1, 0, 0]), rows([1, 0, 0, 0])
    comparisons = {"a": compare(old, new, {"fix": old}), "b": compare(old, new)}
    summary = summarise_tasks(comparisons)
    assert summary.candidates["fix"].macro["d_nfr"].value == -0.25
    assert summary.candidates["fix"].tasks["d_nfr"] == 1
    assert candidate_table(summary).rows[0][:2] == ("fix", "mean over tasks")


def test_levels_must_agree():
    old = rows([1, 0])
    with pytest.raises(InputError, match="same level"):
        summarise_tasks({"a": compare(old, old), "b": compare(old, old, confidence=0.9)})
    with pytest.raises(InputError, match="at least one"):
        summarise_tasks({})


def test_a_judges_scale_of_1_to_10_stays_what_it_is():
    old, new = ([{"id": i, "score_judge": s + i % 3} for i in range(9)] for s in (7.25, 6.05))
    tasks = {"chat": compare(old, new)}
    row = task_table(tasks, summarise_tasks(tasks)).rows[0]
    assert row[2:4] == ("8.25", "7.05")
    assert row[4].startswith("-1.2")
