"""``muscle-llm study``: remedies x seeds x updates x tasks, as a resumable grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from muscle_llm.cli.options import calm_libraries, emit_json, require_training
from muscle_llm.text import printable

if TYPE_CHECKING:
    from muscle_llm.study.settings import StudySettings


@click.command(
    epilog="""\b
Examples:
  muscle-llm study studies/remedies/study.yaml --processes 2
  muscle-llm study my-study.yaml --out runs/first --results results.parquet
  muscle-llm study my-study.yaml --collect      (what is finished so far; runs nothing)

Run the same command again to go on after an interruption: finished cells are skipped. Several calls on one
folder, also from several machines, share the work. The settings are described in docs/study.md."""
)
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the study.  [default: runs/NAME, where CONFIG is NAME.yaml]",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the results go.  [default: results.parquet in the folder]",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the page goes, its plots beside it.  [default: README.md in the folder]",
)
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True)
@click.option("--ablation", is_flag=True, help="The page compares settings on the validation part only.")
@click.option("--collect", is_flag=True, help="Run nothing: write results and page of what is finished.")
@click.option("--json", "json_path", metavar="FILE|-", help="Also say what was written as JSON; - prints it.")
@click.option("--dry-run", is_flag=True, help="Say which cells there are and which are finished.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    config: Path,
    out: Path | None,
    results: Path | None,
    page: Path | None,
    processes: int,
    ablation: bool,
    collect: bool,
    json_path: str | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Run a study: which remedy works, over several updates, tasks and seeds.

    Every cell is a whole update of one task with one seed, controls included. A remedy is chosen on a part of
    the instances, and reported on the others.
    """
    require_training("muscle-llm study")
    from muscle_llm.config import load_study

    settings = load_study(config)
    root = out or Path("runs") / config.stem
    if dry_run:
        _say_cells(settings, root)
        return
    if not collect:
        _run(settings, root, processes, quiet or json_path == "-")
    written = _write(settings, root, results, page, ablation)
    for path in written:
        click.echo(f"wrote {printable(str(path))}", err=json_path == "-")
    if json_path is not None:
        emit_json({"study": str(root), "written": [str(path) for path in written]}, json_path)


def _run(settings: StudySettings, root: Path, processes: int, quiet: bool) -> None:
    from muscle_llm.study.grid import run_cells

    cells = settings.cells()
    versions = 4 + len(settings.remedies)
    if not quiet:
        click.echo(
            f"{len(cells)} cells of up to {versions} versions each in {printable(str(root))}", err=True
        )
    run_cells(
        settings,
        root,
        processes=processes,
        prepare=calm_libraries,
        quiet=quiet,
        report=lambda line: None if quiet else click.echo(printable(line), err=True),
    )


def _write(
    settings: StudySettings, root: Path, results: Path | None, page: Path | None, ablation: bool
) -> list[Path]:
    from muscle_llm.files import atomic_write_text
    from muscle_llm.study.ablation import ablation_page
    from muscle_llm.study.page import study_page
    from muscle_llm.study.results import collect, write_results

    results = results or root / "results.parquet"
    page = page or root / "README.md"
    write_results(collect(settings, root), results)
    plots = [] if ablation else _plots(results, page.parent)
    names = [path.name for path in plots]
    atomic_write_text(page, ablation_page(results) if ablation else study_page(results, plots=names))
    return [results, page, *plots]


def _plots(results: Path, folder: Path) -> list[Path]:
    from muscle_llm.errors import MissingExtraError
    from muscle_llm.study.plots import write_plots

    try:
        return write_plots(results, folder)
    except MissingExtraError as error:
        click.echo(f"no plots: {error}", err=True)
        return []


def _say_cells(settings: StudySettings, root: Path) -> None:
    for cell in settings.cells():
        manifest = root / cell.folder / "manifest.json"
        click.echo(f"{'begun' if manifest.exists() else 'to do':>6}  {cell}")
