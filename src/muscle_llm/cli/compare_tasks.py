"""``muscle-llm compare`` of folders: every task found in both, one after the other, and all together."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from muscle_llm.cli.compare_inputs import Folders, Settings, read_logs
from muscle_llm.cli.compare_outputs import (
    Outputs,
    instance_texts,
    keep,
    screen,
    tell_verdict,
    write_texts,
)
from muscle_llm.errors import ComparabilityError, InputError

if TYPE_CHECKING:
    from muscle_llm.comparison import Comparison, TaskSummary
    from muscle_llm.gate import Policy, TasksVerdict, Verdict
    from muscle_llm.predictions.finding import Log

__all__ = ["compare_folders"]


def compare_folders(
    folders: Folders, settings: Settings, policy: Policy | None, outputs: Outputs
) -> TasksVerdict | None:
    """Compare every task that old and new both hold; write and show the tasks and what they come to.

    All tasks are compared before anything is written: a mistake in the last one leaves no half report. One
    task is in memory at a time; the others wait in a temporary folder. Tasks of one side only are named, and
    with a policy they are not passed.

    Raises:
        InputError: no task is in both, or a task cannot be read or compared; the message names the task.
    """
    from muscle_llm.comparison import summarise_tasks
    from muscle_llm.predictions.finding import check_filter
    from muscle_llm.report.stored import read_comparison
    from muscle_llm.report.tasks import file_names

    _check_folders(outputs)
    old, new = folders.tasks["old"], folders.tasks["new"]
    tasks = [t for t in old if t in new]
    only_old, only_new = tuple(t for t in old if t not in new), tuple(t for t in new if t not in old)
    if not tasks:
        raise InputError(
            f"old and new have no task in common: old has {_listed(only_old)}, new has {_listed(only_new)}. "
            "To compare one with one, name them: OLD#TASK NEW#TASK."
        )
    files = file_names(tasks)
    logs = _logs(tasks, folders)
    results: dict[str, Comparison] = {}
    verdicts: dict[str, Verdict | None] = {}
    verdict = None
    with tempfile.TemporaryDirectory() as place:
        stored = (
            {task: Path(place) / f"{files[task]}.parquet" for task in tasks} if _per_task(outputs) else {}
        )
        for task in tasks:
            with _named(task):
                result = dataclasses.replace(settings.compare(read_logs(logs[task])), task=task)
                if policy is not None:
                    from muscle_llm.gate import judge_task

                    verdicts[task] = judge_task(policy, result)
            if task in stored:
                keep(result, str(stored[task]), None)
            # The instances are stored; only the figures are needed for the rest.
            results[task] = dataclasses.replace(result, instances=result.instances.slice(0, 0))
        check_filter(folders.filter, _filters(results))
        if policy is not None:
            from muscle_llm.gate import judge_tasks

            verdict = judge_tasks(policy, verdicts, only_old)
        summary = summarise_tasks(results, only_old=only_old, only_new=only_new)
        for task, path in stored.items():
            _keep_task(read_comparison(path), verdicts.get(task), outputs, files[task])
    _write(results, summary, verdict, outputs, files)
    return verdict


def _check_folders(outputs: Outputs) -> None:
    """Refuse a file, or standard output, where there will be a file per task."""
    folders_to = {"html": outputs.html, "flips": outputs.flips, "llm-comparator": outputs.llm_comparator}
    if "-" in folders_to.values():
        option = next(name for name, to in folders_to.items() if to == "-")
        raise InputError(f"--{option} -: several tasks give a file per task; name a folder for them.")
    if outputs.html is not None and outputs.html.lower().endswith((".html", ".htm")):
        raise InputError(
            f"--html {outputs.html}: several tasks give an index and a page per task; name a folder for them."
        )


def _per_task(outputs: Outputs) -> bool:
    """Whether something is written for each task."""
    return any((outputs.html, outputs.flips, outputs.llm_comparator, outputs.save, outputs.plots))


def _logs(tasks: Sequence[str], folders: Folders) -> dict[str, dict[str, Log]]:
    """Return task -> version -> its log; candidates may lack a task."""
    from muscle_llm.predictions.finding import where_taken

    found: dict[tuple[str, str], Log] = {}
    for task in tasks:
        with _named(task):
            for version, known in folders.tasks.items():
                if task in known:
                    found[task, version] = known[task]()
    logs: dict[str, dict[str, Log]] = {task: {} for task in tasks}
    for (task, version), log in zip(found, where_taken(list(found.values())), strict=True):
        logs[task][version] = log
    return logs


def _filters(results: Mapping[str, Comparison]) -> Iterator[str | None]:
    """Yield the answer filters that the tasks were read by."""
    for result in results.values():
        for side in (result.old, result.new, *result.candidates.values()):
            yield side.provenance.filter


@contextlib.contextmanager
def _named(task: str) -> Iterator[None]:
    """Name the task in what goes wrong."""
    try:
        yield
    except ComparabilityError as error:
        raise ComparabilityError(f"task {task}: {error}") from error
    except InputError as error:
        raise InputError(f"task {task}: {error}") from error


def _keep_task(result: Comparison, verdict: Verdict | None, outputs: Outputs, name: str) -> None:
    def inside(folder: str | None, suffix: str) -> str | None:
        return None if folder is None else str(Path(folder) / f"{name}{suffix}")

    keep(result, inside(outputs.save, ".parquet"), inside(outputs.plots, ""))
    texts = instance_texts(result, inside(outputs.flips, ".jsonl"), inside(outputs.llm_comparator, ".json"))
    page = inside(outputs.html, ".html")
    if page is not None:
        from muscle_llm.report.html import render_html

        texts[page] = render_html(result, verdict=verdict)
    write_texts(texts)


def _write(
    results: Mapping[str, Comparison],
    summary: TaskSummary,
    verdict: TasksVerdict | None,
    outputs: Outputs,
    files: Mapping[str, str],
) -> None:
    texts: dict[str, str] = {}
    if outputs.html is not None:
        texts[str(Path(outputs.html) / "index.html")] = _index(results, summary, verdict, files)
    if outputs.junit is not None:
        from muscle_llm.report.junit import render_junit

        texts[outputs.junit] = render_junit([] if verdict is None else verdict.suites())
    if outputs.markdown is not None:
        from muscle_llm.report.tasks import render_tasks_markdown

        texts[outputs.markdown] = render_tasks_markdown(results, summary, verdict)
    if outputs.json is not None:
        document = summary.to_dict(results)
        if verdict is not None:
            document["verdict"] = verdict.to_dict()
            for task, own in verdict.verdicts.items():
                document["tasks"][task]["verdict"] = own.to_dict()
        texts[outputs.json] = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if write_texts(texts):
        if verdict is not None:
            tell_verdict(verdict.sentence)
        return
    from muscle_llm.report.tasks import print_tasks

    with screen() as console:
        print_tasks(results, summary, console, verdict)


def _index(
    results: Mapping[str, Comparison],
    summary: TaskSummary,
    verdict: TasksVerdict | None,
    files: Mapping[str, str],
) -> str:
    from muscle_llm.report.run import render_index
    from muscle_llm.report.tasks import task_table
    from muscle_llm.text import printable

    first = next(iter(results.values()))
    lines = [summary.sentence, *summary.warnings]
    if verdict is not None:
        lines = [f"Verdict: {verdict.sentence}", *verdict.notes, *lines]
    return render_index(
        {printable(task): result.to_dict() for task, result in results.items()},
        {printable(task): f"{files[task]}.html" for task in results},
        title=printable(f"{first.old.name} to {first.new.name}: {len(results)} tasks"),
        overview=task_table(results, summary, verdict),
        lines=[printable(line) for line in lines],
    )


def _listed(names: tuple[str, ...], limit: int = 8) -> str:
    return ", ".join(map(repr, names[:limit])) + (", ..." if len(names) > limit else "")
