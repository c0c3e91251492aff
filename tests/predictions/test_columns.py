"""Which column is what: named, guessed, seen late; and what becomes of answers, errors and texts."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.comparison import compare
from muscle_llm.errors import InputError
from muscle_llm.predictions import Predictions, read_predictions
from muscle_llm.predictions.mapping import auto_map
from muscle_llm.predictions.raw import JsonRows


def _lines(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def _read(path, rows, **options):
    return read_predictions(_lines(path, rows), **options)


def _late(n=300, first=250):
    """Rows whose errors, verdicts and slices start late."""
    rows = [{"id": i, "answer": "A", "reference": "A"} for i in range(n)]
    for row in rows[first:]:
        row.update(answer=None, error="timeout", slice_x="y")
    return rows


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_column_seen_late_is_read(tmp_path, in_memory):
    rows = _late()
    p = read_predictions(rows if in_memory else _lines(tmp_path / "a.jsonl", rows))
    assert p.table["error"].to_pylist() == [None] * 250 + ["timeout"] * 50
    assert p.table["correct"].to_pylist() == [True] * 250 + [None] * 50
    assert p.slice_names == ("x",)
    for row in rows[250:]:
        del row["error"]
        row["correct"] = True
    assert _read(tmp_path / "b.jsonl", rows).table["correct"].to_pylist() == [None] * 250 + [True] * 50


def test_a_surer_column_seen_late_replaces_one_that_cannot_be_read(tmp_path):
    rows = [{"id": i, "acc": 0.5} for i in range(250)] + [{"id": 250, "acc": 1.0, "correct": True}]
    p = _read(tmp_path / "a.jsonl", rows)
    assert p.table["correct"].to_pylist() == [None] * 250 + [True]
    with pytest.raises(InputError, match=r"line 1: 'acc' is '0.5'"):
        _read(tmp_path / "b.jsonl", rows[:250])


def test_rows_whose_columns_are_all_seen_at_once_are_read_once(tmp_path, monkeypatch):
    opened = []
    real = JsonRows.__init__
    monkeypatch.setattr(
        JsonRows, "__init__", lambda self, *a, **k: (opened.append(1), real(self, *a, **k))[1]
    )
    rows = [{"id": i, "answer": "A", "reference": "A"} for i in range(300)]
    _read(tmp_path / "a.jsonl", rows)
    _read(tmp_path / "b.jsonl", [*rows, {"id": 300, "answer": "A", "reference": "A", "note": "late"}])
    assert len(opened) == 2
    _read(tmp_path / "c.jsonl", _late())
    assert len(opened) == 4


_NAMES = ["answer", "Answer", "pred", "reference", "target", "correct", "acc", "error", "score_f1", "slice-x"]
_NAMES += ["slice.x", "slice_x", "score.f1", "question", "note"]
_ROWS = st.lists(
    st.dictionaries(st.sampled_from(_NAMES), st.sampled_from([None, True, 1, 0, 0.5, "A", "B "])),
    min_size=1,
    max_size=6,
)


@given(_ROWS, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_order_of_rows_changes_nothing_in_what_is_read(tmp_path_factory, rows, random, far):
    # Where ``far``, the drawn rows are too far apart for all to be looked at first.
    fill = [{"id": f"f{i}", "other": 1} for i in range(250 if far else 1)]
    rows = [{"id": i, **row} for i, row in enumerate(rows)]
    half = random.randrange(len(rows) + 1)
    mixed = random.sample([*rows, *fill], len(rows) + len(fill))
    folder = tmp_path_factory.mktemp("order")
    found = []
    for n, order in enumerate(([*rows[:half], *fill, *rows[half:]], mixed)):
        try:
            p = _read(folder / f"{n}.jsonl", order)
        except InputError:
            found.append(None)  # Which row is named may differ.
        else:
            found.append(sorted(p.table.to_pylist(), key=lambda row: row["id"]))
    assert found[0] == found[1]


def test_the_order_of_columns_decides_nothing():
    names = ["ID", "id", "Answer", "answer", "score.f1", "score_f1", "slices_a", "slice_a"]
    assert auto_map(names) == auto_map(names[::-1])
    assert auto_map(names)["id"] == "id"


def test_an_explicit_mapping_still_finds_the_ids_repeats_and_errors():
    rows = [
        {
            "question_id": i,
            "repeat": k,
            "said": "A",
            "answer": "A",
            "correct": False,
            "error": e,
            "prompt": "?",
        }
        for i in range(2)
        for k, e in enumerate([None, "timeout"])
    ]
    table = read_predictions(rows, columns="answer=said,reference=answer").table
    assert set(table.column_names) == {"id", "repeat", "answer", "references", "correct", "error"}
    assert table["id"].to_pylist() == ["0", "0", "1", "1"]
    assert table["correct"].to_pylist() == [True, None, True, None]
    keyed = [{"key": "A", "idx": 7}]
    assert read_predictions(keyed, columns={"answer": "key"}).table["id"].to_pylist() == ["7"]
    with pytest.raises(InputError, match="no column is known to hold the instance id"):
        read_predictions([{"key": "A"}], columns="answer=key")


def test_a_mapping_is_checked_like_the_text_of_one():
    rows = [{"id": 1, "m": {"f1": 0.5}, "a": "x"}]
    assert read_predictions(rows, columns={"score": "m.f1", "id": "id"}).score_names == ("f1",)
    with pytest.raises(InputError, match=r"'anser' is no role of a column\. Did you mean 'answer'"):
        read_predictions(rows, columns={"anser": "a"})
    with pytest.raises(InputError, match="must be the name of a column"):
        read_predictions(rows, columns={"answer": None})


@pytest.mark.parametrize(
    "nothing",
    ["", " ", "False", "false", "0", "0.0", "no", "None", "nan", "NaN", "null", "N/A", "<NA>", "[]"],
)
def test_a_word_for_no_error_is_no_error(tmp_path, nothing):
    path = tmp_path / "a.csv"
    path.write_text(f"id,answer,reference,error\n1,A,A,{nothing}\n2,,A,timeout\n3,,A,True\n")
    table = read_predictions(path).table
    assert table["error"].to_pylist() == [None, "timeout", "True"]
    assert table["correct"].to_pylist() == [True, None, None]


@pytest.mark.parametrize("column", [[False, False], [0, 0], [0.0, float("nan")], [[], []]])
def test_errors_of_other_kinds_are_told_from_none(column):
    rows = [{"id": i, "answer": "A", "reference": "A", "error": e} for i, e in enumerate(column)]
    assert read_predictions(rows).table["error"].null_count == 2


def test_answers_are_the_same_as_they_are_graded():
    def side(answers):
        return read_predictions([{"id": i, "answer": a, "reference": "A"} for i, a in enumerate(answers)])

    result = compare(side(["A", "B", "C"]), side([" A\n", "B ", "C"]))
    assert result.metrics["churn"].value == 0
    assert result.metrics["nfr_mc"].value == 0
    same = Predictions.from_columns(
        {"id": ["a"], "answer": [" A "], "choices": [["A ", "B"]], "output": [" A "]}
    )
    assert same.table.to_pylist() == [
        {"id": "a", "repeat": 0, "answer": "A", "choices": ["A", "B"], "output": " A "}
    ]


def test_the_text_an_answer_was_extracted_from_is_kept():
    rows = [{"id": 1, "out": "so it is 5 ", "gold": "5"}, {"id": 2, "out": "no idea", "gold": "5"}]
    columns, extract = "id=id,answer=out,reference=gold", {"answer": r"(\d+)"}
    table = read_predictions(rows, columns=columns, extract=extract).table
    assert table["answer"].to_pylist() == ["5", None]
    assert table["output"].to_pylist() == ["so it is 5 ", "no idea"]
    mapped = read_predictions(rows, columns=f"{columns},output=gold", extract=extract).table
    assert mapped["output"].to_pylist() == ["5", "5"]
    with pytest.raises(InputError, match="needs a text to find the answer in"):
        read_predictions(rows, columns="id=id,reference=gold", extract=extract)
    with pytest.raises(InputError, match="no 'output'"):
        read_predictions(rows, columns=columns, extract={"output": "x"})


def test_frames_keep_a_named_index_and_columns_of_several_kinds():
    frame = pd.DataFrame({"id": ["a", "b"], "answer": ["x", 1], "reference": ["x", "1"]})
    indexed = read_predictions(frame.set_index("id"))
    assert indexed.table["id"].to_pylist() == ["a", "b"]
    assert indexed.table["answer"].to_pylist() == ["x", "1"]
    assert indexed.table.equals(read_predictions(frame).table)
    several = read_predictions(frame.assign(repeat=[0, 1]).set_index(["id", "repeat"]))
    assert several.table["repeat"].to_pylist() == [0, 1]
    kept = frame.set_index(pd.Index([5, 6], name="id"))
    assert read_predictions(kept).table["id"].to_pylist() == ["a", "b"]
    with pytest.raises(InputError, match="two columns are called 'id'"):
        read_predictions(pd.DataFrame([[1, 2]], columns=["id", "id"]))
    with pytest.raises(InputError, match="cannot be read from a Series"):
        read_predictions(frame["id"])


def test_columns_in_memory_become_predictions_or_one_sentence():
    p = Predictions.from_columns({"id": [1, 2.0, "c"], "correct": [True, None, False]})
    assert p.table["id"].to_pylist() == ["1", "2", "c"]
    assert Predictions.from_columns({"id": pa.array([1, 2])}).table["id"].to_pylist() == ["1", "2"]
    texts = Predictions.from_columns({"id": ["a", "b"], "references": ["Paris", None]})
    assert texts.table["references"].to_pylist() == [["Paris"], None]
    for columns, message in (
        ({"correct": [True]}, "need a column 'id'"),
        ({"id": [1, 2], "correct": [True]}, "column 'correct' has 1 values; 'id' has 2"),
        ({"id": [1], "correct": ["yes"]}, "column 'correct' cannot be used"),
        ({"id": [1], "scores": [3]}, "column 'scores' cannot be used"),
        ({"id": [1], "anser": ["x"]}, "unknown predictions column 'anser'"),
    ):
        with pytest.raises(InputError, match=message):
            Predictions.from_columns(columns)
