"""The gate: a policy and a comparison give a verdict."""

from __future__ import annotations

from muscle_llm.gate.decide import Outcome, exit_code, worst
from muscle_llm.gate.judge import judge, judge_task
from muscle_llm.gate.policy import (
    Margins,
    Policy,
    Rules,
    ScoreMargins,
    SliceRules,
    TaskRules,
    load_policy,
)
from muscle_llm.gate.tasks import TasksVerdict, judge_tasks
from muscle_llm.gate.verdict import ClauseResult, Verdict

__all__ = [
    "ClauseResult",
    "Margins",
    "Outcome",
    "Policy",
    "Rules",
    "ScoreMargins",
    "SliceRules",
    "TaskRules",
    "TasksVerdict",
    "Verdict",
    "exit_code",
    "judge",
    "judge_task",
    "judge_tasks",
    "load_policy",
    "worst",
]
