"""A model on a task, through lm-evaluation-harness, as a table of predictions."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from muscle_llm.errors import ConfigError, InputError, MissingExtraError
from muscle_llm.files import sha256_text
from muscle_llm.predict.table import columns_from_samples
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.tasks.harness import Task
from muscle_llm.tasks.quiet import quiet_harness

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from muscle_llm.predict.answers import AnswerLog

__all__ = ["Engine", "Sampling", "predict", "predict_with", "progress_bar"]

# The harness's own default, so that our few-shot examples are those of its command line.
_SEED = 1234


class Engine(Protocol):
    """What answers the harness's requests: one of its ``LM`` objects, which also tells about itself."""

    finish_reason: dict[str, str]
    on_answer: Callable[[], None]
    draw: int

    def describe(self) -> dict[str, str]:
        """Return what to record in the provenance: engine, precision, batch size, ..."""
        ...

    def template_hash(self) -> str:
        """Return the hash of the chat template, or ``""`` where there is none."""
        ...


class Sampling:
    """Several answers to each instance, drawn at a temperature.

    Args:
        repeats: answers per instance, >= 1.
        temperature: > 0; None answers greedily.
        seed: of the first answer; the k-th draws with ``seed + k``.

    Raises:
        ConfigError: a value is out of range, or several answers would all be the same.
    """

    def __init__(self, repeats: int = 1, temperature: float | None = None, seed: int = _SEED) -> None:
        if repeats < 1:
            raise ConfigError(f"repeats must be at least 1, not {repeats}.")
        if temperature is not None and not temperature > 0:
            raise ConfigError(f"temperature must be above 0, not {temperature}; leave it out to be greedy.")
        if repeats > 1 and temperature is None:
            raise ConfigError("several answers need a temperature: greedy answers are all the same.")
        self.repeats, self.temperature, self.seed = repeats, temperature, seed


