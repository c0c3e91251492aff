"""Running an update from the command line: what is shown while it runs and at its end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muscle_llm.cli.options import calm_libraries
from muscle_llm.files import atomic_write_text
from muscle_llm.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from muscle_llm.update.settings import UpdateSettings
    from muscle_llm.update.stages import Stage

__all__ = ["run_update", "say_plan"]


def run_update(
    settings: UpdateSettings,
    path: Path,
    *,
    before: Sequence[Stage] = (),
    quiet: bool = False,
    to_stderr: bool = False,
) -> dict[str, Any]:
    """Run an update in a run folder, show its progress and its remedy tables, return its results.

    Args:
        settings: the update.
        path: the run folder; finished stages in it are skipped.
        before: stages that come first, such as writing data.
        quiet: no progress, only the result.
        to_stderr: leave standard output free.

    Returns:
        ``{"run": folder, "tasks": {name: comparison document}, "page": path}``.

    Raises:
        MuscleError: an input cannot be used or a stage failed.
    """
    from rich.console import Console

    console = Console(stderr=to_stderr, soft_wrap=False)
    begun = time.monotonic()
    calm_libraries()
    from muscle_llm.update.plan import plan_update
    from muscle_llm.update.stages import RunFolder, environment, run_stages

    folder = RunFolder(path)
    folder.load()
    stages = [*before, *plan_update(settings, folder, progress=not quiet)]
    with folder.lock():
        folder.manifest["environment"] = environment()
        reporter = _Reporter(console, len(stages), quiet)
        ran = run_stages(folder, stages, reporter)
    if not quiet:
        skipped = len(stages) - len(ran)
        console.print(
            f"{len(ran)} stages ran, {skipped} were already done ({time.monotonic() - begun:.0f} s).",
            style="dim",
            highlight=False,
        )
    return _results(console, settings, path)


def say_plan(settings: UpdateSettings, path: Path) -> None:
    """Print the stages of an update and whether a record of each is there; run nothing."""
    from rich.console import Console

    from muscle_llm.update.plan import plan_update
    from muscle_llm.update.stages import RunFolder

    folder = RunFolder(path)
    if path.exists():
        folder.load()
    console = Console()
    for stage in plan_update(settings, folder):
        known = stage.name in folder.manifest["stages"]
        console.print(f"{'recorded' if known else 'to do':>9}  {stage.title}", markup=False, highlight=False)


class _Reporter:
    """Prints one line for each stage."""

    def __init__(self, console: Console, total: int, quiet: bool) -> None:
        self.console, self.total, self.quiet = console, total, quiet
        self.count = 0
        self.skipped = 0

    def __call__(self, stage: Stage, state: str, seconds: float) -> None:
        if state != "done":
            self.count += 1
        if self.quiet:
            return
        where = f"[{self.count:>{len(str(self.total))}}/{self.total}]"
        if state == "skipped":
            self._say(f"{where} {stage.title}: already done", "dim")
        elif state == "started":
            self._say(f"{where} {stage.title}", "")
        elif seconds >= 10:
            self._say(f"{' ' * len(where)} took {seconds:.0f} s", "dim")

    def _say(self, line: str, style: str) -> None:
        self.console.print(printable(line), style=style, markup=False, highlight=False)


def _results(console: Console, settings: UpdateSettings, path: Path) -> dict[str, Any]:
    from muscle_llm.report.remedies import remedy_table

    documents: dict[str, Any] = {}
    for task in settings.tasks:
        home = path / "tasks" / task.label
        documents[task.label] = json.loads((home / "comparison.json").read_text(encoding="utf-8"))
        console.print()
        console.print(remedy_table(documents[task.label], title=task.label, width=console.width))
        console.print(printable(documents[task.label]["sentence"]), markup=False, highlight=False)
    page = path / "report.html"
    console.print()
    console.print(f"page: {printable(str(page))}", markup=False, highlight=False, soft_wrap=True)
    results = {"run": str(path), "page": str(page), "tasks": documents}
    atomic_write_text(path / "results.json", json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return results
