"""``muscle-llm init``: files to start from."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["command"]


@click.group("init")
def command() -> None:
    """Write a file to start from."""


def _out(default: str) -> Any:
    def decorate(function: Any) -> Any:
        out = click.option(
            "--out",
            default=default,
            show_default=True,
            metavar="FILE|-",
            help="Where to write it; - is standard output.",
        )
        return out(click.option("--force", is_flag=True, help="Write over a file that is there.")(function))

    return decorate


def _write(out: str, text: str, force: bool, then: str) -> None:
    from pathlib import Path

    from muscle_llm.cli.options import write_document
    from muscle_llm.errors import InputError

    if Path(out).is_file() and not force:
        raise InputError(f"{out} exists. Give another name with --out, or write over it with --force.")
    write_document(text, out)
    if out == "-":
        return
    click.echo(f"{out} written; adapt it, then: {then}")


@command.command("policy")
@_out("policy.yaml")
def policy(out: str, force: bool) -> None:
    """Write a commented policy: what must hold for an update to ship."""
    from muscle_llm.gate.template import TEMPLATE

    _write(out, TEMPLATE, force, f"muscle-llm compare OLD NEW --policy {out}")


@command.command(
    "update",
    epilog="""\b
Presets (Llama 2 and 3 are gated: accept the licence first; all of them need a GPU):
  llama-1-to-2  vicuna-1.3-to-1.5  phi-1-to-1.5  phi-1.5-to-2         the paper's, with a remedy
  phi-1-to-2  llama-1-to-vicuna-1.3  llama-1-to-vicuna-1.5
  vicuna-1.3-to-llama-2  llama-2-to-vicuna-1.5                        measured there, remedy added here
  llama-1-to-3  llama-2-to-3  vicuna-1.3-to-llama-3
  vicuna-1.5-to-llama-3                       other tokenizer: what breaks is measured, nothing mended

\b
Examples:
  muscle-llm init update --task my_task.yaml
  muscle-llm init update --preset phi-1.5-to-2 --task piqa --task gsm8k --out phi.yaml""",
)
@click.option("--preset", metavar="NAME", help="One of the paper's updates, see below.")
@click.option(
    "--task", "tasks", multiple=True, help="hellaswag, piqa, gsm8k, samsum, or another; several times."
)
@_out("update.yaml")
def update(preset: str | None, tasks: tuple[str, ...], out: str, force: bool) -> None:
    """Write commented settings of an update, with the paper's hyper-parameters."""
    from muscle_llm.update.presets import update_template

    _write(out, update_template(preset, tasks), force, f"muscle-llm update {out} --dry-run")


@command.command(
    "task",
    epilog="""\b
Examples:
  muscle-llm init task --test test.jsonl --train train.jsonl
  muscle-llm init task --kind reference --chat --out summaries.yaml""",
)
@click.option("--name", help="Of the task.  [default: the name of --out]")
@click.option("--test", metavar="FILE", help="Instances to predict; its fields' names are filled in.")
@click.option("--train", metavar="FILE", help="Training text, needed for adapters only.")
@click.option(
    "--kind",
    type=click.Choice(["choice", "answer", "reference"]),
    help="Pick an option, match an answer, come close to a text.  [default: what --test looks like]",
)
@click.option("--chat", is_flag=True, help="Ask through the model's chat template.")
@_out("my_task.yaml")
def task(
    name: str | None, test: str | None, train: str | None, kind: Any, chat: bool, out: str, force: bool
) -> None:
    """Write a commented task file for your own data."""
    import os
    from pathlib import Path

    from muscle_llm.tasks.template import first_row, task_template

    folder = Path.cwd() if out == "-" else Path(out).resolve().parent

    def beside(path: str) -> str:
        return Path(os.path.relpath(path, folder)).as_posix()

    text = task_template(
        name or ("my_task" if out == "-" else Path(out).stem),
        test="test.jsonl" if test is None else beside(test),
        train=beside(train) if train else None if test else "train.jsonl",
        kind=kind,
        chat=chat,
        row=None if test is None else first_row(test),
    )
    _write(out, text, force, f"muscle-llm tasks --show {out}")
