"""Arrow's compute functions under one name; they are made at run time, so type checkers cannot see them."""

from __future__ import annotations

from typing import Any

import pyarrow.compute

__all__ = ["pc"]

pc: Any = pyarrow.compute
