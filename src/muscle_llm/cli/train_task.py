"""``muscle-llm train task``: plain LoRA fine-tuning of one base on one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muscle_llm.cli.options import calm_libraries, emit_json, require_training
from muscle_llm.cli.training_flags import changes, task_flags, training_flags
from muscle_llm.text import printable

if TYPE_CHECKING:
    from muscle_llm.train.settings import TrainResult

__all__ = ["command", "say_result"]


@click.command(
    epilog="""\b
Examples:
  muscle-llm train task --base ./base-v1 --task my_task.yaml --out adapters/old
  muscle-llm train task --config task.yaml --epochs 3 --json -
  muscle-llm train task --base ./base-v2 --task piqa --init-adapter adapters/new --out adapters/longer

\b
The file of --config, all keys but the first three optional:
  base: ./base-v1
  task: my_task.yaml
  out: adapters/old
  lora: {rank: 128, alpha: 256}
  training: {epochs: 10, learning_rate: 1e-4}

Run the same command again to continue an interrupted training."""
)
@task_flags
@click.option("--base", help="Base model: a folder, or a name on the hub.")
@click.option("--out", help="Folder of the adapter.")
@click.option("--init-adapter", help="Continue this adapter instead of starting one.")
@click.option("--rank", type=int, help="Inner width of the adapter.  [default: 128]")
@click.option("--alpha", type=float, help="Its scale is alpha / rank.  [default: 256]")
@training_flags()
@click.option("--overwrite", is_flag=True, help="Train anew where a finished adapter is.")
@click.option("--json", "json_path", metavar="FILE|-", help="Write the result as JSON; - prints it.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(config: Path | None, overwrite: bool, json_path: str | None, quiet: bool, **flags: Any) -> None:
    """Train a LoRA adapter on a base by cross-entropy; keep the epoch that validates best."""
    require_training("muscle-llm train task")
    calm_libraries()
    from muscle_llm.cli.training_jobs import TaskAdapterJob, examples_of, load_job, refuse_finished
    from muscle_llm.train import train_task_adapter

    job = load_job(TaskAdapterJob, config, changes(flags), "muscle-llm train task")
    refuse_finished(Path(job.out), overwrite=overwrite)
    result = train_task_adapter(
        base=job.base,
        examples=examples_of(job.task, job.data_dir, job.base),
        output_dir=job.out,
        lora=job.lora,
        training=job.training,
        seed=job.seed,
        init_adapter=job.init_adapter,
        progress=not quiet,
    )
    say_result(result, json_path)


def say_result(result: TrainResult, json_path: str | None) -> None:
    """Print one line about a finished training, or its JSON."""
    if json_path is not None:
        emit_json(result.to_dict(), json_path)
    if json_path == "-":
        return
    parts = [f"{result.steps} steps, {result.tokens} tokens, {result.seconds:.0f} s"]
    if result.best_epoch is not None:
        kept = result.best_epoch - 1
        parts.append(
            f"kept epoch {result.best_epoch} of {len(result.eval_losses)}, "
            f"validation cross-entropy {result.eval_losses[kept]:.4f}"
        )
        if result.eval_nfr:
            parts.append(
                f"NFR {100 * result.eval_nfr[kept]:.2f} %, accuracy {100 * result.eval_accuracy[kept]:.2f} %"
            )
    click.echo(f"{printable(str(result.adapter_dir))}: {'; '.join(parts)}")
