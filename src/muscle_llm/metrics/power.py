"""How small a difference the instances at hand can show."""

from __future__ import annotations

import math

from muscle_llm.metrics.uncertainty import z_value

__all__ = ["detectable_difference", "instances_needed"]


def detectable_difference(
    standard_error: float, confidence: float = 0.95, power: float = 0.8, clusters: int | None = None
) -> float:
    """Return the smallest true difference that a two-sided test at this level finds with this power.

    Formula: (z_{(1+confidence)/2} + z_power) SE, in the units of the standard error (shares, so times 100 it
    is percentage points). Over C clusters the quantiles are Student's with C - 1 degrees of freedom, as those
    of the interval are.

    Args:
        standard_error: of the difference of the two versions, > 0.
        confidence: level of the test, in (0, 1).
        power: chance of finding the difference, in (0, 1).
        clusters: number of clusters C >= 2 that the standard error comes from; ``None``: counts of many.

    Example:
        >>> round(detectable_difference(0.01), 4), round(detectable_difference(0.01, clusters=5), 4)
        (0.028, 0.0372)

    Source: Miller (2024), Adding error bars to evals, power analysis (arXiv 2411.00640).
    """
    if clusters is None:
        return (z_value(confidence) + z_value(2 * power - 1)) * standard_error
    from scipy.special import stdtrit

    return float(stdtrit(clusters - 1, [0.5 + confidence / 2, power]).sum()) * standard_error


def instances_needed(
    standard_error: float, n: int, difference: float, confidence: float = 0.95, power: float = 0.8
) -> int:
    """Return how many instances of this kind would show ``difference`` with this power.

    Args:
        standard_error: of the difference, measured on ``n`` instances.
        n: number of instances it was measured on.
        difference: the true difference to be found, not 0, in the same units.
        confidence: level of the test, in (0, 1).
        power: chance of finding it, in (0, 1).

    Raises:
        ValueError: the difference is 0.

    Example:
        >>> instances_needed(0.01, 1000, 0.028)
        1002
    """
    if difference == 0:
        raise ValueError("no number of instances shows a difference of 0")
    return math.ceil(n * (detectable_difference(standard_error, confidence, power) / difference) ** 2)
