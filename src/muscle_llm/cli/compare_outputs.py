"""What ``muscle-llm compare`` writes: files first, then the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from muscle_llm.comparison import Comparison
    from muscle_llm.gate import Verdict

__all__ = ["Outputs", "console", "keep", "tell_verdict", "write_outputs", "write_texts"]


@dataclass(frozen=True)
class Outputs:
    """Where everything goes; ``None``: nowhere. ``-`` is standard output for JSON and Markdown."""

    json: str | None = None
    html: str | None = None
    junit: str | None = None
    markdown: str | None = None
    plots: str | None = None
    save: str | None = None
    llm_comparator: str | None = None

    def check(self) -> None:
        """Raise where two outputs would be written to one place."""
        from muscle_llm.errors import InputError

        files = (self.html, self.junit, self.markdown, self.json, self.save, self.llm_comparator, self.plots)
        named = [f for f in files if f is not None]
        double = next((f for f in named if named.count(f) > 1), None)
        if double is not None:
            raise InputError(f"two outputs are to be written to {double!r}. Give each its own file.")


def write_outputs(result: Comparison, verdict: Verdict | None, outputs: Outputs) -> None:
    """Write one comparison to everywhere it is asked for, and show it."""
    texts: dict[str, str] = {}
    if outputs.html is not None:
        from muscle_llm.report.html import render_html

        texts[outputs.html] = render_html(result, verdict=verdict)
    if outputs.junit is not None:
        from muscle_llm.report.junit import render_junit

        texts[outputs.junit] = render_junit([] if verdict is None else [verdict])
    if outputs.markdown is not None:
        texts[outputs.markdown] = _markdown(result, verdict)
    if outputs.json is not None:
        from muscle_llm.report.json import render_json

        texts[outputs.json] = render_json(result, verdict)
    keep(result, outputs.save, outputs.plots, outputs.llm_comparator)
    if write_texts(texts):
        if verdict is not None:
            tell_verdict(verdict.sentence)
        return
    from muscle_llm.report.terminal import print_comparison

    screen = console()
    print_comparison(result, screen)
    if verdict is not None:
        from muscle_llm.report.verdict import print_verdict

        print_verdict(verdict, screen)


def keep(
    result: Comparison, save_to: str | None, plots_to: str | None, llm_comparator_to: str | None
) -> None:
    """Write what holds the instances themselves."""
    if save_to is not None:
        from muscle_llm.report.stored import write_comparison

        with _told(save_to):
            write_comparison(result, save_to)
    if plots_to is not None:
        from muscle_llm.report.plots import write_plots

        with _told(plots_to):
            write_plots(result, plots_to)
    if llm_comparator_to is not None:
        from muscle_llm.report.llm_comparator import render_llm_comparator

        write_texts({llm_comparator_to: render_llm_comparator(result)})


def write_texts(texts: Mapping[str, str]) -> bool:
    """Write texts to their files; return whether one of them went to standard output."""
    from muscle_llm.files import atomic_write_text

    for name, text in texts.items():
        if name != "-":
            with _told(name):
                atomic_write_text(name, text)
    if "-" in texts:
        sys.stdout.write(texts["-"])
    return "-" in texts


def tell_verdict(sentence: str) -> None:
    """Print the verdict beside a document on standard output."""
    from muscle_llm.text import printable

    click.echo(f"verdict: {printable(sentence, limit=400)}", err=True)


def console() -> Console:
    """Return the terminal; texts of models are never read as markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def _markdown(result: Comparison, verdict: Verdict | None) -> str:
    from muscle_llm.report.markdown import render_markdown

    text = render_markdown(result)
    if verdict is None:
        return text
    from muscle_llm.report.verdict_markdown import render_verdict_markdown

    return f"{render_verdict_markdown(verdict)}\n{text}"


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    from muscle_llm.errors import InputError

    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or name}: cannot be written ({error.strerror}).") from error
