"""What every figure of a comparison is computed from: paired rows as arrays, and old against each version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muscle_llm.comparison.pairing import Paired
from muscle_llm.comparison.views import (
    Bools,
    Codes,
    Layout,
    View,
    answer_codes,
    layout,
    same_answers,
    view,
)
from muscle_llm.metrics.averaged import one_hot
from muscle_llm.metrics.flips import joint_codes
from muscle_llm.metrics.repeats import pair_cells, share_right
from muscle_llm.predictions.arrow import pc

__all__ = ["Joint", "Measured", "joint", "measure"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Joint:
    """Old against another version, row by row and instance by instance.

    Attributes:
        codes: shape (rows,), 4 old right + 2 other right + same answer, of all rows.
        good: shape (rows,), whether both are graded.
        answers_known: whether "same answer" means anything.
        cells: shape (instances, 8), pairs of answers in each of the eight cells, none for instances without a
            graded answer in one version; ``None`` where rows are independent instances.
    """

    codes: NDArray[np.uint8]
    good: Bools
    answers_known: bool
    cells: Floats | None

    @property
    def known(self) -> Bools:
        """Whether an instance is measured (only with ``cells``)."""
        assert self.cells is not None
        return self.cells.sum(1) > 0


@dataclass(frozen=True, slots=True)
class Measured:
    """The paired rows of all versions, ready to be measured.

    Attributes:
        paired: the rows side by side.
        views: version -> its rows as arrays.
        layout: how rows make instances, and instances clusters.
        joints: version other than old -> old against it; ``None`` where one of them is not graded at all.
        confidence: level of all intervals.
        tolerance: a change of a score by at most this much is no flip.
    """

    paired: Paired
    views: Mapping[str, View]
    layout: Layout
    joints: Mapping[str, Joint | None]
    confidence: float
    tolerance: float

    def clusters(self, instances: Bools | Codes) -> Codes | None:
        """Return the cluster of each of the chosen instances; ``None`` where instances are independent."""
        return None if self.layout.cluster is None else self.layout.cluster[instances]

    def usable(self, version: str) -> Bools:
        """Return per instance whether old and the version have a row without an error, of whichever
        repeat."""
        sides = self.views["old"].usable, self.views[version].usable
        if self.layout.instance is None:
            return sides[0] & sides[1]
        counts = (np.bincount(self.layout.instance, weights=s, minlength=self.layout.n) for s in sides)
        return np.logical_and.reduce([c > 0 for c in counts])

    def shared_scores(self, *versions: str) -> list[str]:
        """Return the scores that all the named versions have."""
        first, *others = (self.views[v].scores for v in versions)
        return [s for s in first if all(s in o for o in others)]

    def scores(self, version: str, name: str) -> Floats:
        """Return a score per instance, the mean over its usable repeats; NaN where there is none."""
        v = self.views[version]
        values = np.where(v.usable, v.scores[name], np.nan)
        if self.layout.instance is None:
            return values
        known = ~np.isnan(values)
        owner, n = self.layout.instance, self.layout.n
        sums = np.bincount(owner, weights=np.where(known, values, 0.0), minlength=n)
        tries = np.bincount(owner, weights=known, minlength=n)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(tries > 0, sums / tries, np.nan)

    def slices(self, version: str) -> dict[str, pa.ChunkedArray]:
        """Return slice name -> the value of each row, as the version's log has them."""
        table = self.paired.tables[version]
        if "slices" not in table.column_names:
            return {}
        fields = table.schema.field("slices").type
        return {f.name: pc.struct_field(table["slices"], f.name) for f in fields}

    def repeated(self) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]] | None:
        """Return right answers and graded answers per instance of old, and of new; ``None`` without repeats
        or grades."""
        instance, old, new = self.layout.instance, self.views["old"], self.views["new"]
        if instance is None or old.correct is None or new.correct is None:
            return None
        n = self.layout.n
        return (
            share_right(old.correct, old.graded, instance, n),
            share_right(new.correct, new.graded, instance, n),
        )


def measure(paired: Paired, *, confidence: float, tolerance: float) -> Measured:
    """Return the paired rows as arrays, and old against every other version.

    Example:
        >>> from muscle_llm.comparison.pairing import pair
        >>> from muscle_llm.predictions.schema import Predictions
        >>> one = Predictions.from_columns({"id": ["a", "b"], "correct": [True, False]})
        >>> measured = measure(pair({"old": one, "new": one}), confidence=0.95, tolerance=0.0)
        >>> measured.joints["new"].codes.tolist()  # 4 old right + 2 new right
        [6, 0]
    """
    views = {name: view(table, paired.present.get(name)) for name, table in paired.tables.items()}
    shape = layout(paired.tables["old"], paired.tables["new"])
    joints = {name: joint(views["old"], v, shape) for name, v in views.items() if name != "old"}
    return Measured(paired, views, shape, joints, confidence, tolerance)


def joint(old: View, other: View, layout: Layout) -> Joint | None:
    """Return the joint outcomes of old and another version; ``None`` where one is not graded at all."""
    if old.correct is None or other.correct is None:
        return None
    same = same_answers(old, other)
    codes = joint_codes(old.correct, other.correct, same)
    good = old.graded & other.graded
    cells = None
    if layout.instance is not None:
        cells = pair_cells(
            layout.instance,
            layout.n,
            (old.correct, other.correct),
            (old.graded, other.graded),
            answer_codes(old, other),
        )
    elif layout.cluster is not None:
        cells = one_hot(codes)
        cells[~good] = 0
    return Joint(codes, good, same is not None, cells)
