"""``muscle-llm inspect`` tells what a file holds, safely, and what is missing to read it."""

from __future__ import annotations

import json

import pytest

from muscle_llm.cli import main


def _write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


ROWS = [
    {"id": "a", "pred": "x\x1b[31m", "gold": "x", "score_f1": 0.5, "slice_topic": "law"},
    {"id": "b", "pred": "y", "gold": "z", "score_f1": 1.0, "slice_topic": "law"},
]


def test_a_table_is_described_with_the_columns_that_would_be_used(tmp_path, capsys):
    path = _write(tmp_path / "rows.jsonl", ROWS)
    assert main(["inspect", path]) == 0
    shown = capsys.readouterr().out
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert lines["format"] == "table"
    assert lines["rows"] == "2 of 2 instances"
    assert lines["correct"] == "0 right, 2 wrong"
    assert "answer from            pred" in shown
    assert "reference from         gold" in shown
    assert "mean 0.75, 0.5 to 1, known for 2" in shown
    assert "law (2)" in shown
    assert "\x1b" not in shown


def test_json_holds_the_same(tmp_path, capsys):
    path = _write(tmp_path / "rows.jsonl", ROWS)
    assert main(["inspect", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["summary"]["scores"]["f1"] == {"known": 2, "mean": 0.75, "min": 0.5, "max": 1.0}
    assert document["columns"]["answer"] == "pred"
    assert document["problem"] is None


def test_what_cannot_be_read_yet_is_said_with_the_choices(tmp_path, capsys):
    rows = []
    for name in ("Model 0", "Model 1"):
        column = int(name[-1])
        rows.append(
            {
                "promptIdx": column,
                "testIdx": 0,
                "provider": {"id": f"vendor:{column}", "label": name},
                "prompt": {"raw": "q", "label": "q"},
                "vars": {},
                "response": {"output": "a"},
                "success": True,
                "failureReason": 0,
                "score": 1,
                "namedScores": {},
                "testCase": {},
            }
        )
    path = _write(tmp_path / "results.jsonl", rows)
    assert main(["inspect", path]) == 2
    shown = capsys.readouterr().out
    assert "Model 0" in shown
    assert "Choose one with --select NUMBER" in shown
    assert main(["inspect", f"{path}#Model 1"]) == 0
    assert "model                  Model 1" in capsys.readouterr().out
    assert main(["inspect", path, "--select", "0", "--metric", "tone"]) == 2


def test_a_folder_lists_its_tasks(tmp_path, capsys):
    _write(tmp_path / "law.jsonl", ROWS)
    _write(tmp_path / "sums.jsonl", ROWS)
    assert main(["inspect", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "task                   law" in shown
    assert "task                   sums" in shown
    assert main(["inspect", str(tmp_path), "--select", "law"]) == 0
    assert "rows                   2 of 2 instances" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path), "--metric", "nosuch"]) == 2
    assert "Choose one with --select" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path), "--select", "law", "--metric", "nosuch"]) == 2
    assert "--metric nosuch" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["none.jsonl", "empty.jsonl"])
def test_no_file_is_one_sentence(tmp_path, capsys, name):
    (tmp_path / "empty.jsonl").write_text("")
    assert main(["inspect", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
