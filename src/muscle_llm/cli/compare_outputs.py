"""What ``muscle-llm compare`` writes: files first, then the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from muscle_llm.comparison import Comparison
    from muscle_llm.gate import Verdict

__all__ = ["Outputs", "keep", "screen", "tell_verdict", "write_outputs", "write_texts"]


@dataclass(frozen=True)
class Outputs:
    """Where everything goes; ``None``: nowhere. ``-`` is standard output, for what is one text."""

    json: str | None = None
    html: str | None = None
    junit: str | None = None
    markdown: str | None = None
    flips: str | None = None
    plots: str | None = None
    save: str | None = None
    llm_comparator: str | None = None

    def check(self, inputs: Iterable[str]) -> None:
        """Raise where two outputs would be written to one place, or one over what is read.

        Args:
            inputs: files and folders that are read; ``PATH#PART`` is read from ``PATH``.

        Raises:
            InputError: the message names the option.
        """
        from muscle_llm.errors import InputError

        named = {f.name.replace("_", "-"): getattr(self, f.name) for f in fields(self)}
        read = {_place(p) for path in inputs for p in (path, path.partition("#")[0]) if p}
        taken: dict[str, str] = {}
        for option, name in named.items():
            if name is None:
                continue
            if name == "-" and option in ("plots", "save"):
                raise InputError(f"--{option} cannot go to standard output; name a file or folder.")
            place = name if name == "-" else _place(name)
            if place in read and not Path(name).is_dir():
                raise InputError(f"--{option} {name} would be written over what is read. Give another name.")
            if place in taken:
                raise InputError(
                    f"two outputs are to be written to {name!r}: --{taken[place]} and --{option}. "
                    "Give each its own file."
                )
            taken[place] = option


def _place(name: str) -> str:
    return str(Path(name).resolve())


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
    texts |= instance_texts(result, outputs.flips, outputs.llm_comparator)
    keep(result, outputs.save, outputs.plots)
    if write_texts(texts):
        if verdict is not None:
            tell_verdict(verdict.sentence)
        return
    from muscle_llm.report.terminal import print_comparison

    with screen() as console:
        print_comparison(result, console)
        if verdict is not None:
            from muscle_llm.report.verdict import print_verdict

            print_verdict(verdict, console)
        else:
            _print_hints(outputs, console)


def instance_texts(result: Comparison, flips_to: str | None, llm_comparator_to: str | None) -> dict[str, str]:
    """Return file -> text of what lists single instances."""
    texts: dict[str, str] = {}
    if flips_to is not None:
        from muscle_llm.report.json import render_flips

        texts[flips_to] = render_flips(result)
    if llm_comparator_to is not None:
        from muscle_llm.report.llm_comparator import render_llm_comparator

        texts[llm_comparator_to] = render_llm_comparator(result)
    return texts


def keep(result: Comparison, save_to: str | None, plots_to: str | None) -> None:
    """Write what is no text: the whole comparison, and pictures."""
    if save_to is not None:
        from muscle_llm.report.stored import write_comparison

        with _told(save_to):
            write_comparison(result, save_to)
    if plots_to is not None:
        from muscle_llm.report.plots import write_plots

        with _told(plots_to):
            write_plots(result, plots_to)


def write_texts(texts: Mapping[str, str]) -> bool:
    """Write texts to their files; return whether one of them went to standard output."""
    from muscle_llm.cli.options import write_document

    for name, text in sorted(texts.items(), key=lambda item: item[0] == "-"):
        write_document(text, name)
    return "-" in texts


def tell_verdict(sentence: str) -> None:
    """Print the verdict beside a document on standard output."""
    from muscle_llm.text import printable

    click.echo(f"verdict: {printable(sentence, limit=400)}", err=True)


@contextlib.contextmanager
def screen() -> Iterator[Console]:
    """Yield the terminal; texts of models are never read as markup. See `standard_output`."""
    from rich.console import Console

    from muscle_llm.cli.options import standard_output

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 - called while a BrokenPipeError is handled; rich itself would exit with 1

    with standard_output():
        yield Screen(highlight=False, markup=False, emoji=False)


def _print_hints(outputs: Outputs, console: Console) -> None:
    """Say what comes next: to see the flips, and to decide."""
    if outputs.html is None:
        console.print("next: --html FILE shows every flip, both answers side by side", style="dim")
    console.print("to decide whether to ship: muscle-llm init policy, then --policy policy.yaml", style="dim")


def _markdown(result: Comparison, verdict: Verdict | None) -> str:
    from muscle_llm.report.markdown import render_markdown

    text = render_markdown(result)
    if verdict is None:
        return text
    from muscle_llm.report.verdict_markdown import render_verdict_markdown

    return f"{render_verdict_markdown(verdict)}\n{text}"


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    from muscle_llm.cli.options import cannot_write

    try:
        yield
    except OSError as error:
        raise cannot_write(name, error) from error
