"""A study's results as Markdown: which remedy works, how surely, at what cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from muscle_llm.errors import InputError
from muscle_llm.report.escaping import escape_markdown as safe
from muscle_llm.study.analysis import (
    Correlation,
    Estimate,
    Measured,
    choose,
    correlation,
    measure,
    models_at_inference,
    pooled_difference,
    removed_share,
    removed_share_difference,
)
from muscle_llm.study.results import Outcomes, about_of, read_outcomes
from muscle_llm.update.remedies import KINDS

__all__ = ["ablation_page", "correlations", "shown_versions", "study_page"]

Cells = Sequence[Measured]

_NO_VALUE = "–"
_UNKNOWN = Estimate(math.nan, math.nan, math.nan)
_INTERVALS = (
    "Shares in percent, differences in points, scores times 100. In brackets: 95 % intervals, percentiles of "
    "2000 replicates that draw seeds and instances anew, independently of each other; all versions, and all "
    "updates of a task, see the same draws, so differences are paired. Few seeds make the intervals somewhat "
    "too narrow where seeds differ mainly in level, and too wide where they differ mainly instance by "
    "instance. Nothing is corrected for the number of comparisons. A dash: undefined; a share of the excess "
    "has no interval where that of the excess itself reaches 0."
)
_REMEDIES = (
    "Share of the excess negative flips removed: (NFR of `new` - NFR) / (NFR of `new` - NFR of `old_rerun`), "
    "each summed over what is pooled. Accuracy against `new`: mean over updates and tasks. A name with tasks "
    "behind it is pooled over those only, a difference over what both have. `continued` is `new` trained on "
    "for as many steps as a remedy, {published} the published method. Two models at inference cost twice as "
    "much or more for every answer: a bound, not a remedy to ship."
)
_REGULARITIES = (
    "The paper finds more negative flips, and more of them removed, the smaller the accuracy gap (negative "
    "correlations), and NFR_mc falling with NFR (positive ones). Gap: accuracy of `new` - that of `old`. A "
    "point of the first two is an update of a task, mean over seeds; of the third a version of it: `new` and "
    "what is made from it. Points of one update depend on each other; few points say little."
)
_COST = (
    "Of the training, relative to `continued` over the same updates, tasks and seeds; a dash: nothing is "
    "trained. Seconds depend on what else the machine did and on which remedy fills the teachers' caches. A "
    "dial costs in addition what the remedy at its far end does."
)


def study_page(
    results: Path, *, default: str = "keep", published: str = "muscle", plots: Sequence[str] = ()
) -> str:
    """Return a study's page.

    Args:
        results: what `muscle_llm.study.results.write_results` wrote.
        default: the remedy whose aim is judged.
        published: the remedy that the paper describes, as the study names it.
        plots: pictures to show, as paths relative to the page.

    Raises:
        InputError: the file is not a study's, or no instance is left to report on.
    """
    cells, about = [measure(outcomes) for outcomes in _read(results)], about_of(results)
    parts = [
        "# Study",
        _what_ran(cells, about),
        "## Is the aim met?",
        aim_sentence(cells, default, published),
        "## Remedies",
        _REMEDIES.format(published=safe(published)),
        headline(cells, published),
        *(f"![{safe(Path(plot).stem)}]({plot})" for plot in plots),
        *_by("update", cells, lambda m: m.outcomes.update, published),
        *_by("task", cells, lambda m: m.outcomes.task, published),
        "## Chosen on the validation part",
        *_chosen(cells),
        "## Regularities of the paper",
        *_regularities(cells, default),
        "## Cost",
        *_cost(cells),
        "## Every update and task",
        "Excess: NFR - NFR of `old_rerun`.",
        *(part for m in cells for part in (f"### {_title(m)}", _versions_table(m))),
        "## Intervals",
        _INTERVALS,
    ]
    return "\n\n".join(parts) + "\n"


def ablation_page(results: Path, *, validation: bool = True) -> str:
    """Return tables of settings: each remedy's accuracy and change of NFR per update and task.

    Args:
        results: what `muscle_llm.study.results.write_results` wrote.
        validation: on the part that choices are made on, in place of the part that is reported.

    Raises:
        InputError: the file is not a study's, or that part has no instances.
    """
    cells = [measure(outcomes, validation=validation) for outcomes in _read(results)]
    about = about_of(results)
    part = "validation part, which choices are made on" if validation else "test part"
    parts = ["# Ablation", f"On the {part}. {_what_ran(cells, about)}"]
    for m in cells:
        parts += [f"## {_title(m)}", _ablation_table(m, about.get("remedies", {}))]
    return "\n\n".join([*parts, _INTERVALS]) + "\n"


def shown_versions(cells: Cells) -> list[str]:
    """Return the control and every remedy, in the order of the study."""
    names = dict.fromkeys(v for m in cells for v in m.outcomes.versions)
    return [v for v in names if v not in ("old", "new", "old_rerun")]


def having(cells: Cells, *versions: str) -> list[Measured]:
    """Return the updates and tasks that have all those versions."""
    return [m for m in cells if all(v in m.outcomes.versions for v in versions)]


def headline(cells: Cells, published: str) -> str:
    """Return the table of all remedies, pooled over these updates and tasks."""
    rows = []
    for name in shown_versions(cells):
        have = having(cells, name)
        against = [_against(cells, name, control) for control in ("continued", published)]
        role = _role(have[0], name)
        rows.append(
            [
                safe(name) + _pooled_over(cells, have),
                models_at_inference(role),
                _value(removed_share(have, name)),
                _value(pooled_difference(have, "accuracy", name, "new"), signed=True),
                *against,
            ]
        )
    return _table(
        [
            "version",
            "models",
            "excess removed, %",
            "accuracy against new",
            "removes more than continued",
            f"removes more than {safe(published)}",
        ],
        rows,
    )


def aim_sentence(cells: Cells, default: str, published: str) -> str:
    """Return in words whether the default reaches the study's aim, and what it misses."""
    have, name = having(cells, default), safe(default)
    if not have:
        return f"It cannot be said: the results hold no {name}."
    share = removed_share(have, default)
    change = pooled_difference(have, "accuracy", default, "new")
    words = f"It changes accuracy against `new` by {_value(change, signed=True)} points"
    aims = [
        _Aim(
            "share", f"It removes {_value(share)} % of the excess negative flips", "60 % or more", share, 0.6
        ),
        _Aim("accuracy", words, "no loss", change, 0.0),
    ]
    for control in dict.fromkeys(c for c in ("continued", published) if c != default):
        both = having(cells, default, control)
        more = removed_share_difference(both, default, control) if both else _UNKNOWN
        words = f"It removes {_value(more, signed=True)} points more of it than {safe(control)}"
        aims.append(_Aim(f"lead over {safe(control)}", words, "25 points or more", more, 0.25))
    missed = [aim.name for aim in aims if not aim.verdict.startswith("met")]
    answer = "Yes" if all(aim.verdict == "met" for aim in aims) else "By the point estimates, yes"
    lower = [m.difference("accuracy", default, "new") for m in have]
    lines = [
        f"**{'No' if missed else answer}**, for {name}{_pooled_over(cells, have)}."
        + (f" Not met or not to be told: {', '.join(missed)}." if missed else ""),
        "",
        *(f"- {aim.words}. Aim: {aim.aim}; **{aim.verdict}**." for aim in aims),
        f"- Of {len(lower)} pairs of an update and a task, its accuracy is below `new`'s in "
        f"{sum(e.value < 0 for e in lower)}, with the whole interval in {sum(e.high < 0 for e in lower)}.",
    ]
    return "\n".join(lines)


