"""Run the cells of a study: each a run folder of its own, by one process or several."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from muscle_llm.errors import MuscleError, RunError
from muscle_llm.study.settings import Cell, StudySettings

if TYPE_CHECKING:
    from muscle_llm.update.stages import RunFolder
    from muscle_llm.update.task_plan import TaskPlan

__all__ = ["cell_plan", "run_cells"]

SHARED = "shared"  # adapters and predictions that several cells have in common
_PAUSE = 5.0

Report = Callable[[str], None]


def cell_plan(settings: StudySettings, cell: Cell, root: Path) -> tuple[RunFolder, TaskPlan]:
    """Return a cell's run folder, loaded, and its plan."""
    from muscle_llm.update.stages import RunFolder
    from muscle_llm.update.task_plan import TaskPlan

    update = settings.update(cell.update, cell.seed, cell.task)
    folder = RunFolder(root / cell.folder, shared=root / SHARED)
    folder.load()
    return folder, TaskPlan(update, update.tasks[0], folder, progress=False)


def run_cells(
    settings: StudySettings,
    root: Path,
    *,
    processes: int = 1,
    prepare: Callable[[], None] = lambda: None,
    report: Report = print,
    quiet: bool = False,
) -> None:
    """Run every cell that is not finished; an interrupted study goes on where it stopped.

    Several processes, also of several calls on the same folder, share the cells among themselves.

    Args:
        settings: the study.
        root: its folder.
        processes: how many at a time, at least 1; the machine's threads are divided among them.
        prepare: called in every process before it begins; with several, a function of a module.
        report: called with one line per finished cell; several processes print theirs to standard error.
        quiet: several processes print nothing.

    Raises:
        MuscleError: an input cannot be used or a stage failed.
        RunError: a process ended before its work was done.
    """
    if processes == 1:
        prepare()
        _work(settings, root, report)
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // processes)
    workers = [
        context.Process(target=_worker, args=(settings, root, threads, prepare, quiet), daemon=True)
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        for worker in workers:
            worker.terminate()
        raise
    failed = [worker for worker in workers if worker.exitcode]
    if failed:
        raise RunError(
            f"{len(failed)} of {processes} processes ended early; their messages stand above. "
            "Run the same command again: what is finished stays."
        )


def _worker(
    settings: StudySettings, root: Path, threads: int, prepare: Callable[[], None], quiet: bool
) -> None:
    import torch

    torch.set_num_threads(threads)
    prepare()
    try:
        _work(settings, root, lambda line: None if quiet else print(line, file=sys.stderr, flush=True))
    except MuscleError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def _work(settings: StudySettings, root: Path, report: Report) -> None:
    """Take cells until none is left; a cell that another process holds is looked at again later."""
    waiting = settings.cells()
    while waiting:
        held: list[Cell] = []
        for cell in waiting:
            begun = time.monotonic()
            ran = _run_cell(settings, cell, root)
            if ran is None:
                held.append(cell)
            elif ran:
                report(f"{cell}: {ran} stages in {time.monotonic() - begun:.0f} s")
        waiting = held
        if waiting:
            time.sleep(_PAUSE)


def _run_cell(settings: StudySettings, cell: Cell, root: Path) -> int | None:
    """Return how many stages of a cell ran, None if another process holds it."""
    from muscle_llm.update.stages import InUseError, environment, run_stages

    folder, plan = cell_plan(settings, cell, root)
    try:
        with folder.lock():
            folder.load()
            folder.manifest["environment"] = environment()
            return len(run_stages(folder, plan.version_stages(), lambda *_: None))
    except InUseError:
        return None
