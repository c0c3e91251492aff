"""The demo's world: tasks with train and test splits, and the text the tiny bases learn from.

Whether a problem or dialogue may be tested is decided by a hash of its words alone (:func:`is_held_out`).
Training splits and pretraining text never hold such an item, whatever the seed, so that a
shipped base can not have read a test question of any demo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from muscle_llm.demo.dialogues import DIALOGUE_KINDS, Dialogue, make_dialogue
from muscle_llm.demo.problems import KINDS, Problem, make_problem
from muscle_llm.errors import ConfigError
from muscle_llm.files import atomic_write_text

__all__ = [
    "MIXES",
    "Mix",
    "TaskSizes",
    "dialogues",
    "is_held_out",
    "pretraining_text",
    "problems",
    "write_world",
]

_HELD_OUT_SHARE = 8  # one item in eight may be tested


def is_held_out(text: str) -> bool:
    """Tell whether an item with these words belongs to the test side of the world.

    Example:
        >>> sum(is_held_out(str(i)) for i in range(8000)) // 100
        10
    """
    return hashlib.sha256(text.encode()).digest()[0] % _HELD_OUT_SHARE == 0


def problems(seed: int, count: int, *, test: bool, salt: str = "") -> list[Problem]:
    """Draw ``count`` different problems of one side of the world.

    Args:
        seed: any integer; the same arguments give the same list, in the same order.
        count: how many, 0 or more.
        test: True draws held-out problems only, False the others only.
        salt: names the stream, so that two tasks with one seed draw different problems.

    Returns:
        Problems with pairwise different texts, all kinds equally often up to chance.
    """
    rng = Random(f"problems {salt} {seed} {test}")
    kinds = tuple(KINDS)
    found: dict[str, Problem] = {}
    while len(found) < count:
        problem = make_problem(rng, rng.choice(kinds))
        if is_held_out(problem.text) == test:
            found.setdefault(problem.text, problem)
    return list(found.values())


def dialogues(seed: int, count: int, *, test: bool) -> list[Dialogue]:
    """Draw ``count`` different dialogues of one side of the world.

    Args:
        seed: any integer; the same arguments give the same list, in the same order.
        count: how many, 0 or more.
        test: True draws held-out dialogues only, False the others only.

    Returns:
        Dialogues with pairwise different texts.
    """
    rng = Random(f"dialogues {seed} {test}")
    kinds = tuple(DIALOGUE_KINDS)
    found: dict[str, Dialogue] = {}
    while len(found) < count:
        dialogue = make_dialogue(rng, rng.choice(kinds))
        if is_held_out(dialogue.text) == test:
            found.setdefault(dialogue.text, dialogue)
    return list(found.values())


@dataclass(frozen=True)
class Mix:
    """How often each sort of pretraining text is drawn (weights, any positive scale).

    Attributes:
        told: problems told with their sums and answer.
        asked: problems as question and answer, without sums.
        sums: bare sums.
        counting: counting up or down in steps.
        comparing: which of two numbers is larger, and by how much.
        talk: dialogues, most with a summary.
    """

    told: float
    asked: float
    sums: float
    counting: float
    comparing: float
    talk: float


# The two generations of the demo's bases read different shares of the world.
MIXES: Mapping[str, Mix] = {
    "old": Mix(told=4, asked=2, sums=4, counting=1, comparing=1, talk=2),
    "new": Mix(told=5, asked=3, sums=5, counting=1, comparing=1, talk=3),
}


def _sums_text(rng: Random) -> str:
    lines = []
    for _ in range(rng.randint(2, 5)):
        draw = rng.random()
        if draw < 0.4:
            x = rng.randint(0, 97)
            y = rng.randint(0, 99 - x)
            lines.append(f"{x}+{y}={x + y}")
        elif draw < 0.8:
            x = rng.randint(1, 99)
            y = rng.randint(0, x)
            lines.append(f"{x}-{y}={x - y}")
        else:
            k = rng.randint(2, 9)
            m = rng.randint(2, min(12, 99 // k))
            lines.append(f"{k}*{m}={k * m}")
    return "\n".join(lines)


def _counting_text(rng: Random) -> str:
    step = rng.randint(1, 10)
    length = rng.randint(4, 8)
    start = rng.randint(0, 99 - step * (length - 1))
    numbers = [start + i * step for i in range(length)]
    if rng.random() < 0.5:
        return f"Counting up by {step}: " + ", ".join(map(str, numbers)) + "."
    return f"Counting down by {step}: " + ", ".join(map(str, reversed(numbers))) + "."


def _comparing_text(rng: Random) -> str:
    parts = []
    for _ in range(rng.randint(1, 3)):
        x, y = rng.sample(range(100), 2)
        word = "more" if x > y else "less"
        parts.append(f"{x} is {abs(x - y)} {word} than {y}.")
    return " ".join(parts)


def _problem_text(rng: Random, asked: bool) -> str | None:
    problem = make_problem(rng, rng.choice(tuple(KINDS)))
    if is_held_out(problem.text):
        return None
    if asked:
        return f"{problem.text}\nAnswer: {problem.answer}"
    return f"{problem.story} {', '.join(problem.steps)}. {problem.told}"


def _talk_text(rng: Random) -> str | None:
    dialogue = make_dialogue(rng, rng.choice(tuple(DIALOGUE_KINDS)))
    if is_held_out(dialogue.text):
        return None
    return dialogue.text if rng.random() < 0.3 else f"{dialogue.text}\nSummary: {dialogue.summary}"


def pretraining_text(seed: int, mix: Mix) -> Iterator[str]:
    """Yield pretraining documents without end; none of them holds a test problem or test dialogue.

    Args:
        seed: any integer; the same arguments give the same documents.
        mix: how often each sort of text is drawn.

    Yields:
        Short documents of one to eight lines.

    Example:
        >>> from itertools import islice
        >>> [len(t) > 0 for t in islice(pretraining_text(0, MIXES["old"]), 3)]
        [True, True, True]
    """
    rng = Random(f"pretraining {seed}")
    sorts = {
        "told": lambda: _problem_text(rng, asked=False),
        "asked": lambda: _problem_text(rng, asked=True),
        "sums": lambda: _sums_text(rng),
        "counting": lambda: _counting_text(rng),
        "comparing": lambda: _comparing_text(rng),
        "talk": lambda: _talk_text(rng),
    }
    names = tuple(sorts)
    weights = [getattr(mix, name) for name in names]
    while True:
        text = sorts[rng.choices(names, weights)[0]]()
        if text is not None:
            yield text


@dataclass(frozen=True)
class TaskSizes:
    """How many training and test items a demo task gets."""

    train: int
    test: int


def _choice_row(index: int, problem: Problem) -> dict[str, object]:
    return {
        "id": f"choice-{index}",
        "kind": problem.kind,
        "question": problem.text,
        "choices": [str(number) for number in problem.choices],
        "label": problem.choices.index(problem.answer),
    }


def _exact_row(index: int, problem: Problem) -> dict[str, object]:
    return {
        "id": f"exact-{index}",
        "kind": problem.kind,
        "question": problem.text,
        "solution": f"{', '.join(problem.steps)}. Answer {problem.answer}",
        "answer": str(problem.answer),
    }


def _summary_row(index: int, dialogue: Dialogue) -> dict[str, object]:
    return {
        "id": f"summary-{index}",
        "kind": dialogue.kind,
        "dialogue": dialogue.text,
        "summary": dialogue.summary,
    }


def _rows(task: str, seed: int, count: int, test: bool) -> list[dict[str, object]]:
    if task == "choice":
        return [_choice_row(i, p) for i, p in enumerate(problems(seed, count, test=test, salt=task))]
    if task == "exact":
        return [_exact_row(i, p) for i, p in enumerate(problems(seed, count, test=test, salt=task))]
    return [_summary_row(i, d) for i, d in enumerate(dialogues(seed, count, test=test))]


def write_world(folder: str | Path, seed: int, sizes: Mapping[str, TaskSizes]) -> dict[str, dict[str, Path]]:
    """Write the demo's tasks as JSON lines: ``<folder>/<task>/train.jsonl`` and ``test.jsonl``.

    Args:
        folder: where to write; made if missing. Each file is written whole or not at all.
        seed: any integer; the same arguments write the same bytes.
        sizes: for each task ("choice", "exact", "summary") how many items.

    Returns:
        For each task the paths of its "train" and "test" files.

    Raises:
        ConfigError: a task is not known, or a size is less than 1.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = write_world(folder, 0, {"choice": TaskSizes(train=3, test=2)})
        ...     len(files["choice"]["train"].read_text().splitlines())
        3
    """
    known = ("choice", "exact", "summary")
    written: dict[str, dict[str, Path]] = {}
    for task, size in sizes.items():
        if task not in known:
            raise ConfigError(f"The demo has no task {task!r}. Known: {', '.join(known)}.")
        if size.train < 1 or size.test < 1:
            raise ConfigError(f"The demo task {task!r} needs at least 1 item in each split; got {size}.")
        written[task] = {}
        for split, count in (("train", size.train), ("test", size.test)):
            path = Path(folder) / task / f"{split}.jsonl"
            rows = _rows(task, seed, count, test=split == "test")
            atomic_write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            written[task][split] = path
    return written
