from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from muscle_llm.errors import ConfigError
from muscle_llm.settings_file import read_yaml, to_settings


@dataclass(frozen=True)
class Inner:
    size: int = 0
    share: float | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    several: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = field(default_factory=dict)
    either: str | Inner = ""


def load(tmp_path: Path, text: str) -> Outer:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return to_settings(read_yaml(path), Outer)


def test_dataclasses_lists_and_mappings_are_built(tmp_path):
    text = "name: a\ninner: {size: 1}\nseveral: [{size: 2}]\nnamed: {Upper: {size: 3}}\neither: {size: 4}\n"
    assert load(tmp_path, text) == Outer("a", Inner(1), (Inner(2),), {"Upper": Inner(3)}, Inner(4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: a\nnamed:\n  Upper:\n    siz: 3\n",
            "line 4: unknown key 'siz' in 'named.Upper'. Did you mean 'size'",
        ),
        ("name: a\nnamed:\n  Upper:\n    size: x\n", "line 4: 'named.Upper.size': "),
        ("name: a\nseveral:\n  - size: 1\n  - sise: 1\n", "line 4: unknown key 'sise' in 'several.1'"),
        ("name: a\neither:\n  siz: 1\n", "line 3: unknown key 'siz' in 'either'"),
        ("name: a\ninner:\n", "line 2: 'inner': needs 'key: value' lines below it"),
        ("inner: {}\n", "line 1: 'name' is missing"),
        ("named:\n  str: {size: x}\nname: a\n", "line 2: 'named.str.size': "),
    ],
)
def test_an_error_names_the_line_and_the_whole_way_there(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert "a.yaml" in str(caught.value)


def test_environment_variables_have_defaults(tmp_path, monkeypatch):
    path = tmp_path / "a.yaml"
    path.write_text('a: ${SOME_DIR:-here}/x\nb: ["${SOME_DIR:-}"]\n', encoding="utf-8")
    monkeypatch.delenv("SOME_DIR", raising=False)
    assert read_yaml(path).value == {"a": "here/x", "b": [""]}
    monkeypatch.setenv("SOME_DIR", "there")
    assert read_yaml(path).value == {"a": "there/x", "b": ["there"]}


def test_scalars_can_be_kept_as_written(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("ids: [007, off, 1e3, 2024-01-01]\n", encoding="utf-8")
    assert read_yaml(path, as_written=True).value == {"ids": ["007", "off", "1e3", "2024-01-01"]}


def test_nothing_but_plain_data_is_built(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1"):
        read_yaml(path)
