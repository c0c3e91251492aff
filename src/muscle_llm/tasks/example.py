"""The text an adapter learns from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Example"]


@dataclass(frozen=True)
class Example:
    """One training example of a task.

    Prompt and completion are joined as they are: a separating space belongs to one of them.

    Args:
        id: name of the example, unique within its task.
        prompt: the context, as the model sees it at evaluation.
        completion: what the model should write after it, without an end-of-sequence token.

    Example:
        >>> Example(id="1", prompt="Question: 1 + 1 =", completion=" 2").text
        'Question: 1 + 1 = 2'
    """

    id: str
    prompt: str
    completion: str

    @property
    def text(self) -> str:
        """Prompt and completion, joined."""
        return self.prompt + self.completion
