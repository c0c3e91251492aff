"""`muscle-llm report`: write the pages of a finished run again."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("report")
@click.argument("source", metavar="RUN|FILE", type=click.Path())
@click.option(
    "--html", "html_to", type=click.Path(), help="Where the page of a FILE goes (default: beside it)."
)
@click.option("--plots", type=click.Path(), help="Also write the pictures to this folder, as SVG and PNG.")
def command(source: str, html_to: str | None, plots: str | None) -> None:
    """Write the pages again: of every finished task of a RUN folder, or of one comparison FILE.

    A FILE is what `muscle-llm compare --save FILE` writes.
    """
    from muscle_llm.errors import InputError
    from muscle_llm.report.html import write_html
    from muscle_llm.report.stored import read_comparison, read_run

    path = Path(source)
    try:
        if path.is_dir():
            if html_to is not None:
                raise InputError("--html names the page of one FILE; the pages of a run stay in its folder.")
            comparisons = read_run(path)
            pages = {name: path / "tasks" / name / "report.html" for name in comparisons}
        else:
            comparisons = {"": read_comparison(path)}
            pages = {"": Path(html_to) if html_to is not None else path.with_suffix(".html")}
        for name, comparison in comparisons.items():
            write_html(comparison, pages[name])
            _say(pages[name])
            if plots is not None:
                from muscle_llm.report.plots import write_plots

                for picture in write_plots(comparison, Path(plots) / name):
                    _say(picture)
        if path.is_dir():
            from muscle_llm.report.run import write_index

            write_index(path, list(comparisons))
            _say(path / "report.html")
    except OSError as error:
        raise InputError(f"{error.filename or source}: cannot be written ({error.strerror}).") from error


def _say(path: Path) -> None:
    from muscle_llm.text import printable

    click.echo(printable(str(path)))
