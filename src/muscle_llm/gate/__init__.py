"""The gate: a policy and a comparison give a verdict."""

from __future__ import annotations

from muscle_llm.gate.decide import Outcome, exit_code, worst
from muscle_llm.gate.judge import judge
from muscle_llm.gate.policy import (
    Margins,
    Policy,
    Rules,
    ScoreMargins,
    SliceRules,
    TaskRules,
    load_policy,
)
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
    "Verdict",
    "exit_code",
    "judge",
    "load_policy",
    "worst",
]
