"""Comparing versions: pair, check that they can be compared, measure."""

from __future__ import annotations

from muscle_llm.comparison.compare import compare
from muscle_llm.comparison.types import QUADRANTS, AgainstNew, Candidate, Comparison, Role, Side

__all__ = ["QUADRANTS", "AgainstNew", "Candidate", "Comparison", "Role", "Side", "compare"]
