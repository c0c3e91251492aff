from __future__ import annotations

import json
from typing import Any

import pytest

from muscle_llm.errors import InputError
from muscle_llm.predictions import read_predictions

TIME = "2026-01-21T03-44-18.458309"


def _choice(
    doc: int, target: int, likelihoods: list[Any], *, metrics: dict[str, float], **more: Any
) -> dict[str, Any]:
    options = ["cold", "very warm", "hot"]
    return {
        "doc_id": doc,
        "doc": {"q": f"question {doc}"},
        "target": str(target),
        "arguments": {
            f"gen_args_{i}": {"arg_0": f"question {doc}\nAnswer:", "arg_1": f" {o}"}
            for i, o in enumerate(options)
        },
        "resps": [[[str(v), "False"]] for v in likelihoods],
        "filtered_resps": [[str(v), "False"] for v in likelihoods],
        "filter": "none",
        "metrics": list(metrics),
        "doc_hash": f"d{doc}",
        "prompt_hash": f"p{doc}",
        "target_hash": f"t{target}",
        **metrics,
        **more,
    }


def _generated(
    doc: int, text: str, answer: str, target: str, filter_: str, **metrics: float
) -> dict[str, Any]:
    return {
        "doc_id": doc,
        "doc": {},
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": f"Q{doc}", "arg_1": {"until": ["\n"]}}},
        "resps": [[text]],
        "filtered_resps": [answer],
        "filter": filter_,
        "metrics": list(metrics),
        **metrics,
    }


def _write(folder, rows, task="t", results=None):
    path = folder / f"samples_{task}_{TIME}.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    if results is not None:
        (folder / f"results_{TIME}.json").write_text(json.dumps(results))
    return path


def test_multiple_choice_takes_the_most_likely_option_and_keeps_the_likelihoods(tmp_path):
    rows = [
        _choice(0, 2, [-5.0, -9.0, -4.0], metrics={"acc": 1.0, "acc_norm": 0.0}),
        _choice(1, 0, [-5.0, -9.0, -6.0], metrics={"acc": 1.0, "acc_norm": 0.0}),
    ]
    p = read_predictions(_write(tmp_path, rows))
    assert p.provenance.format == "lm-eval"
    assert (p.provenance.metric, p.provenance.task, p.provenance.filter) == ("acc", "t", "none")
    assert p.table["answer"].to_pylist() == ["hot", "cold"]
    assert p.table["references"].to_pylist() == [["hot"], ["cold"]]
    assert p.table["choices"].to_pylist()[0] == ["cold", "very warm", "hot"]
    assert p.table["choice_scores"].to_pylist()[0] == [-5.0, -9.0, -4.0]
    assert p.table["correct"].to_pylist() == [True, True]
    assert p.table["scores"].to_pylist() == [{"acc_norm": 0.0}, {"acc_norm": 0.0}]
    assert p.table["prompt_hash"].to_pylist() == ["p0", "p1"]
    assert p.table["reference_hash"].to_pylist() == ["t2", "t0"]
    assert p.table["instance_hash"].to_pylist() == ["d0", "d1"]
    normalised = read_predictions(_write(tmp_path, rows), metric="acc_norm")
    assert normalised.table["answer"].to_pylist() == ["very warm", "very warm"]
    assert normalised.table["correct"].to_pylist() == [False, False]


def test_options_told_apart_by_their_context_are_named_by_number(tmp_path):
    row = _choice(0, 1, [-5.0, -2.0, -4.0], metrics={"acc": 1.0})
    for i, argument in enumerate(row["arguments"].values()):
        argument.update(arg_0=f"context {i}", arg_1=" the end")
    table = read_predictions(_write(tmp_path, [row])).table
    assert table["answer"].to_pylist() == ["1"]
    assert table["references"].to_pylist() == [["1"]]


