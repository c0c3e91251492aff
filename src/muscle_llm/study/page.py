"""A study's results as Markdown: which remedy works, how surely, at what cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from muscle_llm.study.aim import aim_sentence
from muscle_llm.study.analysis import (
    Correlation,
    Measured,
    choose,
    correlation,
    measure,
    models_at_inference,
    pooled_difference,
    removed_share,
    removed_share_difference,
)
from muscle_llm.study.results import about_of
from muscle_llm.study.tables import (
    INTERVALS,
    NO_VALUE,
    Cells,
    accuracy_word,
    having,
    having_excess,
    lead_over,
    marked,
    opening,
    pooled_over,
    read_all,
    role_of,
    safe,
    shown,
    shown_versions,
    signed,
    table,
    title_of,
    what_ran,
)

__all__ = ["correlations", "flip_points", "gap_points", "headline", "study_page"]

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
    cells, about = [measure(outcomes) for outcomes in read_all(results)], about_of(results)
    parts = [
        *opening(about),
        what_ran(cells, about),
        "## Is the aim met?",
        aim_sentence(cells, default, published),
        "## Remedies",
        _REMEDIES.format(published=safe(published)),
        *_headlines(cells, published),
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
        *(part for m in cells for part in (f"### {title_of(m)}", _versions_table(m))),
        "## Intervals",
        INTERVALS,
    ]
    return "\n\n".join(parts) + "\n"


def _headlines(cells: Cells, published: str) -> Iterable[str]:
    """Yield the pooled table; where some pairs have no excess, also one with them."""
    excess = having_excess(cells)
    if not excess:
        yield "In no pair of an update and a task does `new` break more than the old re-run."
        yield headline(cells, published)
        return
    yield headline(excess, published)
    if len(excess) < len(cells):
        kept = {id(m) for m in excess}
        without = [title_of(m) for m in cells if id(m) not in kept]
        yield (
            f"The {len(excess)} of {len(cells)} pairs in which `new` breaks more than the old re-run. Left "
            f"out, since there is no excess to remove: {'; '.join(without)}. With them, which makes the sum "
            "that shares are taken of smaller and so the shares larger:"
        )
        yield headline(cells, published)


def headline(cells: Cells, published: str) -> str:
    """Return the table of all remedies, pooled over these updates and tasks."""
    rows = []
    for name in shown_versions(cells):
        have = having(cells, name)
        against = [lead_over(cells, name, control) for control in ("continued", published)]
        role = role_of(have[0], name)
        rows.append(
            [
                safe(name) + pooled_over(cells, have),
                models_at_inference(role),
                shown(removed_share(have, name)),
                shown(pooled_difference(have, "accuracy", name, "new"), signed=True),
                *against,
            ]
        )
    return table(
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


def _by(what: str, cells: Cells, key: Callable[[Measured], str], published: str) -> Iterable[str]:
    groups: dict[str, list[Measured]] = {}
    for m in cells:
        groups.setdefault(key(m), []).append(m)
    for name, group in groups.items():
        yield f"### {what.capitalize()} {safe(name)}"
        yield headline(group, published)


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
    yield table([*headings, "removes more than continued"], rows, texts=3)
    picked = [name or "new" for name in chosen]
    more = removed_share_difference(cells, picked, "continued")
    yield (
        f"Together they remove {shown(removed_share(cells, picked))} % of the excess, "
        f"{shown(more, signed=True)} points more than `continued`, at an accuracy of "
        f"{shown(pooled_difference(cells, 'accuracy', picked, 'new'), signed=True)} points against `new`. "
        "Where none was chosen, `new` stands. The intervals take the choice as given."
    )


def _chosen_row(m: Measured, name: str) -> list[str]:
    return [
        shown(removed_share([m], name)),
        shown(m.difference("accuracy", name, "new"), signed=True),
        shown(m.difference("nfr", name, "new"), signed=True),
        shown(removed_share_difference([m], name, "continued"), signed=True),
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
            rows.append([title, name, signed(found.pearson), signed(found.spearman), found.points])
    yield table(["figures", "tasks", "Pearson r", "Spearman rho", "points"], rows, texts=2)


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
        role = role_of(having(cells, name)[0], name)
        costs = (_relative_cost(have, name, kind) for kind in ("steps_VS", "tokens_VS", "seconds_VS"))
        rows.append([safe(name), safe(role), *costs, models_at_inference(role)])
    yield table(["version", "kind", "steps", "tokens", "seconds", "models at inference"], rows, texts=2)


def _relative_cost(cells: Cells, name: str, kind: str) -> str:
    def total(version: str) -> float:
        # What takes no steps, such as a dial, is not trained, though it takes some time.
        return sum(
            float(np.sum(getattr(m.outcomes, kind)[v] + 0 * m.outcomes.steps_VS[v]))
            for m in cells
            for v in [m.place(version)]
        )

    ratio = total(name) / total("continued") if having(cells, name, "continued") else math.nan
    return NO_VALUE if math.isnan(ratio) else f"{ratio:.2f}"


def _versions_table(m: Measured) -> str:
    mc = [] if m.outcomes.is_score else ["nfr_mc"]

    def change(name: str, other: str) -> str:
        return "" if name in ("old", other) else shown(m.difference("nfr", name, other), signed=True)

    def own(name: str, figure: str) -> str:
        return "" if name == "old" else shown(m.estimate(figure, name))

    rows = [
        [
            marked(m, name),
            shown(m.estimate("accuracy", name)),
            own(name, "nfr"),
            change(name, "old_rerun"),
            *(own(name, figure) for figure in (*mc, "pfr")),
            *(change(name, control) for control in ("new", "continued")),
        ]
        for name in m.outcomes.versions
    ]
    headings = ["version", accuracy_word(m), "NFR", "excess NFR", *(["NFR_mc"] if mc else []), "PFR"]
    return table([*headings, "NFR against new", "NFR against continued"], rows)
