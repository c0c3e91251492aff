"""Where `compare` writes: nothing that is read is lost, no device is replaced, standard output may break."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from muscle_llm.cli import main
from muscle_llm.cli.compare import _keys

MUSCLE = """muscle() { "$PYTHON" -c 'import sys; from muscle_llm.cli import main; sys.exit(main())' "$@"; }"""
SLICE = "\u6771\u4eac"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Old right on 3 of 4, new on 2 of 4: q1 and q2 break, q3 is gained; and a policy that holds."""
    monkeypatch.chdir(tmp_path)
    for name, right in (("old", "1110"), ("new", "1001")):
        rows = [
            {"id": f"q{i}", "answer": r, "reference": "1", "slice_town": SLICE} for i, r in enumerate(right)
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    Path("policy.yaml").write_text("all: {nfr: 100 %}\n")
    return ["old.jsonl", "new.jsonl"]


def refused(capsys, *arguments):
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def shell(command, **environment):
    """Run a line of bash, in which `muscle` is the command."""
    return subprocess.run(
        ["bash", "-c", f"{MUSCLE}\n{command}"],
        capture_output=True,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    "option", ["--json", "--html", "--markdown", "--flips", "--save", "--llm-comparator"]
)
@pytest.mark.parametrize("target", ["new.jsonl", "./old.jsonl", "policy.yaml", "rerun.jsonl"])
def test_what_is_read_is_never_written_over(files, capsys, option, target):
    Path("rerun.jsonl").write_bytes(Path("old.jsonl").read_bytes())
    before = Path(target).read_bytes()
    more = ["--policy", "policy.yaml", "--old-rerun", "rerun.jsonl#part"]
    err = refused(capsys, *files, *more, option, target)
    assert f"{option} {target} would be written over what is read" in err
    assert Path(target).read_bytes() == before


def test_one_place_under_two_names_is_found(files, capsys):
    err = refused(capsys, *files, "--json", "a.out", "--html", "sub/../a.out")
    assert "--json and --html" in err.replace("--html and --json", "--json and --html")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "."], ".: cannot be written (it is a folder; name a file)."),
        (
            ["--html", "old.jsonl/x.html"],
            "old.jsonl/x.html: cannot be written (old.jsonl is a file, not a folder)",
        ),
        (["--save", "old.jsonl/x.parquet"], "old.jsonl/x.parquet: cannot be written (old.jsonl is a file"),
        (["--save", "-"], "--save cannot go to standard output"),
        (["--plots", "-"], "--plots cannot go to standard output"),
    ],
)
def test_what_cannot_be_written_is_named_as_the_user_did(files, capsys, arguments, message):
    assert message in refused(capsys, *files, *arguments)


def test_a_pipe_is_written_to_and_a_link_followed(files, capsys):
    """An output that is renamed into place would replace them: /dev/null by a file, for one."""
    os.mkfifo("pipe")
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(Path("pipe").read_text()))
    reader.start()
    Path("link").symlink_to("real.json")
    assert main(["compare", *files, "--json", "pipe", "--flips", "link"]) == 0
    reader.join()
    assert json.loads(found[0])["counts"]["negative_flips"] == 2
    assert Path("pipe").is_fifo()
    assert Path("link").is_symlink()
    assert json.loads(Path("real.json").read_text().splitlines()[0])["id"] == "q1"


def test_the_flips_are_json_lines_with_both_answers(files, capsys):
    assert main(["compare", *files, "--flips", "-"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["id"], r["quadrant"]) for r in rows] == [
        ("q1", "regression"),
        ("q2", "regression"),
        ("q3", "gain"),
    ]
    assert (rows[0]["answer:old"], rows[0]["answer:new"], rows[0]["slice:town"]) == ("1", "0", SLICE)


def test_without_right_and_wrong_there_are_no_flips(files, capsys):
    for name in files:
        Path(name).write_text('{"id": 1, "score": {"rouge1": 0.5}}\n')
    maps = ["--map", "id=id,score.rouge1=score.rouge1"]
    assert main(["compare", *files, *maps, "--flips", "flips.jsonl"]) == 0
    assert Path("flips.jsonl").read_text() == ""


