"""Tasks: what is asked, how it is scored, and the text an adapter learns from."""

from __future__ import annotations

from muscle_llm.tasks.example import Example
from muscle_llm.tasks.fingerprint import task_fingerprint
from muscle_llm.tasks.harness import Task, load_task
from muscle_llm.tasks.training import evaluation_hashes, find_leaks, refuse_leaks, training_examples

__all__ = [
    "Example",
    "Task",
    "evaluation_hashes",
    "find_leaks",
    "load_task",
    "refuse_leaks",
    "task_fingerprint",
    "training_examples",
]
