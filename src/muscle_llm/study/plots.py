"""A study's pictures as files: what a remedy removes, at what accuracy, and the paper's two regularities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from muscle_llm.errors import MissingExtraError
from muscle_llm.files import atomic_path
from muscle_llm.report.plots import GAIN, INK, LINE, LOSS, MEND, MUTED
from muscle_llm.study.analysis import (
    Estimate,
    Measured,
    correlation,
    interval,
    measure,
    models_at_inference,
    removed_share,
)
from muscle_llm.study.page import flip_points, gap_points
from muscle_llm.study.results import read_outcomes
from muscle_llm.study.tables import having, having_excess, shown_versions
from muscle_llm.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_plots"]

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#ededea",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "svg.hashsalt": "muscle-llm",
}
_COLOURS = (GAIN, LOSS, MEND, "#cc79a7", "#e69f00", "#56b4e9")  # of tasks
_MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")  # of updates
_LINE_HEIGHT = 12.0  # points

Drawing = tuple[tuple[float, float], Callable[["Axes"], None]]
Cells = Sequence[Measured]


def write_plots(results: Path, folder: Path, *, kinds: Sequence[str] = ("svg",)) -> list[Path]:
    """Write every picture that the results have data for.

    Args:
        results: what `muscle_llm.study.results.write_results` wrote.
        folder: where the files go: ``removed``, ``front-TASK`` for each task, ``gap`` and, where answers can
            be told apart, ``nfr-mc``.
        kinds: formats, of ``svg`` and ``png``.

    Returns:
        The files written; the same results give the same files.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: the file is not a study's.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing pictures as files", "plots") from error
    cells = [measure(outcomes) for outcomes in read_outcomes(results)]
    written: list[Path] = []
    with mpl.rc_context(_STYLE):
        for name, (size, draw) in _pictures(cells):
            picture = Figure(figsize=size, layout="constrained")
            FigureCanvasAgg(picture)
            draw(picture.subplots())
            for kind in kinds:
                path = folder / f"{name}.{kind}"
                metadata: Any = {"Date": None} if kind == "svg" else None
                with atomic_path(path) as temporary:
                    picture.savefig(temporary, format=kind, dpi=150, metadata=metadata)
                written.append(path)
    return written


def _pictures(cells: Cells) -> Iterator[tuple[str, Drawing]]:
    excess = having_excess(cells) or cells
    shares = [(name, removed_share(having(excess, name), name)) for name in shown_versions(excess)]
    shares = [(name, share) for name, share in shares if not math.isnan(share.value)]
    if shares:
        yield "removed", ((7.2, 1.2 + 0.27 * len(shares)), lambda axes: _forest(axes, cells, shares))
    taken: set[str] = set()
    for task in dict.fromkeys(m.outcomes.task for m in cells):
        of_task = [m for m in cells if m.outcomes.task == task]
        name = "front-" + "".join(c if c.isalnum() or c in "-_" else "-" for c in task)
        while name in taken:
            name += "-"
        taken.add(name)
        height = max(4.0, 1.4 + 0.18 * len(shown_versions(of_task)))
        yield name, ((7.2, height), lambda axes, group=of_task: _front(axes, group))
    yield "gap", ((7.2, 3.6), lambda axes: _gap(axes, cells))
    if any(flip_points(m) for m in cells):
        yield "nfr-mc", ((7.2, 3.6), lambda axes: _consistency(axes, cells))


