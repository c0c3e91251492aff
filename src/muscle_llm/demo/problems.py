"""Small word problems with numbers up to 99: the demo's own GSM8K in miniature, invented throughout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

__all__ = ["KINDS", "NAMES", "THINGS", "Problem", "make_problem"]

NAMES = (
    "Ada",
    "Bo",
    "Cleo",
    "Dan",
    "Edda",
    "Finn",
    "Greta",
    "Hugo",
    "Ines",
    "Jon",
    "Kira",
    "Lars",
    "Mia",
    "Nico",
    "Olga",
    "Pia",
    "Rolf",
    "Suse",
    "Tim",
    "Uta",
    "Vera",
    "Willi",
    "Yara",
    "Zoe",
)
THINGS = (
    "apples",
    "pears",
    "plums",
    "nuts",
    "shells",
    "stones",
    "cards",
    "coins",
    "beads",
    "books",
    "pens",
    "stamps",
    "eggs",
    "buns",
    "tiles",
    "bolts",
)
LARGEST = 99

_GAINS = ("buys", "finds", "gets", "picks")
_LOSSES = ("loses", "sells", "gives away", "drops")
_BOXES = ("boxes", "bags", "jars", "rows")


@dataclass(frozen=True)
class Problem:
    """One word problem.

    Attributes:
        kind: which of :data:`KINDS` made it.
        story: the facts, one or two sentences.
        question: what is asked.
        steps: the sums that lead to the answer, such as ``("12+25=37", "37-9=28")``.
        told: the answer as a sentence, for text that tells instead of asking.
        answer: the right number, 0 to 99.
        choices: four different numbers, the right one among them.
    """

    kind: str
    story: str
    question: str
    steps: tuple[str, ...]
    told: str
    answer: int
    choices: tuple[int, ...]

    @property
    def text(self) -> str:
        """Story and question, as a reader sees them; also what tells two problems apart."""
        return f"{self.story} {self.question}"


@dataclass(frozen=True)
class _Draft:
    """What a kind decides: the words, the sums, the answer and the wrong answers a hasty reader gives."""

    story: str
    question: str
    steps: tuple[str, ...]
    told: str
    answer: int
    hasty: tuple[int, ...]


def _add(x: int, y: int) -> str:
    return f"{x}+{y}={x + y}"


def _subtract(x: int, y: int) -> str:
    return f"{x}-{y}={x - y}"


def _multiply(x: int, y: int) -> str:
    return f"{x}*{y}={x * y}"


def _gain(rng: Random) -> _Draft:
    a, o = rng.choice(NAMES), rng.choice(THINGS)
    x = rng.randint(2, LARGEST - 2)
    y = rng.randint(2, LARGEST - x)
    return _Draft(
        f"{a} has {x} {o} and {rng.choice(_GAINS)} {y} more.",
        f"How many {o} does {a} have now?",
        (_add(x, y),),
        f"Now {a} has {x + y} {o}.",
        x + y,
        (abs(x - y),),
    )


def _loss(rng: Random) -> _Draft:
    a, o = rng.choice(NAMES), rng.choice(THINGS)
    x = rng.randint(4, LARGEST)
    y = rng.randint(2, x - 1)
    return _Draft(
        f"{a} has {x} {o} and {rng.choice(_LOSSES)} {y}.",
        f"How many {o} are left?",
        (_subtract(x, y),),
        f"Then {x - y} {o} are left.",
        x - y,
        (x + y,),
    )


def _together(rng: Random) -> _Draft:
    a, b = rng.sample(NAMES, 2)
    o = rng.choice(THINGS)
    x = rng.randint(2, LARGEST - 2)
    y = rng.randint(2, LARGEST - x)
    return _Draft(
        f"{a} has {x} {o}. {b} has {y}.",
        f"How many {o} do they have together?",
        (_add(x, y),),
        f"Together they have {x + y} {o}.",
        x + y,
        (abs(x - y),),
    )


def _compare(rng: Random) -> _Draft:
    a, b = rng.sample(NAMES, 2)
    o = rng.choice(THINGS)
    x = rng.randint(4, LARGEST)
    y = rng.randint(2, x - 1)
    return _Draft(
        f"{a} has {x} {o}. {b} has {y}.",
        f"How many more {o} does {a} have?",
        (_subtract(x, y),),
        f"{a} has {x - y} more {o} than {b}.",
        x - y,
        (x + y,),
    )


def _boxes(rng: Random) -> _Draft:
    a, o, box = rng.choice(NAMES), rng.choice(THINGS), rng.choice(_BOXES)
    k = rng.randint(2, 9)
    m = rng.randint(2, min(12, LARGEST // k))
    return _Draft(
        f"{a} fills {k} {box} with {m} {o} each.",
        f"How many {o} is that?",
        (_multiply(k, m),),
        f"That is {k * m} {o}.",
        k * m,
        (k + m, k * m + k, k * m - m),
    )


def _gain_loss(rng: Random) -> _Draft:
    a, o = rng.choice(NAMES), rng.choice(THINGS)
    x = rng.randint(2, LARGEST - 4)
    y = rng.randint(2, LARGEST - x)
    z = rng.randint(2, x + y - 1)
    return _Draft(
        f"{a} has {x} {o}, {rng.choice(_GAINS)} {y} more and {rng.choice(_LOSSES)} {z}.",
        f"How many {o} are left?",
        (_add(x, y), _subtract(x + y, z)),
        f"Then {x + y - z} {o} are left.",
        x + y - z,
        (x + y, abs(x - y), abs(x - z)),
    )


def _more_together(rng: Random) -> _Draft:
    a, b = rng.sample(NAMES, 2)
    o = rng.choice(THINGS)
    x = rng.randint(2, 46)
    y = rng.randint(2, LARGEST - 2 * x)
    return _Draft(
        f"{a} has {x} {o}. {b} has {y} more than {a}.",
        f"How many {o} do they have together?",
        (_add(x, y), _add(x, x + y)),
        f"Together they have {x + x + y} {o}.",
        x + x + y,
        (x + y,),
    )


def _boxes_loss(rng: Random) -> _Draft:
    a, o, box = rng.choice(NAMES), rng.choice(THINGS), rng.choice(_BOXES)
    k = rng.randint(2, 9)
    m = rng.randint(2, min(12, LARGEST // k))
    z = rng.randint(1, k * m - 1)
    return _Draft(
        f"{a} fills {k} {box} with {m} {o} each and {rng.choice(_LOSSES)} {z}.",
        f"How many {o} are left?",
        (_multiply(k, m), _subtract(k * m, z)),
        f"Then {k * m - z} {o} are left.",
        k * m - z,
        (k * m, abs(k + m - z)),
    )


def _count(rng: Random) -> _Draft:
    a, o = rng.choice(NAMES), rng.choice(THINGS)
    s = rng.randint(2, 9)
    x = rng.randint(1, LARGEST - 2 * s)
    return _Draft(
        f"{a} has {x} {o} and gets {s} every day.",
        f"How many {o} does {a} have after two days?",
        (_add(x, s), _add(x + s, s)),
        f"After two days {a} has {x + 2 * s} {o}.",
        x + 2 * s,
        (x + s, x + 3 * s),
    )


KINDS: Mapping[str, Callable[[Random], _Draft]] = {
    "gain": _gain,
    "loss": _loss,
    "together": _together,
    "compare": _compare,
    "boxes": _boxes,
    "gain_loss": _gain_loss,
    "more_together": _more_together,
    "boxes_loss": _boxes_loss,
    "count": _count,
}


def _choices(rng: Random, answer: int, hasty: tuple[int, ...]) -> tuple[int, ...]:
    """Return the answer among three wrong ones: at most one hasty answer, the rest slips in a digit."""
    slips = [answer + d for d in (-20, -10, -2, -1, 1, 2, 10, 20)]
    if answer >= 10 and answer % 10:
        slips.append(answer % 10 * 10 + answer // 10)
    wrong: list[int] = []
    candidates = [*rng.sample(hasty, len(hasty))[:1], *rng.sample(slips, len(slips))]
    for number in candidates:
        if number != answer and 0 <= number <= LARGEST and number not in wrong:
            wrong.append(number)
    options = [answer, *wrong[:3]]
    rng.shuffle(options)
    return tuple(options)


def make_problem(rng: Random, kind: str) -> Problem:
    """Draw one problem of ``kind``.

    Args:
        rng: the source of chance; the same state gives the same problem.
        kind: one of :data:`KINDS`.

    Returns:
        The problem; every number in it lies between 0 and 99.

    Raises:
        KeyError: ``kind`` is not known.

    Example:
        >>> problem = make_problem(Random(1), "gain")
        >>> problem.text
        'Edda has 34 plums and picks 17 more. How many plums does Edda have now?'
        >>> problem.steps, problem.answer
        (('34+17=51',), 51)
    """
    draft = KINDS[kind](rng)
    choices = _choices(rng, draft.answer, draft.hasty)
    return Problem(kind, draft.story, draft.question, draft.steps, draft.told, draft.answer, choices)
