"""``muscle-llm dial``: mixtures of the new adapter and the compatibility adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muscle_llm.cli.options import calm_libraries, emit_json, require_training
from muscle_llm.cli.training_flags import changes
from muscle_llm.text import printable


@click.command(
    epilog="""\b
Examples:
  muscle-llm dial --new-adapter adapters/new --compat-adapter adapters/compat --share 0.5 --out adapters/half
  muscle-llm dial --config dial.yaml --share 0.25 --share 0.5 --share 0.75 --out adapters/dial

\b
The file of --config:
  new_adapter: adapters/new
  compat_adapter: adapters/compat
  out: adapters/dial
  shares: [0.25, 0.5, 0.75]

A mixture is an ordinary LoRA adapter whose rank is the sum of both ranks. Of several shares each goes to a
folder of its own in --out, such as share-0.25."""
)
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with settings; flags change them.")
@click.option("--new-adapter", help="Folder of the new task adapter: share 0.")
@click.option("--compat-adapter", help="Folder of the compatibility adapter: share 1.")
@click.option("--share", "shares", type=float, multiple=True, help="Of the latter, 0 to 1.  [default: 0.5]")
@click.option("--base", help="Also make sure that both belong to this base.")
@click.option("--out", help="Folder of the mixture.")
@click.option("--overwrite", is_flag=True, help="Write over an adapter that is there.")
@click.option("--json", "json_path", metavar="FILE|-", help="Write what was made as JSON; - prints it.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(
    config: Path | None,
    shares: tuple[float, ...],
    overwrite: bool,
    json_path: str | None,
    quiet: bool,
    **flags: Any,
) -> None:
    """Interpolate between the new adapter and the compatibility adapter: a dial after training."""
    require_training("muscle-llm dial")
    calm_libraries()
    from muscle_llm.cli.training_jobs import DialJob, load_job, refuse_finished
    from muscle_llm.models import check_adapter
    from muscle_llm.train.dial import mix_adapters
    from muscle_llm.train.progress import counting_bar

    changed = changes(flags) | ({"shares": list(shares)} if shares else {})
    job = load_job(DialJob, config, changed, "muscle-llm dial")
    out = Path(job.out)
    if job.base is not None:
        for adapter in (job.new_adapter, job.compat_adapter):
            check_adapter(adapter, job.base)
    places = {share: out if len(job.shares) == 1 else out / f"share-{share:g}" for share in job.shares}
    for place in places.values():
        refuse_finished(place, overwrite=overwrite)
    with counting_bar("mixing", len(places), shown=not quiet and len(places) > 1) as advance:
        for share, place in places.items():
            mix_adapters(job.new_adapter, job.compat_adapter, share, place)
            advance(1)
    if json_path is not None:
        made = [{"share": share, "adapter_dir": str(place)} for share, place in places.items()]
        emit_json({"mixtures": made}, json_path)
    if json_path != "-":
        for share, place in places.items():
            click.echo(
                f"{printable(str(place))}: {100 * share:g} % of the way to {printable(job.compat_adapter)}"
            )
