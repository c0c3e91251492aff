"""Old and new answering together: the upper bound, at twice the cost for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from muscle_llm.errors import ConfigError
from muscle_llm.update.remedies.base import Remedy

if TYPE_CHECKING:
    from muscle_llm.predictions import Predictions
    from muscle_llm.update.stages import Stage
    from muscle_llm.update.task_plan import TaskPlan

__all__ = ["Ensemble"]


@dataclass(frozen=True)
class Ensemble(Remedy):
    """Every token's probabilities are a mixture of both task models'; nothing is trained.

    Formula: p(y) = (1 - share) p_new(y) + share p_old(y), token by token

    Both models run for every answer, so this is no remedy to ship; it tells what one could hope for.

    Args:
        name: of the version.
        share: of the old model, 0 to 1.

    Raises:
        ConfigError: a value is out of range.
    """

    share: float = 0.5
    kind: ClassVar[str] = "ensemble"
    models_at_inference: ClassVar[int] = 2
    has_adapter: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.share <= 1:
            raise ConfigError(f"remedy '{self.name}': share must be between 0 and 1, not {self.share!r}.")

    def stages(self, plan: TaskPlan) -> list[Stage]:
        """Return the predicting."""

        def answer() -> Predictions:
            from muscle_llm.predict.ensemble import together
            from muscle_llm.train.pairs import check_same_tokenizer

            bases = plan.base("old"), plan.base("new")
            check_same_tokenizer(plan.tokenizer("old"), plan.tokenizer("new"), *bases)
            model = together(plan.load("new"), plan.load("old"), share=self.share)
            return plan.ask(model, self.name, "new")

        return [plan.both_stage(self, "predict with old and new together", answer)]
