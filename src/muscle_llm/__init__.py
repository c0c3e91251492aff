"""muscle-llm tells what a model update broke, and trains the adapter that mends it.

The comparing half (``predictions``, ``metrics``, ``comparison``, ``gate``, ``report``) needs no torch.
The training half comes with ``pip install 'muscle-llm[train]'``.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
