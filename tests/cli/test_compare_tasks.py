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


def _document(doc, filter_, right):
    return {
        "doc_id": doc,
        "doc": {},
        "target": "1",
        "arguments": {"gen_args_0": {"arg_0": f"Q{doc}", "arg_1": {"until": []}}},
        "resps": [["1"]],
        "filtered_resps": ["1" if right else "2"],
        "filter": filter_,
        "metrics": ["exact_match"],
        "exact_match": float(right),
    }


FILTERS = {"sums": ("strict-match", "flexible-extract"), "words": ("none",)}


def _runs(folder, **filters):
    """Two runs of lm-evaluation-harness; each task with its filters, the later ones right more often."""
    for side in ("old", "new"):
        (folder / side).mkdir()
        for task, names in filters.items():
            rows = [_document(doc, name, doc <= at) for at, name in enumerate(names) for doc in range(4)]
            path = folder / side / f"samples_{task}_2026-01-21T03-44-18.458309.jsonl"
            path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder / "old", folder / "new"


def test_a_filter_is_for_the_tasks_that_have_several(tmp_path, capsys):
    runs = _runs(tmp_path, **FILTERS)
    code, out, _ = run(capsys, *runs, "--filter", "flexible-extract", "--json", "-")
    assert code == 0
    tasks = json.loads(out)["tasks"]
    filters = {task: d["old"]["provenance"]["filter"] for task, d in tasks.items()}
    assert filters == {"sums": "flexible-extract", "words": "none"}
    assert tasks["sums"]["metrics"]["accuracy_old"]["value"] == 0.5
    code, out, err = run(capsys, *runs, "--filter", "strict_match")
    assert (code, out) == (2, "")
    assert "task sums: " in err
    assert "no filter 'strict_match'. Did you mean 'strict-match'" in err


def test_a_filter_that_no_task_has_is_refused(tmp_path, capsys):
    runs = _runs(tmp_path, sums=("none",), words=("none",))
    code, out, err = run(capsys, *runs, "--filter", "strict-match", "--html", tmp_path / "page")
    assert (code, out) == (2, "")
    assert "--filter strict-match: no task has a filter of that name" in err
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("option", ["--filter", "--metric"])
def test_an_option_that_means_nothing_to_any_task_is_refused(folders, capsys, option):
    code, out, err = run(capsys, *folders, option, "nosuch")
    assert (code, out) == (2, "")
    assert f"{option} nosuch" in err
    assert "is read as 'table'" in err


def test_a_metric_is_for_the_logs_that_have_metrics(tmp_path, capsys):
    runs = _runs(tmp_path, words=("none",))
    table = tmp_path / "new.jsonl"
    table.write_text("".join(json.dumps({"id": i, "answer": "1", "reference": "1"}) + "\n" for i in range(4)))
    log = next(runs[0].iterdir())
    code, _, err = run(capsys, log, table, "--metric", "nosuch")
    assert code == 2
    assert "no metric 'nosuch'" in err
    code, out, _ = run(
        capsys, log, table, "--metric", "exact_match", "--on-mismatch", "intersect", "--json", "-"
    )
    assert code == 0
    assert json.loads(out)["counts"]["positive_flips"] == 3


def test_nothing_is_written_where_a_later_task_cannot_be_compared(folders, capsys, tmp_path):
    last = sorted(TASKS)[-1]
    (folders[1] / f"{last}.jsonl").write_text("{broken")
    outputs = {name: tmp_path / "out" / name for name in ("html", "flips", "save", "llm-comparator")}
    arguments = [x for name, path in outputs.items() for x in (f"--{name}", path)]
    code, out, err = run(capsys, *folders, *arguments)
    assert (code, out) == (2, "")
    assert f"task {last}: " in err
    assert not (tmp_path / "out").exists()


def test_instances_are_written_as_of_the_task_alone(folders, capsys, tmp_path):
    assert run(capsys, *folders, "--html", tmp_path / "all", "--flips", tmp_path / "flips")[0] == 0
    pair = [f"{folder}#arc" for folder in folders]
    assert run(capsys, *pair, "--flips", tmp_path / "arc.jsonl")[0] == 0
    assert (tmp_path / "flips" / "arc.jsonl").read_text() == (tmp_path / "arc.jsonl").read_text()


def test_a_side_of_errors_only_is_said(folders, capsys):
    rows_ = [{"id": i, "answer": None, "reference": "1", "error": "timeout"} for i in range(5)]
    (folders[1] / "arc.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows_))
    code, _, err = run(capsys, *folders)
    assert code == 2
    assert "task arc: " in err
    assert "every one of its 5 rows has an error, such as 'timeout'" in err
    code, _, err = run(capsys, *(f"{folder}#arc" for folder in folders))
    assert code == 2
    assert "every one of its 5 rows has an error" in err
