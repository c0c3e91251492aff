"""What the training commands are to do, as frozen settings: from a file, changed by flags."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.settings_file import Document, read_yaml, to_settings
from muscle_llm.train.selection import check_selection
from muscle_llm.train.settings import LoraSettings, LossSettings, TrainSettings
from muscle_llm.train.teaching import check_teacher_kind

if TYPE_CHECKING:
    from muscle_llm.tasks import Example

__all__ = [
    "CompatJob",
    "DialJob",
    "TaskAdapterJob",
    "TeachersJob",
    "examples_of",
    "load_job",
    "read_weights",
    "refuse_finished",
]

T = TypeVar("T")
_FOLDERS = ("out", "data_dir", "init_adapter", "old_adapter", "new_adapter", "compat_adapter", "cache_dir")
_FILES = ("instance_weights",)
_NAMES = ("base", "old_base", "new_base", "task")  # a path if it is there as one, else a name


@dataclass(frozen=True)
class TaskAdapterJob:
    """A task adapter: which base, what to learn, where to.

    Args:
        base: folder or hub name of the base.
        task: a name, a YAML file, or the YAML's content.
        out: folder of the adapter.
        data_dir: folder of the task's local data.
        init_adapter: continue this adapter.
        lora: shape of the adapter.
        training: how to train.
        seed: of everything random.
    """

    base: str
    task: str | Mapping[str, Any]
    out: str
    data_dir: str | None = None
    init_adapter: str | None = None
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: TrainSettings = field(default_factory=TrainSettings)
    seed: int = 0


@dataclass(frozen=True)
class TeachersJob:
    """The caches of both teachers. A file of a :class:`CompatJob` serves too.

    Args:
        old_base: folder or hub name of the old base.
        old_adapter: the task adapter on it.
        new_base: folder or hub name of the new base.
        new_adapter: the task adapter on it.
        task: a name, a YAML file, or the YAML's content.
        cache_dir: where the caches are; the training looks there.
        data_dir: folder of the task's local data.
        teachers: ``cached`` keeps hidden states, ``top_k`` the likeliest tokens.
        top_k: how many.
        loss: its temperature decides truncated caches.
        training: its split, lengths and precision decide what is cached.
        seed: of the split.
        out: not used here.
        selection: not used here.
        accuracy_loss: not used here.
        validation_nfr: not used here.
        instance_weights: not used here.
    """

    old_base: str
    old_adapter: str
    new_base: str
    new_adapter: str
    task: str | Mapping[str, Any]
    cache_dir: str
    data_dir: str | None = None
    teachers: str = "cached"
    top_k: int = 64
    loss: LossSettings = field(default_factory=LossSettings)
    training: TrainSettings = field(default_factory=TrainSettings)
    seed: int = 0
    out: str | None = None
    selection: str = "cross_entropy"
    accuracy_loss: float = 0.0
    validation_nfr: bool = False
    instance_weights: str | None = None

    def __post_init__(self) -> None:
        if self.teachers not in ("cached", "top_k"):
            raise ConfigError(f"teachers must be 'cached' or 'top_k' to be cached, not '{self.teachers}'.")
        _check_top_k(self.top_k)


@dataclass(frozen=True)
class CompatJob:
    """A compatibility adapter: of which two task models, by which loss, where to.

    Args:
        old_base: folder or hub name of the old base.
        old_adapter: the task adapter on it.
        new_base: folder or hub name of the new base, with the same tokenizer.
        new_adapter: the task adapter on it: where the student starts.
        task: a name, a YAML file, or the YAML's content.
        out: folder of the adapter.
        data_dir: folder of the task's local data.
        loss: mask, divergence, temperature, share of the cross-entropy.
        teachers: ``cached``, ``top_k``, ``live`` or ``plain``.
        cache_dir: where caches stay; by default they go when the training is done.
        top_k: how many tokens ``top_k`` keeps.
        selection: how the epoch is chosen: ``cross_entropy`` or ``nfr``.
        accuracy_loss: with ``nfr``: how much lower the accuracy may be, a share.
        validation_nfr: measure negative flips after each epoch even where they do not decide.
        instance_weights: JSON file, example id -> weight.
        training: how to train.
        seed: of everything random; give the task adapters' to hold out the same examples.
    """

    old_base: str
    old_adapter: str
    new_base: str
    new_adapter: str
    task: str | Mapping[str, Any]
    out: str
    data_dir: str | None = None
    loss: LossSettings = field(default_factory=LossSettings)
    teachers: str = "cached"
    cache_dir: str | None = None
    top_k: int = 64
    selection: str = "cross_entropy"
    accuracy_loss: float = 0.0
    validation_nfr: bool = False
    instance_weights: str | None = None
    training: TrainSettings = field(default_factory=TrainSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        check_teacher_kind(self.teachers)
        check_selection(self.selection, self.accuracy_loss)
        _check_top_k(self.top_k)


@dataclass(frozen=True)
class DialJob:
    """Mixtures of two adapters of one base.

    Args:
        new_adapter: what share 0 acts as.
        compat_adapter: what share 1 acts as.
        out: folder of the mixture; of several, the folder they go to.
        shares: of the compatibility adapter, each 0 to 1.
        base: make sure that both belong to it.
    """

    new_adapter: str
    compat_adapter: str
    out: str
    shares: tuple[float, ...] = (0.5,)
    base: str | None = None

    def __post_init__(self) -> None:
        if not self.shares:
            raise ConfigError("shares must name at least one share.")
        for share in self.shares:
            if not 0 <= share <= 1:
                raise ConfigError(f"A share must be between 0 and 1, not {share!r}.")


def _check_top_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"top_k must be 1 or more, not {k}.")


def load_job(kind: type[T], config: Path | None, changed: Mapping[str, Any], command: str) -> T:
    """Build a job from a file of settings and what the flags change; local paths in the file start there.

    Args:
        kind: one of the jobs above.
        config: the file; None where there is none.
        changed: setting (``training.epochs``) -> value.
        command: as the user typed it.

    Raises:
        ConfigError: a key is unknown, missing or of the wrong kind; the message names the line in the file,
            or the command line.
    """
    flags = _nested(changed)
    content: Any = {}
    required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]  # type: ignore[arg-type]
    if config is not None:
        document = read_yaml(config)
        content = document.value
        if isinstance(content, Mapping):
            # the file alone first: its mistakes are reported where they stand
            lent = {name: flags.get(name, "-") for name in required if name not in content}
            to_settings(document, kind, {**content, **lent})
            content = _localised(content, config.resolve().parent)
        else:
            to_settings(document, kind)
    merged = _overlaid(content, flags)
    for name in required:
        if merged.get(name) in (None, ""):
            raise ConfigError(
                f"{command} needs '{name}': give --{name.replace('_', '-')}, or '{name}:' in the file of "
                "--config."
            )
    return to_settings(Document(Path("command line"), merged, None), kind)


def _nested(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into mappings in mappings."""
    found: dict[str, Any] = {}
    for name, value in changed.items():
        *above, last = name.split(".")
        place = found
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return found


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the values of ``above`` in place of its own, mapping by mapping."""
    found = copy.copy(dict(below))
    for name, value in above.items():
        under = found.get(name)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        found[name] = _overlaid(under, value) if both else value  # type: ignore[arg-type]
    return found


def _localised(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return settings whose local paths start from a folder."""
    found = dict(content)
    for name, value in content.items():
        if not isinstance(value, str):
            continue
        if name in _FOLDERS or name in _FILES or (name in _NAMES and (folder / value).exists()):
            found[name] = str(folder / value)
    return found


