"""muscle-llm tells what a model update broke, and trains the adapter that mends it.

The comparing half (``predictions``, ``metrics``, ``comparison``, ``gate``, ``report``) needs no torch.
The training half comes with ``pip install 'muscle-llm[train]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muscle_llm.comparison import Comparison, compare
    from muscle_llm.predictions import Predictions, Provenance, read_predictions

__version__ = "0.1.0"

__all__ = ["Comparison", "Predictions", "Provenance", "__version__", "compare", "read_predictions"]

# Imported on first use, so that `import muscle_llm` stays fast.
_LAZY = {
    "Comparison": "muscle_llm.comparison",
    "Predictions": "muscle_llm.predictions",
    "Provenance": "muscle_llm.predictions",
    "compare": "muscle_llm.comparison",
    "read_predictions": "muscle_llm.predictions",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'muscle_llm' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
