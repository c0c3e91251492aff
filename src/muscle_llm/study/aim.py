"""Whether the default remedy reaches the aim of the study, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from muscle_llm.study.analysis import Estimate, pooled_difference, removed_share, removed_share_difference
from muscle_llm.study.tables import UNKNOWN, Cells, having, having_excess, pooled_over, safe, shown

__all__ = ["aim_sentence"]


def aim_sentence(cells: Cells, default: str, published: str) -> str:
    """Return in words whether the default reaches the study's aim, and what it misses.

    Shares are judged over the updates and tasks in which new breaks more than the old re-run,
    accuracy over all.
    """
    have, name = having(cells, default), safe(default)
    if not have:
        return f"It cannot be said: the results hold no {name}."
    excess = having_excess(have)
    if not excess:
        return "It cannot be said: there are no excess negative flips to remove."
    share = removed_share(excess, default)
    change = pooled_difference(have, "accuracy", default, "new")
    words = f"It changes accuracy against `new` by {shown(change, signed=True)} points"
    aims = [
        _Aim(
            "share", f"It removes {shown(share)} % of the excess negative flips", "60 % or more", share, 0.6
        ),
        _Aim("accuracy", words, "no loss", change, 0.0),
    ]
    for control in dict.fromkeys(c for c in ("continued", published) if c != default):
        both = having(excess, default, control)
        more = removed_share_difference(both, default, control) if both else UNKNOWN
        words = f"It removes {shown(more, signed=True)} points more of it than {safe(control)}"
        aims.append(_Aim(f"lead over {safe(control)}", words, "25 points or more", more, 0.25))
    missed = [aim.name for aim in aims if not aim.verdict.startswith("met")]
    answer = "Yes" if all(aim.verdict == "met" for aim in aims) else "By the point estimates, yes"
    lower = [m.difference("accuracy", default, "new") for m in have]
    lines = [
        f"**{'No' if missed else answer}**, for {name}{pooled_over(cells, have)}."
        + (f" Not met or not to be told: {', '.join(missed)}." if missed else ""),
        "",
        *(f"- {aim.words}. Aim: {aim.aim}; **{aim.verdict}**." for aim in aims),
        f"- Shares are judged over the {len(excess)} of {len(have)} pairs of an update and a task in "
        "which `new` breaks more than the old re-run.",
        f"- Of {len(lower)} pairs, its accuracy is below `new`'s in "
        f"{sum(e.value < 0 for e in lower)}, with the whole interval in {sum(e.high < 0 for e in lower)}.",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Aim:
    """One part of a study's aim: an estimate that should reach a least value."""

    name: str
    words: str
    aim: str
    estimate: Estimate
    least: float

    @property
    def verdict(self) -> str:
        """Whether it is met, by the point estimate and by the interval."""
        value, low, high = self.estimate.value, self.estimate.low, self.estimate.high
        if math.isnan(value) or math.isnan(low):
            return "cannot be told"
        if value >= self.least:
            return "met" if low >= self.least else "met by the point estimate, not by the whole interval"
        return "not met; the interval reaches it" if high >= self.least else "not met"
