"""One piece of text an adapter learns from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Example"]


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the completion that follows it, joined without anything between them.

    Attributes:
        id: the instance's id within its task and split.
        prompt: what the model is given; it does not end with a space, which belongs to the completion.
        completion: what the model should write, the delimiter in front of it included.

    Example:
        >>> e = Example("train:0", "Question: 1 + 1 = ?", " 2")
        >>> e.prompt + e.completion
        'Question: 1 + 1 = ? 2'
    """

    id: str
    prompt: str
    completion: str
