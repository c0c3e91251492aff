"""Settings from a YAML file: strict, with errors that name file, line, cause and fix."""

from __future__ import annotations

import collections.abc
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

__all__ = ["Document", "read_yaml", "to_settings"]

T = TypeVar("T")
Location = tuple[str | int, ...]
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

    def where(self, location: Sequence[str | int]) -> str:
        """Return the name and, for a file, the line of the value at ``location``."""
        return str(self.path) if self.node is None else f"{self.path}, line {self.line(location)}"

    def error(self, location: Sequence[str | int], message: str) -> ConfigError:
        """Return the error that says ``message`` about the value at ``location``."""
        name = ".".join(str(p) for p in location)
        shown = f"'{name}': " if name else ""
        return ConfigError(f"{self.where(location)}: {shown}{message.rstrip('.')}.")


def read_yaml(path: Path, *, as_written: bool = False) -> Document:
    """Read a YAML file with safe types only; ``${NAME}`` and ``${NAME:-default}`` stand for the environment.

    Args:
        path: the file, in UTF-8.
        as_written: keep every scalar as the text that stands there, where YAML would turn ``007`` into 7 and
            ``off`` into false.

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
        value = yaml.load(text, Loader=yaml.BaseLoader) if as_written else yaml.safe_load(text)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{path}{where}: {problem}. Check indentation, quotes and colons there.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML that can be read ({error}).") from error
    document = Document(path, value, node)
    if node is not None:
        _refuse_repeated_keys(path, node)
    return dataclasses.replace(document, value=_expand(document, value, ()))


def to_settings(document: Document, kind: type[T], value: Any = None, place: Location = ()) -> T:
    """Build a frozen dataclass from a document; every key must be one of its fields.

    Args:
        document: where the values come from; used for line numbers.
        kind: the dataclass, which may hold others, lists of others, and mappings from names to others.
        value: the content to use in place of the document's own, of the same shape.
        place: where in the document ``value`` stands.

    Raises:
        ConfigError: a key is unknown (with the nearest known name), missing, or of the wrong type.
    """
    content = document.value if value is None else value
    if not isinstance(content, Mapping):
        raise ConfigError(f"{document.path} must hold 'key: value' lines, not {_kind(content)}.")
    _refuse_unknown_keys(document, kind, content, place)
    try:
        return pydantic.TypeAdapter(kind).validate_python(dict(content))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        missing = first["type"] == "missing"
        location = _within(content, first["loc"][:-1] if missing else first["loc"])
        if missing:
            location = (*place, *location, first["loc"][-1])
            where = document.where(location)
            name = ".".join(str(p) for p in location)
            raise ConfigError(f"{where}: '{name}' is missing. Add it.") from error
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("dataclass_type", "mapping_type", "dict_type"):
            message = "needs 'key: value' lines below it"
        raise document.error((*place, *location), message) from error


def _refuse_unknown_keys(document: Document, kind: Any, value: Any, location: Location) -> None:
    """Look through ``value`` for keys that are no fields of the dataclass it is to become."""
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        hints = typing.get_type_hints(kind)
        known = [f.name for f in dataclasses.fields(kind)]
        for key, item in value.items():
            if key not in known:
                where = document.where((*location, key))
                inside = f" in '{'.'.join(str(p) for p in location)}'" if location else ""
                raise ConfigError(f"{where}: unknown key {key!r}{inside}. {did_you_mean(str(key), known)}")
            _refuse_unknown_keys(document, hints[key], item, (*location, key))
        return
    arguments = [a for a in typing.get_args(kind) if a is not Ellipsis]
    origin = typing.get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
        if isinstance(value, Mapping) and len(arguments) == 2:
            for key, item in value.items():
                _refuse_unknown_keys(document, arguments[1], item, (*location, key))
    elif isinstance(origin, type) and issubclass(origin, collections.abc.Sequence):
        if isinstance(value, list):
            for index, item in enumerate(value):
                _refuse_unknown_keys(document, arguments[0], item, (*location, index))
    else:  # a union: each branch looks at the values of its own shape
        for argument in arguments:
            _refuse_unknown_keys(document, argument, value, location)


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


def _expand(document: Document, value: Any, location: Location) -> Any:
    if isinstance(value, str):

        def insert(match: re.Match[str]) -> str:
            found = os.environ.get(match[1], match[2])
            if found is None:
                where = document.where(location)
                raise ConfigError(f"{where}: the environment variable {match[1]} is not set. Set it.")
            return found

        return _VARIABLE.sub(insert, value)
    if isinstance(value, Mapping):
        return {k: _expand(document, v, (*location, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(document, v, (*location, i)) for i, v in enumerate(value)]
    return value


def _within(content: Any, location: Location) -> Location:
    """Return the parts of pydantic's location that lead through the content: no branches of unions."""
    kept: list[str | int] = []
    for part in location:
        in_list = isinstance(content, list | tuple) and isinstance(part, int) and part < len(content)
        if in_list or (isinstance(content, Mapping) and part in content):
            content = typing.cast(Any, content)[part]
            kept.append(part)
    return tuple(kept)


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
