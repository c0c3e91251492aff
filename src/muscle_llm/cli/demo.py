"""``muscle-llm demo``: a whole update on the offline world that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from muscle_llm.cli.options import emit_json, require_training


@click.command(
    epilog="""\b
Examples:
  muscle-llm demo
  muscle-llm demo --out runs/other --seed 3
  muscle-llm demo --size smoke          (seconds; only shows that everything runs)"""
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/demo"),
    show_default=True,
    help="Run folder.",
)
@click.option("--size", type=click.Choice(["default", "smoke"]), default="default", show_default=True)
@click.option("--seed", type=int, help="Of adapters and remedies.  [default: the demo's own]")
@click.option("--json", "json_path", metavar="FILE|-", help="Also write the results as JSON; - prints them.")
@click.option("--quiet", is_flag=True, help="No progress; only the result.")
def command(
    out: Path, size: Literal["default", "smoke"], seed: int | None, json_path: str | None, quiet: bool
) -> None:
    """Run a small update offline: what breaks between two tiny models, and what mends it.

    Two bases of under a million parameters come with the package. The demo trains their adapters on word
    problems (multiple choice, exact match) and dialogues (ROUGE-1), the remedy and both controls, and
    compares them: the same stages as `muscle-llm update`, in minutes on two CPU cores.
    """
    require_training("muscle-llm demo")
    from muscle_llm.cli.running import run_update
    from muscle_llm.demo.update import demo_settings, demo_update, world_stage

    settings = demo_settings(size, seed)
    update = demo_update(settings, out)
    results = run_update(
        update, out, before=[world_stage(settings, out)], quiet=quiet, to_stderr=json_path == "-"
    )
    if json_path is not None:
        emit_json(results, json_path)
