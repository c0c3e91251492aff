"""The page of a run: a remedy table for each task, with links to the tasks' own pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muscle_llm import __version__
from muscle_llm.files import atomic_write_text
from muscle_llm.report.bundle import content_security_policy, template
from muscle_llm.report.remedies import remedy_cells, remedy_headings, remedy_rows, what_it_is

if TYPE_CHECKING:
    from muscle_llm.report.tasks import TaskTable

__all__ = ["render_index", "write_index"]

_HERE = Path(__file__).parent


def render_index(
    documents: Mapping[str, Mapping[str, Any]],
    links: Mapping[str, str],
    *,
    title: str,
    overview: TaskTable | None = None,
    lines: Sequence[str] = (),
) -> str:
    """Return the page of a run as one HTML document.

    Args:
        documents: task name -> comparison document.
        links: task name -> address of the task's page, relative to this one.
        title: heading of the page.
        overview: a table of all tasks, in the documents' order.
        lines: sentences to stand above it: the summary, what is lacking, the verdict.

    Example:
        >>> figure = {"value": 0.5, "low": 0.4, "high": 0.6}
        >>> metrics = {"accuracy_old": figure, "accuracy_new": figure, "nfr": figure}
        >>> document = {"sentence": "", "metrics": metrics}
        >>> page = render_index({"<b>": document}, {"<b>": "a.html"}, title="A run")
        >>> "<b>" in page, "&lt;b&gt;" in page
        (False, True)
    """
    css = _HERE / "assets" / "css"
    looks = "\n".join((css / name).read_text(encoding="utf-8") for name in ("base.css", "index.css"))
    tasks = [
        {
            "name": name,
            "link": links[name],
            "sentence": document["sentence"],
            # Without candidates the overview says it all.
            "table": bool(document.get("candidates")) or overview is None,
            "headings": remedy_headings(document),
            "rows": [
                {"name": r.name, "kind": r.kind, "what": what_it_is(r), "cells": remedy_cells(r)}
                for r in remedy_rows(document)
            ],
        }
        for name, document in documents.items()
    ]
    levels = {round(100 * d.get("confidence", 0.95)) for d in documents.values()}
    return template("index.html.j2").render(
        title=title,
        policy=content_security_policy((), (looks,)),
        looks=looks,
        tasks=tasks,
        overview=overview,
        links=[links[name] for name in documents],
        lines=lines,
        percent=min(levels, default=95),
        version=__version__,
    )


def write_index(run: Path, tasks: Sequence[str]) -> None:
    """Write ``report.html`` of a run folder from the comparison documents of its tasks.

    Raises:
        OSError: a document is missing.
    """
    documents: dict[str, Mapping[str, Any]] = {}
    for task in tasks:
        path = run / "tasks" / task / "comparison.json"
        documents[task] = json.loads(path.read_text(encoding="utf-8"))
    links = {task: f"tasks/{task}/report.html" for task in tasks}
    atomic_write_text(
        run / "report.html", render_index(documents, links, title=f"Update: {run.resolve().name}")
    )
