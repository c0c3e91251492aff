"""The settings of an Inspect run: what its log says beside the samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from muscle_llm.files import sha256_text
from muscle_llm.predictions.readers.fields import Fields
from muscle_llm.predictions.readers.rows import extra
from muscle_llm.predictions.schema import Provenance

__all__ = ["run_provenance"]

_LONG = 300
# How a model is called, not what it is asked for: two runs may differ in it. Headers may hold keys as well.
_CALLING = frozenset(
    {
        "adaptive_connections",
        "attempt_timeout",
        "batch",
        "cache",
        "cache_prompt",
        "extra_headers",
        "max_connections",
        "max_retries",
        "stream_idle_timeout",
        "timeout",
    }
)


def run_provenance(
    evaluation: Fields, document: Fields, metric: str | None, sources: Mapping[str, str]
) -> Provenance:
    """Return where the samples of a log come from, and under which settings they were made.

    Args:
        evaluation: the log's ``eval``.
        document: the log without its samples.
        metric: the scorer that decides right or wrong.
        sources: file name -> SHA-256.

    Example:
        >>> log = {"eval": {"task": "sums"}, "plan": {"config": {"seed": 3, "top_p": None}}}
        >>> document = Fields(log, "log.json")
        >>> found = run_provenance(document.inner("eval"), document, None, {})
        >>> found.task, found.seed, found.extra
        ('sums', 3, {'generation': '{"seed": 3}'})
    """
    dataset = evaluation.inner("dataset")
    status = document.text("status")
    arguments = evaluation.inner("task_args").raw
    generation = _generation(evaluation, document)
    seed = generation.get("seed")
    return Provenance(
        model=evaluation.text("model"),
        task=evaluation.text("task"),
        format="inspect",
        metric=metric,
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        harness_version=evaluation.inner("packages").text("inspect_ai"),
        sources=sources,
        extra=extra(
            dataset=dataset.text("name"),
            task_version=evaluation.raw.get("task_version"),
            task_args=_json(arguments),
            generation=_json(generation),
            solver=_json(_steps(document)),
            scorer=_scorer_options(evaluation, metric),
            created=evaluation.text("created"),
            status=None if status == "success" else status,
        ),
    )


def _generation(evaluation: Fields, document: Fields) -> dict[str, Any]:
    """Return the settings of generation: those of the model, and over them those of the task and the run."""
    layers = (evaluation.inner("model_generate_config"), document.inner("plan").inner("config"))
    return {
        name: value
        for layer in layers
        for name, value in layer.raw.items()
        if value is not None and name not in _CALLING
    }


def _steps(document: Fields) -> list[dict[str, Any]]:
    """Return what was done with each sample: the solvers, with what was passed to them."""
    return [
        {
            "solver": step.text("solver"),
            **_lasting(step.inner("params_passed" if step.has("params_passed") else "params").raw),
        }
        for step in document.inner("plan").objects("steps", "step")
    ]


def _lasting(value: Any) -> Any:
    """Return parameters without the ``instance`` of their tools, an id that is another one in every run."""
    if isinstance(value, list):
        return [_lasting(v) for v in value]
    if not isinstance(value, dict):
        return value
    params = value.get("params")
    if value.get("type") == "tool" and isinstance(params, dict):
        value = {**value, "params": {name: v for name, v in params.items() if name != "instance"}}
    return {name: _lasting(v) for name, v in value.items()}


def _scorer_options(evaluation: Fields, metric: str | None) -> str | None:
    """Return what was passed to the scorer that decides, such as the model that graded."""
    for scorer in evaluation.objects("scorers", "scorer"):
        if metric is not None and scorer.text("name") in (metric, metric.partition(".")[0]):
            options = {n: v for n, v in scorer.inner("options").raw.items() if v is not None}
            return _json(options)
    return None


def _json(value: Any) -> str | None:
    """Return a value as JSON; of a long one, such as a prompt's template, the beginning and a hash."""
    text = json.dumps(value, sort_keys=True, default=str) if value else None
    if text is None or len(text) <= _LONG:
        return text
    return f"{text[:_LONG]}... ({len(text)} characters, SHA-256 {sha256_text(text)[:16]})"
