from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from muscle_llm.cli import main
from muscle_llm.gate import load_policy

FEW_FLIPS = "all:\n  nfr: 10 %\n"


@pytest.fixture
def files(tmp_path):
    """Old all right; new wrong on 10 of 200, one of them with an id full of control characters."""
    paths = []
    for name, lost in (("old", 0), ("new", 10)):
        path = tmp_path / f"{name}.jsonl"
        ids = ["evil\x01\x1b[31m<b>", *map(str, range(1, 200))]
        rows = [{"id": name, "correct": i >= lost, "answer": "x"} for i, name in enumerate(ids)]
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        paths.append(str(path))
    return paths


def run(capsys, files, tmp_path, policy, *arguments):
    path = tmp_path / "policy.yaml"
    path.write_text(policy, encoding="utf-8")
    code = main(["compare", *files, "--policy", str(path), *map(str, arguments)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    assert "\x1b" not in captured.err + captured.out
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("all:\n  nfr: 10 %\n", 0),
        ("all:\n  nfr: 1 %\n", 1),
        ("all:\n  nfr: 5 %\n", 3),
        ("on_inconclusive: fail\nall:\n  nfr: 5 %\n", 1),
        ("on_inconclusive: pass\nall:\n  nfr: 5 %\n", 0),
        ("confidence: 0.5\nall:\n  nfr: 6.5 %\n", 0),
        ('all:\n  must_not_break: ["199"]\n', 0),
        ("all:\n  must_not_break: [3, 199]\n", 1),
        ("all:\n  must_not_break: [3000]\n", 3),
        ("all:\n  nfr_mc: 50 %\n  nfr: 1\n", 0),
        ("all:\n  nfr: 5\n", 2),
        ("all: {}\n", 2),
    ],
)
def test_the_exit_code_is_the_verdict(files, tmp_path, capsys, policy, code):
    assert run(capsys, files, tmp_path, policy)[0] == code


def test_the_verdict_is_printed_last(files, tmp_path, capsys):
    _, out, _ = run(capsys, files, tmp_path, "all:\n  nfr: 1 %\n")
    assert (
        out.splitlines()[-1].startswith("verdict: FAIL: nfr: negative flips 5.00 %")
        or "exceeds the margin" in out[-40:]
    )


def test_the_json_holds_the_verdict_and_standard_output_only_the_json(files, tmp_path, capsys):
    code, out, err = run(capsys, files, tmp_path, "all:\n  nfr: 1 %\n", "--json", "-")
    verdict = json.loads(out)["verdict"]
    assert (code, verdict["exit_code"], verdict["outcome"]) == (1, 1, "fail")
    assert verdict["clauses"][0]["name"] == "nfr"
    assert verdict["clauses"][0]["harm"]["value"] == pytest.approx(0.05)
    assert err.startswith("verdict: FAIL")


def test_junit_and_markdown_are_written_whatever_the_ids(files, tmp_path, capsys):
    policy = 'all:\n  nfr: 10 %\n  must_not_break: ["evil\\x01\\e[31m<b>"]\n'
    junit, markdown = tmp_path / "out" / "report.xml", tmp_path / "out" / "comment.md"
    code, _, _ = run(capsys, files, tmp_path, policy, "--junit", junit, "--markdown", markdown)
    assert code == 1
    root = ElementTree.parse(junit).getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    assert "evil\\x01\\x1b[31m<b>" in (root.find("testsuite/testcase/failure").text or "")
    text = markdown.read_text(encoding="utf-8")
    assert text.startswith("## ❌ FAIL\n")
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "5.0" in text.partition("</details>")[2]  # the comparison's figures follow


def test_markdown_goes_to_standard_output_without_a_policy_too(files, capsys):
    assert main(["compare", *files, "--markdown", "-"]) == 0
    out = capsys.readouterr().out
    assert "old" in out.splitlines()[0]
    assert "FAIL" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--confidence", "0.9"], "--confidence 0.9 differs from"),
        (["--json", "-", "--markdown", "-"], "two outputs"),
        (["--junit", "."], "cannot be written"),
    ],
)
def test_wrong_use_exits_2(files, tmp_path, capsys, arguments, message):
    code, _, err = run(capsys, files, tmp_path, FEW_FLIPS, *arguments)
    assert code == 2
    assert message in err


def test_junit_needs_a_policy(files, tmp_path, capsys):
    assert main(["compare", *files, "--junit", str(tmp_path / "a.xml")]) == 2
    assert "--policy" in capsys.readouterr().err


def test_a_mistake_in_the_policy_shows_before_any_log_is_read(tmp_path, capsys):
    code, _, err = run(capsys, ["none.jsonl", "none.jsonl"], tmp_path, "all:\n  nrf: 0.1\n")
    assert code == 2
    assert "policy.yaml, line 2: unknown key 'nrf' in 'all'. Did you mean 'nfr'?" in err


def test_init_writes_a_policy_once(tmp_path, capsys):
    path = tmp_path / "policy.yaml"
    assert main(["init", "policy", "--out", str(path)]) == 0
    assert load_policy(path).all.nfr == 0.05
    assert main(["init", "policy", "--out", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["init", "policy", "--out", str(path), "--force"]) == 0
    capsys.readouterr()
    assert main(["init", "policy", "--out", "-"]) == 0
    assert capsys.readouterr().out == path.read_text()


@pytest.mark.parametrize(("margin", "code", "warned"), [("90 %", 0, 0), ("1 %", 1, 1), ("5 %", 3, 0)])
def test_the_jobs_of_the_docs_run_as_written(files, tmp_path, margin, code, warned):
    page = (Path(__file__).parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    _, github, lenient, gitlab = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL))
    steps = {step.get("name"): step for step in github["jobs"]["gate"]["steps"]}
    lines = [steps["Gate"]["run"], lenient["run"], gitlab["gate"]["script"][-1]]
    (tmp_path / "logs").mkdir()
    for name, path in zip(("old", "new"), files, strict=True):
        (tmp_path / "logs" / f"{name}.jsonl").write_bytes(Path(path).read_bytes())
    (tmp_path / "policy.yaml").write_text(f"all: {{nfr: {margin}}}\n")
    program = "import sys; from muscle_llm.cli import main; sys.exit(main())"
    command = f"""muscle-llm() {{ "$PYTHON" -c '{program}' "$@"; }}"""
    for line, expected in zip(lines, (code, warned, code), strict=True):
        done = subprocess.run(
            ["bash", "-e", "-c", f"{command}\n{line}"],
            cwd=tmp_path,
            env={**os.environ, "PYTHON": sys.executable},
            capture_output=True,
            check=False,
        )
        assert done.returncode == expected, done.stderr
        for name in ("comment.md", "gate.xml", "flips.html"):
            assert (name in line) == (tmp_path / name).exists()
            (tmp_path / name).unlink(missing_ok=True)
