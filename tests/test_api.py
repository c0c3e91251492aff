"""The Python API of the light half, as a user of a notebook meets it."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import polars as pl
import pytest

import muscle_llm
from muscle_llm.errors import InputError

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


def test_a_comparison_renders_itself():
    hostile = [{**row, "slice_kind": "<script>|*"} for row in OLD]
    result = muscle_llm.compare(hostile, [{**row, "answer": "0", "slice_kind": "<script>|*"} for row in NEW])
    assert json.loads(result.to_json()) == json.loads(json.dumps(result.to_dict()))
    text = result.to_markdown()
    assert "| negative flips \\(NFR\\) |" in text or "| negative flips (NFR) |" in text
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
    assert {"compare", "read_predictions"} <= set(dir(muscle_llm))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = muscle_llm.nothing
