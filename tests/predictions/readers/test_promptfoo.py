from __future__ import annotations

import pytest

from muscle_llm.errors import InputError
from muscle_llm.predictions import read_predictions


def _write(logs, folder, results, **config):
    return logs._json(folder / "results.json", logs.promptfoo_document(results, **config))


def test_settings_scores_and_finish_reasons(logs, tmp_path):
    p = read_predictions(logs.promptfoo(tmp_path))
    assert (p.provenance.model, p.provenance.metric) == ("Model 0", "success")
    assert p.provenance.harness_version == "0.121.0"
    assert p.provenance.extra["description"] == "warmth"
    assert p.score_names == ("tone", "short")  # the score says no more than success
    assert set(p.table["finish_reason"].to_pylist()) == {"stop"}
    assert len(set(p.table["reference_hash"].to_pylist())) == 3


def test_an_error_is_not_a_wrong_answer(logs, tmp_path):
    results = [logs.promptfoo_result(i) for i in range(3)]
    results[1] |= {
        "failureReason": 2,
        "success": False,
        "score": 0,
        "error": "API call error: 500",
        "response": {"error": "API call error: 500"},
    }
    table = read_predictions(_write(logs, tmp_path, results)).table
    assert table["error"].to_pylist() == [None, "API call error: 500", None]
    assert table["correct"].to_pylist() == [True, None, True]
    assert table["answer"].to_pylist()[1] is None


def test_a_failed_assertion_is_a_wrong_answer_also_where_the_reason_is_not_told(logs, tmp_path):
    result = logs.promptfoo_result(3)
    table = read_predictions(_write(logs, tmp_path, [result])).table
    assert table["correct"].to_pylist() == [False]
    del result["failureReason"]
    assert read_predictions(_write(logs, tmp_path, [result])).table["correct"].to_pylist() == [False]
    result["gradingResult"] = None
    table = read_predictions(_write(logs, tmp_path, [result])).table
    assert table["correct"].to_pylist() == [None] if "correct" in table.column_names else True
    assert table["error"].to_pylist() == ["Expected output to equal"]


def test_several_columns_need_a_choice_and_the_message_lists_them(logs, tmp_path):
    results = [logs.promptfoo_result(i, column) for i in range(logs.N) for column in (0, 1)]
    path = _write(logs, tmp_path, results)
    with pytest.raises(InputError, match=r"holds 2 columns .*0 \(Model 0.*1 \(Model 1.*--select NUMBER"):
        read_predictions(path)
    for name in ("1", "Model 1", "vendor:model-1"):
        p = read_predictions(path, select=name)
        assert p.table["correct"].to_pylist() == [True] * logs.N
        assert (p.provenance.model, p.provenance.extra["column"]) == ("Model 1", "1")
    with pytest.raises(InputError, match=r"no provider or prompt is called 'Model 2'. Did you mean 'Model"):
        read_predictions(path, select="Model 2")
    with pytest.raises(InputError, match="holds 2 columns"):
        read_predictions(path, select="How warm is place {{place}}?")


def test_repeats_of_a_test_share_its_id(logs, tmp_path):
    results = [logs.promptfoo_result(i, test=2 * i + k) for i in range(3) for k in range(2)]
    path = _write(logs, tmp_path, results, evaluateOptions={"repeat": 2})
    table = read_predictions(path).table
    assert list(zip(table["id"].to_pylist(), table["repeat"].to_pylist(), strict=True)) == [
        ("0", 0),
        ("0", 1),
        ("2", 0),
        ("2", 1),
        ("4", 0),
        ("4", 1),
    ]
    # `promptfoo eval --repeat` writes nowhere that it repeats: every test is there equally often.
    assert read_predictions(_write(logs, tmp_path, results)).table.equals(table)
    alone = read_predictions(_write(logs, tmp_path, results[1:])).table
    assert set(alone["repeat"].to_pylist()) == {0}  # some tests are alike, and stay apart


def test_a_test_without_assertions_is_neither_right_nor_wrong(logs, tmp_path):
    passed = {"pass": True, "score": 1, "reason": "No assertions"}
    results = [logs.promptfoo_result(i) for i in range(3)]
    results[1] |= {"gradingResult": passed, "success": True, "score": 1}
    table = read_predictions(_write(logs, tmp_path, results)).table
    assert table["correct"].to_pylist() == [True, None, True]
    assert "score" not in table["scores"].to_pylist()[0]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        (
            "o.csv",
            "n,[a] Say {{n}},Status,Score,Named Scores,Grader Reason,Comment\n1,x,PASS,1.00,,,\n",
            "CSV",
        ),
        ("o.yaml", "evalId: eval-abc\nresults:\n  version: 3\n", "YAML"),
    ],
)
def test_its_csv_and_yaml_are_refused_with_what_to_write_instead(tmp_path, name, text, kind):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"is promptfoo's {kind}, .* 'promptfoo eval -o results.json'"):
        read_predictions(tmp_path / name)


def test_a_named_score_can_decide(logs, tmp_path):
    results = [logs.promptfoo_result(i, namedScores={"short": i % 2, "tone": 0.5}) for i in range(4)]
    path = _write(logs, tmp_path, results)
    p = read_predictions(path, metric="short")
    assert p.table["correct"].to_pylist() == [False, True, False, True]
    assert p.provenance.metric == "short"
    assert "short" not in p.score_names
    results[0]["namedScores"] = {"tone": 0.5}  # Only some tests have an assertion of that name.
    table = read_predictions(_write(logs, tmp_path, results), metric="short").table
    assert table["correct"].to_pylist() == [None, True, False, True]
    with pytest.raises(InputError, match=r"result 1, 'namedScores': 'tone' is a number \(0.5\), not true or"):
        read_predictions(path, metric="tone")
    with pytest.raises(InputError, match=r"has no named score 'shor'. Did you mean 'short'"):
        read_predictions(path, metric="shor")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "promptfoo results of version 2; version 3 is needed"),
        ({"results": []}, "holds no results"),
        ({"results": {}}, "'results' is an object"),
        ({"results": ["x"]}, "result 1: is a text, not an object"),
        ({"results": [{"success": True}]}, "result 1: has no 'promptIdx'"),
    ],
)
def test_what_cannot_be_read_is_said(logs, tmp_path, change, message):
    document = logs.promptfoo_document([logs.promptfoo_result(0)])
    document["results"] |= change
    with pytest.raises(InputError, match=message):
        read_predictions(logs._json(tmp_path / "results.json", document))
