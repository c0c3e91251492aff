from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from muscle_llm.comparison import compare
from muscle_llm.errors import ComparabilityError, InputError
from muscle_llm.predictions import read_many, read_predictions


def test_settings_scores_and_log_likelihoods(logs, tmp_path):
    p = read_predictions(logs.lighteval(tmp_path))
    provenance = p.provenance
    assert (provenance.model, provenance.task) == ("org/model", "community|warmth|0")
    assert (provenance.metric, provenance.num_fewshot) == ("acc", 0)
    assert p.score_names == ("rouge1",)
    assert p.table["choices"].to_pylist()[0] == logs.OPTIONS
    assert p.table["choice_scores"].to_pylist()[0] == [-2.0, -7.0, -8.0]


def test_flat_columns_of_earlier_versions(logs, tmp_path):
    p = read_predictions(logs.lighteval_flat(tmp_path))
    assert (p.provenance.task, p.provenance.num_fewshot) == ("community|sums|3", 3)
    assert p.provenance.metric == "qem"
    assert p.table["prompt"].to_pylist()[0] == "How warm is place 0? A:"
    assert p.score_names == ("f1",)


def test_columns_written_with_underscores_as_text(logs, tmp_path):
    rows = []
    for i in range(logs.N):
        row = logs.lighteval_row(i)
        rows.append({f"__{name}__": repr(value) for name, value in row.items()})
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    table = read_predictions(path).table
    assert table.equals(read_predictions(logs.lighteval(tmp_path)).table)


def test_the_option_is_weighed_as_the_metric_weighs_it(logs, tmp_path):
    rows = [logs.lighteval_row(i) for i in range(2)]
    for row in rows:  # By sum "cold" wins, per character "very hot" does, and that one is right.
        row["doc"]["gold_index"] = [2]
        row["model_response"]["logprobs"] = [-2.0, -3.0, -3.2]
        row["metric"] = {"acc_norm": 1}
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert read_predictions(path).table["answer"].to_pylist() == ["very hot"] * 2
    for row in rows:  # No way to weigh them makes "mild" the answer.
        row["doc"]["gold_index"] = [1]
    pq.write_table(pa.Table.from_pylist(rows), path)
    unknown = read_predictions(path)
    assert "answer" not in unknown.table.column_names
    assert unknown.provenance.extra["answers"].startswith("unknown")


def test_folders_of_any_height_hold_the_tasks(logs, tmp_path):
    path = logs.lighteval(tmp_path)
    logs.lighteval_flat(tmp_path)
    for folder in (tmp_path, tmp_path / "details", path.parent):
        assert sorted(read_many(folder)) == ["community|sums|3", "community|warmth|0"]
    later = "2026-03-03T04-05-06.700000"
    logs.lighteval(tmp_path, later)
    with pytest.raises(InputError, match=rf"holds 2 runs of 'community\|warmth\|0': {logs.TIME}, {later}"):
        read_many(tmp_path)
    newest = read_many(tmp_path, select="last")["community|warmth|0"]
    assert newest.provenance.extra["time"] == later
    assert list(read_many(tmp_path, select=later)) == ["community|warmth|0"]
    one = read_predictions(tmp_path, select="community|warmth|0@first")
    assert one.provenance.extra["time"] == logs.TIME


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": {"acc": 0.5}}, "row 1: the metric 'acc' is 0.5, neither right"),
        ({"doc": "text"}, "row 1, 'doc': is a text"),
        ({"model_response": {"text": 3}}, None),
    ],
)
def test_strange_rows(logs, tmp_path, change, message):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([{**logs.lighteval_row(0), **change}]), path)
    if message is None:
        assert read_predictions(path).table["answer"].to_pylist() == ["3"]
        return
    with pytest.raises(InputError, match=message):
        read_predictions(path, metric="acc")


def test_settings_of_generation_come_from_the_results_beside_the_details(logs, tmp_path):
    path = logs.lighteval(tmp_path)
    assert "generation" not in read_predictions(path).provenance.extra
    general = {
        "lighteval_sha": "abc",
        "model_config": {
            "generation_parameters": {"temperature": 0.5, "seed": None},
            "system_prompt": "Be brief",
        },
    }
    results = tmp_path / "results" / "org" / "model" / f"results_{logs.TIME}.json"
    logs._json(results, {"config_general": general})
    provenance = read_predictions(path).provenance
    assert provenance.harness_version == "abc"
    assert json.loads(provenance.extra["generation"]) == {"temperature": 0.5, "system_prompt": "Be brief"}


def test_another_chat_template_leaves_the_question_the_same(logs, tmp_path):
    sides = []
    for template in ("<s>[INST] {} [/INST]", "<|user|>{}<|end|>"):
        rows = [logs.lighteval_row(i) for i in range(logs.N)]
        for row in rows:
            row["model_response"]["input"] = template.format(row["doc"]["query"])
        sides.append(read_predictions(logs._details(tmp_path / str(len(sides)), "warmth|0", rows)))
    with pytest.raises(ComparabilityError, match="worded differently, as by another chat template"):
        compare(*sides)
    assert compare(*sides, on_mismatch="intersect").counts["n"] == logs.N


def test_a_perplexity_becomes_a_log_likelihood_per_unit(logs, tmp_path):
    rows = [
        {**logs.lighteval_row(i), "metric": {"byte_perplexity": {"logprobs": -8.0, "weights": 16}}}
        for i in range(2)
    ]
    p = read_predictions(logs._details(tmp_path, "text|0", rows))
    assert p.table["scores"].to_pylist() == [{"log_likelihood_per_byte": -0.5}] * 2
