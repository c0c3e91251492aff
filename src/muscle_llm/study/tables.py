"""What the pages of a study share: figures with intervals as text, Markdown tables, names of versions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from muscle_llm.errors import InputError
from muscle_llm.report.escaping import escape_markdown as safe
from muscle_llm.study.analysis import Estimate, Measured, models_at_inference, removed_share_difference
from muscle_llm.study.results import Outcomes, read_outcomes

__all__ = [
    "INTERVALS",
    "NO_VALUE",
    "UNKNOWN",
    "Cells",
    "accuracy_word",
    "having",
    "having_excess",
    "lead_over",
    "marked",
    "opening",
    "pooled_over",
    "read_all",
    "role_of",
    "safe",
    "shown",
    "shown_versions",
    "signed",
    "table",
    "title_of",
    "what_ran",
]

Cells = Sequence[Measured]

NO_VALUE = "–"
UNKNOWN = Estimate(math.nan, math.nan, math.nan)
INTERVALS = (
    "Shares in percent, differences in points, scores times 100. In brackets: 95 % intervals, percentiles of "
    "2000 replicates that draw seeds and instances anew, independently of each other; all versions, and all "
    "updates of a task, see the same draws, so differences are paired. Few seeds make the intervals somewhat "
    "too narrow where seeds differ mainly in level, and too wide where they differ mainly instance by "
    "instance. Nothing is corrected for the number of comparisons. A dash: undefined; a share of the excess "
    "has no interval where that of the excess itself reaches 0."
)


def shown_versions(cells: Cells) -> list[str]:
    """Return the control and every remedy, in the order of the study."""
    names = dict.fromkeys(v for m in cells for v in m.outcomes.versions)
    return [v for v in names if v not in ("old", "new", "old_rerun")]


def having(cells: Cells, *versions: str) -> list[Measured]:
    """Return the updates and tasks that have all those versions."""
    return [m for m in cells if all(v in m.outcomes.versions for v in versions)]


def read_all(results: Path) -> list[Outcomes]:
    """Read a results file.

    Raises:
        InputError: it is not a study's, or empty.
    """
    found = read_outcomes(results)
    if not found:
        raise InputError(f"{results} holds a study without results. Run the study first.")
    return found


def having_excess(cells: Cells) -> list[Measured]:
    """Return the updates and tasks in which new breaks more than the old re-run: only there is an excess."""
    return [m for m in cells if m.difference("nfr", "new", "old_rerun").value > 0]


def lead_over(cells: Cells, name: str, control: str) -> str:
    """Return how many points of the excess more a version removes than a control, as text."""
    both = having(cells, name, control)
    if name == control:
        return ""
    return shown(removed_share_difference(both, name, control), signed=True) if both else NO_VALUE


def opening(about: Mapping[str, Any]) -> list[str]:
    """Return a page's heading and what the study's author says."""
    said = str(about.get("about", "")).strip()
    return [f"# {safe(str(about.get('title', 'Study')))}", *([said] if said else [])]


def what_ran(cells: Cells, about: Mapping[str, Any]) -> str:
    """Return in words what the study consists of."""
    seeds = sorted({len(m.outcomes.seeds) for m in cells})
    many = " to ".join(dict.fromkeys(str(n) for n in (seeds[0], seeds[-1])))
    notes = about.get("updates", {})
    updates = {m.outcomes.update: notes.get(m.outcomes.update) for m in cells}
    tasks = {m.outcomes.task: m.outcomes.validation_N for m in cells}
    told = [safe(u) + (f" ({safe(note)})" if note else "") for u, note in updates.items()]
    sizes = [f"{safe(t)} ({int((~v).sum())} and {int(v.sum())})" for t, v in tasks.items()]
    return (
        f"Updates: {'; '.join(told)}. Tasks, with their test and validation instances: {', '.join(sizes)}. "
        f"Pairs of an update and a task: {len(cells)}. Seeds: {many}.{_made(about)}"
    )


def _made(about: Mapping[str, Any]) -> str:
    """Return how long the study took, and in what environment, as far as that is known."""
    told = [f" All stages together took {about['seconds'] / 60:.0f} minutes." if about.get("seconds") else ""]
    versions = ", ".join(f"{name} {version}" for name, version in about.get("environment", {}).items())
    return "".join([*told, f" Environment: {safe(versions)}." if versions else ""])


def pooled_over(cells: Cells, have: Cells) -> str:
    """Return behind which tasks a pooled figure stands, empty for all."""
    if len(have) == len(cells):
        return ""
    tasks = {m.outcomes.task for m in have}
    if len(have) == sum(m.outcomes.task in tasks for m in cells):
        return f" ({safe(', '.join(dict.fromkeys(m.outcomes.task for m in have)))} only)"
    return f" ({len(have)} of {len(cells)} only)"


def marked(m: Measured, name: str) -> str:
    """Return a version's name, marked where two models answer."""
    return safe(name) + (" (two models)" if models_at_inference(role_of(m, name)) > 1 else "")


def role_of(m: Measured, name: str) -> str:
    """Return what a version is."""
    return m.outcomes.roles_V[m.place(name)]


def accuracy_word(m: Measured) -> str:
    """Return what the first figure of a task is called."""
    return "score" if m.outcomes.is_score else "accuracy"


def title_of(m: Measured) -> str:
    """Return the name of one task of one update."""
    return f"{safe(m.outcomes.update)}, {safe(m.outcomes.task)}"


def shown(estimate: Estimate, *, signed: bool = False) -> str:
    """Write a figure of 0..1 times 100 with its interval.

    Example:
        >>> shown(Estimate(0.1234, 0.1, 0.15)), shown(Estimate(0.02, float("nan"), 0), signed=True)
        ('12.3 [10.0, 15.0]', '+2.0 [–]')
    """
    if math.isnan(estimate.value):
        return NO_VALUE
    plus = "+" if signed else ""
    # Adding 0 turns a rounded -0.0 into 0.0.
    value, low, high = (
        f"{round(100 * x, 1) + 0.0:{plus}.1f}" for x in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{NO_VALUE if math.isnan(estimate.low) else f'{low}, {high}'}]"


def signed(value: float) -> str:
    """Write a correlation."""
    return NO_VALUE if math.isnan(value) else f"{value:+.2f}"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1) -> str:
    """Write a Markdown table whose first ``texts`` columns are left-aligned."""
    lines = [headings, ["---"] * texts + ["---:"] * (len(headings) - texts), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
