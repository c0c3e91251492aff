"""What a verdict is: frozen, typed results of judging a comparison by a policy, and their JSON document."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from muscle_llm.gate.decide import Outcome, exit_code, worst
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.text import printable

__all__ = ["ClauseResult", "OnInconclusive", "Unit", "Verdict"]

OnInconclusive = Literal["fail", "pass", "inconclusive"]
Unit = Literal["share", "points", "score", "count"]


@dataclass(frozen=True)
class ClauseResult:
    """One clause of a policy and what it came to.

    Attributes:
        name: the clause as in the policy, such as ``"nfr"``, ``"scores.rouge1.mean_drop"`` or
            ``"must_not_break"``.
        label: the clause in words.
        outcome: pass, inconclusive or fail.
        text: one sentence for people: figure, margin, and what would decide.
        scope: ``""`` for all instances, or the slice, such as ``"subject = law"``.
        harm: the figure judged, with its interval; undefined where the clause has none.
        margin: the largest harm accepted, in the unit of the harm; ``None`` where the clause has none.
        unit: of harm, margin and detectable; shares and points are stored as 0..1.
        n: number of instances behind the clause.
        measured: whether the logs could tell at all. What they cannot tell never counts as passed.
        detectable: the smallest harm that these instances would show to exceed the margin with 80 % power.
        instances_needed: how many instances would decide; ``None`` where it is decided, or none would.
        repeats_needed: how many answers per instance would decide, where that is what lacks.
        ids: the instances that broke, or that the logs lack.
    """

    name: str
    label: str
    outcome: Outcome
    text: str
    scope: str = ""
    harm: Estimate | None = None
    margin: float | None = None
    unit: Unit = "share"
    n: int | None = None
    measured: bool = True
    detectable: float | None = None
    instances_needed: int | None = None
    repeats_needed: int | None = None
    ids: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The clause with its scope, such as ``"nfr [subject = law]"``."""
        return f"{self.name} [{self.scope}]" if self.scope else self.name

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "label": self.label,
            "scope": self.scope,
            "outcome": self.outcome.value,
            "text": self.text,
            "harm": None if self.harm is None else self.harm.to_dict(),
            "margin": self.margin,
            "unit": self.unit,
            "n": self.n,
            "measured": self.measured,
            "detectable": self.detectable,
            "instances_needed": self.instances_needed,
            "repeats_needed": self.repeats_needed,
            "ids": list(self.ids),
        }


@dataclass(frozen=True)
class Verdict:
    """Whether an update may ship: the worst of its clauses, and what the policy makes of an open one.

    Attributes:
        clauses: the clauses in the policy's order.
        on_inconclusive: what the policy makes of inconclusive clauses.
        confidence: level of the intervals behind the clauses.
        task: name of the task, where the logs tell it.
        notes: what the reader must know, one sentence each.

    Example:
        >>> open_ = ClauseResult("nfr", "negative flips", Outcome.INCONCLUSIVE, "too few instances")
        >>> Verdict((open_,), "pass", 0.95).outcome.value, Verdict((open_,), "fail", 0.95).exit_code
        ('pass', 1)
        >>> print(Verdict((open_,)))
        INCONCLUSIVE: nfr: too few instances
        - inconclusive: nfr: too few instances
    """

    clauses: tuple[ClauseResult, ...]
    on_inconclusive: OnInconclusive = "inconclusive"
    confidence: float = 0.95
    task: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def evidence(self) -> Outcome:
        """The worst clause, before ``on_inconclusive`` is applied."""
        return worst(c.outcome for c in self.clauses)

    @property
    def outcome(self) -> Outcome:
        """The verdict. ``on_inconclusive: pass`` lets through open margins, never what was not measured."""
        found = self.evidence
        if found is not Outcome.INCONCLUSIVE or self.on_inconclusive == "inconclusive":
            return found
        if self.on_inconclusive == "pass" and not all(c.measured for c in self.clauses):
            return found
        return Outcome(self.on_inconclusive)

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return exit_code(self.outcome)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many clauses came to each outcome."""
        return {o: sum(c.outcome is o for c in self.clauses) for o in Outcome}

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with the first clause that decides it."""
        total, what = len(self.clauses), f"{self.outcome.value.upper()}: "
        if self.evidence is Outcome.PASS and total > 1:
            return f"{what}all {total} clauses hold."
        first = next(c for c in self.clauses if c.outcome is self.evidence)
        count = self.counts[self.evidence]
        if self.evidence is Outcome.FAIL:
            verb = "fails" if count == 1 else "fail"
        else:
            verb = "is inconclusive" if count == 1 else "are inconclusive"
        if self.outcome is not self.evidence:
            what += f"the policy counts inconclusive as {self.on_inconclusive}; "
        if total > 1:
            what += f"{count} of {total} clauses {verb}; first "
        return f"{what}{first.title}: {first.text}"

    def __str__(self) -> str:
        """Return the verdict and a line per clause and note, safe for a terminal."""
        lines = [self.sentence, *(f"- {c.outcome.value}: {c.title}: {c.text}" for c in self.clauses)]
        return "\n".join(printable(line) for line in (*lines, *(f"- note: {n}" for n in self.notes)))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        first, *lines = str(self).split("\n")
        rows = "".join(f"<li>{escape(line[2:])}</li>" for line in lines)
        return f"<div><p><strong>{escape(first)}</strong></p><ul>{rows}</ul></div>"

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict's JSON document (plain types)."""
        return {
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "evidence": self.evidence.value,
            "on_inconclusive": self.on_inconclusive,
            "confidence": self.confidence,
            "task": self.task,
            "sentence": self.sentence,
            "clauses": [c.to_dict() for c in self.clauses],
            "notes": list(self.notes),
        }
