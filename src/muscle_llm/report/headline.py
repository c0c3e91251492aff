"""The update in one sentence, as one would say it to somebody who has to decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from muscle_llm.comparison.sentence import sentence_digits
from muscle_llm.report.numbers import figure, is_number

__all__ = ["best_remedy", "headline"]


def headline(document: Mapping[str, Any]) -> str:
    r"""Return the sentence on top of the page, from a comparison document.

    The document's own ``sentence`` carries the intervals; this one is for reading at a glance.

    Example:
        >>> headline({"metrics": {"nfr": {"value": 0.031}, "accuracy_difference": {"value": 0.024}}})
        '3.1\xa0% of all answers break; accuracy +2.4 points.'
        >>> change = {"value": 0.004, "low": -0.01, "high": 0.018}
        >>> headline({"metrics": {"nfr": {"value": 0}, "accuracy_difference": change}})
        'No right answer breaks; no clear change in accuracy (+0.4 points).'
    """
    metrics = document["metrics"]
    nfr = _value(metrics, "nfr")
    parts = list(_flip_parts(document, nfr) if nfr is not None else _score_parts(document))
    worse = [f"{s.get('slice')} = {s.get('value')}" for s in document.get("slices") or () if s.get("worse")]
    if worse:
        more = f" and {len(worse) - 3} more slices" if len(worse) > 3 else ""
        parts.append(f"worse for {', '.join(worse[:3])}{more}")
    text = "; ".join(parts)
    return f"{text}." if text else str(document.get("sentence") or "")


def _value(metrics: Mapping[str, Any], name: str) -> float | None:
    value = (metrics.get(name) or {}).get("value")
    return value if is_number(value) else None


def _digits(document: Mapping[str, Any]) -> int:
    return sentence_digits((document.get("counts") or {}).get("n"))


def _flip_parts(document: Mapping[str, Any], nfr: float) -> Iterable[str]:
    digits = _digits(document)
    first = f"{figure(nfr, 'share', digits=digits)} of all answers break" if nfr else "No right answer breaks"
    excess = document.get("excess_nfr") or {}
    if is_number(excess.get("value")) and is_number(excess.get("low")):
        if excess["low"] > 0:
            points = figure(excess["value"], "points", digits=digits, signed=False)
            first += f", {points} points more than retraining the old version explains"
        else:
            first += ", no more than retraining the old version could explain"
    yield first
    if _value(document["metrics"], "accuracy_difference") is not None:
        yield _accuracy_part(document["metrics"]["accuracy_difference"], digits)
    remedy = best_remedy(document)
    if remedy is not None:
        yield _remedy_part(document, *remedy, nfr)


def _accuracy_part(change: Mapping[str, Any], digits: int) -> str:
    """The change of accuracy; whether it may be none at all is said where it has an interval."""
    if not change["value"]:
        return "accuracy stays the same"
    text = f"{figure(change['value'], 'points', digits=digits)} points"
    low, high = change.get("low"), change.get("high")
    if low is not None and high is not None and low <= 0 <= high:
        return f"no clear change in accuracy ({text})"
    return f"accuracy {text}"


def _remedy_part(document: Mapping[str, Any], name: str, value: float, nfr: float) -> str:
    """What the best remedy reaches, and what it costs."""
    if value >= nfr:
        return "no remedy tried reduces that"
    digits = _digits(document)
    cost = _value(document["candidates"][name]["against_new"].get("metrics") or {}, "d_accuracy")
    price = (
        ""
        if cost is None
        else f" (accuracy {figure(cost, 'points', digits=digits)} points against the new version)"
    )
    return f"“{name}” reduces that to {figure(value, 'share', digits=digits)}{price}"


def best_remedy(document: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return name and NFR of the remedy with the fewest negative flips, if there is a remedy."""
    known = [
        (name, value)
        for name, candidate in (document.get("candidates") or {}).items()
        if candidate["role"] == "remedy" and (value := _value(candidate["metrics"], "nfr")) is not None
    ]
    return min(known, key=lambda pair: pair[1]) if known else None


def _score_parts(document: Mapping[str, Any]) -> Iterable[str]:
    for name, block in list((document.get("scores") or {}).items())[:1]:
        metrics = block["metrics"]
        nfr, pfr = _value(metrics, "nfr"), _value(metrics, "pfr")
        regress, mean = _value(metrics, "regress"), _value(metrics, "mean_difference")
        if nfr is not None and pfr is not None:
            by = "" if regress is None else f", by {regress:.3g} on average,"
            yield (
                f"{name} falls on {figure(nfr, 'share', digits=1)} of the instances{by} and rises on "
                f"{figure(pfr, 'share', digits=1)}"
            )
        if mean is not None:
            yield f"its mean changes by {figure(mean, 'change')}"
