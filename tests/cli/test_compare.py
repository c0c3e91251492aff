from __future__ import annotations

import json

import pytest

from muscle_llm.cli import main

OLD = [{"id": i, "answer": a, "reference": "1", "note": "x"} for i, a in enumerate("11001")]
NEW = [{"id": i, "answer": a, "reference": "1", "note": "x"} for i, a in enumerate("10101")]


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, rows in (("old", OLD), ("new", NEW)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        paths.append(str(path))
    return paths


def run(capsys, *arguments):
    code = main(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    return code, captured.out, captured.err


def test_the_table_shows_the_sentence_and_the_figures(files, capsys):
    code, out, _ = run(capsys, *files)
    assert code == 0
    assert "1 of 5 instances" in " ".join(out.split())
    assert "20.00 %" in out


def test_json_on_stdout_is_only_the_json(files, capsys):
    code, out, err = run(capsys, *files, "--json", "-")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["counts"]["negative_flips"] == document["counts"]["positive_flips"] == 1
    assert document["metrics"]["nfr"]["value"] == 0.2
    assert document["old"]["name"] == "old"


def test_json_goes_to_a_file_and_names_are_shown(files, capsys, tmp_path):
    target = tmp_path / "deep" / "c.json"
    code, out, _ = run(capsys, *files, "--json", target, "--name", "v1", "--name", "v2")
    assert code == 0
    assert "From v1 to v2" in out
    assert json.loads(target.read_text())["new"]["name"] == "v2"


@pytest.mark.parametrize("option", ["--filter", "--metric"])
def test_an_option_that_means_nothing_to_the_files_is_refused(files, capsys, option):
    code, _, err = run(capsys, *files, option, "strict-match")
    assert code == 2
    assert f"{option} strict-match" in err
    assert "is read as 'table'" in err
    assert f"Leave {option} out" in err


def test_one_file_holds_both_sides(tmp_path, capsys):
    path = tmp_path / "both.jsonl"
    path.write_text("\n".join(json.dumps({"q": i, "a": {"ok": i < 3}, "b": {"ok": i > 1}}) for i in range(5)))
    code, out, _ = run(
        capsys,
        path,
        path,
        "--map",
        "id=q",
        "--old-map",
        "correct=a.ok",
        "--new-map",
        "correct=b.ok",
        "--json",
        "-",
    )
    assert code == 0
    assert json.loads(out)["counts"]["negative_flips"] == 2


def test_candidates_and_the_noise_floor(files, capsys):
    code, out, _ = run(capsys, *files, files[0], files[1], "--old-rerun", files[0], "--json", "-")
    assert code == 0
    document = json.loads(out)
    assert {k: v["role"] for k, v in document["candidates"].items()} == {
        "old_1": "remedy",
        "new_2": "remedy",
        "old_rerun": "noise_floor",
    }
    assert document["candidates"]["old_1"]["against_new"]["recovered"] == 1
    assert document["excess_nfr"]["value"] == 0.2
    code, out, _ = run(capsys, *files, files[0], "--old-rerun", files[0])
    assert code == 0
    assert "old_rerun (noise" in out


def test_similarities_are_computed_by_name(files, capsys):
    code, out, _ = run(capsys, *files, "--similarity", "exact", "--similarity", "f1", "--json", "-")
    assert code == 0
    document = json.loads(out)
    assert list(document["scores"]) == document["settings"]["similarity"] == ["exact", "f1"]
    assert document["scores"]["f1"]["metrics"]["nfr"]["value"] == 0.2
    code, _, err = run(capsys, *files, "--similarity", "rogue1")
    assert code == 2
    assert "Did you mean 'rouge1'" in err


def test_the_instances_are_exported_for_llm_comparator(files, capsys, tmp_path):
    target = tmp_path / "comparator.json"
    code, out, _ = run(capsys, *files, "--llm-comparator", target)
    assert code == 0
    assert "1 of 5 instances" in " ".join(out.split())
    document = json.loads(target.read_text())
    assert [e["score"] for e in document["examples"]] == [0.0, 1.0, -1.0, 0.0, 0.0]
    # The export is a log again: each side is read back.
    sides = [f"{target}#{m['name']}" for m in document["models"]]
    code, out, _ = run(capsys, *sides, "--json", "-")
    assert code == 0
    assert json.loads(out)["counts"]["negative_flips"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{old}", "{new}", "--save", "{tmp}/x", "--json", "{tmp}/x"], "two outputs"),
        (["{old}", "{new}", "--select", "nothing"], "write --select COLUMN=VALUE"),
        (["{old}#nothing", "{new}"], "write --select COLUMN=VALUE"),
        (["{old}", "{tmp}/none.jsonl"], "there is no such file"),
        (["{old}", "{new}", "--map", "id=idd,answer=answer,reference=reference"], "Did you mean 'id'"),
        (["{old}", "{new}", "--map", "nonsense"], "role=column"),
        (["{old}", "{new}", "--confidence", "2"], "between 0 and 1"),
        (["{old}", "{new}", "--confidence", "x"], "not a valid float"),
        (["{old}", "{new}", "--format", "lm_eval"], "Did you mean 'lm-eval'"),
        (["{old}", "{new}", "--name", "a", "--name", "b", "--name", "c"], "3 names are given for 2 files"),
        (["{old}", "{new}", "{new}", "--name", "a", "--name", "b", "--name", "new"], "taken already"),
        (["{old}", "{new}", "--json", "{tmp}"], "cannot be written"),
        (["{old}"], "Missing argument"),
        (["{old}", "{new}", "--nonsense"], "No such option"),
    ],
)
def test_wrong_use_exits_2_with_one_sentence(files, tmp_path, capsys, arguments, message):
    old, new = files
    code, out, err = run(capsys, *(a.format(old=old, new=new, tmp=tmp_path) for a in arguments))
    assert code == 2
    assert message in err
    assert out == ""


def test_unlike_runs_exit_2_and_tell_how_to_go_on(files, tmp_path, capsys):
    short = tmp_path / "short.jsonl"
    short.write_text("".join(json.dumps(r) + "\n" for r in NEW[:3]))
    code, _, err = run(capsys, files[0], short)
    assert code == 2
    assert "--on-mismatch intersect" in err
    code, out, _ = run(capsys, files[0], short, "--on-mismatch", "intersect")
    assert code == 0
    assert "Only the common ones" in " ".join(out.split())


def test_hostile_text_reaches_the_terminal_escaped(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"id": "[bold]\x1b[31m", "correct": True}))
    other = tmp_path / "b.jsonl"
    other.write_text(json.dumps({"id": "x", "correct": True}))
    code, _, err = run(capsys, path, other)
    assert code == 2
    assert "\x1b" not in err


def test_help_has_examples(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "muscle-llm compare old.jsonl new.jsonl" in out