def predict(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    *,
    model_name: str,
    batch_size: int | Literal["auto"] = "auto",
    limit: int | None = None,
    progress: bool = True,
    chat: bool | None = None,
    sampling: Sampling | None = None,
    answers: str | Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> Predictions:
    """Ask ``model`` every instance of the task's evaluation split.

    The harness builds the requests, filters the answers and computes the metrics, so its figures are ours.
    Nothing is downloaded and no task index is read; the model is used as it is, adapters included.

    Args:
        model: a causal language model, with or without a PEFT adapter; put into evaluation mode meanwhile.
        tokenizer: the model's tokenizer.
        task: from `load_task`.
        model_name: the name users know this version by.
        batch_size: instances per forward pass, >= 1; ``"auto"`` takes as many as fit.
        limit: ask only the first so many instances.
        progress: show a progress bar on standard error.
        chat: put prompts into the tokenizer's chat template; what the task says by default.
        sampling: several answers per instance (generation only); one greedy answer by default.
        answers: file to keep answers in while the run is under way; an interrupted run goes on from it. It
            is deleted when all is done. It is tied to the task, ``model_name`` and ``extra``.
        extra: more to record in the provenance, such as the hash of the adapter.

    Returns:
        One row per (instance, repeat); ``id`` is the harness's ``doc_id``, as in its own ``samples_*.jsonl``.

    Raises:
        ConfigError: a setting is out of range or does not fit the task.
        InputError: a prompt leaves no room for an answer, or the task's code fails on the model's answers.
        MissingExtraError: the harness is not installed.
    """
    try:
        from muscle_llm.predict.transformers_engine import TransformersEngine
    except ImportError as error:
        raise MissingExtraError("predicting", "train") from error
    if batch_size != "auto" and batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, not {batch_size}.")
    run = {"engine": "transformers", "batch_size": batch_size, "dtype": str(model.dtype)}
    with _answer_log(answers, task, model_name, run, extra) as log, _evaluating(model):
        with quiet_harness():
            engine = TransformersEngine(model, tokenizer, batch_size=batch_size, answers=log)
        found = predict_with(
            engine,
            task,
            model_name=model_name,
            limit=limit,
            progress=progress,
            chat=chat,
            sampling=sampling,
            extra=extra,
        )
        if log is not None:
            log.remove()
    return found


def predict_with(
    engine: Engine,
    task: Task,
    *,
    model_name: str,
    limit: int | None = None,
    progress: bool = True,
    chat: bool | None = None,
    sampling: Sampling | None = None,
    extra: Mapping[str, str] | None = None,
) -> Predictions:
    """Ask any engine every instance of the task's evaluation split; see `predict` for the arguments."""
    import lm_eval

    sampling = sampling or Sampling()
    chat = task.chat if chat is None else chat
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1, not {limit}.")
    if sampling.temperature is not None and task.harness.OUTPUT_TYPE != "generate_until":
        raise ConfigError(f"task '{task.name}' generates nothing: there is nothing to sample.")
    if chat and not engine.template_hash():
        raise ConfigError(
            f"a chat template is wanted, but the tokenizer of '{model_name}' has none: use a base with one."
        )
    columns: dict[str, list[Any]] = {}
    total = _requests(task, limit) * sampling.repeats
    with progress_bar(f"{model_name} on {task.name}", total, progress) as engine.on_answer:
        for repeat in range(sampling.repeats):
            engine.draw = repeat
            with _sampled(task, sampling, sampling.seed + repeat):
                for name, values in _ask(engine, task, limit, chat).items():
                    columns.setdefault(name, []).extend(values)
    rows = len(columns["id"])
    columns["repeat"] = [k for k in range(sampling.repeats) for _ in range(rows // sampling.repeats)]
    return Predictions.from_columns(
        columns,
        Provenance(
            model=model_name,
            task=task.name,
            format="muscle-llm",
            metric=task.metric,
            filter=task.filter,
            num_fewshot=int(task.harness.get_config("num_fewshot") or 0),
            chat_template=engine.template_hash() if chat else "",
            seed=None if sampling.temperature is None else sampling.seed,
            harness_version=lm_eval.__version__,
            sources=dict(task.sources or {}),
            extra={
                "task_hash": task.hash,
                **engine.describe(),
                **({} if sampling.temperature is None else {"temperature": str(sampling.temperature)}),
                **(extra or {}),
            },
        ),
    )


def _ask(engine: Engine, task: Task, limit: int | None, chat: bool) -> dict[str, list[Any]]:
    """Run the harness once over the task; return the columns of the predictions table."""
    from lm_eval.evaluator import evaluate

    lm: Any = engine
    task.harness.set_fewshot_seed(seed=_SEED)
    with quiet_harness(), _explained(task):
        results = evaluate(
            lm=lm,
            task_dict={"tasks": {task.name: task.harness}},
            limit=limit,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
        )
        samples = (results or {}).get("samples", {})[task.name]
        return columns_from_samples(samples, task, engine.finish_reason)


@contextlib.contextmanager
def _sampled(task: Task, sampling: Sampling, seed: int) -> Iterator[None]:
    """Set the task's generation to sampling with ``seed``; put everything back afterwards."""
    if sampling.temperature is None:
        yield
        return
    import torch

    before = task.harness.get_config("generation_kwargs")
    changed = {**before, "do_sample": True, "temperature": sampling.temperature}
    state = random.getstate()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        task.harness.set_config("generation_kwargs", changed)
        try:
            yield
        finally:
            task.harness.set_config("generation_kwargs", before)
            random.setstate(state)


@contextlib.contextmanager
def _answer_log(
    path: str | Path | None,
    task: Task,
    model_name: str,
    run: Mapping[str, Any],
    extra: Mapping[str, str] | None,
) -> Iterator[AnswerLog | None]:
    """Open the file of answers of this very run, where one is wanted."""
    if path is None:
        yield None
        return
    import lm_eval

    from muscle_llm.predict.answers import AnswerLog

    identity = {**run, "task": task.hash, "model": model_name, "extra": dict(extra or {})}
    with AnswerLog(path, {**identity, "harness": lm_eval.__version__}) as log:
        yield log


def _requests(task: Task, limit: int | None) -> int:
    """Return how many answers the model will give: one per instance, or one per option."""
    docs = task.harness.eval_docs
    count = min(len(docs), limit) if limit else len(docs)
    if task.kind != "choice" or not count:
        return count
    with quiet_harness():
        return sum(len(task.harness.doc_to_choice(docs[i])) for i in range(count))


@contextlib.contextmanager
def progress_bar(label: str, total: int, show: bool) -> Iterator[Callable[[], None]]:
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


def template_hash(template: object) -> str:
    """Return 16 digits of the SHA-256 of a chat template, or ``""`` for none."""
    return sha256_text(str(template))[:16] if template else ""
