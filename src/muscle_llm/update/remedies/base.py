"""What every remedy is: settings with a name, and the stages that carry it out."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from muscle_llm.errors import ConfigError

if TYPE_CHECKING:
    from muscle_llm.update.settings import TaskSettings
    from muscle_llm.update.stages import Stage
    from muscle_llm.update.task_plan import TaskPlan

__all__ = ["RESERVED", "Remedy", "check_name"]

# The versions that are part of every update; no remedy can take their names.
RESERVED = ("old", "new", "old_rerun", "continued")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def check_name(what: str, name: str) -> None:
    """Raise ConfigError when a name cannot name a folder."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{what} name {name!r} cannot name a folder. Begin with a letter or digit; after it "
            "'.', '_', '+' and '-' may stand too."
        )


@dataclass(frozen=True)
class Remedy:
    """A way to make the new task model compatible: a version of its own in the update's tables.

    Args:
        name: of the version.
        tasks: labels of the tasks it is for; by default all.
    """

    name: str
    tasks: tuple[str, ...] = ()
    kind: ClassVar[str] = ""
    models_at_inference: ClassVar[int] = 1
    has_adapter: ClassVar[bool] = True
    asks_teachers: ClassVar[bool] = False  # while it is trained

    def __post_init__(self) -> None:
        check_name("remedy", self.name)
        if self.name in RESERVED:
            raise ConfigError(
                f"a remedy cannot be named '{self.name}': that is part of every update. Choose another name."
            )

    def needs(self) -> tuple[str, ...]:
        """Return the versions it starts from, by name."""
        return ("old", "new")

    def check_task(self, task: TaskSettings) -> None:
        """Raise ConfigError where a task lacks something that the remedy needs."""

    def stages(self, plan: TaskPlan) -> list[Stage]:
        """Return its stages for one task; the last one writes ``plan.predictions(self.name)``."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return its settings as plain values, for fingerprints and records."""
        return {"kind": self.kind, **{k: v for k, v in dataclasses.asdict(self).items() if k != "tasks"}}
