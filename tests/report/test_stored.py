"""A comparison kept on disk is the same comparison."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from muscle_llm.cli import main
from muscle_llm.errors import InputError, RunError
from muscle_llm.predictions import read_predictions
from muscle_llm.report.html import render_html
from muscle_llm.report.json import render_json
from muscle_llm.report.stored import read_comparison, read_run, write_comparison


def test_kept_and_read_back_it_gives_the_same_document_and_page(comparison, tmp_path):
    path = tmp_path / "c.parquet"
    write_comparison(comparison, path)
    again = read_comparison(path)
    assert again.to_dict() == comparison.to_dict()
    assert again.versions == comparison.versions
    assert render_html(again) == render_html(comparison)
    assert math.isnan(again.metrics["mcnemar_p"].low)


def test_a_comparison_is_no_log(comparison, tmp_path):
    write_comparison(comparison, tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"holds a whole comparison.*muscle-llm view .*c\.parquet"):
        read_predictions(tmp_path / "c.parquet")
    (tmp_path / "c.json").write_text(render_json(comparison), encoding="utf-8")
    with pytest.raises(InputError, match="holds the figures of a comparison"):
        read_predictions(tmp_path / "c.json")


@pytest.mark.parametrize("content", [b"", b"PAR1 but broken", None])
def test_what_is_no_comparison_is_refused(tmp_path, content):
    path = tmp_path / "c.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"c\.parquet"):
        read_comparison(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match="holds no comparison"):
        read_comparison(path)


def make_run(folder, make_versions, comparison):
    from muscle_llm.predictions.store import write_predictions

    home = folder / "tasks" / "words"
    (home / "predictions").mkdir(parents=True)
    for name, predictions in make_versions().items():
        write_predictions(predictions, home / "predictions" / f"{name}.parquet")
    (home / "comparison.json").write_text(render_json(comparison), encoding="utf-8")


@pytest.fixture
def run(tmp_path, make_versions, comparison):
    make_run(tmp_path / "run", make_versions, comparison)
    return tmp_path / "run"


def test_a_run_is_compared_again_as_it_was(run, comparison):
    found = read_run(run)
    assert list(found) == ["words"]
    assert found["words"].to_dict() == comparison.to_dict()


def test_report_writes_every_page_of_a_run_and_its_pictures(run, comparison, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["report", str(run), "--plots", str(tmp_path / "plots")]) == 0
    printed = capsys.readouterr().out.split()
    page = run / "tasks" / "words" / "report.html"
    assert str(page) in printed
    assert page.read_text(encoding="utf-8") == render_html(comparison)
    assert "words" in (run / "report.html").read_text(encoding="utf-8")
    pictures = {p.name for p in (tmp_path / "plots" / "words").iterdir()}
    assert {"quadrants.svg", "remedies.png", "change-rouge1.svg"} <= pictures


def test_report_of_a_kept_comparison(comparison, tmp_path, capsys):
    path = tmp_path / "c.parquet"
    write_comparison(comparison, path)
    assert main(["report", str(path)]) == 0
    assert (tmp_path / "c.html").read_text(encoding="utf-8") == render_html(comparison)
    capsys.readouterr()


@pytest.mark.parametrize("command", ["report", "view"])
def test_what_is_no_run_is_said_in_one_sentence(command, tmp_path, capsys):
    assert main([command, str(tmp_path)]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    (tmp_path / "tasks").mkdir()
    assert main([command, str(tmp_path)]) == 2
    assert "no task of this run is finished" in capsys.readouterr().err
    assert main([command, str(tmp_path / "nothing")]) == 2
    error = capsys.readouterr().err
    assert "there is no such file" in error
    assert "Traceback" not in error
    with pytest.raises(RunError):
        read_run(tmp_path)


def test_a_broken_document_names_its_file(run):
    path = run / "tasks" / "words" / "comparison.json"
    path.write_text(json.dumps({"old": 1}), encoding="utf-8")
    with pytest.raises(InputError, match=r"comparison\.json"):
        read_run(run)
