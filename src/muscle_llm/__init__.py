"""muscle-llm tells what a model update broke, and trains the adapter that mends it.

The comparing half (``predictions``, ``metrics``, ``comparison``, ``gate``, ``report``) needs no torch.
The training half comes with ``pip install 'muscle-llm[train]'``.

Example:
    >>> import muscle_llm as ml
    >>> old = [{"id": 1, "answer": "4", "reference": "4"}, {"id": 2, "answer": "9", "reference": "9"}]
    >>> new = [{"id": 1, "answer": "4", "reference": "4"}, {"id": 2, "answer": "6", "reference": "9"}]
    >>> ml.compare(old, new).counts["negative_flips"]
    1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muscle_llm.comparison import Comparison, Slice, TaskSummary, compare, summarise_tasks
    from muscle_llm.errors import MuscleError
    from muscle_llm.gate import Policy, Rules, Verdict, judge, load_policy
    from muscle_llm.metrics.estimate import Estimate
    from muscle_llm.predictions import Predictions, Provenance, read_many, read_predictions

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Estimate",
    "MuscleError",
    "Policy",
    "Predictions",
    "Provenance",
    "Rules",
    "Slice",
    "TaskSummary",
    "Verdict",
    "__version__",
    "compare",
    "judge",
    "load_policy",
    "read_many",
    "read_predictions",
    "summarise_tasks",
]

# Module -> its names here, imported on first use, so that `import muscle_llm` stays fast.
_HOMES = {
    "comparison": ("Comparison", "Slice", "TaskSummary", "compare", "summarise_tasks"),
    "errors": ("MuscleError",),
    "gate": ("Policy", "Rules", "Verdict", "judge", "load_policy"),
    "metrics.estimate": ("Estimate",),
    "predictions": ("Predictions", "Provenance", "read_many", "read_predictions"),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'muscle_llm' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"muscle_llm.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