def examples_of(spec: str | Mapping[str, Any], data_dir: str | None, base: str) -> list[Example]:
    """Return a task's training text, none of it about a test instance.

    Raises:
        MuscleError: the task cannot be loaded, has no training split, or gives test instances away.
    """
    from muscle_llm.models import load_tokenizer
    from muscle_llm.tasks import load_task, refuse_leaks, training_examples

    task = load_task(spec, data_dir=data_dir)
    found = training_examples(task, load_tokenizer(base) if task.chat else None)
    if not task.chat:  # a template would hide leaks; they were looked for before it
        refuse_leaks(found, task)
    return found


def read_weights(path: str | None, examples: list[Example]) -> dict[str, float] | None:
    """Return the instance weights of a JSON file: example id -> weight, 0 or more.

    Raises:
        InputError: it is no such file, or names an example there is not.
    """
    if path is None:
        return None
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        weights = {str(id): float(weight) for id, weight in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: no file of instance weights ({error}). Give a JSON object such as {{"train:0": 2.0}}.'
        ) from error
    known = {example.id for example in examples}
    for id, weight in weights.items():
        if id not in known:
            raise InputError(f"{path}: no training example is named '{id}'. Ids are like '{examples[0].id}'.")
        if not 0 <= weight < float("inf"):
            raise InputError(f"{path}: the weight of '{id}' must be 0 or more, not {weight}.")
    return weights


def refuse_finished(out: Path, *, overwrite: bool) -> None:
    """Raise where a finished adapter is in the folder, unless it is to be written over.

    Raises:
        InputError: there is one.
    """
    from muscle_llm.models import ADAPTER_WEIGHTS

    if not overwrite and (out / ADAPTER_WEIGHTS).exists() and not (out / "checkpoints").exists():
        raise InputError(
            f"{out} holds a finished adapter. Give another folder with --out, or --overwrite it."
        )
