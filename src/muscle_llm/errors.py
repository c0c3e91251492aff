"""Every error the package raises on purpose.

One root, so that callers can catch everything with one clause; each member is also the standard
exception that fits, so that callers who do not know the package are not surprised. A message
says what is wrong, where, and what to do about it: it is shown to the user as it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AdapterError",
    "ComparabilityError",
    "ConfigError",
    "InputError",
    "MissingExtraError",
    "MuscleError",
    "RunError",
    "clip",
    "did_you_mean",
]


class MuscleError(Exception):
    """Root of all errors of the package. The command line prints it and exits with ``exit_code``."""

    exit_code = 2


class InputError(MuscleError, ValueError):
    """An input file or table cannot be used: missing, empty, broken, or without a needed column."""


class ComparabilityError(MuscleError, ValueError):
    """Two sets of predictions do not answer the same questions, so no figure would mean anything."""


class ConfigError(MuscleError, ValueError):
    """A setting is unknown, has the wrong type, or contradicts another."""


class AdapterError(MuscleError, ValueError):
    """An adapter does not fit the base model it is to be put on."""


class RunError(MuscleError, RuntimeError):
    """A run folder cannot be used or a stage of an update failed."""


class MissingExtraError(MuscleError, ImportError):
    """A command needs an optional part of the package that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the '{extra}' extra, which is not installed. "
            f"Install it with: pip install 'muscle-llm[{extra}]'"
        )


def clip(text: str, limit: int = 80) -> str:
    """Return ``text`` cut to ``limit`` characters, for a message that quotes a file.

    Example:
        >>> clip("much too long", 8)
        'much to…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def did_you_mean(name: str, known: Iterable[str], limit: int = 3) -> str:
    """Return a hint with the known names nearest to ``name``.

    Args:
        name: what the user wrote.
        known: the names that would have been accepted.
        limit: how many near names to offer at most.

    Returns:
        A sentence such as ``"Did you mean 'answer'?"``, or the list of known names when none is near.

    Example:
        >>> did_you_mean("anser", ["answer", "id"])
        "Did you mean 'answer'?"
        >>> did_you_mean("zzz", ["answer", "id"])
        "Known: 'answer', 'id'."
    """
    names = [str(k) for k in known]
    near = difflib.get_close_matches(name, names, n=limit, cutoff=0.5)
    if not near:
        lowered = name.lower()
        near = [n for n in names if lowered in n.lower() or n.lower().split(".")[-1] == lowered][:limit]
    if near:
        return "Did you mean " + " or ".join(repr(clip(n)) for n in near) + "?"
    if not names:
        return "None are known."
    shown = ", ".join(repr(clip(n)) for n in names[:20])
    return f"Known: {shown}{', ...' if len(names) > 20 else ''}."
