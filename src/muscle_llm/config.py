"""Settings from YAML: strict, with errors that name file, line, cause and fix."""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from muscle_llm.errors import ConfigError, did_you_mean
from muscle_llm.update.settings import UpdateSettings

__all__ = ["load_update", "read_yaml", "to_settings"]

T = TypeVar("T")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A YAML file's content and where each of its values stands."""

    path: Path
    value: Any
    node: yaml.Node | None

    def line(self, location: Sequence[str | int]) -> int:
        """Return the line (from 1) of the deepest node on the way to ``location``."""
        node, line = self.node, 1
        for part in location:
            found: tuple[yaml.Node, yaml.Node] | None = None
            if isinstance(node, yaml.MappingNode):
                found = next((pair for pair in node.value if pair[0].value == str(part)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = (node.value[part], node.value[part])
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line


def read_yaml(path: Path) -> Document:
    """Read a YAML file with safe types only; ``${NAME}`` and ``${NAME:-default}`` stand for the environment.

    Raises:
        ConfigError: the file is missing, not UTF-8, not YAML, holds a key twice, or names an unset variable.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}. Give the path of a YAML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{path}{where}: {problem}. Check indentation, quotes and colons there.") from error
    document = Document(path, value, node)
    if node is not None:
        _refuse_repeated_keys(path, node)
    return dataclasses.replace(document, value=_expand(document, value, ()))


def to_settings(document: Document, kind: type[T], value: Any = None) -> T:
    """Build a frozen dataclass from a document; every key must be one of its fields.

    Args:
        document: where the values come from; used for line numbers.
        kind: the dataclass, which may hold others.
        value: the content to use in place of the document's own, of the same shape.

    Raises:
        ConfigError: a key is unknown (with the nearest known name), missing, or of the wrong type.
    """
    content = document.value if value is None else value
    if not isinstance(content, Mapping):
        raise ConfigError(f"{document.path} must hold 'key: value' lines, not {_kind(content)}.")
    _refuse_unknown_keys(document, kind, content, ())
    try:
        return pydantic.TypeAdapter(kind).validate_python(dict(content))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        location = [p for p in first["loc"] if not (isinstance(p, str) and _is_type_name(p))]
        where = f"{document.path}, line {document.line(location)}"
        name = ".".join(str(p) for p in location)
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        if first["type"] == "missing":
            raise ConfigError(f"{where}: '{name}' is missing. Add it.") from error
        shown = f"'{name}': " if name else ""
        raise ConfigError(f"{where}: {shown}{message}.") from error


def load_update(path: Path) -> UpdateSettings:
    """Read the settings of an update; local paths in it are relative to the file's folder.

    ``training`` and ``lora`` of a task change single values of the update's own.

    Raises:
        ConfigError: the file cannot be used; the message says where and why.
    """
    document = read_yaml(path)
    content = document.value
    if isinstance(content, Mapping):
        content = dict(content)
        if isinstance(content.get("remedies"), list):
            content["remedies"] = [{"name": r} if isinstance(r, str) else r for r in content["remedies"]]
        if isinstance(content.get("tasks"), list):
            content["tasks"] = [{"task": t} if isinstance(t, str) else t for t in content["tasks"]]
            # Once as it stands: a mistake is reported where it was made, not where it is inherited.
            to_settings(document, UpdateSettings, content)
            content["tasks"] = [_inherit(t, content) for t in content["tasks"]]
    settings = to_settings(document, UpdateSettings, content)
    folder = path.resolve().parent
    return dataclasses.replace(
        settings,
        old=_local_version(settings.old, folder),
        new=_local_version(settings.new, folder),
        tasks=tuple(
            dataclasses.replace(
                task,
                task=_local(task.task, folder) if isinstance(task.task, str) else task.task,
                data_dir=_below(folder, task.data_dir),
                old_adapter=_below(folder, task.old_adapter),
                new_adapter=_below(folder, task.new_adapter),
            )
            for task in settings.tasks
        ),
    )


def _inherit(task: Any, update: Mapping[str, Any]) -> Any:
    if not isinstance(task, Mapping):
        return task
    merged = dict(task)
    for key in ("training", "lora"):
        above = update.get(key)
        if isinstance(merged.get(key), Mapping) and isinstance(above, Mapping):
            merged[key] = {**above, **merged[key]}
    return merged


def _local_version(version: Any, folder: Path) -> Any:
    if version.pretrain is None:
        return dataclasses.replace(version, base=_local(version.base, folder))
    pretrain = version.pretrain
    return dataclasses.replace(
        version,
        pretrain=dataclasses.replace(
            pretrain,
            corpus=tuple(str(folder / p) for p in pretrain.corpus),
            tokenizer_corpus=tuple(str(folder / p) for p in pretrain.tokenizer_corpus),
        ),
    )


def _below(folder: Path, path: str | None) -> str | None:
    return None if path is None else str(folder / path)


def _local(name: str, folder: Path) -> str:
    # A name that is there as a path is one; whatever else is left for the hub or the harness to know.
    if (folder / name).exists():
        return str(folder / name)
    return name


def _refuse_unknown_keys(document: Document, kind: Any, value: Any, location: tuple[str | int, ...]) -> None:
    kind = _dataclass_within(kind, value)
    if kind is None:
        return
    if isinstance(value, list):
        for i, item in enumerate(value):
            _refuse_unknown_keys(document, kind, item, (*location, i))
        return
    if not isinstance(value, Mapping):
        return
    hints = typing.get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind)]
    for key, item in value.items():
        if key not in known:
            where = f"{document.path}, line {document.line((*location, key))}"
            inside = f" in '{'.'.join(str(p) for p in location)}'" if location else ""
            raise ConfigError(f"{where}: unknown key {key!r}{inside}. {did_you_mean(str(key), known)}")
        _refuse_unknown_keys(document, hints[key], item, (*location, key))


def _dataclass_within(kind: Any, value: Any) -> Any:
    """Return the dataclass that a mapping, or a list of mappings, would become."""
    if dataclasses.is_dataclass(kind):
        return kind
    if isinstance(value, Mapping | list):
        for inner in typing.get_args(kind):
            found = _dataclass_within(inner, value)
            if found is not None:
                return found
    return None


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, inner in node.value:
            name = str(key.value)
            if name in seen:
                raise ConfigError(f"{path}, line {key.start_mark.line + 1}: key '{name}' stands there twice.")
            seen.add(name)
            _refuse_repeated_keys(path, inner)
    elif isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            _refuse_repeated_keys(path, inner)


def _expand(document: Document, value: Any, location: tuple[str | int, ...]) -> Any:
    if isinstance(value, str):

        def insert(match: re.Match[str]) -> str:
            found = os.environ.get(match[1], match[2])
            if found is None:
                where = f"{document.path}, line {document.line(location)}"
                raise ConfigError(f"{where}: the environment variable {match[1]} is not set. Set it.")
            return found

        return _VARIABLE.sub(insert, value)
    if isinstance(value, Mapping):
        return {k: _expand(document, v, (*location, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(document, v, (*location, i)) for i, v in enumerate(value)]
    return value


def _is_type_name(part: str) -> bool:
    # pydantic adds the branch of a union to the location.
    return part[:1].isupper() or part in {"str", "int", "float", "none"} or "[" in part


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
