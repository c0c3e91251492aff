"""Small dialogues of two people with a one-sentence summary: the demo's own SAMSum in miniature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from muscle_llm.demo.problems import NAMES

__all__ = ["DIALOGUE_KINDS", "Dialogue", "make_dialogue"]

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DOINGS = ("swim", "dance", "paint", "bake", "run", "sing", "cook", "skate", "read", "climb")
_PLACES = ("lake", "park", "school", "market", "bridge", "tower", "mill", "barn", "harbour", "station")
_GOODS = (
    "lamp",
    "drum",
    "kite",
    "tent",
    "scarf",
    "ladder",
    "basket",
    "bell",
    "map",
    "violin",
    "rope",
    "clock",
)
_COLOURS = ("red", "blue", "green", "white", "black", "yellow")
_REASONS = ("ill", "busy", "tired", "away", "late")


@dataclass(frozen=True)
class Dialogue:
    """A dialogue, one turn a line, and its summary."""

    kind: str
    turns: tuple[str, ...]
    summary: str

    @property
    def text(self) -> str:
        """The turns, one a line; also what tells two dialogues apart."""
        return "\n".join(self.turns)


def _plan(rng: Random) -> tuple[tuple[str, ...], str]:
    a, b = rng.sample(NAMES, 2)
    day, other = rng.sample(_DAYS, 2)
    doing, place, hour = rng.choice(_DOINGS), rng.choice(_PLACES), rng.randint(2, 11)
    if rng.random() < 0.5:
        return (
            f"{a}: Shall we {doing} on {day}?",
            f"{b}: I am {rng.choice(_REASONS)} on {day}. {other}?",
            f"{a}: Good, at {hour} by the {place}.",
        ), f"{a} and {b} will {doing} by the {place} on {other} at {hour}."
    return (
        f"{a}: Shall we {doing} on {day}?",
        f"{b}: Yes, at {hour}?",
        f"{a}: Good, by the {place}.",
    ), f"{a} and {b} will {doing} by the {place} on {day} at {hour}."


def _lend(rng: Random) -> tuple[tuple[str, ...], str]:
    a, b = rng.sample(NAMES, 2)
    good, colour, day = rng.choice(_GOODS), rng.choice(_COLOURS), rng.choice(_DAYS)
    if rng.random() < 0.5:
        return (
            f"{a}: Can you lend me your {good}?",
            f"{b}: The {colour} one? Yes.",
            f"{a}: You get it back on {day}.",
        ), f"{b} lends {a} the {colour} {good} until {day}."
    return (
        f"{a}: Can you lend me your {good}?",
        f"{b}: No, I need it on {day}.",
    ), f"{b} does not lend {a} the {good} because {b} needs it on {day}."


def _lost(rng: Random) -> tuple[tuple[str, ...], str]:
    a, b = rng.sample(NAMES, 2)
    good, colour = rng.choice(_GOODS), rng.choice(_COLOURS)
    place, other = rng.sample(_PLACES, 2)
    if rng.random() < 0.5:
        return (
            f"{a}: I cannot find my {colour} {good}.",
            f"{b}: Was it at the {place}?",
            f"{a}: No.",
            f"{b}: Then look at the {other}.",
        ), f"{a} has lost a {colour} {good} and will look for it at the {other}."
    return (
        f"{a}: I cannot find my {good}.",
        f"{b}: A {colour} one is at the {place}.",
        f"{a}: That is mine!",
    ), f"{b} has seen the {colour} {good} of {a} at the {place}."


def _sale(rng: Random) -> tuple[tuple[str, ...], str]:
    a, b = rng.sample(NAMES, 2)
    good, colour, price = rng.choice(_GOODS), rng.choice(_COLOURS), rng.randint(11, 99)
    lower = price - rng.randint(1, 9)
    agreed = rng.random() < 0.6
    turns = (
        f"{a}: How much is the {colour} {good}?",
        f"{b}: {price} coins.",
        f"{a}: {lower}?",
        f"{b}: {'Fine' if agreed else 'No'}.",
    )
    if agreed:
        return turns, f"{a} buys the {colour} {good} from {b} for {lower} coins."
    return turns, f"{a} does not buy the {colour} {good} from {b}."


DIALOGUE_KINDS: Mapping[str, Callable[[Random], tuple[tuple[str, ...], str]]] = {
    "plan": _plan,
    "lend": _lend,
    "lost": _lost,
    "sale": _sale,
}


def make_dialogue(rng: Random, kind: str) -> Dialogue:
    """Draw one dialogue of ``kind``.

    Args:
        rng: the source of chance; the same state gives the same dialogue.
        kind: one of :data:`DIALOGUE_KINDS`.

    Returns:
        The dialogue with its summary.

    Raises:
        KeyError: ``kind`` is not known.

    Example:
        >>> dialogue = make_dialogue(Random(1), "lend")
        >>> print(dialogue.text)
        Edda: Can you lend me your drum?
        Tim: The green one? Yes.
        Edda: You get it back on Monday.
        >>> dialogue.summary
        'Tim lends Edda the green drum until Monday.'
    """
    turns, summary = DIALOGUE_KINDS[kind](rng)
    return Dialogue(kind, turns, summary)
