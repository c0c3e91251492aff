"""One figure over several tasks: the mean over tasks (macro), or over all their instances (pooled)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from muscle_llm.metrics.estimate import Estimate, undefined

__all__ = ["weighted_mean"]


def weighted_mean(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """Return the weighted mean of figures that were measured on different instances.

    Formulas, with weights w summing to 1, figures v and their bounds l and u: the value is sum w v, the
    bounds are sum w v - sqrt(sum w^2 (v - l)^2) and sum w v + sqrt(sum w^2 (u - v)^2), so that figures near
    0 keep their lopsided intervals. The tasks count as given: the interval tells how the mean would vary
    with other instances of the same tasks, not with other tasks.

    Args:
        estimates: one figure per task, all defined; a figure without an interval gives a mean without one.
        weights: one weight per task, >= 0, not all 0: equal for macro, numbers of instances for pooled.

    Example:
        >>> a, b = Estimate(0.1, 0.07, 0.14), Estimate(0.3, 0.26, 0.33)
        >>> weighted_mean([a, b], [1, 1])
        Estimate(value=0.2, low=0.175, high=0.225, reason=None)
        >>> round(weighted_mean([a, b], [300, 100]).value, 4)
        0.15

    Source: Zou and Donner (2008), Construction of confidence limits about effect measures (Statistics in
        Medicine 27): the method of variance estimates recovery.
    """
    if not estimates:
        return undefined("no task has this figure")
    total = float(sum(weights))
    shares = [w / total for w in weights]
    pairs = list(zip(shares, estimates, strict=True))
    value = math.fsum(w * e.value for w, e in pairs)
    down = math.fsum((w * (e.value - e.low)) ** 2 for w, e in pairs)
    up = math.fsum((w * (e.high - e.value)) ** 2 for w, e in pairs)
    return Estimate(value, value - math.sqrt(down), value + math.sqrt(up))
