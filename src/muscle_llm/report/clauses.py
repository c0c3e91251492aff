"""What a policy says of the update, as the page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from muscle_llm.text import counted

__all__ = ["ClauseGroup", "ClauseLine", "clause_groups"]

_LINKS = 20  # instances that a clause links to


@dataclass(frozen=True, slots=True)
class ClauseLine:
    """One clause of a policy as a sentence, with instances it names and their addresses on the page."""

    text: str
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ClauseGroup:
    """The clauses with one outcome."""

    outcome: str
    title: str
    clauses: tuple[ClauseLine, ...]


def clause_groups(verdict: Mapping[str, Any]) -> Iterator[ClauseGroup]:
    """Return the clauses by outcome, those that stop the update first; the ids of what broke lead to it.

    Args:
        verdict: what `Verdict.to_dict` gives, or nothing.

    Example:
        >>> clause = {"outcome": "fail", "label": "nfr", "scope": "", "text": "nfr 9 %", "ids": ["q 1"]}
        >>> group = next(clause_groups({"clauses": [clause]}))
        >>> group.title, group.clauses[0]
        ('1 clause fails', ClauseLine(text='nfr 9 %', links=(('q 1', '#row=q+1'),)))
    """
    words = {
        "fail": ("fails", "fail"),
        "inconclusive": ("is inconclusive", "are inconclusive"),
        "pass": ("holds", "hold"),
    }
    for outcome, (one, many) in words.items():
        clauses = tuple(
            ClauseLine(
                _clause_text(clause), tuple((i, f"#{urlencode({'row': i})}") for i in clause["ids"][:_LINKS])
            )
            for clause in verdict.get("clauses") or ()
            if clause["outcome"] == outcome
        )
        if clauses:
            title = counted(len(clauses), f"clause {one}", f"clauses {many}")
            yield ClauseGroup(outcome, title, clauses)


def _clause_text(clause: Mapping[str, Any]) -> str:
    """What a clause says, its name only where the text does not begin with it."""
    label, scope, text = clause["label"], clause["scope"], clause["text"]
    name = [] if text.startswith(label) else [label]
    head = ", ".join([*name, *([scope] if scope else [])])
    return f"{head}: {text}" if head else text
