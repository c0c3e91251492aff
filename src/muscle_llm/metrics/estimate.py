"""A figure with its interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Estimate", "undefined"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, the bounds of its interval, and, where it is undefined, why.

    Attributes:
        value: the figure; NaN where it is undefined.
        low: lower bound of the interval; NaN where there is none.
        high: upper bound of the interval; NaN where there is none.
        reason: why the figure is undefined; ``None`` where it is defined.

    Example:
        >>> Estimate(0.25, 0.1, 0.4).to_dict()
        {'value': 0.25, 'low': 0.1, 'high': 0.4}
        >>> undefined("no answers in the logs").to_dict()
        {'value': None, 'low': None, 'high': None, 'reason': 'no answers in the logs'}
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    reason: str | None = None

    @property
    def defined(self) -> bool:
        """Whether there is a figure."""
        return not math.isnan(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return ``value``, ``low``, ``high`` (``None`` for NaN) and the reason where there is one."""
        document: dict[str, Any] = {
            "value": _finite(self.value),
            "low": _finite(self.low),
            "high": _finite(self.high),
        }
        if self.reason is not None:
            document["reason"] = self.reason
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Estimate:
        """Return the figure that `to_dict` wrote.

        Example:
            >>> Estimate.from_dict(Estimate(0.25, 0.1, 0.4).to_dict())
            Estimate(value=0.25, low=0.1, high=0.4, reason=None)
        """
        value, low, high = (
            math.nan if document.get(key) is None else float(document[key])
            for key in ("value", "low", "high")
        )
        return cls(value, low, high, document.get("reason"))


def undefined(reason: str) -> Estimate:
    """Return the undefined figure, with its reason."""
    return Estimate(math.nan, math.nan, math.nan, reason)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
