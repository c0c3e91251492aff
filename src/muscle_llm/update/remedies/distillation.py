"""MUSCLE and its rivals: a compatibility adapter trained by distillation from both versions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from muscle_llm.errors import ConfigError
from muscle_llm.train.selection import check_selection
from muscle_llm.train.settings import LossSettings
from muscle_llm.train.teaching import TeacherKind, check_teacher_kind
from muscle_llm.update.remedies.base import Remedy
from muscle_llm.update.stages import Stage

if TYPE_CHECKING:
    from muscle_llm.tasks import Example
    from muscle_llm.update.settings import TaskSettings
    from muscle_llm.update.task_plan import TaskPlan

__all__ = ["Distillation"]


@dataclass(frozen=True)
class Distillation(Remedy):
    """A compatibility adapter: which teacher a token follows, and how.

    Args:
        name: of the version.
        mask: which teacher a token follows, a name of `muscle_llm.distill.masks`.
        temperature: T, which both sides' logits are divided by.
        ce_weight: share of the cross-entropy in the loss (the paper's 1 - lambda, eq. 5), 0 to 1.
        divergence: from teacher to student, a name of `muscle_llm.distill.divergences`.
        temperature_squared: multiply the divergences by T^2 (the paper does not).
        selection: how the epoch is chosen: ``cross_entropy`` (the paper's) or ``nfr``, the fewest negative
            flips on the validation part.
        accuracy_loss: with ``nfr``: how much lower than the new task model's the accuracy there may be.
        teachers: where what both versions say comes from, see `train_compat_adapter`: ``cached`` on disk,
            ``top_k``, or ``live``, which needs no disk and is slower.
        replay: how many of the task's unlabelled ``prompts`` are learned too, with the old model's answers
            to them; 0 uses none, the training takes as many steps either way.

    Raises:
        ConfigError: an unknown name, or a value out of range.

    Source: paper, eq. 1 and 5; the defaults are the published MUSCLE.
    """

    name: str = "muscle"
    mask: str = "student_wrong"
    temperature: float = 2.0
    ce_weight: float = 0.0
    divergence: str = "forward_kl"
    temperature_squared: bool = False
    selection: str = "cross_entropy"
    accuracy_loss: float = 0.0
    teachers: TeacherKind = "cached"
    replay: int = 0
    kind: ClassVar[str] = "distillation"
    asks_teachers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            LossSettings(
                self.mask, self.temperature, self.ce_weight, self.divergence, self.temperature_squared
            )
            check_selection(self.selection, self.accuracy_loss)
            check_teacher_kind(self.teachers)
        except ConfigError as error:
            raise ConfigError(f"remedy '{self.name}': {error}") from error
        if self.replay < 0:
            raise ConfigError(f"remedy '{self.name}': replay must be 0 or more, not {self.replay}.")

    def check_task(self, task: TaskSettings) -> None:
        """Raise ConfigError where prompts are to be replayed and the task has none."""
        if self.replay and task.prompts is None:
            raise ConfigError(
                f"remedy '{self.name}' replays prompts, but task '{task.label}' has none: give it 'prompts', "
                "a JSONL file with a 'prompt' in each line."
            )

    def stages(self, plan: TaskPlan) -> list[Stage]:
        """Return the old model's answers to prompts where they are wanted, training and predicting."""
        answered = [_answers_stage(plan, self.replay)] if self.replay else []
        return [*answered, self._training_stage(plan), plan.predict_stage(self.name)]

    def _training_stage(self, plan: TaskPlan) -> Stage:
        file = _answers_file(plan, self.replay)

        def train() -> None:
            from muscle_llm.train import train_compat_adapter

            train_compat_adapter(
                new_base=plan.base("new"),
                new_adapter=plan.path(plan.adapter("new")),
                old_base=plan.base("old"),
                old_adapter=plan.path(plan.adapter("old")),
                examples=plan.examples("new"),
                replay=_read_answers(plan.path(file)) if self.replay else (),
                output_dir=plan.path(plan.adapter(self.name)),
                mask=self.mask,
                temperature=self.temperature,
                ce_weight=self.ce_weight,
                divergence=self.divergence,
                temperature_squared=self.temperature_squared,
                selection=self.selection,
                accuracy_loss=self.accuracy_loss,
                teachers=self.teachers,
                cache_dir=plan.path(plan.teacher_caches),
                training=plan.training,
                seed=plan.remedy_seed,
                progress=plan.progress,
            )
            plan.tidy_teachers()

        return Stage(
            name=f"{plan.label}/train/{self.name}",
            title=f"{plan.label}: train the compatibility adapter '{self.name}'",
            settings=lambda: {**plan.training_settings("old", "new"), "remedy": self.settings()},
            inputs=(*plan.weights("old"), *plan.weights("new"), *((file,) if self.replay else ())),
            outputs=plan.adapter_outputs(self.name),
            action=train,
        )


def _answers_file(plan: TaskPlan, count: int) -> Path:
    return plan.home / "replay" / f"{count}.jsonl"


def _answers_stage(plan: TaskPlan, count: int) -> Stage:
    """Let the old task model answer the task's unlabelled prompts."""
    source, target = Path(plan.settings.prompts or "").resolve(), _answers_file(plan, count)

    def answer() -> None:
        from muscle_llm.files import atomic_write_text
        from muscle_llm.predict.answering import greedy_answers, read_prompts

        prompts = read_prompts(source, count)
        longest = plan.longest_completion("old")
        answers = greedy_answers(
            plan.load("old"),
            plan.tokenizer("old"),
            prompts,
            max_new_tokens=longest + 1,
            title=f"old answers {len(prompts)} prompts of {plan.label}",
            progress=plan.progress,
        )
        lines = [
            json.dumps({"prompt": p, "completion": a}, ensure_ascii=False)
            for p, a in zip(prompts, answers, strict=True)
        ]
        atomic_write_text(plan.path(target), "\n".join(lines) + "\n")

    return Stage(
        name=f"{plan.label}/replay/{count}",
        title=f"{plan.label}: the old model answers {count} unlabelled prompts",
        settings=lambda: {**plan.predict_settings("old"), "count": count},
        inputs=(*plan.weights("old"), source),
        outputs=(target,),
        action=answer,
    )


def _read_answers(path: Path) -> list[Example]:
    from muscle_llm.tasks import Example

    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [Example(f"replay:{i}", r["prompt"], r["completion"]) for i, r in enumerate(rows)]
