"""``muscle-llm predict``: one model's answers on one task, as a file that ``compare`` reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muscle_llm.cli.options import require_training
from muscle_llm.errors import ConfigError

if TYPE_CHECKING:
    from muscle_llm.predict import Sampling
    from muscle_llm.predict.harness import Engine
    from muscle_llm.predictions.schema import Predictions
    from muscle_llm.tasks import Task

_FILE = click.Path(path_type=Path)


@click.command(
    epilog="""\b
Examples:
  muscle-llm predict --base ./base-v1 --adapter ./adapter --task arc_easy --out old.parquet
  muscle-llm predict --base ./base-v2 --task my_task.yaml --out new.parquet --limit 100
  muscle-llm predict --endpoint http://localhost:8000/v1 --model my-model --task gsm8k --data-dir ./gsm8k \\
      --out new.parquet

Run the same command again to continue an interrupted run: what was answered is not asked again."""
)
@click.option("--task", "spec", required=True, help="A task's name, or a YAML file (which may run code).")
@click.option("--out", required=True, type=_FILE, help="File to write (.parquet).")
@click.option("--base", help="Base model: a folder, or a name on the hub.")
@click.option("--adapter", type=_FILE, help="Folder of a LoRA adapter on the base.")
@click.option(
    "--engine",
    type=click.Choice(["transformers", "vllm"]),
    default="transformers",
    show_default=True,
    help="What runs --base; vllm needs its extra and a GPU, and is not yet tried on one.",
)
@click.option("--endpoint", help="Address of an OpenAI-compatible endpoint, instead of --base.")
@click.option("--model", help="The endpoint's name of the model.")
@click.option("--api", type=click.Choice(["chat", "completions"]), default="chat", show_default=True)
@click.option(
    "--key-env", default="OPENAI_API_KEY", show_default=True, help="Variable with the endpoint's key."
)
@click.option("--per-minute", type=float, help="Requests a minute at most.")
@click.option("--parallel", type=int, default=8, show_default=True, help="Requests at once.")
@click.option("--price", type=(float, float), default=(0.0, 0.0), help="Cost of a million tokens: in, out.")
@click.option("--name", help="What to call this version.  [default: the name of --out]")
@click.option("--data-dir", type=_FILE, help="Folder of the task's local data.")
@click.option("--metric", help="The task's metric that decides.")
@click.option("--filter", "filter_", help="The task's answer filter that counts.")
@click.option("--batch-size", default="auto", show_default=True, help="Instances at once: a number, or auto.")
@click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16, float16, or auto.")
@click.option("--device", help="cpu, cuda, ...  [default: the best there is]")
@click.option("--limit", type=int, help="Only the first so many instances.")
@click.option("--chat/--no-chat", default=None, help="Ask through the model's chat template.")
@click.option(
    "--repeats", type=int, default=1, show_default=True, help="Answers per instance; see --temperature."
)
@click.option("--temperature", type=float, help="Draw answers instead of taking the likeliest.")
@click.option("--seed", type=int, default=1234, show_default=True, help="Of the drawn answers.")
@click.option("--trust-remote-code", is_flag=True, help="Run code that the base brings.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(spec: str, out: Path, repeats: int, temperature: float | None, seed: int, **options: Any) -> None:
    """Ask one model every instance of a task and store its answers."""
    require_training("muscle-llm predict")
    _check(out, options)
    from muscle_llm.predict import Sampling
    from muscle_llm.predictions.store import write_predictions
    from muscle_llm.tasks import load_task

    sampling = Sampling(repeats, temperature, seed)
    task = load_task(spec, data_dir=options["data_dir"], metric=options["metric"], filter=options["filter_"])
    name = options["name"] or out.stem
    log = out.with_name(f".{out.name}.answers")
    ask = _from_endpoint if options["endpoint"] else _FROM[options["engine"]]
    found = ask(task, name, log, sampling, options)
    write_predictions(found, out)
    log.unlink(missing_ok=True)
    click.echo(f"{out}: {len(found)} answers of '{name}' on {task.name}{_headline(found, task)}")


def _check(out: Path, options: dict[str, Any]) -> None:
    if bool(options["base"]) == bool(options["endpoint"]):
        raise ConfigError("predict needs either --base or --endpoint.")
    if options["endpoint"] and not options["model"]:
        raise ConfigError("--endpoint needs --model, the endpoint's name of the model.")
    if options["endpoint"] and options["adapter"]:
        raise ConfigError("--adapter goes with --base; an endpoint serves an adapter under a model's name.")
    if out.suffix != ".parquet":
        raise ConfigError(f"--out must end with .parquet, not '{out.name}'.")
    size = options["batch_size"]
    if size != "auto" and not (size.isdigit() and int(size) > 0):
        raise ConfigError(f"--batch-size must be 'auto' or a whole number of at least 1, not '{size}'.")


def _from_base(task: Task, name: str, log: Path, sampling: Sampling, options: dict[str, Any]) -> Predictions:
    from muscle_llm.models import (
        adapter_hash,
        base_fingerprint,
        load_adapted,
        load_base,
        load_tokenizer,
        merge_float32,
    )
    from muscle_llm.predict import predict

    base, adapter, remote = options["base"], options["adapter"], options["trust_remote_code"]
    extra = {"base": Path(base).name, "base_hash": base_fingerprint(base) or ""}
    model: Any = load_base(base, dtype=options["dtype"], device=options["device"], trust_remote_code=remote)
    if adapter is not None:
        extra["adapter"] = adapter_hash(adapter)
        model = merge_float32(load_adapted(model, {"adapter": adapter}))
    size = options["batch_size"]
    return predict(
        model,
        load_tokenizer(base, trust_remote_code=remote),
        task,
        model_name=name,
        batch_size="auto" if size == "auto" else int(size),
        limit=options["limit"],
        progress=not options["quiet"],
        chat=options["chat"],
        sampling=sampling,
        answers=log,
        extra=extra,
    )


def _from_vllm(task: Task, name: str, log: Path, sampling: Sampling, options: dict[str, Any]) -> Predictions:
    from muscle_llm.models import adapter_hash, base_fingerprint
    from muscle_llm.predict.answers import AnswerLog
    from muscle_llm.predict.vllm_engine import VllmEngine

    base, adapter = options["base"], options["adapter"]
    extra = {"base": Path(base).name, "base_hash": base_fingerprint(base) or ""}
    extra |= {} if adapter is None else {"adapter": adapter_hash(adapter)}
    draws = {"temperature": sampling.temperature, "seed": sampling.seed}
    run = {"engine": "vllm", "task": task.hash, "name": name, "dtype": options["dtype"], **draws, **extra}
    with closing(AnswerLog(log, run)) as answers:
        engine = VllmEngine(
            base,
            adapter=adapter,
            dtype=options["dtype"],
            trust_remote_code=options["trust_remote_code"],
            answers=answers,
        )
        return _ask(engine, task, name, sampling, options, extra)


def _ask(
    engine: Engine,
    task: Task,
    name: str,
    sampling: Sampling,
    options: dict[str, Any],
    extra: Mapping[str, str] | None = None,
) -> Predictions:
    from muscle_llm.predict import predict_with

    return predict_with(
        engine,
        task,
        model_name=name,
        limit=options["limit"],
        progress=not options["quiet"],
        chat=options["chat"],
        sampling=sampling,
        extra=extra,
    )


_FROM = {"transformers": _from_base, "vllm": _from_vllm}


def _from_endpoint(
    task: Task, name: str, log: Path, sampling: Sampling, options: dict[str, Any]
) -> Predictions:
    from muscle_llm.predict.answers import AnswerLog
    from muscle_llm.predict.endpoint import EndpointEngine, EndpointSettings

    settings = EndpointSettings(
        url=options["endpoint"],
        model=options["model"],
        api=options["api"],
        key=os.environ.get(options["key_env"]),
        parallel=options["parallel"],
        per_minute=options["per_minute"],
        price_in=options["price"][0],
        price_out=options["price"][1],
    )
    run = {"url": settings.url, "model": settings.model, "api": settings.api, "task": task.hash}
    draws = {"temperature": sampling.temperature, "seed": sampling.seed}
    with closing(AnswerLog(log, run | draws)) as answers:
        engine = EndpointEngine(settings, answers=answers)
        return _ask(engine, task, name, sampling, options)


def _headline(found: Predictions, task: Task) -> str:
    """Return the figure a user looks for first."""
    if task.kind == "score":
        values = [row[task.metric] for row in found.table["scores"].to_pylist()]
        return f", {task.metric} {sum(values) / len(values):.4f}"
    values = found.table["correct"].to_pylist()
    return f", {task.metric} {sum(values) / len(values):.4f}"
