"""From rules and figures to judged clauses: margins, and the minimum number of instances."""

from __future__ import annotations

from collections.abc import Iterator

from muscle_llm.errors import did_you_mean
from muscle_llm.gate.decide import Outcome, decide, detectable_harm, instances_needed
from muscle_llm.gate.figures import MEASURES, SCORE_MEASURES, Figures, Measure
from muscle_llm.gate.policy import Margins, SliceRules
from muscle_llm.gate.verdict import ClauseResult, Unit
from muscle_llm.metrics.estimate import Estimate

__all__ = ["judge_margin", "judge_margins", "judge_size", "judge_slice", "show"]


_MOST_NAMES = 5


def show(value: float, unit: Unit) -> str:
    """Return a harm as text in its own unit.

    Example:
        >>> show(0.0234, "share"), show(0.0234, "points"), show(0.0234, "score"), show(3, "count")
        ('2.34 %', '2.34 points', '0.0234', '3')
        >>> show(-1e-9, "points")
        '0.00 points'
    """
    if unit == "share":
        return f"{100 * value:z.2f} %"
    if unit == "points":
        return f"{100 * value:z.2f} points"
    return f"{value:z.4g}"


def judge_size(n: int | None, minimum: int) -> ClauseResult:
    """Judge the minimum number of instances: fewer leave the verdict open, whatever the figures say.

    Example:
        >>> judge_size(50, 200).text
        '50 instances; at least 200 are required, 150 more.'
    """
    name, label = "min_instances", "number of instances"
    if n is not None and n >= minimum:
        text = f"{n} instances; at least {minimum} are required."
        return ClauseResult(name, label, Outcome.PASS, text, unit="count", n=n)
    known = n or 0
    text = f"{known} instances; at least {minimum} are required, {minimum - known} more."
    return ClauseResult(
        name,
        label,
        Outcome.INCONCLUSIVE,
        text,
        unit="count",
        n=n,
        measured=False,
        instances_needed=minimum,
    )


def judge_margins(
    margins: Margins, figures: Figures, *, scope: str = "", confidence: float = 0.95
) -> Iterator[ClauseResult]:
    """Judge every margin that is set, in the order of `MEASURES`, then the scores'."""
    for key, measure in MEASURES.items():
        margin = getattr(margins, key)
        if isinstance(margin, float | int):
            harm = figures.harm(measure)
            yield judge_margin(key, measure, harm, margin, figures.n, scope=scope, confidence=confidence)
    for score, own in margins.scores.items():
        for key, measure in SCORE_MEASURES.items():
            margin = getattr(own, key)
            if isinstance(margin, float | int):
                name, harm = f"scores.{score}.{key}", figures.harm(measure, score)
                yield judge_margin(
                    name, measure, harm, margin, figures.n, scope=scope, confidence=confidence, score=score
                )


def judge_margin(
    name: str,
    measure: Measure,
    harm: Estimate,
    margin: float,
    n: int | None,
    *,
    scope: str = "",
    confidence: float = 0.95,
    score: str | None = None,
) -> ClauseResult:
    """Judge one margin by the bounds of the harm's interval.

    Example:
        >>> found = judge_margin("nfr", MEASURES["nfr"], Estimate(0.01, 0.00275, 0.03571), 0.03, 200)
        >>> found.outcome.value, found.instances_needed
        ('inconclusive', 437)
    """
    label = measure.label if score is None else f"{score}: {measure.label}"
    unit = measure.unit
    if not harm.defined or harm.low != harm.low or harm.high != harm.high:
        reason = harm.reason or ("there is no interval" if harm.defined else "undefined")
        hint = f"; {measure.hint}" if measure.hint and not harm.defined else ""
        text = f"{label} cannot be judged: {reason}{hint}."
        return ClauseResult(
            name, label, Outcome.INCONCLUSIVE, text, scope, harm, margin, unit, n, measured=False
        )
    outcome = decide(harm, margin)
    needed = None
    if outcome is Outcome.INCONCLUSIVE and n is not None:
        needed = instances_needed(harm, margin, n, confidence=confidence, rate=measure.rate)
    detectable = detectable_harm(harm, margin, confidence=confidence, rate=measure.rate)
    text = f"{label} {show(harm.value, unit)} ({show(harm.low, unit)} to {show(harm.high, unit)})"
    match outcome:
        case Outcome.PASS:
            text += f": within the margin of {show(margin, unit)}."
        case Outcome.FAIL:
            text += f": exceeds the margin of {show(margin, unit)}."
        case _:
            text += f", margin {show(margin, unit)}: {_what_would_decide(needed, n, detectable, unit)}."
    return ClauseResult(name, label, outcome, text, scope, harm, margin, unit, n, True, detectable, needed)


def _what_would_decide(needed: int | None, n: int | None, detectable: float | None, unit: Unit) -> str:
    if needed is None:
        text = "the estimate equals the margin, so no number of instances would decide"
    else:
        text = f"about {needed:,} instances would decide (there are {n:,})"
    if detectable is not None and n is not None:
        text += f"; {n:,} would show a true harm of {show(detectable, unit)} or more"
    return text


def judge_slice(
    name: str, rules: SliceRules, values: dict[str, Figures] | None, known: tuple[str, ...], confidence: float
) -> tuple[list[ClauseResult], list[str]]:
    """Judge the rules of one slice in each of its values.

    Args:
        name: the slice.
        rules: its rules.
        values: value -> figures; ``None`` where the comparison does not have the slice.
        known: the slices that the comparison has, for the hint.
        confidence: level of the intervals.

    Returns:
        The clauses, and what the reader must know.
    """
    if values is None:
        return [_lacking(f"slices.{name}", f"slice {name!r}", did_you_mean(name, known))], []
    clauses: list[ClauseResult] = []
    skipped: list[str] = []
    for value, figures in values.items():
        if (figures.n or 0) < (rules.skip_below or 0):
            skipped.append(repr(value))
            continue
        scope = f"{name} = {value}"
        clauses += judge_margins(rules.margins_of(value), figures, scope=scope, confidence=confidence)
    for value in rules.values:
        if value not in values:
            hint = did_you_mean(value, values)
            clauses.append(_lacking(f"slices.{name}.{value}", f"{name} = {value!r} among the slices", hint))
    notes = []
    if skipped:
        more = f" and {len(skipped) - _MOST_NAMES} more" if len(skipped) > _MOST_NAMES else ""
        notes.append(
            f"Not judged, with fewer than {rules.skip_below} instances: {name} = "
            f"{', '.join(skipped[:_MOST_NAMES])}{more}."
        )
    return clauses, notes


def _lacking(name: str, what: str, hint: str) -> ClauseResult:
    text = f"the comparison has no {what}. {hint}"
    return ClauseResult(name, "slice", Outcome.INCONCLUSIVE, text, measured=False)
