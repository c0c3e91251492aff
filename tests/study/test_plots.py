"""A study's pictures: all there, the same each time, no label over another."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from muscle_llm.errors import MissingExtraError
from muscle_llm.study.analysis import measure
from muscle_llm.study.plots import _front, spread, write_plots
from muscle_llm.study.results import read_outcomes

pytestmark = pytest.mark.train

NAMES = ["removed", "front-choice", "front-exact", "front-summary", "gap", "nfr-mc"]


def test_every_picture_and_the_same_each_time(study, tmp_path):
    first = write_plots(study, tmp_path / "a")
    assert [p.name for p in first] == [f"{name}.svg" for name in NAMES]
    second = write_plots(study, tmp_path / "b")
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.read_bytes().startswith(b"<?xml")
        assert b"<dc:date>" not in a.read_bytes()


def test_names_are_text_and_files_keep_apart(study, write_study, tmp_path):
    rows = [r for r in pq.read_table(study).to_pylist() if r["task"] != "summary"]
    names = {"choice": "$x^2_{$ <b>&", "exact": "$x^2_{$/<b>&"}
    for row in rows:
        row["task"] = names[row["task"]]
        row["version"] = "$\\frac" if row["version"] == "keep" else row["version"]
    sizes = {r["task"]: len(r["value"]) for r in rows}
    written = write_plots(write_study(tmp_path / "r.parquet", rows, sizes), tmp_path / "plots", kinds=["png"])
    assert len(set(written)) == 5
    assert {p.parent for p in written} == {tmp_path / "plots"}


def test_labels_do_not_overlap(outcomes_of):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    rng = np.random.default_rng(0)
    names = ("old", "new", "old_rerun", "continued", *(f"remedy_{i}" for i in range(9)))
    alike = np.where(rng.random((13, 2, 300)) < 0.9, rng.random((1, 2, 300)), rng.random((13, 2, 300)))
    figure = Figure(figsize=(7.2, 4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    _front(axes, [measure(outcomes_of(alike > 0.5, names=names), replicates=50)])
    canvas.draw()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without their lines
    assert len(boxes) == 12
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(figure.bbox.contains(*corner) for box in boxes for corner in box.get_points())


def test_spread_moves_no_more_than_needed():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = sorted(rng.random(12) * 5)
        found = spread(values, 0.3)
        assert (np.diff(found) >= 0.3 - 1e-12).all()
        assert np.mean(found) == pytest.approx(np.mean(values))
    assert spread([0.0, 1.0, 2.0], 1.0) == [0.0, 1.0, 2.0]


def test_one_cell_without_excess_can_be_drawn(write_study, study, tmp_path):
    rows = [r for r in pq.read_table(study).to_pylist() if r["update"] == "size" and r["task"] == "summary"]
    for row in rows:
        row["value"] = [1.0] * len(row["value"])
    path = write_study(tmp_path / "r.parquet", rows, {"summary": len(rows[0]["value"])})
    assert [p.stem for p in write_plots(path, tmp_path)] == ["front-summary", "gap"]
    assert read_outcomes(path)[0].is_score


def test_without_matplotlib_the_extra_is_named(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"muscle-llm\[plots\]"):
        write_plots(study, tmp_path)
