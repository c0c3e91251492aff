"""Two hundred hostile outputs in every field: the terminal shows text and obeys none of it."""

from __future__ import annotations

import json
import unicodedata

import pytest

from muscle_llm.cli import main

HOSTILE = [
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;http://example.invalid/\x07link\x1b]8;;\x07",
    "\x9b31m\x85",
    "null\x00byte",
    "\u202egnp.exe\u202c \u2066isolated\u2069",
    "\u2028line\u2029paragraph",
    "back\b\b\b\bspace\rreturn",
    "[bold red]markup[/] [link=x]y[/link]",
    "\ufeff\ufffe\U000e0041",
    "</script><script>alert(1)</script>",
    "| a | b |\n|---|---|\n```",
    "long " * 200_000,
]
FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def hostile_log(path, right):
    rows = []
    for i in range(200):
        text = HOSTILE[i % len(HOSTILE)]
        rows.append(
            {
                "id": f"{i} {text[:60]}",
                "prompt": text,
                "answer": f"{text} {i % 3}",
                "correct": right(i),
                "slice": {"kind": text[:60]},
                "error": None,
            }
        )
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


@pytest.mark.parametrize("command", ["compare", "compare --markdown -", "inspect"])
def test_nothing_but_text_reaches_the_terminal(tmp_path, capsys, command):
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    hostile_log(old, lambda i: i % 2 == 0)
    hostile_log(new, lambda i: i % 3 == 0)
    name, *rest = command.split()
    files = (
        [str(old)] if name == "inspect" else [str(old), str(new), "--name", HOSTILE[0], "--name", HOSTILE[5]]
    )
    maps = ["--map", "slice.kind=slice.kind"]
    assert main([name, *files, *maps, *rest]) == 0
    shown = "".join(capsys.readouterr())
    assert "200" in shown
    assert not [c for c in set(shown) - {"\n"} if unicodedata.category(c) in FORBIDDEN]
    assert len(shown) < 100_000