def test_two_filters_are_two_rows_and_one_is_chosen(tmp_path):
    rows = []
    for doc in range(2):
        text = f"So 1 + {doc} = {doc + 1}"
        rows.append(_generated(doc, text, "[invalid]", "#### 1", "strict-match", exact_match=0.0))
        rows.append(
            _generated(doc, text, str(doc + 1), "#### 1", "flexible-extract", exact_match=float(doc == 0))
        )
    path = _write(tmp_path, rows)
    strict = read_predictions(path)
    assert strict.provenance.filter == "strict-match"
    assert strict.table["answer"].null_count == 2
    assert strict.table["correct"].to_pylist() == [False, False]
    flexible = read_predictions(path, filter="flexible-extract")
    assert flexible.table["answer"].to_pylist() == ["1", "2"]
    assert flexible.table["output"].to_pylist() == ["So 1 + 0 = 1", "So 1 + 1 = 2"]
    assert flexible.table["correct"].to_pylist() == [True, False]
    with pytest.raises(InputError, match=r"there is no filter 'flexible'. Did you mean 'flexible-extract'"):
        read_predictions(path, filter="flexible")
    other = _write(tmp_path, [{**r, "filter": r["filter"] + "2"} for r in rows], task="u")
    with pytest.raises(InputError, match="several filters"):
        read_predictions(other)


def test_graded_metrics_become_scores_and_never_correctness(tmp_path):
    rows = [_generated(i, "text", "text", "ref", "none", rouge1=float(i), brier_score=0.25) for i in range(2)]
    results = {
        "configs": {
            "t": {
                "num_fewshot": 5,
                "metric_list": [{"metric": "brier_score", "higher_is_better": False}],
            }
        },
        "model_name": "org/model",
        "lm_eval_version": "0.4.9",
        "chat_template_sha": "abc",
        "config": {"random_seed": 0, "fewshot_seed": 1234},
    }
    p = read_predictions(_write(tmp_path, rows, results=results))
    assert "correct" not in p.table.column_names
    assert p.table["scores"].to_pylist()[1] == {"rouge1": 1.0, "negative_brier_score": -0.25}
    provenance = p.provenance
    assert (provenance.model, provenance.num_fewshot, provenance.harness_version) == ("org/model", 5, "0.4.9")
    assert provenance.chat_template == "abc"
    assert provenance.extra["fewshot_seed"] == "1234"
    assert provenance.metric is None


def test_old_argument_layout_and_repeated_samples_are_read(tmp_path):
    row = _generated(3, "a", "a", "a", "none", exact_match=1.0)
    row["arguments"] = [["Q3", {"until": []}]]
    row["resps"] = [["a", "b"]]
    row["filtered_resps"] = [["a", "b"]]
    table = read_predictions(_write(tmp_path, [row])).table
    assert table.to_pylist()[0]["prompt"] == "Q3"
    assert table["answer"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"doc_id": None}, "has no doc_id"),
        ({"filtered_resps": [["1", "x"]] * 2}, "3 requests but 2 responses"),
        ({"acc": 0.5, "metrics": ["acc"]}, None),
    ],
)
def test_strange_rows_are_refused_or_kept_as_scores(tmp_path, change, message):
    row = {**_choice(0, 2, [-5.0, -9.0, -4.0], metrics={"acc": 1.0}), **change}
    path = _write(tmp_path, [row])
    if message is None:
        assert read_predictions(path).table["scores"].to_pylist() == [{"acc": 0.5}]
        with pytest.raises(InputError, match="neither right"):
            read_predictions(path, metric="acc")
    else:
        with pytest.raises(InputError, match=message):
            read_predictions(path)


def test_appended_runs_are_refused(tmp_path):
    row = _generated(3, "a", "a", "a", "none", exact_match=1.0)
    with pytest.raises(InputError, match=r"document 3 occurs 2 times .*several runs"):
        read_predictions(_write(tmp_path, [row, row]))


def test_a_map_reads_the_log_as_a_table(tmp_path):
    path = _write(tmp_path, [_generated(3, "a", "b", "b", "none", exact_match=1.0)])
    table = read_predictions(path, columns="id=doc_id,answer=filtered_resps.0,reference=target").table
    assert table.to_pylist() == [
        {"id": "3", "repeat": 0, "answer": "b", "references": ["b"], "correct": True}
    ]
