"""Send a compatibility adapter, its card and its report to a repository of the Hugging Face hub."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml

from muscle_llm.errors import ConfigError, InputError, MissingExtraError, RunError
from muscle_llm.text import printable
from muscle_llm.update.card import CARD, hub_name

__all__ = ["adapter_files", "adapter_folder", "push_files", "report_files"]

_WEIGHTS, _CONFIG, _RECORD = "adapter_model.safetensors", "adapter_config.json", "training.json"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_WHY = {
    401: "the token is not valid: log in again with 'hf auth login', or set HF_TOKEN",
    403: "the token may not write there: use one with write access to this repository",
    404: "there is no such repository or account, or the token may not see it",
}

Files = dict[str, Path | bytes]


def adapter_folder(run: str | Path, task: str | None, remedy: str | None) -> Path:
    """Return the folder of an adapter: of a run's task and remedy, or the adapter folder itself.

    Raises:
        InputError: there is no such adapter; the message names those there are.
        ConfigError: a run has several, and it is not said which.
    """
    place = Path(run)
    if (place / _CONFIG).is_file():
        if task or remedy:
            raise ConfigError(f"{place} is an adapter, not a run: leave --task and --remedy out.")
        return place
    found = sorted(place.glob(f"tasks/*/adapters/*/{CARD}"))
    known = [(path.parents[2].name, path.parent.name) for path in found]
    chosen = [(t, r) for t, r in known if task in (None, t) and remedy in (None, r)]
    told = ", ".join(f"--task {t} --remedy {r}" for t, r in known)
    if not known:
        raise InputError(f"{place}: neither an adapter nor a run with a finished compatibility adapter.")
    if not chosen:
        raise InputError(f"{place}: no such compatibility adapter; there are: {told}.")
    if len(chosen) > 1:
        raise ConfigError(f"{place} has several compatibility adapters; say which: {told}.")
    return place / "tasks" / chosen[0][0] / "adapters" / chosen[0][1]


def adapter_files(folder: str | Path, *, base_model: str | None = None) -> Files:
    """Return what an adapter's repository holds: path in it -> file, or changed content.

    Args:
        folder: of the adapter.
        base_model: name of the base on the hub; needed where the adapter names a local folder, which nobody
            else could load and whose path is nobody else's business.

    Raises:
        InputError: the folder holds no adapter, or its records are broken.
        ConfigError: the base's name on the hub is not known.
    """
    place = Path(folder)
    for name in (_WEIGHTS, _CONFIG):
        if not (place / name).is_file():
            raise InputError(f"{place}: no adapter, it has no {name}.")
    config = _read(place / _CONFIG)
    base = base_model or hub_name(str(config.get("base_model_name_or_path") or ""))
    if base is None or hub_name(base) is None:
        raise ConfigError(
            f"{place}: the adapter's base is a local folder or not known by name. Give its name on the hub "
            "with --base-model."
        )
    files: Files = {_WEIGHTS: place / _WEIGHTS}
    files[_CONFIG] = _json({**config, "base_model_name_or_path": base})
    if (place / _RECORD).is_file():
        record = _read(place / _RECORD)
        files[_RECORD] = _json({**record, "base": {**(record.get("base") or {}), "name": base}})
    if (place / CARD).is_file():
        files[CARD] = _with_base((place / CARD).read_text(encoding="utf-8"), base).encode()
    return files


def report_files(folder: str | Path) -> Files:
    """Return the page and the comparison of the task whose adapter is in ``folder``.

    Raises:
        InputError: the adapter is not part of a finished run.
    """
    home = Path(folder).resolve().parents[1]
    files: Files = {name: home / name for name in ("report.html", "comparison.json")}
    missing = [name for name in files if not (home / name).is_file()]
    if missing:
        raise InputError(f"{folder}: there is no {missing[0]} with it; only a finished run has one.")
    return files


def push_files(files: Mapping[str, Path | bytes], repository: str, *, public: bool = False) -> str:
    """Commit files to a model repository, which is made where it is missing; return its address.

    Args:
        files: path in the repository -> file, or its content.
        repository: ``ACCOUNT/NAME``.
        public: whether everyone may see it. Otherwise a repository that is public already is refused.

    Raises:
        ConfigError: the repository's name is no such name, there is no token, or it is public.
        MissingExtraError: huggingface_hub is not installed.
        RunError: the hub refused or cannot be reached.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ConfigError(f"a repository is named ACCOUNT/NAME, not '{printable(repository)}'.")
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("muscle-llm push", "train") from error
    token = huggingface_hub.get_token()
    if not token:
        raise ConfigError("there is no token for the hub: log in with 'hf auth login', or set HF_TOKEN.")
    api = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    with _explained(repository):
        address = api.create_repo(repository, private=not public, exist_ok=True, repo_type="model")
        if not public and api.repo_info(repository).private is not True:
            raise ConfigError(
                f"{repository} is there and public. Push with --public, or choose another name."
            )
        api.create_commit(
            repository,
            [huggingface_hub.CommitOperationAdd(name, content) for name, content in files.items()],
            commit_message="Compatibility adapter",
        )
    return str(address)


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Turn what the hub's client raises into one sentence."""
    from huggingface_hub.errors import HfHubHTTPError

    # its bases are those of the HTTP library that the client uses: a hub that is not there raises those
    raised = cast("tuple[type[Exception], ...]", (*HfHubHTTPError.__bases__, OSError, ValueError))
    try:
        yield
    except raised as error:
        if isinstance(error, ConfigError):
            raise
        response = getattr(error, "response", None)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        why = _WHY.get(getattr(response, "status_code", 0), printable(lines[0], limit=200))
        raise RunError(f"pushing to {repository} failed: {why.rstrip('.')}.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()


def _with_base(card: str, base: str) -> str:
    """Return a card whose front matter names the base."""
    match = re.match(r"---\n(.*?\n)---\n", card, re.S)
    found = yaml.safe_load(match[1]) if match else None
    if match is None or not isinstance(found, dict) or found.get("base_model") == base:
        return card
    line = yaml.safe_dump({"base_model": base})
    rest = re.sub(r"^base_model:.*\n", "", match[1], flags=re.M)
    return f"---\n{line}{rest}---\n{card[match.end() :]}"
