"""The demo's three tasks as lm-evaluation-harness configurations, and the settings of its update."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from muscle_llm.demo.world import TaskSizes
from muscle_llm.errors import ConfigError
from muscle_llm.tasks.rouge import rouge1

__all__ = ["BASES", "DEMO", "TASK_NAMES", "DemoSettings", "DemoTraining", "task_config"]

BASES = Path(__file__).with_name("bases")
TASK_NAMES = ("choice", "exact", "summary")
_PREFIX = "muscle_demo_"


@dataclass(frozen=True)
class DemoTraining:
    """Training of one adapter of the demo, the same for task and compatibility adapters of a task."""

    rank: int = 64
    alpha: int = 128
    learning_rate: float = 2e-3
    warmup_steps: int = 10
    batch_size: int = 64
    epochs: int = 3
    validation_share: float = 0.1


@dataclass(frozen=True)
class DemoSettings:
    """The whole demo: bases, data sizes, training, remedies.

    Attributes:
        old_base, new_base: folders below :data:`BASES`.
        world_seed: seed of the task data.
        seed, rerun_seed: of the task adapters, and of the old re-run.
        sizes: items per task and split.
        training: settings per task.
    """

    old_base: str = "old"
    new_base: str = "new"
    world_seed: int = 7
    seed: int = 1
    rerun_seed: int = 2
    sizes: dict[str, TaskSizes] = field(
        default_factory=lambda: {
            "choice": TaskSizes(train=3000, test=2500),
            "exact": TaskSizes(train=800, test=800),
            "summary": TaskSizes(train=600, test=300),
        }
    )
    training: dict[str, DemoTraining] = field(
        default_factory=lambda: {
            "choice": DemoTraining(),
            "exact": DemoTraining(batch_size=32),
            "summary": DemoTraining(),
        }
    )


DEMO = DemoSettings()


def _shared(name: str, folder: Path) -> dict[str, object]:
    return {
        "task": _PREFIX + name,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {
                "train": str(folder / name / "train.jsonl"),
                "test": str(folder / name / "test.jsonl"),
            }
        },
        "training_split": "train",
        "test_split": "test",
        "num_fewshot": 0,
        "target_delimiter": " ",
        "metadata": {"version": 1},
    }


def _generation(max_tokens: int, until: list[str]) -> dict[str, object]:
    return {"until": until, "do_sample": False, "temperature": 0.0, "max_gen_toks": max_tokens}


def task_config(name: str, folder: str | Path) -> dict[str, object]:
    """Return the lm-evaluation-harness configuration of a demo task, as its ``TaskManager`` takes it.

    Args:
        name: "choice" (multiple choice by log-likelihood), "exact" (generation, exact match of the final
            number) or "summary" (generation scored with ROUGE-1).
        folder: where :func:`muscle_llm.demo.world.write_world` wrote the data.

    Returns:
        A dict for ``simple_evaluate(tasks=[...])``; it reads local files only.

    Raises:
        ConfigError: the task is not known.

    Example:
        >>> task_config("choice", "data")["output_type"]
        'multiple_choice'
    """
    shared = _shared(name, Path(folder).resolve())
    if name == "choice":
        return shared | {
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}\nAnswer:",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{label}}",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
    if name == "exact":
        return shared | {
            "output_type": "generate_until",
            "doc_to_text": "{{question}}\nSteps:",
            "doc_to_target": "{{solution}}",
            "generation_kwargs": _generation(32, ["\n", "<|end|>"]),
            "filter_list": [
                {
                    "name": "answer",
                    "filter": [
                        {"function": "regex", "regex_pattern": r"Answer (\d+)"},
                        {"function": "take_first"},
                    ],
                }
            ],
            "metric_list": [
                {
                    "metric": "exact_match",
                    "aggregation": "mean",
                    "higher_is_better": True,
                    "regexes_to_ignore": [r"^.*Answer "],
                }
            ],
        }
    if name == "summary":
        return shared | {
            "output_type": "generate_until",
            "doc_to_text": "{{dialogue}}\nSummary:",
            "doc_to_target": "{{summary}}",
            "generation_kwargs": _generation(32, ["\n", "<|end|>"]),
            "metric_list": [{"metric": rouge1, "aggregation": "mean", "higher_is_better": True}],
        }
    raise ConfigError(f"The demo has no task {name!r}. Known: {', '.join(TASK_NAMES)}.")
