"""The flow from old to new to a remedy as a picture: what breaks, what is mended, which gains go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from muscle_llm.report.numbers import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_flow", "fate_counts"]

INK, LOSS, GAIN, MEND, SAME, RIGHT, WRONG = (
    "#1a1a18", "#d55e00", "#0072b2", "#009e73", "#c9c9c2", "#8f9a94", "#6b6b66",
)  # fmt: skip
_GAP, _BAR = 0.08, 0.025
# Old to new: colour, right in old, right in new.
_FIRST = {
    "both_right": (SAME, 1, 1),
    "negative_flips": (LOSS, 1, 0),
    "positive_flips": (GAIN, 0, 1),
    "both_wrong": (SAME, 0, 0),
}
# New to remedy, in the order in which the bands of old to new arrive: colour, right in new, right in it.
_SECOND = {
    "kept_right": (SAME, 1, 1),
    "newly_broken": (LOSS, 1, 0),
    "kept_gains": (GAIN, 1, 1),
    "lost_gains": (LOSS, 1, 0),
    "recovered": (MEND, 0, 1),
    "still_broken": (LOSS, 0, 0),
    "new_gains": (GAIN, 0, 1),
    "kept_wrong": (SAME, 0, 0),
}


def fate_counts(counts: Mapping[str, int], against: Mapping[str, int]) -> dict[str, int]:
    """Return what became of the instances from new to a candidate, eight counts that add up to all of them.

    Args:
        counts: the four quadrants of old against new.
        against: ``recovered``, ``newly_broken``, ``lost_gains`` and ``new_gains`` of the candidate.

    Example:
        >>> counts = {"both_right": 5, "negative_flips": 3, "positive_flips": 2, "both_wrong": 4}
        >>> against = {"recovered": 2, "newly_broken": 1, "lost_gains": 0, "new_gains": 1}
        >>> fate_counts(counts, against)["still_broken"], sum(fate_counts(counts, against).values())
        (1, 14)
    """
    return {
        "kept_right": counts["both_right"] - against["newly_broken"],
        "newly_broken": against["newly_broken"],
        "kept_gains": counts["positive_flips"] - against["lost_gains"],
        "lost_gains": against["lost_gains"],
        "recovered": against["recovered"],
        "still_broken": counts["negative_flips"] - against["recovered"],
        "new_gains": against["new_gains"],
        "kept_wrong": counts["both_wrong"] - against["new_gains"],
    }


def draw_flow(
    axes: Axes, counts: Mapping[str, int], against: Mapping[str, int], names: tuple[str, ...]
) -> None:
    """Draw three columns, right above wrong, and a band for each way between them.

    Args:
        axes: to draw on.
        counts: the four quadrants of old against new.
        against: the counts of the candidate against new.
        names: of old, new and the candidate.
    """
    fates = fate_counts(counts, against)
    total = sum(fates.values())
    rights = (
        counts["both_right"] + counts["negative_flips"],
        counts["both_right"] + counts["positive_flips"],
        fates["kept_right"] + fates["recovered"] + fates["kept_gains"] + fates["new_gains"],
    )
    scale = (1 - _GAP) / total
    columns = (0.0, 0.5 - _BAR / 2, 1 - _BAR)
    for x, name, right in zip(columns, names, rights, strict=True):
        _column(axes, x, name, right, total)
    for step, bands, sizes in ((0, _FIRST, counts), (1, _SECOND, fates)):
        # Upper edges of the free part, by right (1) and wrong (0), where bands leave and where they arrive.
        leave, arrive = ([1 - rights[k] * scale - _GAP, 1.0] for k in (step, step + 1))
        for name, (colour, before, after) in bands.items():
            height = sizes[name] * scale
            ends = (columns[step] + _BAR, leave[before]), (columns[step + 1], arrive[after])
            _band(axes, ends[0], ends[1], height, colour)
            leave[before] -= height
            arrive[after] -= height
    said = [("recovered", MEND), ("newly broken", LOSS), ("gains lost", LOSS), ("new gains", GAIN)]
    for k, (label, colour) in enumerate(said):
        value = fates[{"gains lost": "lost_gains"}.get(label, label.replace(" ", "_"))]
        axes.text(0.02 + 0.26 * k, -0.06, f"{label} {value:,}", color=colour, fontsize=8, va="top")
    axes.set(xlim=(0, 1), ylim=(-0.12, 1.1))
    axes.set_axis_off()


def _column(axes: Axes, x: float, name: str, right: int, total: int) -> None:
    from matplotlib.patches import Rectangle

    align = "left" if x < 0.3 else "right" if x > 0.7 else "center"
    at = {"left": x, "center": x + _BAR / 2, "right": x + _BAR}[align]
    share = right / total * (1 - _GAP)
    axes.add_patch(Rectangle((x, 1 - share), _BAR, share, fc=RIGHT, lw=0))
    axes.add_patch(Rectangle((x, 0), _BAR, 1 - share - _GAP, fc=WRONG, lw=0))
    text = f"{name}\n{figure(right / total, 'share', digits=1)} right"
    axes.text(at, 1.02, text, ha=align, va="bottom", fontsize=8.5, color=INK, parse_math=False)


def _band(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], height: float, colour: str
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if height <= 0:
        return
    (x0, y0), (x1, y1) = start, end
    middle = (x0 + x1) / 2
    points: list[tuple[float, float]] = [
        (x0, y0), (middle, y0), (middle, y1), (x1, y1),
        (x1, y1 - height), (middle, y1 - height), (middle, y0 - height), (x0, y0 - height), (x0, y0),
    ]  # fmt: skip
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(points, codes), fc=colour, alpha=0.5, lw=0))
