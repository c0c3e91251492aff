"""Comparing versions: pair, check that they can be compared, measure."""

from __future__ import annotations

from muscle_llm.comparison.compare import compare
from muscle_llm.comparison.tasks import Across, TaskSummary, summarise_tasks
from muscle_llm.comparison.types import QUADRANTS, AgainstNew, Candidate, Comparison, Role, Side, Slice

__all__ = [
    "QUADRANTS",
    "Across",
    "AgainstNew",
    "Candidate",
    "Comparison",
    "Role",
    "Side",
    "Slice",
    "TaskSummary",
    "compare",
    "summarise_tasks",
]
