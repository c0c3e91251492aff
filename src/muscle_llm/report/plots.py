"""The page's pictures as files, for papers and READMEs: SVG and PNG, in the page's own look."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muscle_llm.comparison import Comparison
from muscle_llm.errors import MissingExtraError
from muscle_llm.files import atomic_path
from muscle_llm.report.flow_plot import draw_flow
from muscle_llm.report.instances import distributions
from muscle_llm.report.numbers import count, figure, is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["write_plots"]

INK, MUTED, LINE, SOFT = "#1a1a18", "#5f5f59", "#c9c9c2", "#f6f6f3"
LOSS, GAIN, MEND, RIGHT, WRONG = "#d55e00", "#0072b2", "#009e73", "#8f9a94", "#6b6b66"
_TINT = {"regression": "#fcefe5", "gain": "#e6f1f8", "both_right": SOFT, "both_wrong": SOFT}
_MARK = {"new": ("s", INK), "remedy": ("o", MEND), "control": ("D", MUTED), "noise_floor": ("^", MUTED)}

_SLICES = 60  # that one picture shows

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.hashsalt": "muscle-llm",
}


def write_plots(comparison: Comparison, folder: str | os.PathLike[str]) -> list[Path]:
    """Write every picture that the comparison has data for.

    Args:
        comparison: what to draw.
        folder: where the files go: ``quadrants``, ``remedies``, ``slices``, a ``flow-REMEDY`` each and a
            ``change-SCORE`` per score, each as ``.svg`` and ``.png`` (200 dots per inch).

    Returns:
        The files written.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing pictures as files", "plots") from error
    document = comparison.to_dict()
    written: list[Path] = []
    with mpl.rc_context(_STYLE):
        for name, (size, draw) in _pictures(comparison, document).items():
            picture = Figure(figsize=size, layout="constrained")
            FigureCanvasAgg(picture)
            draw(picture)
            for kind in ("svg", "png"):
                path = Path(folder) / f"{name}.{kind}"
                # Without its date the same picture is the same file.
                metadata: Any = {"Date": None} if kind == "svg" else None
                with atomic_path(path) as temporary:
                    picture.savefig(temporary, format=kind, dpi=200, metadata=metadata)
                written.append(path)
    return written


Drawing = tuple[tuple[float, float], Callable[["Figure"], None]]


def _pictures(comparison: Comparison, document: Mapping[str, Any]) -> dict[str, Drawing]:
    pictures: dict[str, Drawing] = {}
    if is_number(document["counts"].get("both_right")):
        pictures["quadrants"] = ((4.6, 3.2), lambda f: _quadrants(f.subplots(), document))
        pictures |= dict(_flows(document))
    if len(_points(document)) > 1:
        pictures["remedies"] = ((5.6, 3.6), lambda f: _remedies(f.subplots(), document))
    slices = [
        s for s in document.get("slices") or () if is_number((s["metrics"].get("nfr") or {}).get("value"))
    ]
    if slices:
        shown = _worst_slices(slices)
        height = 0.8 + 0.24 * len(shown)
        pictures["slices"] = ((5.6, height), lambda f: _slices(f.subplots(), document, shown, len(slices)))
    for score, data in distributions(comparison).items():
        pictures[f"change-{_file_name(score)}"] = (
            (5.6, 2.6),
            lambda f, s=score, d=data: _change(f.subplots(), s, d),
        )
    return pictures


def _flows(document: Mapping[str, Any]) -> Iterator[tuple[str, Drawing]]:
    """One flow a remedy, where the counts of all four quadrants are known."""
    for name, candidate in (document.get("candidates") or {}).items():
        against, counts = candidate["against_new"], document["counts"]
        if candidate["role"] == "remedy" and is_number(against.get("recovered")):
            names = document["old"]["name"], document["new"]["name"], name
            yield (
                f"flow-{_file_name(name)}",
                ((5.6, 3.2), lambda f, c=counts, a=against, n=names: draw_flow(f.subplots(), c, a, n)),
            )


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


