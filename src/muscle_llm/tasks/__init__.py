"""Tasks: what is asked, how it is scored, and the text an adapter learns from."""

from __future__ import annotations

from muscle_llm.tasks.example import Example
from muscle_llm.tasks.harness import Task, evaluation_hashes, load_task, refuse_leaks, training_examples

__all__ = ["Example", "Task", "evaluation_hashes", "load_task", "refuse_leaks", "training_examples"]
