"""``muscle-llm init``: files to start from."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.group("init")
def command() -> None:
    """Write a file to start from."""


@command.command("policy")
@click.option(
    "--out",
    default="policy.yaml",
    show_default=True,
    metavar="FILE|-",
    help="Where to write it; - is standard output.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def policy(out: str, force: bool) -> None:
    """Write a commented policy: what must hold for an update to ship."""
    from pathlib import Path

    from muscle_llm.errors import InputError
    from muscle_llm.files import atomic_write_text
    from muscle_llm.gate.template import TEMPLATE

    if out == "-":
        click.echo(TEMPLATE, nl=False)
        return
    if Path(out).exists() and not force:
        raise InputError(f"{out} exists. Give another name with --out, or write over it with --force.")
    try:
        atomic_write_text(out, TEMPLATE)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}).") from error
    click.echo(f"{out} written; adapt it, then: muscle-llm compare OLD NEW --policy {out}")