def correlations(cells: Cells, figure: Callable[[Measured], Sequence[tuple[float, float]]]) -> Correlation:
    """Return how the points (x, y) of all updates and tasks correlate."""
    points = [point for m in cells for point in figure(m)]
    return correlation([x for x, _ in points], [y for _, y in points])


def gap_points(m: Measured) -> list[tuple[float, float]]:
    """Return (accuracy of new - old, NFR of new) of one update and task."""
    return [(m.difference("accuracy", "new", "old").value, m.estimate("nfr", "new").value)]


def flip_points(m: Measured) -> list[tuple[float, float]]:
    """Return (NFR, NFR_mc) of every version but the old ones, none for scores."""
    if m.outcomes.is_score:
        return []
    names = [v for v in m.outcomes.versions if v not in ("old", "old_rerun")]
    return [(m.estimate("nfr", v).value, m.estimate("nfr_mc", v).value) for v in names]


def _read(results: Path) -> list[Outcomes]:
    found = read_outcomes(results)
    if not found:
        raise InputError(f"{results} holds a study without results. Run the study first.")
    return found


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


def _by(what: str, cells: Cells, key: Callable[[Measured], str], published: str) -> Iterable[str]:
    groups: dict[str, list[Measured]] = {}
    for m in cells:
        groups.setdefault(key(m), []).append(m)
    for name, group in groups.items():
        yield f"### {what.capitalize()} {safe(name)}"
        yield headline(group, published)


def _against(cells: Cells, name: str, control: str) -> str:
    both = having(cells, name, control)
    if name == control:
        return ""
    return _value(removed_share_difference(both, name, control), signed=True) if both else _NO_VALUE


