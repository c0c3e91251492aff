"""The flip figures, each defined once: counts, slices, repeats and clusters all take them from here.

Two versions' answers to an instance fall into one of eight cells, 4 old right + 2 new right + same answer.
A figure is a share of the instances, the difference of two shares, what of a difference is a drop, or a
lift; which cells it counts says all else: its value, its interval in every design, whether it needs answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ALL",
    "CHANGED",
    "FIGURES",
    "NEW_RIGHT",
    "NEW_WRONG",
    "NO_ANSWERS",
    "OLD_RIGHT",
    "OLD_WRONG",
    "SAME",
    "Cells",
    "Difference",
    "Drop",
    "Figure",
    "Lift",
    "Share",
    "needs_answers",
]

Floats = NDArray[np.float64]
Cells = frozenset[int]
Shares = Callable[[Cells], Floats]  # cells -> which share of the instances falls into them

ALL: Cells = frozenset(range(8))
OLD_RIGHT: Cells = frozenset({4, 5, 6, 7})
NEW_RIGHT: Cells = frozenset({2, 3, 6, 7})
SAME: Cells = frozenset({1, 3, 5, 7})
OLD_WRONG, NEW_WRONG, CHANGED = ALL - OLD_RIGHT, ALL - NEW_RIGHT, ALL - SAME

NO_ANSWERS = "no answers in the logs"


@dataclass(frozen=True, slots=True)
class Share:
    """The share of the instances of ``given`` that fall into ``cells``.

    Interval: Wilson's, of the counts or of the effective number of instances.

    Attributes:
        cells: what counts.
        given: of which instances; all unless a condition is named.
        reason: why the share is undefined where no instance is given.

    Example:
        >>> Share(NEW_RIGHT, given=OLD_RIGHT).hits == {6, 7}
        True
    """

    cells: Cells
    given: Cells = ALL
    reason: str = "no instances"

    @property
    def hits(self) -> Cells:
        """The cells of the numerator."""
        return self.cells & self.given

    @property
    def parts(self) -> tuple[Cells, ...]:
        """The sets of cells whose counts the figure follows from."""
        return self.hits, self.given

    def value(self, share: Shares) -> Floats:
        """Return the value from the shares of sets of cells; NaN where it is undefined."""
        return share(self.hits) if self.given == ALL else share(self.hits) / share(self.given)


@dataclass(frozen=True, slots=True)
class Difference:
    """The share of ``first`` minus the share of ``second``, of the same instances.

    Interval: the paired score interval.

    Example:
        >>> needs_answers(Difference(NEW_RIGHT, OLD_RIGHT))
        False
    """

    first: Cells
    second: Cells
    reason: str = "no instances"

    @property
    def up(self) -> Cells:
        """The cells that raise the difference."""
        return self.first - self.second

    @property
    def down(self) -> Cells:
        """The cells that lower the difference."""
        return self.second - self.first

    @property
    def parts(self) -> tuple[Cells, ...]:
        """The sets of cells whose counts the figure follows from."""
        return self.up, self.down

    def value(self, share: Shares) -> Floats:
        """Return the value from the shares of sets of cells; NaN where it is undefined."""
        return share(self.up) - share(self.down)


@dataclass(frozen=True, slots=True)
class Drop:
    """How far a difference lies below 0: max(0, -difference).

    Interval: that of the difference, turned and cut likewise.

    Example:
        >>> float(Drop(Difference(NEW_RIGHT, OLD_RIGHT)).value(lambda cells: np.float64(len(cells) / 8)))
        0.0
    """

    of: Difference

    @property
    def reason(self) -> str:
        """Why the drop is undefined, where it is."""
        return self.of.reason

    @property
    def parts(self) -> tuple[Cells, ...]:
        """The sets of cells whose counts the figure follows from."""
        return self.of.parts

    def value(self, share: Shares) -> Floats:
        """Return the value from the shares of sets of cells; NaN where it is undefined."""
        return np.maximum(0.0, 0.0 - self.of.value(share))


@dataclass(frozen=True, slots=True)
class Lift:
    """How much oftener ``first`` and ``second`` meet than by chance: P(both) / (P(first) P(second)).

    Interval: the bootstrap; of slices, where it would cost too much, that of the linearised logarithm; where
    the two never meet, no draw has any, and it is the share's own interval over what independence would give.

    Attributes:
        first: one event.
        second: the other.
        reason: why the lift is undefined where one of them never happens.

    Example:
        >>> float(Lift(OLD_RIGHT, NEW_WRONG, "none").value(lambda cells: np.float64(len(cells) / 8)))
        1.0
    """

    first: Cells
    second: Cells
    reason: str

    @property
    def both(self) -> Share:
        """The share in which both happen."""
        return Share(self.first & self.second)

    @property
    def parts(self) -> tuple[Cells, ...]:
        """The sets of cells whose counts the figure follows from."""
        return self.first & self.second, self.first, self.second

    def value(self, share: Shares) -> Floats:
        """Return the value from the shares of sets of cells; NaN where it is undefined."""
        return share(self.first & self.second) / (share(self.first) * share(self.second))


Figure = Share | Difference | Drop | Lift


def needs_answers(figure: Figure) -> bool:
    """Return whether a figure tells "same answer" from "changed answer".

    Example:
        >>> needs_answers(Share(CHANGED)), needs_answers(Share(OLD_RIGHT & NEW_WRONG))
        (True, False)
    """
    return any({cell ^ 1 for cell in part} != part for part in figure.parts)


_ACCURACY_DIFFERENCE = Difference(NEW_RIGHT, OLD_RIGHT)

# The order is that of the JSON. What a figure means is said in `muscle_llm.metrics.definitions`.
FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "accuracy_old": Share(OLD_RIGHT),
        "accuracy_new": Share(NEW_RIGHT),
        "accuracy_difference": _ACCURACY_DIFFERENCE,
        "nfr": Share(OLD_RIGHT & NEW_WRONG),
        "pfr": Share(OLD_WRONG & NEW_RIGHT),
        "nfr_mc": Share(NEW_WRONG & CHANGED),
        "btc": Share(NEW_RIGHT, given=OLD_RIGHT, reason="old has nothing right"),
        "bec": Share(NEW_WRONG, given=OLD_WRONG, reason="old has nothing wrong"),
        "agreement": Share(SAME),
        "churn": Share(CHANGED),
        "nfr_floor": Drop(_ACCURACY_DIFFERENCE),
        "nfr_relative": Lift(OLD_RIGHT, NEW_WRONG, "old has nothing right, or new nothing wrong"),
        "both_right": Share(OLD_RIGHT & NEW_RIGHT),
        "both_right_same": Share(OLD_RIGHT & NEW_RIGHT & SAME),
        "both_right_changed": Share(OLD_RIGHT & NEW_RIGHT & CHANGED),
        "gain": Share(OLD_WRONG & NEW_RIGHT),
        "both_wrong": Share(OLD_WRONG & NEW_WRONG),
        "both_wrong_same": Share(OLD_WRONG & NEW_WRONG & SAME),
        "both_wrong_changed": Share(OLD_WRONG & NEW_WRONG & CHANGED),
        "regression": Share(OLD_RIGHT & NEW_WRONG),
    }
)
