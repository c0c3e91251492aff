"""``muscle-llm train``: a task adapter, or a compatibility adapter."""

from __future__ import annotations

import click

from muscle_llm.cli.train_compat import command as compat
from muscle_llm.cli.train_task import command as task

__all__ = ["command"]


@click.group("train")
def command() -> None:
    """Train a task adapter or a compatibility adapter.

    \b
    Examples:
      muscle-llm train task --base ./base-v1 --task my_task.yaml --out adapters/old
      muscle-llm train compat --config compat.yaml --mask old_right
    """


command.add_command(task, "task")
command.add_command(compat, "compat")