def _chosen(cells: Cells) -> Iterable[str]:
    yield (
        "Of the remedies with one model at inference whose accuracy on the validation part is no lower than "
        "`new`'s, the one with the fewest negative flips there; its figures below are those of the test part."
    )
    if not all(m.outcomes.validation_N.any() for m in cells):
        yield "The study has no validation part, so nothing is chosen."
        return
    chosen = [choose(m.outcomes) for m in cells]
    rows = []
    for m, name in zip(cells, chosen, strict=True):
        row = [safe(m.outcomes.update), safe(m.outcomes.task)]
        rows.append([*row, "none", *[""] * 4] if name is None else [*row, safe(name), *_chosen_row(m, name)])
    headings = ["update", "task", "chosen", "excess removed, %", "accuracy against new", "change of NFR"]
    yield _table([*headings, "removes more than continued"], rows, texts=3)
    picked = [name or "new" for name in chosen]
    more = removed_share_difference(cells, picked, "continued")
    yield (
        f"Together they remove {_value(removed_share(cells, picked))} % of the excess, "
        f"{_value(more, signed=True)} points more than `continued`, at an accuracy of "
        f"{_value(pooled_difference(cells, 'accuracy', picked, 'new'), signed=True)} points against `new`. "
        "Where none was chosen, `new` stands. The intervals take the choice as given."
    )


def _chosen_row(m: Measured, name: str) -> list[str]:
    return [
        _value(removed_share([m], name)),
        _value(m.difference("accuracy", name, "new"), signed=True),
        _value(m.difference("nfr", name, "new"), signed=True),
        _value(removed_share_difference([m], name, "continued"), signed=True),
    ]


def _regularities(cells: Cells, default: str) -> Iterable[str]:
    def removed_points(m: Measured) -> list[tuple[float, float]]:
        gap = m.difference("accuracy", "new", "old").value
        return [(gap, m.difference("nfr", "new", default).value)]

    have = having(cells, default)
    kinds = [
        ("NFR of new, accuracy gap (Figure 4)", cells, gap_points),
        (f"NFR that {safe(default)} removes, accuracy gap", have, removed_points),
        ("NFR_mc, NFR (Figure 5)", [m for m in cells if not m.outcomes.is_score], flip_points),
    ]
    yield _REGULARITIES
    rows = []
    for title, chosen, points in kinds:
        for name, group in _groups(chosen):
            found = correlations(group, points)
            rows.append([title, name, _signed(found.pearson), _signed(found.spearman), found.points])
    yield _table(["figures", "tasks", "Pearson r", "Spearman rho", "points"], rows, texts=2)


def _groups(cells: Cells) -> list[tuple[str, list[Measured]]]:
    """Every task alone, and all but scores together: a score's flips are of another size."""
    tasks = dict.fromkeys(m.outcomes.task for m in cells)
    right = [m for m in cells if not m.outcomes.is_score]
    groups = [(safe(task), [m for m in cells if m.outcomes.task == task]) for task in tasks]
    if len({m.outcomes.task for m in right}) > 1:
        groups.insert(0, ("all but scores" if len(right) < len(cells) else "all", right))
    return groups


def _cost(cells: Cells) -> Iterable[str]:
    yield _COST
    rows = []
    for name in shown_versions(cells):
        have = having(cells, name, "continued")
        role = _role(having(cells, name)[0], name)
        costs = (_relative_cost(have, name, kind) for kind in ("steps_VS", "tokens_VS", "seconds_VS"))
        rows.append([safe(name), safe(role), *costs, models_at_inference(role)])
    yield _table(["version", "kind", "steps", "tokens", "seconds", "models at inference"], rows, texts=2)


def _relative_cost(cells: Cells, name: str, kind: str) -> str:
    def total(version: str) -> float:
        # What takes no steps, such as a dial, is not trained, though it takes some time.
        return sum(
            float(np.sum(getattr(m.outcomes, kind)[v] + 0 * m.outcomes.steps_VS[v]))
            for m in cells
            for v in [m.place(version)]
        )

    ratio = total(name) / total("continued") if having(cells, name, "continued") else math.nan
    return _NO_VALUE if math.isnan(ratio) else f"{ratio:.2f}"


