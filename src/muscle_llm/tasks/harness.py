"""Tasks of lm-evaluation-harness, loaded offline where their data is local.

A task's YAML file may name Python functions (``!function module.name``), as the harness allows: loading such
a file runs that code. Load only task files you trust.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from muscle_llm.errors import ConfigError, InputError, MissingExtraError, MuscleError, did_you_mean
from muscle_llm.tasks.data import DataFiles, explain_broken_file, local_files, resolve_data_files
from muscle_llm.tasks.fingerprint import custom_files, read_config, read_yaml, task_file, task_fingerprint
from muscle_llm.tasks.own import is_own
from muscle_llm.text import printable

__all__ = ["Task", "load_task"]

Kind = Literal["choice", "exact_match", "score"]

# Metrics of one instance that are 0 or 1, the most usual first.
_CHOICE_METRICS = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")
_RIGHT_OR_WRONG = ("exact_match", "acc", "em", "acc_norm", "acc_bytes", "acc_mutual_info")


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the harness and what this package needs to know of it.

    Attributes:
        name: the task's name.
        kind: ``"choice"`` (log-likelihoods of options), ``"exact_match"`` (generated text, right or
            wrong), ``"score"`` (generated text, a similarity per instance).
        metric: the harness's metric that decides ``correct``, or is the score.
        harness: the ``lm_eval`` task object.
        filter: the harness's answer filter whose result ``metric`` judges.
        hash: what `task_fingerprint` gives: it changes with the task, its code and its local data.
        sources: local data file -> SHA-256 of its bytes.
        chat: whether prompts go through the model's chat template.
    """

    name: str
    kind: Kind
    metric: str
    harness: Any
    filter: str = "none"
    hash: str = ""
    sources: Mapping[str, str] | None = None
    chat: bool = False


def load_task(
    spec: str | Path | Mapping[str, Any],
    *,
    data_dir: str | Path | None = None,
    metric: str | None = None,
    filter: str | None = None,
) -> Task:
    """Load a task from a mapping, a YAML file of the harness, or a name the harness knows.

    Args:
        spec: a task configuration of the harness, a path to one (``.yaml``), or a name such as
            ``"arc_easy"``. A YAML file runs the Python functions it names.
        data_dir: folder that relative ``data_files`` start from; the YAML file's own folder otherwise
            (the working folder for a mapping). For the paper's tasks, and any with a loader of its own: the
            folder with the original files, instead of the hub.
        metric: which of the task's metrics decides; otherwise the first that is right-or-wrong, then any.
        filter: which of the task's answer filters counts; the first otherwise.

    Returns:
        The task. Local data is read now, past the ``datasets`` cache, so a changed file is always noticed.

    Raises:
        ConfigError: the name is unknown, the YAML is broken, or the task lacks what predictions need.
        InputError: a data file is missing, empty or broken.
        MissingExtraError: the harness is not installed.
    """
    try:
        import lm_eval.tasks
    except ImportError as error:
        raise MissingExtraError("loading a task", "train") from error
    from muscle_llm.tasks import rouge
    from muscle_llm.tasks.quiet import quiet_harness

    rouge.register()
    config, folder, label = _configuration(spec)
    _check(config, label)
    if config.get("custom_dataset") and data_dir is not None:
        config["metadata"] = {**(config.get("metadata") or {}), "data": str(data_dir)}
    files = _take_data_files(config, Path(data_dir) if data_dir else folder)
    with quiet_harness(), _private_cache(config, files), _explained(label, files):
        manager = lm_eval.tasks.TaskManager(include_defaults=False)
        loaded = manager.load(copy.deepcopy(config))["tasks"]
        harness = next(iter(loaded.values()))
        if harness.get_config("num_fewshot") is None:
            harness.set_config("num_fewshot", 0)
    if not len(harness.eval_docs):
        raise InputError(f"task {label}: its evaluation split has no instances.")
    kind, decides, used = _what_decides(harness, label, metric, filter)
    sources = local_files(files) if files else {}
    if config.get("custom_dataset"):
        sources = custom_files(read_config(spec)[0], data_dir)
    hash = task_fingerprint(spec, data_dir=data_dir, metric=metric, filter=filter)
    chat = bool((config.get("metadata") or {}).get("chat", False))
    return Task(str(config["task"]), kind, decides, harness, used, hash, sources, chat)


