"""A model on a task, through lm-evaluation-harness, as a table of predictions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from muscle_llm.errors import ConfigError, InputError, MissingExtraError
from muscle_llm.predict.table import columns_from_samples
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.tasks.harness import Task
from muscle_llm.tasks.quiet import quiet_harness

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["predict"]

# The harness's own defaults, so that our figures are those of its command line.
_SEED = 1234


def predict(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    *,
    model_name: str,
    batch_size: int = 64,
    limit: int | None = None,
    progress: bool = True,
    extra: Mapping[str, str] | None = None,
) -> Predictions:
    """Ask ``model`` every instance of the task's evaluation split.

    The harness builds the requests, filters the answers and computes the metrics, so its figures are ours.
    Nothing is downloaded and no task index is read; the model is used as it is, adapters included.

    Args:
        model: a causal language model, with or without a PEFT adapter; it is put into evaluation mode.
        tokenizer: the model's tokenizer.
        task: from `load_task`.
        model_name: the name users know this version by.
        batch_size: sequences per forward pass, >= 1.
        limit: ask only the first so many instances.
        progress: show a progress bar on standard error.
        extra: more to record in the provenance, such as the hash of the adapter.

    Returns:
        One row per instance; ``id`` is the harness's ``doc_id``, as in its own ``samples_*.jsonl``.

    Raises:
        ConfigError: the batch size or limit is not positive.
        InputError: a prompt leaves no room for an answer, or the task's code fails on the model's answers.
        MissingExtraError: the harness is not installed.
    """
    try:
        import lm_eval
        from lm_eval.evaluator import evaluate

        from muscle_llm.predict.transformers_engine import TransformersEngine
    except ImportError as error:
        raise MissingExtraError("predicting", "train") from error
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, not {batch_size}.")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1, not {limit}.")
    harness = task.harness
    harness.set_fewshot_seed(seed=_SEED)
    total = _requests(task, limit)
    with quiet_harness(), _progress(f"{model_name} on {task.name}", total, progress) as advance:
        with _evaluating(model), _explained(task):
            engine = TransformersEngine(model, tokenizer, batch_size=batch_size, on_answer=advance)
            results = evaluate(
                lm=engine,
                task_dict={"tasks": {task.name: harness}},
                limit=limit,
                bootstrap_iters=0,
                log_samples=True,
            )
        samples = (results or {}).get("samples", {})[task.name]
        columns = columns_from_samples(samples, task, engine.finish_reason)
    provenance = Provenance(
        model=model_name,
        task=task.name,
        format="muscle-llm",
        metric=task.metric,
        filter=task.filter,
        num_fewshot=int(harness.get_config("num_fewshot") or 0),
        chat_template="",
        harness_version=lm_eval.__version__,
        sources=dict(task.sources or {}),
        extra={
            "engine": "transformers",
            "task_hash": task.hash,
            "batch_size": str(batch_size),
            "dtype": str(model.dtype).removeprefix("torch."),
            **_truncation(engine.truncated),
            **(extra or {}),
        },
    )
    return Predictions.from_columns(columns, provenance)


def _truncation(count: int) -> dict[str, str]:
    return {"prompts_truncated": str(count)} if count else {}


def _requests(task: Task, limit: int | None) -> int:
    """Return how many answers the model will give: one per instance, or one per option."""
    docs = task.harness.eval_docs
    count = min(len(docs), limit) if limit else len(docs)
    if task.kind != "choice" or not count:
        return count
    with quiet_harness():
        return sum(len(task.harness.doc_to_choice(docs[i])) for i in range(count))


@contextlib.contextmanager
def _progress(label: str, total: int, show: bool) -> Iterator[Callable[[], None]]:
    """Show a bar on standard error; give what is to be called once per answer."""
    if not show:
        yield lambda: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        job = bar.add_task(escape(label), total=total)
        yield lambda: bar.advance(job)


@contextlib.contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Put the model into evaluation mode and back into the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextlib.contextmanager
def _explained(task: Task) -> Iterator[None]:
    """Turn what the harness raises on a task's data or code into one sentence."""
    import jinja2

    try:
        yield
    except (jinja2.TemplateError, KeyError, IndexError, AssertionError) as error:
        kind = type(error).__name__
        raise InputError(f"task '{task.name}': the harness cannot evaluate it ({kind}: {error}).") from error