def _versions_table(m: Measured) -> str:
    mc = [] if m.outcomes.is_score else ["nfr_mc"]

    def change(name: str, other: str) -> str:
        return "" if name in ("old", other) else _value(m.difference("nfr", name, other), signed=True)

    def own(name: str, figure: str) -> str:
        return "" if name == "old" else _value(m.estimate(figure, name))

    rows = [
        [
            _marked(m, name),
            _value(m.estimate("accuracy", name)),
            own(name, "nfr"),
            change(name, "old_rerun"),
            *(own(name, figure) for figure in (*mc, "pfr")),
            *(change(name, control) for control in ("new", "continued")),
        ]
        for name in m.outcomes.versions
    ]
    headings = ["version", _accuracy(m), "NFR", "excess NFR", *(["NFR_mc"] if mc else []), "PFR"]
    return _table([*headings, "NFR against new", "NFR against continued"], rows)


def _ablation_table(m: Measured, remedies: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name in m.outcomes.versions:
        if name == "old":
            continue
        changes = [
            "" if name == "new" else _value(m.difference(figure, name, "new"), signed=True)
            for figure in ("accuracy", "nfr")
        ]
        rows.append(
            [
                _marked(m, name),
                *_settings(remedies.get(name, {})),
                _value(m.estimate("accuracy", name)),
                changes[0],
                _value(m.estimate("nfr", name)),
                changes[1],
            ]
        )
    headings = ["version", "mask", "T", "CE share", "other settings", _accuracy(m)]
    return _table([*headings, f"change of {_accuracy(m)}", "NFR", "change of NFR"], rows, texts=5)


def _settings(settings: Mapping[str, Any]) -> list[str]:
    """Return mask, temperature, share of the cross-entropy, and what else is not as by default."""
    kind = KINDS.get(str(settings.get("kind")))
    usual = {} if kind is None else vars(kind)
    named = ("mask", "temperature", "ce_weight")
    own = {k: v for k, v in settings.items() if k != "name" and (k != "kind" or v != "distillation")}
    if settings.get("kind") != "distillation":
        named, usual = ("mask", "", ""), {}
    others = [f"{k} {v}" for k, v in own.items() if k not in named and (k not in usual or usual[k] != v)]
    return [*(safe(str(settings.get(k, ""))) for k in named), safe(", ".join(others))]


def _what_ran(cells: Cells, about: Mapping[str, Any]) -> str:
    seeds = sorted({len(m.outcomes.seeds) for m in cells})
    many = " to ".join(dict.fromkeys(str(n) for n in (seeds[0], seeds[-1])))
    notes = about.get("updates", {})
    updates = {m.outcomes.update: notes.get(m.outcomes.update) for m in cells}
    tasks = {m.outcomes.task: m.outcomes.validation_N for m in cells}
    told = [safe(u) + (f" ({safe(note)})" if note else "") for u, note in updates.items()]
    sizes = [f"{safe(t)} ({int((~v).sum())} and {int(v.sum())})" for t, v in tasks.items()]
    return (
        f"Updates: {'; '.join(told)}. Tasks, with their test and validation instances: {', '.join(sizes)}. "
        f"Pairs of an update and a task: {len(cells)}. Seeds: {many}."
    )


def _pooled_over(cells: Cells, have: Cells) -> str:
    if len(have) == len(cells):
        return ""
    tasks = {m.outcomes.task for m in have}
    if len(have) == sum(m.outcomes.task in tasks for m in cells):
        return f" ({safe(', '.join(dict.fromkeys(m.outcomes.task for m in have)))} only)"
    return f" ({len(have)} of {len(cells)} only)"


def _marked(m: Measured, name: str) -> str:
    return safe(name) + (" (two models)" if models_at_inference(_role(m, name)) > 1 else "")


def _role(m: Measured, name: str) -> str:
    return m.outcomes.roles_V[m.place(name)]


def _accuracy(m: Measured) -> str:
    return "score" if m.outcomes.is_score else "accuracy"


def _title(m: Measured) -> str:
    return f"{safe(m.outcomes.update)}, {safe(m.outcomes.task)}"


def _value(estimate: Estimate, *, signed: bool = False) -> str:
    """Write a figure of 0..1 times 100 with its interval.

    Example:
        >>> _value(Estimate(0.1234, 0.1, 0.15)), _value(Estimate(0.02, float("nan"), 0), signed=True)
        ('12.3 [10.0, 15.0]', '+2.0 [–]')
    """
    if math.isnan(estimate.value):
        return _NO_VALUE
    plus = "+" if signed else ""
    # Adding 0 turns a rounded -0.0 into 0.0.
    value, low, high = (
        f"{round(100 * x, 1) + 0.0:{plus}.1f}" for x in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{_NO_VALUE if math.isnan(estimate.low) else f'{low}, {high}'}]"


def _signed(value: float) -> str:
    return _NO_VALUE if math.isnan(value) else f"{value:+.2f}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1) -> str:
    lines = [headings, ["---"] * texts + ["---:"] * (len(headings) - texts), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
