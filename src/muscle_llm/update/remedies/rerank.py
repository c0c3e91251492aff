"""The new model proposes, the old one chooses: several answers per prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from muscle_llm.errors import ConfigError
from muscle_llm.update.remedies.base import Remedy

if TYPE_CHECKING:
    from muscle_llm.predictions import Predictions
    from muscle_llm.update.stages import Stage
    from muscle_llm.update.task_plan import TaskPlan

__all__ = ["Rerank"]


@dataclass(frozen=True)
class Rerank(Remedy):
    """Of K answers drawn from the new task model, the one that the old one finds likeliest; for generation.

    Formula: argmax over k of log p_old(answer_k | prompt)

    Nothing is trained; an answer costs K generations and K readings by the old model.

    Args:
        name: of the version.
        candidates: K, at least 2.
        temperature: of the draws, above 0.

    Raises:
        ConfigError: a value is out of range.
    """

    candidates: int = 8
    temperature: float = 0.7
    kind: ClassVar[str] = "rerank"
    models_at_inference: ClassVar[int] = 2
    has_adapter: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.candidates < 2:
            raise ConfigError(f"remedy '{self.name}': candidates must be at least 2, not {self.candidates}.")
        if not self.temperature > 0:
            raise ConfigError(f"remedy '{self.name}': temperature must be above 0, not {self.temperature!r}.")

    def stages(self, plan: TaskPlan) -> list[Stage]:
        """Return the predicting."""

        def answer() -> Predictions:
            from muscle_llm.predict import Sampling
            from muscle_llm.predict.rerank import likeliest

            sampling = Sampling(self.candidates, self.temperature)
            drawn = plan.ask(plan.load("new"), self.name, "new", sampling=sampling)
            return likeliest(drawn, plan.load("old"), plan.tokenizer("old"))

        return [plan.both_stage(self, f"{self.candidates} answers from new, old chooses", answer)]
