"""A dial between the new adapter and another remedy's: how much of the remedy to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from muscle_llm.errors import ConfigError
from muscle_llm.update.remedies.base import Remedy
from muscle_llm.update.stages import Stage

if TYPE_CHECKING:
    from muscle_llm.update.task_plan import TaskPlan

__all__ = ["Dial"]


@dataclass(frozen=True)
class Dial(Remedy):
    """The adapter that lies between the new task adapter and another one; nothing is trained.

    Formula: dW = (1 - share) dW_new + share dW_of

    Args:
        name: of the version.
        of: the remedy (or ``continued``) at the dial's far end; it stands before this one.
        share: of that remedy, 0 to 1.

    Raises:
        ConfigError: a value is out of range.
    """

    of: str = "keep"
    share: float = 0.5
    kind: ClassVar[str] = "dial"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.share <= 1:
            raise ConfigError(f"remedy '{self.name}': share must be between 0 and 1, not {self.share!r}.")
        if self.of in ("old", "old_rerun"):
            raise ConfigError(
                f"remedy '{self.name}': the adapter '{self.of}' belongs to the old base and cannot be mixed "
                "with the new one. Name a remedy."
            )

    def needs(self) -> tuple[str, ...]:
        """Return both ends of the dial."""
        return ("new", self.of)

    def stages(self, plan: TaskPlan) -> list[Stage]:
        """Return the mixing and the predicting."""
        ends = ("new", self.of)

        def mix() -> None:
            from muscle_llm.train.dial import mix_adapters

            first, second = (plan.path(plan.adapter(end)) for end in ends)
            mix_adapters(first, second, self.share, plan.path(plan.adapter(self.name)))

        stage = Stage(
            name=f"{plan.label}/train/{self.name}",
            title=f"{plan.label}: mix '{self.name}' from 'new' and '{self.of}'",
            settings=lambda: {"share": self.share},
            inputs=tuple(path for end in ends for path in plan.weights(end)),
            outputs=plan.adapter_outputs(self.name),
            action=mix,
        )
        return [stage, plan.predict_stage(self.name)]
