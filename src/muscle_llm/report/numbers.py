"""How figures are written for people: one place for digits, signs and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from muscle_llm.report.definitions import Unit

__all__ = ["MINUS", "PERCENT", "count", "figure", "interval", "is_number"]

MINUS = "\N{MINUS SIGN}"
PERCENT = "\N{NO-BREAK SPACE}%"


def is_number(value: object) -> bool:
    """Tell whether ``value`` is a finite number (a JSON null, a NaN and a truth value are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def count(value: int | float | None) -> str:
    """Write a count with thousands separated, or a dash where it is unknown.

    Example:
        >>> count(12032), count(None)
        ('12,032', '–')
    """
    return f"{value:,.0f}" if is_number(value) and value is not None else "–"


def figure(value: float | None, unit: Unit, *, digits: int = 2, signed: bool | None = None) -> str:
    r"""Write a figure in its unit.

    Args:
        value: as stored; shares and points in 0..1.
        unit: see `muscle_llm.report.definitions.Term`.
        digits: digits after the point of percentages.
        signed: whether a plus is written; by default for differences (``points``, ``percent``, ``change``).

    Example:
        >>> figure(0.06672, "share"), figure(-0.0131, "points"), figure(None, "share")
        ('6.67\xa0%', '−1.31', '–')
        >>> figure(1e-9, "p"), figure(-12.345, "percent", digits=1)
        ('< 0.0001', '−12.3\xa0%')
    """
    if value is None or not is_number(value):
        return "–"
    value += 0.0  # no minus before a zero
    plus = "+" if (unit in ("points", "percent", "change") if signed is None else signed) else "-"
    if unit == "count":
        return count(value)
    if unit == "p":
        return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
    if unit in ("score", "change"):
        text = f"{value:{plus}.4f}"
    elif unit == "ratio":
        text = f"{value:{plus}.2f}"
    elif unit == "percent":
        text = f"{value:{plus}.{digits}f}{PERCENT}"
    else:
        text = f"{100 * value:{plus}.{digits}f}" + (PERCENT if unit == "share" else "")
    return text.replace("-", MINUS)


def interval(estimate: Mapping[str, Any], unit: Unit, *, digits: int = 2) -> str:
    """Write the interval of an estimate, or nothing where there is none.

    Example:
        >>> interval({"value": 0.1, "low": 0.08, "high": 0.12}, "share")
        '8.00 – 12.00'
        >>> interval({"value": 0, "low": -0.02, "high": 0.01}, "points")
        '−2.00 to +1.00'
        >>> interval({"value": 0.1, "low": None, "high": None}, "share")
        ''
    """
    low, high = estimate.get("low"), estimate.get("high")
    if not (is_number(low) and is_number(high)):
        return ""
    bounds = [figure(bound, unit, digits=digits).removesuffix(PERCENT) for bound in (low, high)]
    between = " to " if any(b[0] in f"+{MINUS}" for b in bounds) else " – "
    return between.join(bounds)
