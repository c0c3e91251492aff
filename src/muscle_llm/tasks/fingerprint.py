"""A name for a task's content that costs no import of the harness: run folders ask for it at every start."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.files import sha256_file, sha256_text
from muscle_llm.tasks.data import local_files, resolve_data_files

__all__ = ["task_fingerprint"]

_INCLUDE = re.compile(r"^\s*include:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)
_FUNCTION = re.compile(r"!function\s+([\w/]+)\.")


def task_fingerprint(
    spec: str | Path | Mapping[str, Any],
    *,
    data_dir: str | Path | None = None,
    metric: str | None = None,
    filter: str | None = None,
) -> str:
    """Return a hash that changes when the task, its local data, or what is read from it changes.

    A YAML file counts with the files it includes and the Python files it names; a task known by name counts
    with the harness's version; data on the hub counts by its name only.

    Args:
        spec: as `load_task` takes it.
        data_dir: as `load_task` takes it.
        metric: as `load_task` takes it.
        filter: as `load_task` takes it.

    Raises:
        InputError: a local file is missing.
        ConfigError: the YAML is broken.

    Example:
        >>> task_fingerprint({"task": "a"}) == task_fingerprint({"task": "b"})
        False
    """
    parts: dict[str, Any] = {"metric": metric, "filter": filter}
    if isinstance(spec, Mapping):
        config, folder = dict(spec), Path()
        parts["task"] = json.dumps(config, sort_keys=True, default=_name_of)
    else:
        path = Path(spec).expanduser()
        if path.suffix not in (".yaml", ".yml") and not path.is_file():
            return sha256_text(json.dumps({**parts, "task": str(spec), "harness": _harness_version()}))
        folder = path.resolve().parent
        files = dict.fromkeys(_task_files(path))
        parts["files"] = {file.name: sha256_file(file) for file in files}
        config = {}
        for file in files:
            if file.suffix in (".yaml", ".yml"):
                config = {**_read(file), **config}
    wanted = (config.get("dataset_kwargs") or {}).get("data_files")
    if wanted is not None:
        parts["data"] = local_files(resolve_data_files(wanted, Path(data_dir) if data_dir else folder))
    return sha256_text(json.dumps(parts, sort_keys=True))


def _task_files(path: Path) -> Iterator[Path]:
    if not path.is_file():
        raise InputError(f"task file {path} does not exist.")
    yield path
    if path.suffix == ".py":
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    for name in _INCLUDE.findall(text):
        yield from _task_files(path.parent / name)
    for name in _FUNCTION.findall(text):
        module = path.parent / f"{name}.py"
        if module.is_file():
            yield module


class _Reader(yaml.SafeLoader):
    """Reads tags such as ``!function`` as nothing: only plain values matter here."""


_Reader.add_multi_constructor("!", lambda loader, suffix, node: None)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Reader)  # noqa: S506  (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)}).") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: a task file must hold 'key: value' lines.")
    return found


def _name_of(value: Any) -> str:
    # Functions in a task given as a mapping are told apart by name.
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)!s}"


def _harness_version() -> str:
    try:
        return metadata.version("lm-eval")
    except metadata.PackageNotFoundError:
        return ""
