"""The Python API of the light half, as a user of a notebook meets it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pandas as pd
import polars as pl
import pytest

import muscle_llm
from muscle_llm.errors import InputError, MissingExtraError

OLD = [
    {"id": i, "answer": a, "reference": "1", "slice_kind": k}
    for i, (a, k) in enumerate(zip("11001", "xxyyy", strict=True))
]
NEW = [
    {"id": i, "answer": a, "reference": "1", "slice_kind": k}
    for i, (a, k) in enumerate(zip("10101", "xxyyy", strict=True))
]


@pytest.mark.parametrize("make", [list, pd.DataFrame, pl.DataFrame, lambda r: pl.DataFrame(r).lazy()])
def test_rows_and_frames_are_compared_alike(make):
    result = muscle_llm.compare(make(OLD), make(NEW), {"fix": make(OLD)})
    assert result.to_dict()["metrics"] == muscle_llm.compare(OLD, NEW).to_dict()["metrics"]
    assert result.candidates["fix"].against_new.counts["recovered"] == 1


def test_flips_are_a_data_frame():
    result = muscle_llm.compare(OLD, NEW)
    frame = result.flips()
    assert isinstance(frame, pd.DataFrame)
    assert frame["id"].tolist() == ["1"]
    assert frame["answer:new"].tolist() == ["0"]
    assert frame["slice:kind"].tolist() == ["x"]
    assert result.flips("positive")["id"].tolist() == ["2"]
    assert len(result.flips("all")) == 2
    with pytest.raises(InputError, match="'negative', 'positive' or 'all'"):
        result.flips("lost")  # type: ignore[arg-type]


def test_flips_without_pandas_name_the_extra(monkeypatch):
    result = muscle_llm.compare(OLD, NEW)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"muscle-llm\[frames\]"):
        result.flips()
    assert result.flips_table()["id"].to_pylist() == ["1"]


@pytest.mark.parametrize("make", [list, pd.DataFrame, pl.DataFrame, lambda r: pl.DataFrame(r).to_arrow()])
def test_predictions_are_read_from_memory(make):
    predictions = muscle_llm.read_predictions(make(OLD), name="v1")
    assert predictions.table["correct"].to_pylist() == [True, True, False, False, True]
    assert predictions.provenance.model == "v1"
    renamed = [{"q": r["id"], "said": r["answer"], "gold": r["reference"]} for r in OLD]
    again = muscle_llm.read_predictions(
        make(renamed), columns={"id": "q", "answer": "said", "reference": "gold"}
    )
    assert again.table["correct"].to_pylist() == predictions.table["correct"].to_pylist()


def test_a_comparison_is_frozen_and_typed():
    result = muscle_llm.compare(OLD, NEW)
    assert isinstance(result, muscle_llm.Comparison)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.task = "other"  # type: ignore[misc]
    assert result.to_html().lstrip().lower().startswith("<!doctype html>")


def test_a_folder_is_read_and_its_tasks_summed_up(tmp_path):
    for side, rows in (("old", OLD), ("new", NEW)):
        (tmp_path / side).mkdir()
        for task in ("a", "b"):
            pd.DataFrame(rows).to_csv(tmp_path / side / f"{task}.csv", index=False)
    old, new = (muscle_llm.read_many(tmp_path / side) for side in ("old", "new"))
    summary = muscle_llm.summarise_tasks({task: muscle_llm.compare(old[task], new[task]) for task in old})
    assert summary.figures.macro["nfr"].value == summary.figures.pooled["nfr"].value == 0.2


def test_a_comparison_renders_itself():
    hostile = [{**row, "slice_kind": "<script>|*"} for row in OLD]
    result = muscle_llm.compare(hostile, [{**row, "answer": "0", "slice_kind": "<script>|*"} for row in NEW])
    assert json.loads(result.to_json()) == json.loads(json.dumps(result.to_dict()))
    text = result.to_markdown()
    assert "| negative flips (NFR) |" in text
    assert "<script>" not in text
    shown = result._repr_html_()
    assert shown.startswith("<div>")
    assert "<script>" not in shown


def test_the_package_is_imported_lazily_and_knows_its_names():
    code = (
        "import sys, muscle_llm\n"
        "assert 'numpy' not in sys.modules and 'pyarrow' not in sys.modules\n"
        "muscle_llm.compare, muscle_llm.read_predictions, muscle_llm.Comparison\n"
        "heavy = {'torch', 'transformers', 'pandas', 'polars', 'scipy.stats', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert dir(muscle_llm) == sorted(muscle_llm.__all__)
    assert all(getattr(muscle_llm, name) is not None for name in muscle_llm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = muscle_llm.nothing
