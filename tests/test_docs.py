"""The generated pages of docs/ are current, and the examples run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_generated_pages_are_current():
    done = subprocess.run(
        [sys.executable, "scripts/make_docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


def test_the_python_examples_run_and_print_what_they_say(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("docs/python.md"):
        exec(compile(block, "docs/python.md", "exec"), names)  # noqa: S102, our own page
        printed = capsys.readouterr().out
        for said in re.findall(r"^print\(.*\)  # ([^:\n]*)", block, re.M):
            assert said in printed.splitlines()
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "comparison.json", "comment.md"}


def test_the_readme_example_of_comparing_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, answer in (("old", "1"), ("new", "0")):
        row = {"id": "a", "answer": answer, "reference": "1"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    (block,) = [b for b in blocks("README.md") if "import compare" in b]
    exec(compile(block, "README.md", "exec"), {})  # noqa: S102, our own page
    assert "1 of 1 instances" in capsys.readouterr().out
