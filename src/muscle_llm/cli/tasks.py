"""``muscle-llm tasks``: which tasks there are, and what one of them asks."""

from __future__ import annotations

from pathlib import Path

import click

from muscle_llm.cli.options import require_training
from muscle_llm.text import printable


@click.command(
    epilog="""\b
Examples:
  muscle-llm tasks
  muscle-llm tasks arc
  muscle-llm tasks --show my_task.yaml --data-dir ./data"""
)
@click.argument("pattern", required=False)
@click.option("--show", metavar="TASK", help="Load a task (its YAML may run code) and show what it asks.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the task's local data.")
def command(pattern: str | None, show: str | None, data_dir: Path | None) -> None:
    """List the tasks whose names contain PATTERN: the paper's four, and those of lm-evaluation-harness."""
    require_training("muscle-llm tasks")
    if show is not None:
        _show(show, data_dir)
        return
    from muscle_llm.tasks.fingerprint import harness_task_files
    from muscle_llm.tasks.paper import paper_task_files

    ours, theirs = paper_task_files(), harness_task_files()
    if pattern is None:
        click.echo(f"The paper's: {', '.join(sorted(ours))} (from the hub, or with --data-dir)")
        click.echo(f"lm-evaluation-harness: {len(theirs)} tasks; give a part of a name to list them.")
        return
    wanted = pattern.lower()
    for name in sorted({*ours, *theirs}):
        if wanted in name.lower():
            click.echo(name)


def _show(spec: str, data_dir: Path | None) -> None:
    from muscle_llm.errors import MuscleError
    from muscle_llm.tasks import load_task, training_examples

    task = load_task(spec, data_dir=data_dir)
    click.echo(f"{task.name}: {task.kind}, metric {task.metric}, filter {task.filter}")
    click.echo(f"instances to predict: {len(task.harness.eval_docs)}")
    try:
        examples = training_examples(task)
    except MuscleError as error:
        click.echo(f"training text: none ({printable(str(error))})")
        return
    click.echo(f"training examples: {len(examples)}; the first:")
    click.echo(f"  prompt      {printable(examples[0].prompt, limit=400)}")
    click.echo(f"  completion  {printable(examples[0].completion, limit=200)}")
