"""The demo's world: what it says is true, tests are never trained on, and chance is seeded."""

from __future__ import annotations

import json
import re
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.demo.dialogues import DIALOGUE_KINDS, make_dialogue
from muscle_llm.demo.problems import KINDS, make_problem
from muscle_llm.demo.world import (
    MIXES,
    TaskSizes,
    dialogues,
    is_held_out,
    pretraining_text,
    problems,
    write_world,
)
from muscle_llm.errors import ConfigError

_SUM = re.compile(r"(\d+)([-+*])(\d+)=(\d+)")


def _holds(sum_text: str) -> bool:
    match = _SUM.fullmatch(sum_text)
    assert match, sum_text
    x, sign, y, result = int(match[1]), match[2], int(match[3]), int(match[4])
    return {"+": x + y, "-": x - y, "*": x * y}[sign] == result


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), kind=st.sampled_from(sorted(KINDS)))
def test_a_problem_is_true_and_its_choices_differ(seed: int, kind: str) -> None:
    problem = make_problem(Random(seed), kind)
    assert all(_holds(step) for step in problem.steps)
    assert problem.steps[-1].endswith(f"={problem.answer}")
    assert len(problem.choices) == len(set(problem.choices)) == 4
    assert problem.choices.count(problem.answer) == 1
    assert all(0 <= n <= 99 for n in problem.choices)
    assert all(0 <= int(n) <= 99 for n in re.findall(r"\d+", problem.text + problem.told))
    assert str(problem.answer) in problem.told


def test_the_last_sum_uses_the_numbers_of_the_story() -> None:
    for kind in KINDS:
        problem = make_problem(Random(3), kind)
        given_numbers = {int(n) for n in re.findall(r"\d+", problem.story)}
        first = _SUM.fullmatch(problem.steps[0])
        assert first
        assert {int(first[1]), int(first[3])} <= given_numbers


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9), kind=st.sampled_from(sorted(DIALOGUE_KINDS)))
def test_a_summary_says_nothing_the_dialogue_does_not(seed: int, kind: str) -> None:
    dialogue = make_dialogue(Random(seed), kind)
    said = set(re.findall(r"[A-Z]\w+|\d+", dialogue.text))
    assert set(re.findall(r"[A-Z]\w+|\d+", dialogue.summary)) <= said
    assert len(dialogue.turns) >= 2


def test_train_and_test_never_meet_whatever_the_seeds() -> None:
    tested = {p.text for p in problems(1, 300, test=True)} | {d.text for d in dialogues(1, 100, test=True)}
    trained = {p.text for p in problems(2, 300, test=False)} | {d.text for d in dialogues(2, 100, test=False)}
    assert len(tested) == len(trained) == 400
    assert all(is_held_out(text) for text in tested)
    assert not any(is_held_out(text) for text in trained)


def test_pretraining_text_holds_no_test_item() -> None:
    stories = {p.story for p in problems(5, 2000, test=True)}
    asked = 0
    for text in islice(pretraining_text(5, MIXES["new"]), 4000):
        if "\nAnswer:" in text:
            asked += 1
            assert not is_held_out(text.split("\nAnswer:")[0])
        if "\nSummary:" in text:
            assert not is_held_out(text.split("\nSummary:")[0])
    assert asked > 300
    assert stories


def test_every_sum_and_comparison_in_the_pretraining_text_is_true() -> None:
    for text in islice(pretraining_text(8, MIXES["old"]), 2000):
        assert all(_holds(m.group()) for m in _SUM.finditer(text))
        for x, d, word, y in re.findall(r"(\d+) is (\d+) (more|less) than (\d+)", text):
            assert int(x) == int(y) + (int(d) if word == "more" else -int(d))


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    first = list(islice(pretraining_text(1, MIXES["old"]), 200))
    assert first == list(islice(pretraining_text(1, MIXES["old"]), 200))
    assert first != list(islice(pretraining_text(2, MIXES["old"]), 200))
    assert problems(1, 20, test=True) == problems(1, 20, test=True)
    assert problems(1, 20, test=True, salt="a") != problems(1, 20, test=True, salt="b")
    # A prefix of a longer draw, so that a larger test set only adds questions.
    assert problems(1, 30, test=True)[:20] == problems(1, 20, test=True)


def test_written_rows(tmp_path) -> None:
    sizes = {name: TaskSizes(train=12, test=5) for name in ("choice", "exact", "summary")}
    files = write_world(tmp_path, 3, sizes)
    again = write_world(tmp_path / "again", 3, sizes)
    for task, splits in files.items():
        for split, path in splits.items():
            assert path.read_bytes() == again[task][split].read_bytes()
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            assert len(rows) == (12 if split == "train" else 5)
            assert len({row["id"] for row in rows}) == len(rows)
    for line in files["choice"]["test"].read_text().splitlines():
        row = json.loads(line)
        assert 0 <= row["label"] < len(row["choices"]) == 4
    for line in files["exact"]["test"].read_text().splitlines():
        row = json.loads(line)
        assert row["solution"].endswith(f"Answer {row['answer']}")


@pytest.mark.parametrize("sizes", [{"poems": TaskSizes(1, 1)}, {"choice": TaskSizes(0, 1)}])
def test_unusable_sizes_are_refused(tmp_path, sizes) -> None:
    with pytest.raises(ConfigError):
        write_world(tmp_path, 0, sizes)