def _forest(axes: Axes, cells: Cells, shares: Sequence[tuple[str, Estimate]]) -> None:
    """Draw the share of the excess that each version removes, pooled, with its interval."""
    for at, (name, share) in enumerate(reversed(shares)):
        two = _models(cells, name) > 1
        colour = MUTED if two or name == "continued" else MEND
        axes.errorbar(
            100 * share.value,
            at,
            xerr=_whiskers(share),
            fmt="D" if name == "continued" else "o",
            color=colour,
            markerfacecolor="white" if two else colour,
            markersize=6,
            elinewidth=1.4,
        )
    for x, label in ((0, "new"), (60, "aim"), (100, "old re-run")):
        axes.axvline(x, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)) if x == 60 else "-", zorder=0)
        height = 14 if label == "aim" else 3  # its own line: another may stand close
        at = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(label, (x, 1), (0, height), **at, color=MUTED, ha="center")
    names = [_label(cells, name) for name, _ in reversed(shares)]
    axes.set_yticks(range(len(shares)), names, color=INK)
    axes.set(ylim=(-0.6, len(shares) - 0.4), xlabel="excess negative flips removed, %, with 95 % interval")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _front(axes: Axes, cells: Cells) -> None:
    """Draw accuracy against negative flips of a task, means over its updates; labels stand at the right."""
    names = ["new", "old_rerun", *shown_versions(cells)]
    points = []
    for name in names:
        have = having(cells, name)
        accuracy, nfr = (_pooled(have, figure, name) for figure in ("accuracy", "nfr"))
        hollow = name in ("old_rerun", "continued") or _models(cells, name) > 1
        colour = INK if name == "new" else MUTED if hollow else MEND
        drawn = axes.errorbar(
            100 * accuracy.value,
            100 * nfr.value,
            xerr=_whiskers(accuracy),
            yerr=_whiskers(nfr),
            fmt={"new": "s", "old_rerun": "^", "continued": "D"}.get(name, "o"),
            color=colour,
            markerfacecolor="white" if hollow else colour,
            markersize=6,
            elinewidth=0.6,
        )
        _fade(drawn)
        points.append((100 * accuracy.value, 100 * nfr.value, _label(cells, name), colour))
    floor = 100 * _pooled(cells, "nfr", "old_rerun").value
    axes.axhline(floor, color=MUTED, linewidth=0.9, linestyle=(0, (5, 4)), zorder=0)
    task = printable(cells[0].outcomes.task)
    kind = "score x 100" if cells[0].outcomes.is_score else "accuracy, %"
    over = f", mean over {len(cells)} updates" if len(cells) > 1 else ""
    axes.set(xlabel=f"{kind} (right is better)", ylabel="NFR, % (low is better)", title=f"{task}{over}")
    axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
    _name_at_the_right(axes, points)


def _name_at_the_right(axes: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Write names in a column beside the axes, a line from each to its point, none over another."""
    low, high = axes.get_ylim()
    figure: Any = axes.figure
    # 0.8: what titles and tick labels leave of the figure's height, at the least.
    step = _LINE_HEIGHT / (72 * 0.8 * figure.get_figheight()) * (high - low)
    ordered = sorted(points, key=lambda p: (p[1], p[0]))
    for (x, y, name, colour), at in zip(ordered, spread([p[1] for p in ordered], step), strict=True):
        axes.annotate(
            name,
            (x, y),
            xytext=(1.03, (at - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.9, "linestyle": ":", "shrinkB": 4},
        )


def spread(values: Sequence[float], step: float) -> list[float]:
    """Return ascending values moved apart as little as keeps each ``step`` above the one before.

    Formula: argmin sum (z_i - values_i)^2 with z_i >= z_(i-1) + step, by pooling neighbours that collide

    Example:
        >>> spread([0.0, 1.0, 1.0, 5.0], 1.0)
        [-0.333..., 0.666..., 1.666..., 5.0]
    """
    groups: list[list[float]] = []  # of values less what their place in the row asks for
    for i, value in enumerate(values):
        groups.append([value - i * step])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    level = [float(np.mean(group)) for group in groups for _ in group]
    return [base + i * step for i, base in enumerate(level)]


def _gap(axes: Axes, cells: Cells) -> None:
    """Draw the negative flips of every update and task against its gap in accuracy (the paper's Figure 4)."""
    tasks, updates = _ordered(cells, "task"), _ordered(cells, "update")
    for m in cells:
        [(gap, nfr)] = gap_points(m)
        colour = _of(_COLOURS, tasks, m.outcomes.task)
        mark = _of(_MARKS, updates, m.outcomes.update)
        x, y = m.difference("accuracy", "new", "old"), m.estimate("nfr", "new")
        bars = {"xerr": _whiskers(x), "yerr": _whiskers(y), "elinewidth": 0.6}
        drawn = axes.errorbar(100 * gap, 100 * nfr, **bars, fmt=mark, color=colour, markersize=6)
        _fade(drawn)
    axes.axvline(0, color=LINE, linewidth=1, zorder=0)
    axes.set(xlabel="accuracy of new - that of old, points", ylabel="NFR of new, %")
    handles = [_handle(_of(_COLOURS, tasks, t), "o", _with_r(cells, t, gap_points)) for t in tasks]
    handles += [_handle(MUTED, _of(_MARKS, updates, u), printable(u)) for u in updates]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02))


