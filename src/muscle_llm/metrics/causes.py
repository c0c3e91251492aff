"""Why an answer flipped, as far as the logs tell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAUSES", "THIN_MARGIN", "choice_margin", "flip_causes"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# In this order: the first that holds is the cause.
CAUSES: dict[str, str] = {
    "truncated": "the wrong answer was cut off by the length limit",
    "extraction_failed": "no answer was found in the text of the wrong side",
    "same_answer": "both gave the same answer: the grading or the reference differs",
    "thin_margin": "the answer changed, but one version was nearly undecided",
    "answer_changed": "the answer changed outright",
    "unknown": "the logs hold no answers",
}

# A version is nearly undecided when its best option is less than twice as likely as the next one.
THIN_MARGIN = math.log(2)


def choice_margin(values: Floats, offsets: NDArray[np.integer]) -> Floats:
    """Return per row the log-likelihood of the best option minus that of the next.

    Args:
        values: the log-likelihoods of all rows in one array.
        offsets: shape (N + 1,), where each row starts and the last ends.

    Returns:
        Shape (N,), in nats; NaN for rows with fewer than two options.

    Example:
        >>> choice_margin(np.array([-1.0, -3.0, -2.0, -5.0]), np.array([0, 3, 4])).tolist()
        [1.0, nan]
    """
    n = len(offsets) - 1
    lengths = np.diff(offsets)
    margin = np.full(n, np.nan)
    rows = np.flatnonzero(lengths >= 2)
    if not rows.size:
        return margin
    owner = np.repeat(np.arange(n), lengths)
    order = np.lexsort((values[offsets[0] : offsets[-1]], owner))
    ordered = values[offsets[0] : offsets[-1]][order]
    ends = (offsets[1:] - offsets[0])[rows]
    with np.errstate(invalid="ignore"):
        margin[rows] = ordered[ends - 1] - ordered[ends - 2]
    return margin


def flip_causes(
    flipped: Bools,
    *,
    same: Bools | None,
    truncated: Bools | None,
    unextracted: Bools | None,
    margins: tuple[Floats | None, Floats | None] = (None, None),
    thin: float = THIN_MARGIN,
) -> NDArray[np.int8]:
    """Return per row the cause of its flip as an index into `CAUSES`; -1 where nothing flipped.

    Args:
        flipped: shape (N,), whether right became wrong or wrong right.
        same: whether both gave the same answer; ``None``: unknown.
        truncated: whether the wrong side's answer was cut off.
        unextracted: whether no answer was found in the wrong side's text.
        margins: per version, log-likelihood (nats) or vote margin of its choice; NaN or ``None``: unknown.
        thin: a margin below this is nearly undecided.

    Example:
        >>> flags = np.array([True, True, False])
        >>> cut = np.array([True, False, False])
        >>> codes = flip_causes(flags, same=~flags, truncated=cut, unextracted=None)
        >>> [list(CAUSES)[c] if c >= 0 else None for c in codes]
        ['truncated', 'answer_changed', None]
    """
    n = flipped.size
    narrow = np.zeros(n, bool)
    for margin in margins:
        if margin is not None:
            narrow |= np.nan_to_num(margin, nan=np.inf) < thin
    nothing = np.zeros(n, bool)
    names = list(CAUSES)
    cause = np.full(n, names.index("unknown" if same is None else "answer_changed"), np.int8)
    # The last assignment wins, so the surest cause comes last.
    for name, holds in (
        ("thin_margin", nothing if same is None else narrow),
        ("same_answer", nothing if same is None else same),
        ("extraction_failed", nothing if unextracted is None else unextracted),
        ("truncated", nothing if truncated is None else truncated),
    ):
        cause[holds] = names.index(name)
    cause[~flipped] = -1
    return cause
