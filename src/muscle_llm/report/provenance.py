"""Where the predictions come from and what was left out, as the page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from muscle_llm.report.numbers import count, is_number

__all__ = ["Source", "excluded", "plain", "sources"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where one version's predictions come from: label and value pairs."""

    title: str
    facts: tuple[tuple[str, str], ...]


def sources(document: Mapping[str, Any]) -> Iterator[Source]:
    """Return what the logs tell of each version of a comparison document."""
    sides = [(s["name"], s) for s in (document["old"], document["new"])]
    sides += list((document.get("candidates") or {}).items())
    for name, side in sides:
        provenance = side.get("provenance") or {}
        facts = [
            (key.replace("_", " "), plain(value))
            for key, value in provenance.items()
            if key not in ("sources", "extra") and value is not None
        ]
        facts += [
            (f"SHA-256 of {file}", str(digest)) for file, digest in (provenance.get("sources") or {}).items()
        ]
        facts += [(str(key), plain(value)) for key, value in (provenance.get("extra") or {}).items()]
        yield Source(str(name), tuple(facts))


def excluded(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what stands apart from the figures, with how many instances that is."""
    old, new = document["old"]["name"], document["new"]["name"]
    judged = is_number(document["counts"].get("both_right"))
    labels = {
        "excluded_errors": "left out: no answer because of an error",
        # A task that is scored only has no right and wrong to leave out.
        **({"excluded_unscored": "left out: nothing tells whether it is right"} if judged else {}),
        "unmatched_old": f"only in {old}",
        "unmatched_new": f"only in {new}",
        "dropped_prompt": "left out: the prompts differ",
        "dropped_reference": "left out: the references differ",
        "no_answer_old": f"no answer found, {old}",
        "no_answer_new": f"no answer found, {new}",
        "truncated_old": f"cut off by the length limit, {old}",
        "truncated_new": f"cut off by the length limit, {new}",
    }
    for name, label in labels.items():
        value = document["counts"].get(name)
        if is_number(value) and value:
            yield label, count(value)


def plain(value: Any) -> str:
    """Write a setting in one line.

    Example:
        >>> plain({"a": [1, None]})
        'a: 1, none'
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {plain(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return "none" if value is None else str(value)
