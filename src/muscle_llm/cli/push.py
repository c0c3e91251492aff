"""``muscle-llm push``: an adapter and its card, and its report, to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  muscle-llm push runs/first --task piqa --remedy muscle --to me/piqa-compatible
  muscle-llm push adapters/compat --to me/compat --base-model meta-llama/Llama-2-7b-hf

Needs a token with write access: 'hf auth login', or HF_TOKEN. HF_ENDPOINT names another hub. State a licence
in the card (README.md in the adapter's folder) first."""
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="ACCOUNT/NAME", help="Repository; made where it is missing.")
@click.option("--task", help="Whose adapter, where the run has several tasks.")
@click.option("--remedy", help="Which adapter, where the run has several remedies.")
@click.option("--base-model", metavar="NAME", help="The base's name on the hub, where it was a local folder.")
@click.option(
    "--report", is_flag=True, help="Also the page and the comparison, with every prompt and answer."
)
@click.option("--public", is_flag=True, help="Let everyone see it.  [default: private]")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
def command(
    run: Path,
    to: str,
    task: str | None,
    remedy: str | None,
    base_model: str | None,
    report: bool,
    public: bool,
    dry_run: bool,
) -> None:
    """Push a compatibility adapter to the hub: RUN is a run folder, or an adapter's own folder."""
    from muscle_llm.text import printable
    from muscle_llm.update.push import adapter_files, adapter_folder, push_files, report_files

    folder = adapter_folder(run, task, remedy)
    files = adapter_files(folder, base_model=base_model)
    if report:
        files |= report_files(folder)
    if dry_run:
        for name, content in files.items():
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            click.echo(f"{size:>12}  {name}")
        return
    address = push_files(files, to, public=public)
    seen = "public" if public else "private"
    click.echo(f"{len(files)} files from {printable(str(folder))} are at {printable(address)} ({seen})")
