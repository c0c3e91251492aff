"""Typed access to parsed JSON whose shape cannot be trusted: a value of the right kind, or an error with
its place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from muscle_llm.errors import InputError
from muscle_llm.predictions.convert import value_text

__all__ = ["Fields", "kind_of", "number_of"]


def kind_of(value: Any) -> str:
    """Return what a JSON value is, in words.

    Example:
        >>> kind_of([1]), kind_of(None)
        ('a list', 'null')
    """
    names: dict[type, str] = {
        list: "a list",
        str: "a text",
        bool: "true or false",
        type(None): "null",
        dict: "an object",
    }
    return names.get(type(value), "a number")


def number_of(value: Any) -> float | None:
    """Return a number (true and false are 1 and 0); ``None`` for anything else, NaN and numbers too large.

    Example:
        >>> number_of(True), number_of("1"), number_of(float("nan"))
        (1.0, None, None)
    """
    if not isinstance(value, bool | int | float) or value != value:
        return None
    try:
        return float(value)
    except OverflowError:
        return None


class Fields:
    """The fields of one JSON object, by name, each read as one kind of value.

    A field that is absent or null reads as ``None`` (or as empty); one of another kind is an `InputError`
    that says where and which.

    Args:
        value: the parsed value, which should be an object.
        place: how messages name it, such as ``"log.json, item 3"``.

    Example:
        >>> row = Fields({"id": 3, "score": {"value": 1}}, "log.json, item 1")
        >>> row.text("id"), row.inner("score").number("value"), row.number("absent")
        ('3', 1.0, None)
    """

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise InputError(f"{place}: is {kind_of(value)}, not an object {{...}}.")
        self.raw: Mapping[str, Any] = value
        self.place = place

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.raw.get(name) is not None

    def wrong(self, name: str, needed: str) -> InputError:
        """Return the error for a field of the wrong kind."""
        shown = value_text(self.raw.get(name)) or ""
        kind = kind_of(self.raw.get(name))
        return InputError(f"{self.place}: {name!r} is {kind} ({shown[:60]}), not {needed}.")

    def text(self, name: str) -> str | None:
        """Return any value as text; nested ones as JSON."""
        return value_text(self.raw.get(name))

    def string(self, name: str) -> str | None:
        """Return a text, and only a text."""
        value = self.raw.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, "a text")
        return value_text(value)

    def number(self, name: str) -> float | None:
        """Return a number (true and false are 1 and 0); NaN is ``None``."""
        value = self.raw.get(name)
        if value is None:
            return None
        if not isinstance(value, bool | int | float):
            raise self.wrong(name, "a number")
        try:
            number = float(value)
        except OverflowError as error:
            raise self.wrong(name, "a number of this size") from error
        return None if math.isnan(number) else number

    def whole(self, name: str) -> int | None:
        """Return a whole number between -2**31 and 2**31."""
        number = self.number(name)
        if number is None:
            return None
        if not number.is_integer() or abs(number) >= 2**31:
            raise self.wrong(name, "a whole number")
        return int(number)

    def flag(self, name: str) -> bool | None:
        """Return true or false; the numbers 1 and 0 mean the same."""
        number = self.number(name)
        if number is None:
            return None
        if number not in (0.0, 1.0):
            raise self.wrong(name, "true or false")
        return number == 1.0

    def inner(self, name: str) -> Fields:
        """Return the fields of an object; none where it is absent."""
        value = self.raw.get(name)
        if value is None:
            value = {}
        return Fields(value, f"{self.place}, {name!r}")

    def items(self, name: str) -> list[Any]:
        """Return a list; an empty one where it is absent."""
        value = self.raw.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        return value

    def objects(self, name: str, word: str = "item") -> Iterator[Fields]:
        """Yield the fields of each object in a list."""
        for number, value in enumerate(self.items(name), 1):
            yield Fields(value, f"{self.place}, {word} {number}")

    def texts(self, name: str) -> list[str | None] | None:
        """Return a list of texts: a list as it is, anything else as a list of one."""
        value = self.raw.get(name)
        if value is None:
            return None
        return [value_text(v) for v in value] if isinstance(value, list) else [value_text(value)]
