"""`muscle-llm view`: serve a page on loopback and open a browser."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("view")
@click.argument("source", metavar="RUN|FILE", type=click.Path())
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; by default a free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def command(source: str, port: int, no_browser: bool) -> None:
    """Show a RUN folder, a comparison FILE (of `muscle-llm compare --save FILE`) or a page in the browser.

    The page is served to this machine only, with all instances, however large they are. Ctrl-C ends it.
    """
    from muscle_llm.errors import InputError
    from muscle_llm.report.serve import PageServer, Served
    from muscle_llm.report.stored import read_comparison, read_run

    path = Path(source)
    if path.suffix.lower() in (".html", ".htm") and path.is_file():
        _show(path.resolve().as_uri(), no_browser)
        return
    comparisons = read_run(path) if path.is_dir() else {path.stem or "comparison": read_comparison(path)}
    pages = {name: Served.from_comparison(comparison) for name, comparison in comparisons.items()}
    try:
        server = PageServer(pages, port)
    except OSError as error:
        raise InputError(
            f"port {port} cannot be used ({error.strerror}); choose another with --port."
        ) from error
    with server:
        for address in server.addresses():
            click.echo(address)
        click.echo("Ctrl-C ends it.", err=True)
        if not no_browser:
            click.launch(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("ended", err=True)


def _show(address: str, no_browser: bool) -> None:
    click.echo(address)
    if not no_browser:
        click.launch(address)
