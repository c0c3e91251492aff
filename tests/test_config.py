"""Settings from YAML are strict, and errors say file, line, cause and fix."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("torch")

from muscle_llm.config import load_update
from muscle_llm.errors import ConfigError
from muscle_llm.update.remedies import RECIPES

pytestmark = pytest.mark.train

GOOD = """\
old:
  base: org/old-1
new:
  base: org/new-2
tasks:
  - task: piqa
  - task: gsm8k
    training:
      epochs: 2
remedies:
  - muscle
  - name: softer
    temperature: 4
training:
  learning_rate: 1e-3
  epochs: 5
lora:
  rank: 8
"""


def load(tmp_path, text):
    path = tmp_path / "update.yaml"
    path.write_text(text, encoding="utf-8")
    return load_update(path)


def test_values_arrive_and_tasks_inherit(tmp_path):
    found = load(tmp_path, GOOD)
    assert found.old.base == "org/old-1"
    assert found.training.learning_rate == 1e-3
    assert found.tasks[0].training is None
    assert found.tasks[1].training is not None
    assert (found.tasks[1].training.epochs, found.tasks[1].training.learning_rate) == (2, 1e-3)
    assert [(r.name, r.temperature, r.mask) for r in found.remedies] == [
        ("muscle", 2.0, "student_wrong"),
        ("softer", 4.0, "student_wrong"),
    ]
    assert found.lora.rank == 8


def test_a_recipe_brings_what_its_entry_leaves_out(tmp_path):
    found = load(tmp_path, GOOD.replace("  - muscle\n", "  - keep\n  - {name: muscle, temperature: 1}\n"))
    assert found.remedies[0] == RECIPES["keep"]
    assert found.remedies[1] == dataclasses.replace(RECIPES["muscle"], temperature=1.0)


def test_without_remedies_all_recipes_are_tried(tmp_path):
    text = GOOD.replace("remedies:\n  - muscle\n  - name: softer\n    temperature: 4\n", "")
    assert load(tmp_path, text).remedies == tuple(RECIPES.values())


def test_a_base_that_is_a_folder_is_found_from_the_file(tmp_path):
    (tmp_path / "my-base").mkdir()
    found = load(tmp_path, GOOD.replace("org/old-1", "my-base"))
    assert found.old.base == str(tmp_path / "my-base")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("  epochs: 5", "  epoch: 5", 16, "Did you mean 'epochs'"),
        ("training:\n  learning", "trainings:\n  learning", 14, "Did you mean 'training'"),
        ("    temperature: 4", "    temprature: 4", 13, "Did you mean 'temperature'"),
        ("    temperature: 4", "    temperature: hot", 13, "temperature"),
        ("    temperature: 4", "    temperature: -1", 12, "above 0"),
        ("  epochs: 5", "  epochs: [5]", 16, "epochs"),
        ("  epochs: 5", "  epochs: 5\n  epochs: 6", 17, "twice"),
        ("  - task: piqa", "  - tasks: piqa", 6, "Did you mean 'task'"),
        ("old:\n  base: org/old-1", "old: {}", 1, "base"),
        ("  - muscle", "  - name: continued", 11, "part of every update"),
        ("  - muscle", "  - name: softer", 1, "two entries"),
        ("  - muscle", "  - mussle", 11, "Did you mean 'muscle'"),
        ("  - muscle", "  - name: a/b", 11, "folder"),
        ("  rank: 8", "  rank: ${NOT_SET_ANYWHERE}", 18, "NOT_SET_ANYWHERE"),
    ],
)
def test_an_error_names_line_and_fix(tmp_path, old, new, line, message):
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert message in str(caught.value)
    assert "update.yaml" in str(caught.value)
    assert f"line {line}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n", "just text", "a: [1", "a: !!python/object:os.system {}"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"update\.yaml"):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_update(tmp_path / "nowhere.yaml")
