"""``muscle-llm update``: a whole update from a file of settings."""

from __future__ import annotations

from pathlib import Path

import click

from muscle_llm.cli.options import emit_json, require_training


@click.command(
    epilog="""\b
Examples:
  muscle-llm update examples/arc_easy.yaml
  muscle-llm update my-update.yaml --out runs/first --json results.json

Run the same command again to continue an interrupted run: finished stages are skipped.
The settings are described in docs/update.md."""
)
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run folder.  [default: runs/NAME, where CONFIG is NAME.yaml]",
)
@click.option("--json", "json_path", metavar="FILE|-", help="Also write the results as JSON; - prints them.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and run nothing.")
@click.option("--quiet", is_flag=True, help="No progress; only the result.")
def command(config: Path, out: Path | None, json_path: str | None, dry_run: bool, quiet: bool) -> None:
    """Run a whole model update: task adapters for both bases, remedies, predictions, comparison, page.

    Two controls are always part of it: continued fine-tuning of the new adapter for as many steps as a
    remedy takes, and the old adapter trained again with another seed (the noise floor).
    """
    require_training("muscle-llm update")
    from muscle_llm.cli.running import run_update, say_plan
    from muscle_llm.config import load_update

    settings = load_update(config)
    folder = out or Path("runs") / config.stem
    if dry_run:
        say_plan(settings, folder)
        return
    results = run_update(settings, folder, quiet=quiet, to_stderr=json_path == "-")
    if json_path is not None:
        emit_json(results, json_path)