def _quadrants(axes: Axes, document: Mapping[str, Any]) -> None:
    """Draw the two-by-two table with both-right and both-wrong split by whether the answer changed."""
    from matplotlib.patches import FancyBboxPatch

    counts = document["counts"]
    n = counts.get("rows") or counts["n"]
    cells = {
        "both_right": (0, 1, "Both right", counts["both_right"], INK),
        "regression": (1, 1, "Regression", counts["negative_flips"], "#a94800"),
        "gain": (0, 0, "Gain", counts["positive_flips"], "#00629a"),
        "both_wrong": (1, 0, "Both wrong", counts["both_wrong"], INK),
    }
    for name, (x, y, label, value, colour) in cells.items():
        axes.add_patch(
            FancyBboxPatch(
                (x + 0.03, y + 0.04),
                0.94,
                0.92,
                boxstyle="round,pad=0,rounding_size=0.03",
                fc=_TINT[name],
                ec="none",
            )
        )
        axes.text(
            x + 0.09, y + 0.83, label, color=colour if name in ("regression", "gain") else MUTED, va="center"
        )
        axes.text(x + 0.09, y + 0.62, count(value), color=colour, fontsize=17, fontweight="bold", va="center")
        axes.text(
            x + 0.93, y + 0.83, figure(value / n, "share", digits=1), color=MUTED, ha="right", va="center"
        )
        if is_number(counts.get(f"{name}_same")):
            same, changed = (count(counts[f"{name}_{part}"]) for part in ("same", "changed"))
            axes.text(x + 0.09, y + 0.3, f"same answer {same}\nchanged {changed}", color=MUTED, va="center")
    axes.set(xlim=(0, 2), ylim=(0, 2), xticks=[0.5, 1.5], yticks=[1.5, 0.5])
    axes.set_xticklabels([f"{_short(document['new']['name'])} right", "wrong"])
    axes.set_yticklabels([f"{_short(document['old']['name'])} right", "wrong"], rotation=90, va="center")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _points(document: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    found = [(document["new"]["name"], "new", document["metrics"])]
    found += [(n, c["role"], c["metrics"]) for n, c in (document.get("candidates") or {}).items()]
    needed = ("accuracy_new", "nfr")
    return [p for p in found if all(is_number((p[2].get(k) or {}).get("value")) for k in needed)]


def _remedies(axes: Axes, document: Mapping[str, Any]) -> None:
    """Draw accuracy against negative flips, with the noise floor and what the accuracy alone forces."""
    points, old = _points(document), document["metrics"]["accuracy_old"]["value"]
    span = max(m["nfr"]["value"] for _, _, m in points)
    for name, role, metrics in points:
        accuracy, nfr = metrics["accuracy_new"], metrics["nfr"]
        mark, colour = _MARK[role]
        hollow = role in ("control", "noise_floor")
        axes.errorbar(
            accuracy["value"],
            nfr["value"],
            xerr=_whiskers(accuracy),
            yerr=_whiskers(nfr),
            fmt=mark,
            color=colour,
            markerfacecolor="white" if hollow else colour,
            markersize=6,
            elinewidth=1,
            alpha=0.95,
        )
        close = any(
            abs(nfr["value"] - other["nfr"]["value"]) < 0.1 * span
            for _, _, other in points
            if other["nfr"]["value"] > nfr["value"]
        )
        axes.annotate(
            _short(name) + {"control": " (control)", "new": " (no remedy)"}.get(role, ""),
            (accuracy["value"], nfr["value"]),
            # Below the point where another one stands close above it.
            xytext=(7, -12 if close else 5),
            textcoords="offset points",
            color=MUTED if hollow else colour,
        )
        if role == "noise_floor":
            axes.axhline(nfr["value"], color=MUTED, linewidth=0.9, linestyle=(0, (5, 4)), zorder=0)
            axes.annotate(
                "noise floor",
                (1, nfr["value"]),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right",
                color=MUTED,
            )
    low, high = axes.get_xlim()
    top = max(axes.get_ylim()[1], 1e-6)
    if low < old:
        axes.fill_between([low, old], [old - low, 0], color=SOFT, zorder=-1, linewidth=0)
        axes.plot([low, old], [old - low, 0], color=LINE, linewidth=1)
    axes.set(xlim=(low, high), ylim=(0, top), xlabel="accuracy", ylabel="negative flips (NFR)")
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)
    axes.grid(axis="y", color="#e3e3de", linewidth=0.8)


def _percent(value: float, place: float) -> str:
    """Label of a tick."""
    del place
    return f"{100 * value:.4g} %"


def _whiskers(estimate: Mapping[str, Any]) -> list[list[float]] | None:
    low, value, high = estimate.get("low"), estimate["value"], estimate.get("high")
    if low is None or high is None:
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _worst_slices(slices: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The slices to draw, the largest NFR last; of many, those shown to be worse and the largest."""

    def nfr(piece: Mapping[str, Any]) -> float:
        return piece["metrics"]["nfr"]["value"]

    ranked = sorted(slices, key=lambda s: (bool(s.get("worse")), nfr(s)), reverse=True)
    return sorted(ranked[:_SLICES], key=nfr)


def _slices(axes: Axes, document: Mapping[str, Any], ordered: list[Mapping[str, Any]], total: int) -> None:
    """Draw the negative flips of each slice with its interval, the largest on top."""
    for at, piece in enumerate(ordered):
        estimate = piece["metrics"]["nfr"]
        colour = LOSS if piece.get("worse") else INK
        axes.errorbar(
            estimate["value"], at, xerr=_whiskers(estimate), fmt="o", color=colour, markersize=4, elinewidth=1
        )
    overall = (document["metrics"].get("nfr") or {}).get("value")
    if overall is not None and is_number(overall):
        axes.axvline(overall, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0)
    axes.set_yticks(range(len(ordered)), [_short(f"{s['slice']} = {s['value']}", 40) for s in ordered])
    left_out = f"\n{total - len(ordered):,} slices with fewer left out" if total > len(ordered) else ""
    axes.set(ylim=(-0.7, len(ordered) - 0.3), xlabel=f"negative flips (NFR){left_out}")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(_percent)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)


def _change(axes: Axes, score: str, data: Mapping[str, Any]) -> None:
    """Draw how many instances a score fell and rose by how much."""
    edges, counts = data["edges"], data["counts"]
    widths = [b - a for a, b in itertools.pairwise(edges)]
    colours = [LOSS if edge < 0 else GAIN for edge in edges[:-1]]
    axes.bar(edges[:-1], counts, width=widths, align="edge", color=colours, edgecolor="white", linewidth=0.4)
    falls = sum(c for c, e in zip(counts, edges[:-1], strict=True) if e < 0)
    rises = sum(counts) - falls
    axes.text(0.02, 0.95, f"{count(falls)} fall", transform=axes.transAxes, color="#a94800", va="top")
    axes.text(
        0.98, 0.95, f"{count(rises)} rise", transform=axes.transAxes, color="#00629a", va="top", ha="right"
    )
    axes.set(xlabel=f"change of {_short(score)}", ylabel="instances")


def _short(text: str, limit: int = 28) -> str:
    """A name as plain text of bounded length: matplotlib must not read a dollar sign as mathematics."""
    text = " ".join(text.split())
    # Full-width letters take two places.
    places = list(itertools.accumulate(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text))
    if places and places[-1] > limit:
        text = text[: sum(place < limit for place in places)] + "…"
    return text.replace("$", r"\$")
