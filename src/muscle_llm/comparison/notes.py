"""What the reader of a comparison must know, one sentence each; and the counts of what was left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from muscle_llm.comparison.measured import Measured
from muscle_llm.comparison.types import Role
from muscle_llm.comparison.views import View
from muscle_llm.predictions.build import CASE_ONLY
from muscle_llm.predictions.schema import Provenance
from muscle_llm.text import counted

__all__ = ["exclusions", "grading_notes", "notes"]


def exclusions(measured: Measured) -> dict[str, int | None]:
    """Return how many rows were left out, and why."""
    old, new, paired = measured.views["old"], measured.views["new"], measured.paired
    both = old.usable & new.usable
    return {
        "paired": paired.n,
        "excluded_errors": int((~both).sum()),
        "excluded_unscored": int((both & ~(old.graded & new.graded)).sum()),
        "errors_old": old.errors,
        "errors_new": new.errors,
        "unmatched_old": paired.unmatched["old"],
        "unmatched_new": paired.unmatched["new"],
        "no_answer_old": old.unanswered,
        "no_answer_new": new.unanswered,
        "truncated_old": None if old.truncated is None else int(old.truncated.sum()),
        "truncated_new": None if new.truncated is None else int(new.truncated.sum()),
        "dropped_prompt": paired.dropped.get("prompt:new", 0),
        "dropped_reference": paired.dropped.get("reference:new", 0),
    }


def notes(
    measured: Measured,
    counts: Mapping[str, int | None],
    lacking: Mapping[str, int],
    roles: Mapping[str, Role],
) -> list[str]:
    """Return one sentence for everything that could mislead.

    Args:
        measured: the versions, side by side.
        counts: of the comparison.
        lacking: score -> number of instances without it.
        roles: candidate -> its role.
    """
    found, views = [], measured.views
    graded = views["old"].correct is not None and views["new"].correct is not None
    if counts["excluded_errors"]:
        rows = counted(counts["excluded_errors"], "row with an error is", "rows with an error are")
        found.append(f"{rows} left out ({counts['errors_old']} in old, {counts['errors_new']} in new).")
    if graded and counts["excluded_unscored"]:
        rows = counted(counts["excluded_unscored"], "row is", "rows are")
        found.append(f"{rows} left out of the flips: ungraded in at least one version.")
    for side in ("old", "new"):
        version = views[side]
        if counts[f"no_answer_{side}"]:
            found.append(_unanswered(version, side))
        if counts[f"truncated_{side}"]:
            cut = counted(counts[f"truncated_{side}"], f"answer of {side} is", f"answers of {side} are")
            found.append(f"{cut} cut off by the length limit.")
        if version.correct is not None and not np.any(version.correct):
            found.append(
                f"{side} has no right answers; check the mapping of answer and reference, or of correct."
            )
    if counts.get("flips_same_answer"):
        flips = counted(counts["flips_same_answer"], "flip has", "flips have")
        found.append(
            f"{flips} the same answer in both versions: the grading or the reference differs, not the answer."
        )
    if counts.get("n") and counts.get("clusters") == 1:
        found.append("all instances are in one cluster: no figure has an interval.")
    reruns = [n for n, role in roles.items() if role == "noise_floor" and views[n].correct is not None]
    if graded and len(reruns) > 1:
        found.append(f"of {len(reruns)} re-runs of old, the first, {reruns[0]!r}, is the noise floor.")
    if not counts.get("n") and graded:
        found.append("no instance is graded in both versions.")
    found += [
        f"{counted(n, 'instance lacks', 'instances lack')} the score {score!r} in old or new: left out of it."
        for score, n in lacking.items()
    ]
    return found


def grading_notes(sides: Mapping[str, Provenance]) -> list[str]:
    """Return one sentence per side whose answers were graded here and whose case decided.

    Example:
        >>> grading_notes({"old": Provenance(), "new": Provenance(extra={CASE_ONLY: "3"})})[0][:40]
        'new: 3 answers differ from the reference'
    """
    counts = {side: provenance.extra.get(CASE_ONLY) for side, provenance in sides.items()}
    return [
        f"{side}: {counted(int(n), 'answer differs', 'answers differ')} from the reference in upper and "
        "lower case only, which counts as not right."
        for side, n in counts.items()
        if n is not None
    ]


def _unanswered(version: View, side: str) -> str:
    text = f"{counted(version.unanswered, 'row has', 'rows have')} no answer in {side}"
    if version.correct is None:
        return f"{text}."
    if version.unanswered_right:
        return f"{text}; the log counts {version.unanswered_right} of them as right."
    return f"{text} and {'counts' if version.unanswered == 1 else 'count'} as not right."
