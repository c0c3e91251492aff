"""A verdict in the terminal: one line per clause."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from muscle_llm.gate.decide import Outcome
from muscle_llm.gate.verdict import ClauseResult, Verdict
from muscle_llm.text import printable

__all__ = ["print_verdict", "worth_showing"]

_STYLES = {Outcome.PASS: "green", Outcome.INCONCLUSIVE: "yellow", Outcome.FAIL: "bold red"}
_SHOWN = 20


def worth_showing(verdict: Verdict, limit: int = _SHOWN) -> tuple[list[ClauseResult], int]:
    """Return the clauses to list, in the policy's order, and how many are left out.

    With more clauses than ``limit``, those that hold give way first, then open ones.
    """
    order = {Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}
    ranked = sorted(range(len(verdict.clauses)), key=lambda i: (order[verdict.clauses[i].outcome], i))
    kept = sorted(ranked[:limit])
    return [verdict.clauses[i] for i in kept], len(verdict.clauses) - len(kept)


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print every clause with its outcome, then the verdict."""
    shown, left = worth_showing(verdict)
    task = f" for {printable(verdict.task)}" if verdict.task else ""
    table = Table(
        title=Text(f"policy{task}"), title_justify="left", box=None, pad_edge=False, show_header=False
    )
    table.add_column(no_wrap=True)
    table.add_column()
    for clause in shown:
        word = Text(clause.outcome.value.upper(), style=_STYLES[clause.outcome])
        table.add_row(word, Text(f"{printable(clause.title)}: {printable(clause.text)}"))
    console.print(table)
    if left:
        console.print(Text(f"and {left} more clauses; --json has them all.", style="dim"))
    for note in verdict.notes:
        console.print(Text(f"note: {printable(note)}", style="yellow"))
    console.print(
        Text("verdict: ").append(printable(verdict.sentence, limit=400), style=_STYLES[verdict.outcome])
    )
