"""``muscle-llm teachers``: the caches of both teachers, written or checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muscle_llm.cli.options import calm_libraries, emit_json, require_training
from muscle_llm.cli.training_flags import changes, pair_flags, task_flags, training_flags
from muscle_llm.text import printable

if TYPE_CHECKING:
    from muscle_llm.train.caching import CacheReport


@click.command(
    epilog="""\b
Examples:
  muscle-llm teachers --config compat.yaml --cache-dir caches
  muscle-llm teachers --config compat.yaml --cache-dir caches --teachers top_k --measure 64
  muscle-llm teachers --config compat.yaml --cache-dir caches --verify
  muscle-llm teachers --config compat.yaml --cache-dir caches --rank 1 --processes 4

The file is that of 'train compat'; a training with the same settings and --cache-dir reads what is written
here. Run the same command again to continue: finished shards stay."""
)
@task_flags
@pair_flags
@click.option("--cache-dir", help="Where the caches go.")
@click.option(
    "--teachers", type=click.Choice(["cached", "top_k"]), help="Exact, or truncated.  [default: cached]"
)
@click.option("--top-k", type=int, help="Tokens that top_k keeps.  [default: 64]")
@click.option("--temperature", type=float, help="Of the loss, for top_k.  [default: 2]")
@training_flags(data_only=True)
@click.option("--verify", is_flag=True, help="Write nothing; check that all is there and undamaged.")
@click.option("--measure", type=int, default=0, metavar="ROWS", help="Measure top_k's error on so many rows.")
@click.option("--rank", "process", type=int, default=0, show_default=True, help="Number of this process.")
@click.option("--processes", type=int, default=1, show_default=True, help="That write together.")
@click.option("--json", "json_path", metavar="FILE|-", help="Write the report as JSON; - prints it.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(
    config: Path | None,
    verify: bool,
    measure: int,
    process: int,
    processes: int,
    json_path: str | None,
    quiet: bool,
    **flags: Any,
) -> None:
    """Write what both teachers say about the training text, so that a training need not run them."""
    require_training("muscle-llm teachers")
    calm_libraries()
    if not 0 <= process < processes:
        raise click.UsageError("--rank must be 0 or more and below --processes.")
    from muscle_llm.cli.training_jobs import TeachersJob, examples_of, load_job
    from muscle_llm.train.caching import cache_teachers

    job = load_job(TeachersJob, config, changes(flags), "muscle-llm teachers")
    reports = cache_teachers(
        new_base=job.new_base,
        new_adapter=job.new_adapter,
        old_base=job.old_base,
        old_adapter=job.old_adapter,
        examples=examples_of(job.task, job.data_dir, job.new_base),
        cache_dir=job.cache_dir,
        top_k=job.top_k if job.teachers == "top_k" else None,
        temperature=job.loss.temperature,
        training=job.training,
        seed=job.seed,
        fill=not verify,
        verify=verify,
        measure_rows=measure,
        rank=process,
        processes=processes,
        progress=not quiet,
    )
    if json_path is not None:
        emit_json({"caches": [report.to_dict() for report in reports], "verified": verify}, json_path)
    if json_path != "-":
        for report in reports:
            click.echo(_line(report, verify))


def _line(report: CacheReport, verified: bool) -> str:
    size = report.tokens * report.bytes_per_token
    parts = [f"{report.tokens} tokens of {report.bytes_per_token} bytes, {size / 1e6:.1f} MB"]
    if report.missing:
        parts.append(f"{report.missing} of {report.shards} shards still missing")
    if report.rest_share is not None:
        parts.append(f"{100 * report.rest_share:.2f} % of the probability is outside the kept tokens")
    if report.truncation_error is not None and report.full_kl is not None:
        parts.append(f"truncation loses {report.truncation_error:.5f} of {report.full_kl:.5f} nats a token")
    if verified:
        parts.append("checksums are right")
    return f"{report.teacher} teacher, {printable(str(report.folder))}: {'; '.join(parts)}"
