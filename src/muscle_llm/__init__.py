"""muscle-llm tells what a model update broke, and trains the adapter that mends it.

The comparing half (``predictions``, ``metrics``, ``comparison``, ``gate``, ``report``) needs no torch.
The training half comes with ``pip install 'muscle-llm[train]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muscle_llm.comparison import Comparison, TaskSummary, compare, summarise_tasks
    from muscle_llm.predictions import Predictions, Provenance, read_many, read_predictions

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Predictions",
    "Provenance",
    "TaskSummary",
    "__version__",
    "compare",
    "read_many",
    "read_predictions",
    "summarise_tasks",
]

# Imported on first use, so that `import muscle_llm` stays fast.
_LAZY = {
    "Comparison": "muscle_llm.comparison",
    "Predictions": "muscle_llm.predictions",
    "Provenance": "muscle_llm.predictions",
    "TaskSummary": "muscle_llm.comparison",
    "compare": "muscle_llm.comparison",
    "read_many": "muscle_llm.predictions",
    "read_predictions": "muscle_llm.predictions",
    "summarise_tasks": "muscle_llm.comparison",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'muscle_llm' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
