"""A folder against a folder."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from muscle_llm.cli import main
from muscle_llm.report.stored import read_comparison

TASKS = {"arc": ("11110", "11100"), "piqa": ("1100", "1010"), "boolq": ("10", "11")}


def rows(answers):
    return "".join(json.dumps({"id": i, "answer": a, "reference": "1"}) + "\n" for i, a in enumerate(answers))


@pytest.fixture
def folders(tmp_path):
    """Three tasks on both sides, one only in old, one only in new."""
    for side, name in enumerate(("old", "new")):
        folder = tmp_path / name
        folder.mkdir()
        for task, answers in TASKS.items():
            (folder / f"{task}.jsonl").write_text(rows(answers[side]))
        (folder / f"only_{name}.jsonl").write_text(rows("11"))
    return tmp_path / "old", tmp_path / "new"


def run(capsys, *arguments):
    code = main(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    return code, captured.out, captured.err


def test_all_common_tasks_are_compared_and_the_others_named(folders, capsys):
    code, out, _ = run(capsys, *folders)
    assert code == 0
    for text in (*TASKS, "mean over tasks", "all instances", "only old has 'only_old'", "'only_new'"):
        assert text in out


def test_the_document_has_every_task_and_both_ways_to_sum_up(folders, capsys):
    code, out, _ = run(capsys, *folders, "--json", "-")
    assert code == 0
    document = json.loads(out)
    assert document["schema"] == "muscle-llm/comparisons"
    assert list(document["tasks"]) == sorted(TASKS)
    assert (document["only_old"], document["only_new"]) == (["only_old"], ["only_new"])
    assert document["tasks"]["arc"]["task"] == "arc"
    single = {t: d["metrics"]["nfr"]["value"] for t, d in document["tasks"].items()}
    assert single == {"arc": 0.2, "piqa": 0.25, "boolq": 0.0}
    assert document["summary"]["macro"]["nfr"]["value"] == pytest.approx(0.15)
    assert document["summary"]["pooled"]["nfr"]["value"] == pytest.approx(2 / 11)
    assert document["n"] == 11


def test_a_task_alone_gives_the_same_as_among_others(folders, capsys):
    _, out, _ = run(capsys, *folders, "--json", "-")
    among = json.loads(out)["tasks"]["arc"]
    _, out, _ = run(capsys, f"{folders[0]}#arc", f"{folders[1]}#arc", "--json", "-")
    alone = json.loads(out)
    assert alone["schema"] == "muscle-llm/comparison"
    assert among["metrics"] == alone["metrics"]
    _, out, _ = run(capsys, *folders, "--select", "arc", "--json", "-")
    assert json.loads(out)["counts"] == alone["counts"]


def test_pages_instances_and_exports_stand_in_folders(folders, capsys, tmp_path):
    page, kept, other = tmp_path / "report", tmp_path / "kept", tmp_path / "export"
    code, _, _ = run(capsys, *folders, "--html", page, "--save", kept, "--llm-comparator", other)
    assert code == 0
    assert {p.name for p in page.iterdir()} == {"index.html", *(f"{t}.html" for t in TASKS)}
    index = (page / "index.html").read_text()
    assert 'href="piqa.html"' in index
    assert "only old has" in index
    assert read_comparison(kept / "piqa.parquet").counts["negative_flips"] == 1
    assert len(json.loads((other / "arc.json").read_text())["examples"]) == 5


def test_candidates_are_folders_too_and_may_lack_a_task(folders, capsys, tmp_path):
    remedy = tmp_path / "remedy"
    remedy.mkdir()
    (remedy / "arc.jsonl").write_text(rows("11110"))
    code, out, _ = run(capsys, *folders, remedy, "--old-rerun", folders[0], "--json", "-")
    assert code == 0
    document = json.loads(out)
    assert document["candidates"]["remedy"]["macro"]["d_nfr"]["value"] == pytest.approx(-0.2)
    assert document["candidates"]["remedy"]["tasks"]["d_nfr"] == 1
    assert document["summary"]["tasks"]["excess_nfr"] == 3
    assert any("remedy lacks" in w for w in document["warnings"])
    code, out, _ = run(capsys, *folders, remedy)
    assert code == 0
    assert "change of NFR" in out
    code, _, err = run(capsys, *folders, remedy / "arc.jsonl")
    assert code == 2
    assert "name a folder of tasks here too" in err


def test_a_policy_is_judged_per_task_and_together(folders, capsys, tmp_path):
    policy = tmp_path / "policy.yaml"
    junit, note = tmp_path / "j.xml", tmp_path / "c.md"
    policy.write_text("all: {min_instances: 1}\ntasks: {piqa: {must_not_break: ['1']}}\n")
    code, out, _ = run(capsys, *folders, "--policy", policy, "--junit", junit, "--markdown", note)
    assert code == 1
    assert "verdict: FAIL: 1 of 3 tasks; first piqa" in " ".join(out.split())
    suites = ElementTree.parse(junit).getroot()
    assert len(suites) == 4  # three tasks, and the task that new lacks
    assert suites.get("failures") == "1"
    assert "## FAIL" in note.read_text()
    assert "FAIL on piqa" in note.read_text()
    code, out, _ = run(capsys, *folders, "--policy", policy, "--json", "-")
    document = json.loads(out)
    assert document["verdict"]["tasks"] == {"arc": "pass", "boolq": "pass", "piqa": "fail"}
    assert document["tasks"]["piqa"]["verdict"]["outcome"] == "fail"


def test_a_task_that_new_lacks_is_never_passed(folders, capsys, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("all: {min_instances: 1}\n")
    code, out, _ = run(capsys, *folders, "--policy", policy)
    assert code == 3
    assert "Not measured, so not passed: 'only_old'" in " ".join(out.split())
    (folders[0] / "only_old.jsonl").unlink()
    assert run(capsys, *folders, "--policy", policy)[0] == 0
    policy.write_text("tasks: {gsm8k: {min_instances: 1}}\n")
    code, out, _ = run(capsys, *folders, "--policy", policy)
    assert code == 3
    assert "'gsm8k'" in out
    policy.write_text("on_inconclusive: fail\ntasks: {gsm8k: {min_instances: 1}}\n")
    assert run(capsys, *folders, "--policy", policy)[0] == 1


def test_wrong_use_exits_2_and_names_the_task(folders, capsys, tmp_path):
    code, _, err = run(capsys, *folders, "--html", tmp_path / "report.html")
    assert code == 2
    assert "name a folder" in err
    (folders[1] / "arc.jsonl").write_text(rows("111"))
    code, _, err = run(capsys, *folders)
    assert code == 2
    assert "task arc: " in err
    code, out, _ = run(capsys, *folders, "--on-mismatch", "intersect")
    assert code == 0
    assert "arc: " in out
    (folders[1] / "arc.jsonl").write_text("{broken")
    code, _, err = run(capsys, *folders)
    assert code == 2
    assert "task arc: " in err
    other = tmp_path / "other"
    other.mkdir()
    for name in ("x", "y"):
        (other / f"{name}.jsonl").write_text(rows("1"))
    code, _, err = run(capsys, folders[0], other)
    assert code == 2
    assert "no task in common" in err


def test_two_folders_with_one_task_each_are_one_comparison(capsys, tmp_path):
    for name, answers in (("old", "110"), ("new", "101")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"answers_{name}.jsonl").write_text(rows(answers))
    code, out, _ = run(capsys, tmp_path / "old", tmp_path / "new", "--json", "-")
    assert code == 0
    assert json.loads(out)["counts"]["negative_flips"] == 1


def test_hostile_task_names_stay_in_their_folder(capsys, tmp_path):
    names = ["a<script>b", "..%2f..", "a b", "a_b"]
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        for name in names:
            (tmp_path / side / f"{name}.jsonl").write_text(rows("10"))
    code, _, _ = run(capsys, tmp_path / "old", tmp_path / "new", "--html", tmp_path / "out")
    assert code == 0
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert "<script>b" not in (tmp_path / "out" / "index.html").read_text()
