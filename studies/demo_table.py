"""Write the demo's remedy tables, with the environment they were made in, to studies/demo.md.

Usage: muscle-llm demo && python studies/demo_table.py runs/demo
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muscle_llm.files import atomic_write_text
from muscle_llm.report.remedies import remedy_cells, remedy_headings, remedy_rows, what_it_is

ROOT = Path(__file__).resolve().parent.parent


def table(document: Mapping[str, Any]) -> str:
    """Return the remedy table of one task as Markdown."""
    headings = ("version", "role", *remedy_headings(document))
    lines = [f"| {' | '.join(headings)} |", "|---|---|" + "---:|" * (len(headings) - 2)]
    for row in remedy_rows(document):
        name = f"**{row.name}**" if row.kind == "remedy" else row.name
        lines.append(f"| {' | '.join((name, what_it_is(row), *remedy_cells(row)))} |")
    return "\n".join(lines)


def main() -> None:
    """Write the page from a finished run."""
    run = Path(sys.argv[1])
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    documents = json.loads((run / "results.json").read_text(encoding="utf-8"))["tasks"]
    seconds = sum(stage["seconds"] for stage in manifest["stages"].values())
    made = ", ".join(f"{k} {v}" for k, v in manifest["environment"].items())
    parts = ["# The demo", "", "Made by `make demo`, then `python studies/demo_table.py runs/demo`."]
    parts += [f"Environment: {made}. All stages together took {seconds:.0f} s.", ""]
    for name, document in documents.items():
        parts += [f"## {name}", "", table(document), "", document["sentence"], ""]
    atomic_write_text(ROOT / "studies" / "demo.md", "\n".join(parts))


if __name__ == "__main__":
    main()