def _consistency(axes: Axes, cells: Cells) -> None:
    """Draw NFR_mc against NFR, a point per version, update and task (the paper's Figure 5)."""
    tasks = _ordered([m for m in cells if flip_points(m)], "task")
    for m in cells:
        points = 100 * np.array(flip_points(m) or np.empty((0, 2)))
        if len(points):
            colour = _of(_COLOURS, tasks, m.outcomes.task)
            axes.plot(points[:, 0], points[:, 1], "o", color=colour, markersize=4.5, alpha=0.7, mew=0)
    most = min(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, most], [0, most], color=LINE, linewidth=1, zorder=0)
    axes.set(xlabel="NFR, %", ylabel="NFR_mc, %", xlim=(0, None), ylim=(0, None))
    handles = [_handle(_of(_COLOURS, tasks, t), "o", _with_r(cells, t, flip_points)) for t in tasks]
    handles.append(_handle(LINE, "", "NFR_mc = NFR", line="-"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02))


def _with_r(cells: Cells, task: str, points: Callable[[Measured], Sequence[tuple[float, float]]]) -> str:
    found = [p for m in cells if m.outcomes.task == task for p in points(m)]
    r = correlation([x for x, _ in found], [y for _, y in found])
    told = "" if math.isnan(r.pearson) else f" (r = {r.pearson:.2f}, {r.points} points)"
    return printable(task) + told


def _handle(colour: str, mark: str, label: str, *, line: Any = "") -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=mark, linestyle=line, markersize=6, label=label)


def _fade(drawn: Any) -> None:
    """Put intervals in the back: those of levels are wider than those of paired differences."""
    for bar in drawn.lines[2]:
        bar.set_alpha(0.35)


def _pooled(cells: Cells, figure: str, version: str) -> Estimate:
    """Mean of a figure over updates."""
    places = [(m, m.place(version)) for m in cells]
    return interval(
        float(np.mean([m.means[figure][v] for m, v in places])),
        np.mean([m.replicates[figure][v] for m, v in places], axis=0),
    )


def _whiskers(estimate: Estimate) -> list[list[float]] | None:
    if math.isnan(estimate.low):
        return None
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    return [[100 * max(0.0, below)], [100 * max(0.0, above)]]


def _models(cells: Cells, name: str) -> int:
    m = having(cells, name)[0]
    return models_at_inference(m.outcomes.roles_V[m.place(name)])


def _label(cells: Cells, name: str) -> str:
    """Return a version's name with what a reader must know of it."""
    have = having(cells, name)
    notes = ["two models"] if _models(cells, name) > 1 else []
    notes += {"continued": ["control"], "new": ["no remedy"], "old_rerun": ["noise floor"]}.get(name, [])
    if len(have) < len(cells):
        notes.append(f"{', '.join(_ordered(have, 'task'))} only")
    return printable(name) + (f" ({'; '.join(notes)})" if notes else "")


def _ordered(cells: Cells, what: str) -> list[str]:
    return list(dict.fromkeys(getattr(m.outcomes, what) for m in cells))


def _of(choices: Sequence[str], names: Sequence[str], name: str) -> str:
    return choices[names.index(name) % len(choices)]
