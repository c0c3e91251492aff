"""Judge a comparison by a policy."""

from __future__ import annotations

from collections.abc import Sequence

from muscle_llm.comparison import Comparison
from muscle_llm.errors import ConfigError
from muscle_llm.gate.clauses import judge_margins, judge_size, judge_slice
from muscle_llm.gate.figures import figures_of, slices_of
from muscle_llm.gate.instances import judge_reliable_flips, judge_unbroken
from muscle_llm.gate.policy import Policy, TaskRules
from muscle_llm.gate.verdict import ClauseResult, Verdict

__all__ = ["judge", "judge_task"]


def judge(policy: Policy, comparison: Comparison) -> Verdict:
    """Return whether the new version may ship: every clause that the policy asks for, judged.

    Each clause is judged on its own (accuracy, flips, single instances), so that what one cannot see another
    can: 200 lost and 200 gained of 1000 leave the accuracy as it was and still fail a margin on negative
    flips. Whatever the logs cannot tell is inconclusive and never counts as passed.

    Args:
        policy: what must hold.
        comparison: old against new, with intervals at the policy's confidence.

    Raises:
        ConfigError: the comparison's intervals have another confidence, or the policy sets no margin for its
            task.

    Example:
        >>> from muscle_llm.comparison import compare
        >>> from muscle_llm.gate.policy import Rules
        >>> from muscle_llm.predictions import Predictions
        >>> ids = [str(i) for i in range(100)]
        >>> old = Predictions.from_columns({"id": ids, "correct": [True] * 100})
        >>> new = Predictions.from_columns({"id": ids, "correct": [i >= 20 for i in range(100)]})
        >>> judge(Policy(all=Rules(nfr=0.05)), compare(old, new)).sentence
        'FAIL: nfr: negative flips 20.00 % (13.34 % to 28.88 %): exceeds the margin of 5.00 %.'
    """
    clauses, skipped = _clauses(policy, comparison)
    notes = (*_task_notes(policy, comparison.task), *skipped)
    if not clauses:
        task = "this comparison" if comparison.task is None else f"task {comparison.task!r}"
        raise ConfigError(
            f"the policy sets no margin for {task}. Add a margin under 'all'. {' '.join(notes)}".rstrip()
        )
    return _verdict(policy, comparison, clauses, notes)


def judge_task(policy: Policy, comparison: Comparison) -> Verdict | None:
    """Return the verdict as `judge` does, or ``None`` where the policy sets no margin for the task.

    Raises:
        ConfigError: the comparison's intervals have another confidence.
    """
    clauses, notes = _clauses(policy, comparison)
    return _verdict(policy, comparison, clauses, notes) if clauses else None


def _verdict(
    policy: Policy, comparison: Comparison, clauses: Sequence[ClauseResult], notes: Sequence[str]
) -> Verdict:
    return Verdict(
        tuple(clauses), policy.on_inconclusive, comparison.confidence, comparison.task, tuple(notes)
    )


def _clauses(policy: Policy, comparison: Comparison) -> tuple[list[ClauseResult], list[str]]:
    """Return every clause, judged, and what the reader must know about the slices."""
    if abs(policy.confidence - comparison.confidence) > 1e-9:
        raise ConfigError(
            f"the policy decides at confidence {policy.confidence:g}, the comparison's intervals are at "
            f"{comparison.confidence:g}. Compare with confidence={policy.confidence:g}."
        )
    rules = policy.rules_for(comparison.task)
    notes: list[str] = []
    clauses = _of_all(rules, comparison)
    by_slice = slices_of(comparison) if rules.slices else {}
    for name, own in rules.slices.items():
        found, more = judge_slice(
            name, own, by_slice.get(name), tuple(by_slice), confidence=comparison.confidence
        )
        clauses += found
        notes += more
    return clauses, notes


def _of_all(rules: TaskRules, comparison: Comparison) -> list[ClauseResult]:
    figures = figures_of(comparison)
    clauses: list[ClauseResult] = []
    if rules.min_instances:
        clauses.append(judge_size(figures.n, rules.min_instances))
    clauses += judge_margins(rules, figures, confidence=comparison.confidence)
    if isinstance(rules.reliable_flips, float | int):
        clauses.append(judge_reliable_flips(rules.reliable_flips, comparison.instances))
    if rules.must_not_break:
        clauses.append(judge_unbroken(rules.must_not_break, comparison.instances))
    return clauses


def _task_notes(policy: Policy, task: str | None) -> list[str]:
    if not policy.tasks or task in policy.tasks:
        return []
    names = ", ".join(repr(t) for t in list(policy.tasks)[:5])
    if task is None:
        return [f"The logs name no task, so the policy's rules for {names} are not applied."]
    return [f"The policy has rules for {names}, none for the task {task!r}."]
