"""What a task is, as one hash: its configuration, the code it names, its local data. No torch, no harness.

A run that may skip finished work asks for this hash first, so it has to be quick: files are read, nothing is
imported and no function of a task runs.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from muscle_llm.errors import ConfigError, InputError, MissingExtraError, did_you_mean
from muscle_llm.files import sha256_file, sha256_text
from muscle_llm.tasks.data import local_files, resolve_data_files
from muscle_llm.tasks.own import harness_config, is_own
from muscle_llm.tasks.paper import paper_task_files
from muscle_llm.tasks.paper.load import original_files
from muscle_llm.text import printable

__all__ = ["harness_task_files", "read_config", "read_yaml", "task_file", "task_fingerprint"]

_FUNCTION = "!function "
_DATA = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt", ".lst", ".gz")
# Keys that change neither what is asked nor how it is scored, but for some of the metadata's.
_SILENT = ("metadata", "tag", "task_alias")


def task_fingerprint(
    spec: str | Path | Mapping[str, Any],
    *,
    data_dir: str | Path | None = None,
    metric: str | None = None,
    filter: str | None = None,
) -> str:
    """Return a SHA-256 that changes when the task, the code its YAML names, or its local data change.

    Args:
        spec: as for `load_task`: a mapping, a YAML file, or a name of a task of the harness.
        data_dir: as for `load_task`.
        metric: as for `load_task`.
        filter: as for `load_task`.

    Raises:
        ConfigError: the name is unknown or the YAML is broken.
        InputError: the YAML file or a data file is missing or empty.

    Example:
        >>> config = {"task": "a", "dataset_path": "org/name", "doc_to_text": "{{q}}"}
        >>> a = task_fingerprint(config)
        >>> a == task_fingerprint(dict(config)), a == task_fingerprint({**config, "doc_to_text": "{{q}}?"})
        (True, False)
    """
    config, folder = read_config(spec)
    arguments = dict(config.get("dataset_kwargs") or {})
    files = arguments.pop("data_files", None)
    if config.get("custom_dataset"):
        data = custom_files(config, data_dir)
    else:
        data = local_files(resolve_data_files(files, Path(data_dir) if data_dir else folder)) if files else {}
    told = {k: v for k, v in config.items() if k not in (*_SILENT, "dataset_kwargs")}
    document = {
        "config": told,
        "dataset_kwargs": arguments,
        "data": sorted(data.values()),
        "code": _code_files(config, folder),
        "metric": metric,
        "filter": filter,
        "leaks": (config.get("metadata") or {}).get("leaks"),
        "chat": (config.get("metadata") or {}).get("chat"),
    }
    return sha256_text(json.dumps(document, sort_keys=True, default=_source))


def read_config(spec: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], Path]:
    """Return a task's configuration, ``!function`` tags as text, and the folder its paths start from."""
    if isinstance(spec, Mapping):
        config, folder = dict(spec), Path()
    else:
        path = task_file(spec)
        config, folder = read_yaml(path), path.parent
    return (harness_config(config) if is_own(config) else config), folder


def task_file(spec: str | Path) -> Path:
    """Return the YAML file that ``spec`` names: a path, or a task of the installed harness.

    Raises:
        InputError: the path does not exist.
        ConfigError: the harness knows no such task.
    """
    text = str(spec)
    path = Path(spec).expanduser()
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise InputError(f"task file {printable(text)} does not exist.")
        return path.resolve()
    ours = paper_task_files()
    if text in ours:
        return ours[text]
    known = harness_task_files()
    if text not in known:
        raise ConfigError(
            f"unknown task '{printable(text)}': neither a YAML file nor a task of lm-evaluation-harness. "
            f"{did_you_mean(text, [*ours, *known])}"
        )
    return known[text]


@cache
def harness_task_files() -> dict[str, Path]:
    """Return name -> YAML file of every single task the installed harness brings.

    It reads the files' text only (a second); the harness's own index parses all of them (15 s).

    Raises:
        MissingExtraError: the harness is not installed.
    """
    found = importlib.util.find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError("a task by name", "train")
    pattern = re.compile(rb"^task:[ \t]*[\"']?([^\s\"'\[#]+)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)
    names: dict[str, Path] = {}
    for path in sorted((Path(found.submodule_search_locations[0]) / "tasks").glob("**/*.yaml")):
        match = pattern.search(path.read_bytes())
        if match:
            names.setdefault(match[1].decode("utf-8", "replace"), path)
    return names


class _Plain(yaml.SafeLoader):
    """YAML with the harness's ``!function`` tag as text: nothing is imported."""


def _function(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    return _FUNCTION + str(loader.construct_scalar(node))  # pyright: ignore[reportArgumentType]


_Plain.add_constructor("!function", _function)


def read_yaml(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a YAML file as it stands, its includes merged, ``!function`` tags as text."""
    if path in seen:
        raise ConfigError(f"{path}: includes itself.")
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=_Plain)  # noqa: S506  (a safe loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)}).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: cannot be read as a task of the harness: it is not a mapping.")
    wanted = config.pop("include", [])
    merged: dict[str, Any] = {}
    for name in wanted if isinstance(wanted, list) else [wanted]:
        merged |= read_yaml((path.parent / str(name)).resolve(), (*seen, path))
    return merged | config


def _code_files(config: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 of the Python files that a YAML's ``!function`` tags name beside it."""
    names = {v.removeprefix(_FUNCTION).rpartition(".")[0] for v in _texts(config) if v.startswith(_FUNCTION)}
    paths = {name: _module_file(name, folder) for name in names}
    return {name: sha256_file(path) for name, path in sorted(paths.items()) if path.is_file()}


def _module_file(name: str, folder: Path) -> Path:
    """Return where a module named in a YAML is: in this package, or beside the YAML."""
    if name.startswith("muscle_llm."):
        return Path(__file__).parents[2] / f"{name.replace('.', '/')}.py"
    return folder / f"{name.replace('.', '/')}.py"


def custom_files(config: Mapping[str, Any], data_dir: str | Path | None) -> dict[str, str]:
    """Return file name -> SHA-256 of the local data that a task with a loader of its own reads."""
    if data_dir is None:
        return {}
    loader = config["custom_dataset"]
    if isinstance(loader, str) and loader.startswith(f"{_FUNCTION}muscle_llm.tasks.paper."):
        paths = list(original_files(str(config["task"]), data_dir).values())
        paths += [p for p in (path.with_name(f"{path.stem}-labels.lst") for path in paths) if p.is_file()]
    else:
        place = Path(data_dir).expanduser()
        paths = [p for p in place.iterdir() if p.suffix in _DATA] if place.is_dir() else [place]
    return {p.name: sha256_file(p) for p in sorted(paths) if p.is_file()}


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [text for v in inner for text in _texts(v)]


def _source(value: Any) -> str:
    """Return a function's source, so that a change of it changes the hash."""
    try:
        return inspect.getsource(value)
    except (TypeError, OSError):
        return getattr(value, "__qualname__", type(value).__name__)
