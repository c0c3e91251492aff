"""Starting quickly: what a command does not need is not imported."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["without_pandas"]


def without_pandas() -> None:
    """Keep pyarrow from importing pandas, which it does on its first array wherever pandas is installed.

    That takes a third of a second, as long as comparing a million rows, and no command needs it. pyarrow asks
    once and remembers; ``Table.to_pandas`` still works afterwards. Does nothing in a program that uses either
    library already.
    """
    if "pandas" in sys.modules or "pyarrow" in sys.modules:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, _Hidden)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_Hidden)


class _Hidden:
    """Answers the search for pandas with "not installed"."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Raise for pandas; leave every other name to the finders that follow."""
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)
