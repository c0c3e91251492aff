"""``muscle-llm train compat``: a compatibility adapter, by distillation from both task models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muscle_llm.cli.options import calm_libraries, require_training
from muscle_llm.cli.train_task import say_result
from muscle_llm.cli.training_flags import changes, pair_flags, task_flags, training_flags

if TYPE_CHECKING:
    from muscle_llm.cli.training_jobs import CompatJob

__all__ = ["command"]


@click.command(
    epilog="""\b
Examples:
  muscle-llm train compat --old-base ./base-v1 --old-adapter adapters/old --new-base ./base-v2 \\
      --new-adapter adapters/new --task my_task.yaml --out adapters/compat
  muscle-llm train compat --config compat.yaml --mask old_right --ce-weight 0.3 --out adapters/other
  muscle-llm train compat --config compat.yaml --selection nfr --accuracy-loss 0.01 --json -

\b
The file of --config has the names of the flags, and these sections:
  loss: {mask: student_wrong, divergence: forward_kl, temperature: 2, ce_weight: 0}
  training: {epochs: 10, learning_rate: 1e-4}

\b
Masks, by when a token follows the old model:
  student_wrong         the student's likeliest token is not the target (the paper's)
  old_right             the old model's likeliest token is the target
  old_unless_new_right  always, unless the new model is right and the old one wrong
  old_only, new_only    always, never
  token_likelihood      it gives the target more probability than the student
  sequence_likelihood   it finds the whole sequence likelier than the student does
  mixture:0.3           every token, by a constant share
  focal, double_focal   always, more closely where it is right; double_focal: the new one likewise

Run the same command again to continue an interrupted training."""
)
@task_flags
@pair_flags
@click.option("--out", help="Folder of the adapter.")
@click.option("--mask", help="Which teacher a token follows, see below.  [default: student_wrong]")
@click.option("--divergence", help="forward_kl, reverse_kl or jsd.  [default: forward_kl]")
@click.option("--temperature", type=float, help="Of both divergences.  [default: 2]")
@click.option("--temperature-squared/--no-temperature-squared", default=None, help="Multiply them by T^2.")
@click.option("--ce-weight", type=float, help="Share of the cross-entropy, 0 to 1.  [default: 0]")
@click.option(
    "--teachers",
    type=click.Choice(["cached", "top_k", "live", "plain"]),
    help="How the teachers speak.  [default: cached]",
)
@click.option("--cache-dir", help="Where caches stay, for several trainings.")
@click.option("--top-k", type=int, help="Tokens that top_k keeps.  [default: 64]")
@click.option("--fill/--no-fill", default=True, help="Write what the caches lack, or refuse to.")
@click.option("--selection", type=click.Choice(["cross_entropy", "nfr"]), help="How the epoch is chosen.")
@click.option("--accuracy-loss", type=float, help="With nfr: how much accuracy it may cost, a share.")
@click.option("--validation-nfr/--no-validation-nfr", default=None, help="Measure flips after each epoch.")
@click.option("--instance-weights", metavar="FILE", help="JSON file, example id -> weight.")
@training_flags()
@click.option("--overwrite", is_flag=True, help="Train anew where a finished adapter is.")
@click.option("--json", "json_path", metavar="FILE|-", help="Write the result as JSON; - prints it.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(
    config: Path | None, fill: bool, overwrite: bool, json_path: str | None, quiet: bool, **flags: Any
) -> None:
    """Train a copy of the new task adapter to follow the old task model where the mask says so."""
    require_training("muscle-llm train compat")
    calm_libraries()
    from muscle_llm.cli.training_jobs import (
        CompatJob,
        examples_of,
        load_job,
        read_weights,
        refuse_finished,
    )
    from muscle_llm.train import train_compat_adapter

    job = load_job(CompatJob, config, changes(flags), "muscle-llm train compat")
    refuse_finished(Path(job.out), overwrite=overwrite)
    examples = examples_of(job.task, job.data_dir, job.new_base)
    result = train_compat_adapter(
        new_base=job.new_base,
        new_adapter=job.new_adapter,
        old_base=job.old_base,
        old_adapter=job.old_adapter,
        examples=examples,
        output_dir=job.out,
        mask=job.loss.mask,
        temperature=job.loss.temperature,
        ce_weight=job.loss.ce_weight,
        divergence=job.loss.divergence,
        temperature_squared=job.loss.temperature_squared,
        instance_weights=read_weights(job.instance_weights, examples),
        teachers=job.teachers,
        cache_dir=job.cache_dir,
        top_k=job.top_k,
        fill_cache=fill,
        selection=job.selection,
        accuracy_loss=job.accuracy_loss,
        validation_nfr=job.validation_nfr,
        training=job.training,
        seed=job.seed,
        progress=not quiet,
    )
    _write_card(job)
    say_result(result, json_path)


def _write_card(job: CompatJob) -> None:
    from muscle_llm.update.card import read_facts, write_card

    task = job.task.get("task", "task") if isinstance(job.task, Mapping) else Path(job.task).stem
    facts = read_facts(
        job.out,
        name=Path(job.out).resolve().name,
        base=job.new_base,
        base_label=Path(job.new_base).name,
        old_label=Path(job.old_base).name,
        task=str(task),
    )
    write_card(job.out, facts)
