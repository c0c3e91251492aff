"""A policy judged task by task, and the verdict over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from muscle_llm.errors import ConfigError
from muscle_llm.gate.decide import Outcome, exit_code, worst
from muscle_llm.gate.policy import Policy
from muscle_llm.gate.verdict import ClauseResult, OnInconclusive, Verdict

__all__ = ["TasksVerdict", "judge_tasks"]


@dataclass(frozen=True)
class TasksVerdict:
    """Whether an update may ship, over several tasks: the worst of the tasks' verdicts.

    Attributes:
        verdicts: task -> its verdict.
        missing: tasks that old has and new lacks, or that the policy names and no log has: what is not
            measured never counts as passed.
        unasked: tasks of which the policy sets no margin.
        on_inconclusive: what the policy makes of an inconclusive clause.

    Example:
        >>> one = Verdict((ClauseResult("nfr", "negative flips", Outcome.PASS, "within the margin."),))
        >>> TasksVerdict({"piqa": one}).outcome.value, TasksVerdict({"piqa": one}, ("arc",)).exit_code
        ('pass', 3)
    """

    verdicts: Mapping[str, Verdict]
    missing: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    on_inconclusive: OnInconclusive = "inconclusive"

    @property
    def outcome(self) -> Outcome:
        """The worst of the tasks; a missing task is open, or fails where the policy fails what is open."""
        lacking = Outcome.FAIL if self.on_inconclusive == "fail" else Outcome.INCONCLUSIVE
        return worst([*(v.outcome for v in self.verdicts.values()), *([lacking] if self.missing else [])])

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return exit_code(self.outcome)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know, one sentence each."""
        found = []
        if self.missing:
            found.append(f"Not measured, so not passed: {', '.join(map(repr, self.missing[:10]))}.")
        if self.unasked:
            found.append(f"The policy sets no margin for {', '.join(map(repr, self.unasked[:10]))}.")
        return tuple(found)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with the first task that decides it."""
        what, total = f"{self.outcome.value.upper()}: ", len(self.verdicts)
        if self.outcome is Outcome.PASS:
            return f"{what}all {total} tasks pass."
        deciding = [t for t, v in self.verdicts.items() if v.outcome is self.outcome]
        if not deciding:
            return f"{what}{' '.join(self.notes)}"
        own = self.verdicts[deciding[0]].sentence.partition(": ")[2]
        return f"{what}{len(deciding)} of {total} tasks; first {deciding[0]}: {own}"

    def suites(self) -> list[Verdict]:
        """Return the tasks' verdicts, and one of open clauses for what is missing, for a report of tests."""
        if not self.missing:
            return list(self.verdicts.values())
        text = "no log has this task in both versions, so it is not passed."
        clauses = tuple(
            ClauseResult(task, task, Outcome.INCONCLUSIVE, text, measured=False) for task in self.missing
        )
        return [*self.verdicts.values(), Verdict(clauses, self.on_inconclusive, task="missing tasks")]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document (plain types); the tasks' verdicts stand in the tasks' documents."""
        return {
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "sentence": self.sentence,
            "tasks": {task: v.outcome.value for task, v in self.verdicts.items()},
            "missing": list(self.missing),
            "unasked": list(self.unasked),
            "on_inconclusive": self.on_inconclusive,
            "notes": list(self.notes),
        }


def judge_tasks(
    policy: Policy, verdicts: Mapping[str, Verdict | None], missing: tuple[str, ...] = ()
) -> TasksVerdict:
    """Return the verdict over several tasks.

    Args:
        policy: what was asked.
        verdicts: task -> what `muscle_llm.gate.judge_task` returned; ``None``: no margin is set for it.
        missing: tasks that old has and new lacks.

    Raises:
        ConfigError: the policy sets no margin for any task.
    """
    found = {task: v for task, v in verdicts.items() if v is not None}
    absent = [t for t in policy.tasks if t not in verdicts]
    missing = tuple(dict.fromkeys([*absent, *(t for t in missing if policy.asks_of(t))]))
    unasked = tuple(t for t, v in verdicts.items() if v is None)
    if not found and not missing:
        raise ConfigError(
            f"the policy sets no margin for {', '.join(map(repr, unasked[:5]))}. Add a margin under 'all'."
        )
    return TasksVerdict(found, missing, unasked, policy.on_inconclusive)