def _configuration(spec: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], Path, str]:
    """Return the task's configuration, the folder its relative paths start from, and its name in messages."""
    plain, folder = read_config(spec)  # says what is wrong with a file before any of its code runs
    if isinstance(spec, Mapping):
        return copy.deepcopy(plain), folder, f"'{printable(str(spec.get('task', '?')))}'"
    path = task_file(spec)
    if is_own(read_yaml(path)):
        return plain, folder, f"'{printable(str(spec))}'"
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        return load_yaml(path), path.parent, f"'{printable(str(spec))}'"
    except (ImportError, AttributeError, SyntaxError, ValueError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as a task of the harness ({error}).") from error


def _check(config: dict[str, Any], label: str) -> None:
    """Refuse what cannot become predictions before the data is touched."""
    if "group" in config or isinstance(config.get("task"), list):
        raise ConfigError(f"task {label} is a group of tasks; name one of its tasks instead.")
    if not isinstance(config.get("task"), str):
        raise ConfigError(f"task {label}: the key 'task', the task's name, is missing.")
    if "class" in config:
        return
    if config.get("output_type") == "loglikelihood_rolling":
        raise ConfigError(f"task {label} measures the perplexity of a corpus: no instance is right or wrong.")
    if not config.get("test_split") and not config.get("validation_split"):
        raise ConfigError(
            f"task {label} has neither 'test_split' nor 'validation_split': nothing to predict."
        )
    if not config.get("dataset_path") and not config.get("custom_dataset"):
        raise ConfigError(f"task {label}: the key 'dataset_path' is missing ('json' for local JSON files).")


def _take_data_files(config: dict[str, Any], folder: Path) -> DataFiles | None:
    """Make the local data files of ``config`` absolute, in place, and return them."""
    arguments = config.get("dataset_kwargs") or {}
    if not isinstance(arguments, Mapping):
        raise ConfigError("dataset_kwargs must be a mapping.")
    if config.get("custom_dataset") or "data_files" not in arguments:
        return None
    files = resolve_data_files(arguments["data_files"], folder)
    config["dataset_kwargs"] = {**arguments, "data_files": files}
    return files


@contextmanager
def _private_cache(config: dict[str, Any], files: DataFiles | None) -> Iterator[None]:
    """Let ``datasets`` build local files into a folder of its own, then remove it; data stays in memory."""
    if files is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="muscle-llm-data-") as folder:
        before = config["dataset_kwargs"]
        config["dataset_kwargs"] = {**before, "cache_dir": folder, "keep_in_memory": True}
        try:
            yield
        finally:
            config["dataset_kwargs"] = before


@contextmanager
def _explained(label: str, files: DataFiles | None) -> Iterator[None]:
    """Turn what the harness and ``datasets`` raise into one sentence."""
    import datasets.exceptions
    import jinja2

    try:
        yield
    except MuscleError:
        raise
    except datasets.exceptions.DatasetsError as error:
        broken = explain_broken_file(files) if files else None
        raise InputError(
            broken or f"task {label}: its data cannot be loaded ({error.__cause__ or error})."
        ) from error
    except jinja2.TemplateError as error:
        raise ConfigError(f"task {label}: a template does not fit the data ({error}).") from error
    except (KeyError, ValueError, TypeError, AttributeError, ImportError, IndexError, SyntaxError) as error:
        kind = type(error).__name__
        raise ConfigError(f"task {label}: the harness cannot load it ({kind}: {error}).") from error
    except OSError as error:
        raise InputError(f"task {label}: its data cannot be loaded ({error}).") from error


def _what_decides(
    harness: Any,
    label: str,
    metric: str | None,
    filter: str | None,
) -> tuple[Kind, str, str]:
    """Return the kind of the task, the metric that decides, and the filter it is read from."""
    metrics = list(harness.aggregation())
    filters = [str(f["name"]) for f in harness.get_config("filter_list") or []] or ["none"]
    if metric is not None and metric not in metrics:
        raise ConfigError(f"task {label} has no metric '{metric}'. {did_you_mean(metric, metrics)}")
    if filter is not None and filter not in filters:
        raise ConfigError(f"task {label} has no filter '{filter}'. {did_you_mean(filter, filters)}")
    filter = filter or filters[0]
    if harness.OUTPUT_TYPE in ("multiple_choice", "loglikelihood"):
        usable = [m for m in _CHOICE_METRICS if m in metrics]
        if not (metric or usable):
            raise ConfigError(f"task {label}: none of its metrics {metrics} says right or wrong.")
        kind: Kind = "choice" if harness.OUTPUT_TYPE == "multiple_choice" else "exact_match"
        return kind, metric or usable[0], filter
    right_or_wrong = [m for m in _RIGHT_OR_WRONG if m in metrics]
    higher = [m for m in metrics if harness.higher_is_better().get(m, True)]
    preferred = [metric] if metric else [*right_or_wrong, *higher]
    if not preferred:
        raise ConfigError(f"task {label}: it has no metric of which more is better, only {metrics}.")
    return ("exact_match" if preferred[0] in _RIGHT_OR_WRONG else "score"), preferred[0], filter
