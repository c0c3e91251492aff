"""What the page carries of the instances: whole, columnar, and sampled only where it says so."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muscle_llm as ml
from muscle_llm.report.definitions import QUADRANTS
from muscle_llm.report.html import render_html
from muscle_llm.report.instances import _margins, distributions, kinds_of, pack_instances


def unpacked(packed, column):
    """All values of a column of the chunks, in order."""
    rows = []
    for chunk in packed.chunks:
        document = json.loads(chunk)
        for part in column.split(":"):
            document = document[part]
        rows += document
    return rows


def test_every_row_and_text_is_there(comparison):
    packed = pack_instances(comparison)
    table = comparison.instances
    assert packed.index["n"] == packed.index["total"] == table.num_rows
    assert packed.index["id"] == table["id"].to_pylist()
    names = [QUADRANTS[int(code)].name for code in packed.index["quadrant"]]
    assert names == table["quadrant"].to_pylist()
    for column in ("prompt", "references", "choices"):
        assert unpacked(packed, column) == table[column].to_pylist()
    for version in comparison.versions:
        for kind in ("answer", "output"):
            assert unpacked(packed, f"{kind}:{version}") == table[f"{kind}:{version}"].to_pylist()
        flags = ["-" if c is None else str(int(c)) for c in table[f"correct:{version}"].to_pylist()]
        assert packed.index["correct"][version] == "".join(flags)
        scores = table[f"score:rouge1:{version}"].to_pylist()
        assert packed.index["score"]["rouge1"][version] == pytest.approx(scores, abs=1e-6)
        likelihoods = np.array(table[f"choice_scores:{version}"].to_pylist())
        assert np.array(unpacked(packed, f"choice_scores:{version}")) == pytest.approx(likelihoods, abs=1e-6)
        best = np.sort(likelihoods, axis=1)
        assert packed.index["margin"][version] == pytest.approx(
            (best[:, -1] - best[:, -2]).tolist(), abs=2e-6
        )


def test_chunks_begin_where_the_index_says(make_comparison):
    packed = pack_instances(make_comparison(400, words=300))
    sizes = [len(json.loads(chunk)["prompt"]) for chunk in packed.chunks]
    assert len(sizes) > 3
    assert packed.index["chunks"] == np.cumsum([0, *sizes[:-1]]).tolist()


@given(
    st.lists(
        st.none() | st.lists(st.none() | st.floats(-50, 0) | st.just(float("nan")), max_size=4), max_size=12
    )
)
@settings(max_examples=80, deadline=None)
def test_margin_is_best_minus_second_best(rows):
    def plain(row):
        known = sorted((round(v, 6) for v in row or () if v is not None and v == v), reverse=True)
        return known[0] - known[1] if len(known) > 1 else float("nan")

    margins = _margins(pa.chunked_array([pa.array(rows, pa.list_(pa.float64()))]))
    assert margins.tolist() == pytest.approx([plain(row) for row in rows], abs=2e-6, nan_ok=True)


def test_above_the_limit_flips_stay_and_the_rest_is_a_sample(make_comparison):
    comparison = make_comparison(400, words=60)
    whole = pack_instances(comparison)
    size = sum(len(c) for c in whole.chunks)
    packed = pack_instances(comparison, inline_bytes=int(size * 0.75))
    assert packed.index["n"] < packed.index["total"] == 400
    flips = sum(code in "01" for code in whole.index["quadrant"])
    assert sum(code in "01" for code in packed.index["quadrant"]) == flips
    assert set(packed.index["id"]) <= set(whole.index["id"])
    assert packed.index["id"] == sorted(packed.index["id"], key=whole.index["id"].index)
    assert packed == pack_instances(comparison, inline_bytes=int(size * 0.75))
    assert sum(len(c) for c in packed.chunks) < size * 0.75


def test_distribution_counts_every_change_once(comparison):
    found = distributions(comparison)["rouge1"]
    old, new = (np.round(comparison.instances[f"score:rouge1:{v}"].to_numpy(), 6) for v in ("old", "new"))
    change = new - old
    edges, counts = np.array(found["edges"]), np.array(found["counts"])
    assert counts.sum() + found["unchanged"] == len(change)
    assert counts[edges[:-1] < 0].sum() == (change < 0).sum()
    assert edges[len(counts) // 2] == 0
    assert np.allclose(np.diff(edges), edges[-1] / (len(counts) / 2))


def test_without_right_and_wrong_the_score_tells_the_kind():
    """Rises and falls of the score, none within the tolerance; the page shows no empty figures."""
    old = [{"id": i, "answer": "x", "score": s} for i, s in enumerate((0.5, 0.5, 0.5, 0.5))]
    new = [{"id": i, "answer": "x", "score": s} for i, s in enumerate((0.2, 0.9, 0.5, 0.52))]
    comparison = ml.compare(old, new, tolerance=0.05)
    kinds = kinds_of(comparison)
    packed = pack_instances(comparison)
    names = [kinds[int(code)].name for code in packed.index["quadrant"]]
    assert names == ["worse", "better", "same_score", "same_score"]
    page = render_html(comparison)
    assert "Against the old version" not in page
    assert "Mean change" in page