def test_each_task_has_its_own_flips(tmp_path, files, capsys):
    for side in ("old", "new"):
        Path(f"runs_{side}").mkdir()
        for task in ("arc", "piqa"):
            Path(f"runs_{side}/{task}.jsonl").write_bytes(Path(f"{side}.jsonl").read_bytes())
    assert main(["compare", "runs_old", "runs_new", "--flips", "flips"]) == 0
    capsys.readouterr()
    assert sorted(p.name for p in Path("flips").iterdir()) == ["arc.jsonl", "piqa.jsonl"]
    assert "--flips -" in refused(capsys, "runs_old", "runs_new", "--flips", "-")


@pytest.mark.parametrize("more", ["", "--json -", "--markdown -", "--policy policy.yaml"])
def test_a_reader_that_leaves_changes_no_exit_code(files, more):
    """Exit code 1 is a verdict: FAIL."""
    done = shell(f"muscle compare old.jsonl new.jsonl {more} | true; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "command",
    [
        "compare old.jsonl new.jsonl",
        "compare old.jsonl new.jsonl --json -",
        "inspect old.jsonl",
        "init policy --out -",
    ],
)
def test_a_full_disk_behind_standard_output_is_an_error(files, command):
    done = shell(f"muscle {command} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.decode() == "error: standard output: cannot be written (No space left on device).\n"


def test_a_closed_standard_output_is_an_error(files):
    done = shell("muscle compare old.jsonl new.jsonl --json - >&-")
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)


def test_a_terminal_without_the_characters_shows_escapes_and_documents_are_utf_8(files):
    lines = "muscle compare old.jsonl new.jsonl --map slice.town=slice_town"
    poor = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for command in (f"{lines} --policy policy.yaml", f"{lines} --markdown -", "muscle inspect old.jsonl"):
        done = shell(command, **poor)
        assert (done.returncode, done.stderr.replace(b"verdict", b"")) == (0, b"")
    done = shell(f"{lines} --flips -", **poor)
    assert SLICE in done.stdout.decode("utf-8")


def test_names_keep_the_dots_of_versions():
    files = ["runs/llama-3.1-8b.jsonl.gz", "llama-3.2.parquet#arc", "v2/", "a.json", "b/a.json"]
    assert _keys(files, (), rerun=False) == ["llama-3.1-8b", "llama-3.2", "v2", "a", "a_5"]


def test_names_that_are_not_utf_8_become_escapes(files, capsys):
    strange = os.fsdecode(b"new\xff.jsonl")
    Path(strange).write_bytes(Path("new.jsonl").read_bytes())
    assert (
        main(["compare", "old.jsonl", strange, strange, "--json", "a.json", "--name", os.fsdecode(b"\xff")])
        == 0
    )
    document = json.loads(Path("a.json").read_text(encoding="utf-8"))
    assert document["old"]["name"] == "\\udcff"
    assert list(document["candidates"]) == ["new\\udcff"]


def test_the_documented_keys_of_the_json_are_those_that_are_written(files, capsys):
    page = Path(__file__).parents[2] / "docs" / "compare.md"
    said = json.loads(re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[0])
    for name in files:
        rows = [{**json.loads(line), "score": {"rouge1": 1}} for line in Path(name).read_text().splitlines()]
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = "id=id,answer=answer,reference=reference,score.rouge1=score.rouge1,slice.town=slice_town"
    more = ["--map", columns, "--old-rerun", "old.jsonl", "--policy", "policy.yaml", "--json", "-"]
    assert main(["compare", *files, "new.jsonl", "--name", "a", "--name", "b", "--name", "c", *more]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == list(said)
    assert (document["schema"], document["version"]) == (said["schema"], said["version"])
    assert set(said["verdict"]) <= set(document["verdict"])
    assert set(said["slices"][0]) <= set(document["slices"][0])
    assert set(said["candidates"]["remedy"]) <= set(document["candidates"]["c"])


def test_without_a_policy_the_next_steps_are_named(files, capsys):
    assert main(["compare", *files]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "right before, wrong now: q1, q2" in out
    assert "--html FILE" in out
    assert "--policy policy.yaml" in out
    assert main(["compare", *files, "--policy", "policy.yaml"]) == 0
    assert capsys.readouterr().out.split("verdict: ")[1].startswith("PASS")
