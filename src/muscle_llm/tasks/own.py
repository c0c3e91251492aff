"""A task from one's own JSONL and a few lines of settings, as a configuration of the harness.

    task: support_questions
    data: {train: train.jsonl, test: test.jsonl}
    prompt: "Question: {{question}}\nAnswer:"
    choices: options
    answer: gold

``prompt``, ``choices``, ``answer`` and ``reference`` are names of fields, or templates over them. With
``choices`` the task is multiple choice, and ``answer`` the right option's number (from 0) or text; with
``reference`` texts are generated and scored with ROUGE-1; with ``answer`` alone they must match it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muscle_llm.errors import ConfigError, did_you_mean
from muscle_llm.text import printable

__all__ = ["OWN_KEYS", "harness_config", "is_own"]

# key -> what it holds
OWN_KEYS: dict[str, str] = {
    "task": "the task's name",
    "data": "files by split: test, and train for adapters; or the test file alone",
    "prompt": "field or template that is asked; 'prompt' by default",
    "choices": "field with the list of options",
    "answer": "field or template with the right answer",
    "reference": "field or template with a text to come close to",
    "stop": "strings that end a generated text; a line break by default",
    "max_tokens": "longest generated text, in tokens; 64 for answers, 128 for references",
    "description": "text before every prompt",
    "chat": "true: ask through the model's chat template",
    "leaks": "drop: leave training examples out that are test instances",
}
_HARNESS_ONLY = ("output_type", "dataset_path", "custom_dataset", "dataset_kwargs", "class", "group")


def is_own(config: Mapping[str, Any]) -> bool:
    """Tell whether a configuration is of this short form rather than of the harness's.

    Example:
        >>> is_own({"task": "t", "data": "t.jsonl"}), is_own({"task": "t", "dataset_path": "json"})
        (True, False)
    """
    return "data" in config and not any(key in config for key in _HARNESS_ONLY)


def harness_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the harness's configuration of a task in the short form.

    Args:
        config: keys of `OWN_KEYS`; ``task``, ``data`` and one of ``answer`` and ``reference`` are needed.

    Raises:
        ConfigError: a key is unknown, missing, of the wrong kind, or contradicts another.

    Example:
        >>> c = harness_config({"task": "t", "data": "t.jsonl", "prompt": "q", "answer": "a"})
        >>> c["output_type"], c["doc_to_text"], c["test_split"], c["training_split"]
        ('generate_until', '{{q}}', 'test', None)
    """
    label = f"task '{printable(str(config.get('task', '?')))}'"
    for key in config:
        if key not in OWN_KEYS:
            raise ConfigError(
                f"{label}: unknown key '{printable(str(key))}'. {did_you_mean(str(key), OWN_KEYS)}"
            )
    _check(config, label)
    files = config["data"] if isinstance(config["data"], Mapping) else {"test": config["data"]}
    common: dict[str, Any] = {
        "task": config["task"],
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": dict(files)},
        "training_split": "train" if "train" in files else None,
        "test_split": "test",
        "doc_to_text": _template(config.get("prompt", "prompt")),
        "description": config.get("description", ""),
        "num_fewshot": 0,
        "metadata": {k: config[k] for k in ("chat", "leaks") if k in config},
    }
    if "choices" in config:
        return common | {
            "output_type": "multiple_choice",
            "doc_to_choice": config["choices"],
            "doc_to_target": config["answer"],
            "metric_list": [_metric("acc"), _metric("acc_norm")],
        }
    target = config.get("reference", config.get("answer"))
    scored = "reference" in config
    strip = {"name": "strip", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}
    return common | {
        "output_type": "generate_until",
        "doc_to_target": _template(target),
        "generation_kwargs": {
            "until": _texts(config.get("stop", ["\n"])),
            "max_gen_toks": config.get("max_tokens", 128 if scored else 64),
            "do_sample": False,
        },
        "filter_list": [strip],
        "metric_list": [_metric("rouge1" if scored else "exact_match")],
    }


def _check(config: Mapping[str, Any], label: str) -> None:
    if not isinstance(config.get("task"), str):
        raise ConfigError(f"{label}: the key 'task', the task's name, is missing.")
    files = config["data"]
    if isinstance(files, Mapping) and "test" not in files:
        raise ConfigError(f"{label}: 'data' names no 'test' file, so there is nothing to predict.")
    unknown = [k for k in files if k not in ("train", "test")] if isinstance(files, Mapping) else []
    if unknown:
        raise ConfigError(
            f"{label}: 'data' has splits 'train' and 'test', not '{printable(str(unknown[0]))}'."
        )
    if "answer" not in config and "reference" not in config:
        raise ConfigError(f"{label}: needs 'answer' (right or wrong) or 'reference' (scored with ROUGE-1).")
    if "reference" in config and ("answer" in config or "choices" in config):
        raise ConfigError(f"{label}: 'reference' is for generated texts; leave 'answer' and 'choices' out.")
    for key in ("prompt", "choices", "answer", "reference", "description"):
        if key in config and not isinstance(config[key], str):
            raise ConfigError(f"{label}: '{key}' must be a field's name or a template, not {config[key]!r}.")
    tokens = config.get("max_tokens", 1)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise ConfigError(f"{label}: 'max_tokens' must be a whole number of at least 1, not {tokens!r}.")
    if not isinstance(config.get("chat", False), bool):
        raise ConfigError(f"{label}: 'chat' must be true or false, not {config['chat']!r}.")
    if config.get("leaks", "drop") != "drop":
        raise ConfigError(f"{label}: 'leaks' can only be 'drop', not {config['leaks']!r}.")


def _template(value: Any) -> str:
    """Return a template: a bare field name is the field's text."""
    text = str(value)
    return text if "{{" in text or "{%" in text else f"{{{{{text}}}}}"


def _texts(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]


def _metric(name: str) -> dict[str, Any]:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}
