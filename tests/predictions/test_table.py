from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.errors import InputError
from muscle_llm.predictions import Predictions, read_predictions, read_store, write_predictions
from muscle_llm.predictions.schema import Provenance

ROWS = [
    {"qid": "007", "pred": "A", "gold": "A", "m": {"f1": 0.5, "ok": True}, "topic": "x"},
    {"qid": "8", "pred": None, "gold": "B", "m": {"f1": 0.25, "ok": False}, "topic": "y"},
    {"qid": "9", "pred": " C ", "gold": "C", "m": {"f1": 1, "ok": True}, "topic": "x"},
]
MAP = "id=qid,answer=pred,reference=gold,score.f1=m.f1,slice=topic"


def _write(folder: Path, kind: str) -> Path:
    path = folder / f"a.{kind}"
    lines = "\n".join(json.dumps(r) for r in ROWS)
    match kind:
        case "jsonl":
            path.write_text(lines + "\n")
        case "json":
            path.write_text(json.dumps(ROWS, indent=1))
        case "wrapped.json":
            path.write_text(json.dumps({"model": "m", "results": ROWS}))
        case "jsonl.gz":
            path.write_bytes(gzip.compress(lines.encode()))
        case "json.zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("__MACOSX/._a.json", "x")
                archive.writestr("folder/a.json", json.dumps(ROWS))
        case "bom.jsonl":
            path.write_bytes(b"\xef\xbb\xbf" + lines.encode())
        case "parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path)
        case "csv" | "tsv":
            frame = pd.json_normalize(ROWS)
            frame.to_csv(path, sep="," if kind == "csv" else "\t", index=False)
    return path


KINDS = ["jsonl", "json", "wrapped.json", "jsonl.gz", "json.zip", "bom.jsonl", "parquet", "csv", "tsv"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same_predictions(tmp_path, kind):
    table = read_predictions(_write(tmp_path, kind), columns=MAP).table
    assert table["id"].to_pylist() == ["007", "8", "9"]
    assert table["answer"].to_pylist() == ["A", None, "C"]
    assert table["references"].to_pylist() == [["A"], ["B"], ["C"]]
    assert table["correct"].to_pylist() == [True, False, True]
    assert table["scores"].to_pylist() == [{"f1": 0.5}, {"f1": 0.25}, {"f1": 1.0}]
    assert table["slices"].to_pylist() == [{"topic": "x"}, {"topic": "y"}, {"topic": "x"}]


@pytest.mark.parametrize(
    "make", [pd.json_normalize, lambda rows: pl.from_pandas(pd.json_normalize(rows)), list]
)
def test_frames_and_rows_in_memory_are_read_like_files(make):
    table = read_predictions(make(ROWS), columns=MAP).table
    assert table["id"].to_pylist() == ["007", "8", "9"]
    assert table["correct"].to_pylist() == [True, False, True]
    assert table["scores"].to_pylist() == [{"f1": 0.5}, {"f1": 0.25}, {"f1": 1.0}]


def test_obvious_names_need_no_map():
    table = read_predictions([{"question_id": 1, "pred": 3.0, "answer": 3, "question": "?", "score_f1": 0.5}])
    assert table.table.to_pylist() == [
        {
            "id": "1",
            "repeat": 0,
            "prompt": "?",
            "answer": "3",
            "references": ["3"],
            "correct": True,
            "scores": {"f1": 0.5},
        }
    ]


def test_errors_and_missing_references_are_neither_right_nor_wrong():
    rows = [
        {"id": 1, "answer": None, "reference": "A", "error": "timeout"},
        {"id": 2, "answer": "A", "reference": None, "error": None},
        {"id": 3, "answer": "B", "reference": ["A", "B"], "error": ""},
        {"id": 4, "answer": None, "reference": "A", "error": None},
    ]
    table = read_predictions(rows).table
    assert table["correct"].to_pylist() == [None, None, True, False]
    assert table["error"].to_pylist() == ["timeout", None, None, None]


def test_paths_reach_into_lists_and_prefer_whole_names(tmp_path):
    rows = [{"id": i, "a.b": f"x{i}", "a": {"b": "no", "c": ["u", f"v{i}"]}} for i in range(3)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    for source in (rows, path):
        table = read_predictions(source, columns="id=id,answer=a.b,reference=a.c.1").table
        assert table["answer"].to_pylist() == ["x0", "x1", "x2"]
        assert table["references"].to_pylist() == [["v0"], ["v1"], ["v2"]]


def test_repeats_are_numbered_by_column_or_by_order():
    rows = [{"id": i, "k": k, "correct": k > i} for k in range(3) for i in range(2)]
    by_column = read_predictions(rows, columns="id=id,repeat=k,correct=correct").table
    by_order = read_predictions(rows, columns="id=id,repeat=@nth,correct=correct").table
    assert by_column["repeat"].to_pylist() == [0, 0, 1, 1, 2, 2]
    assert by_order.equals(by_column)
    with pytest.raises(
        InputError, match=r"2 ids occur more than once; '0' occurs 3 times \(row 1, row 3, row 5\)"
    ):
        read_predictions(rows, columns="id=id,correct=correct")


def test_row_numbers_can_be_ids():
    assert read_predictions([{"correct": 1}, {"correct": 0}], columns="id=@row,correct=correct").table[
        "id"
    ].to_pylist() == ["0", "1"]


def test_extraction_takes_the_last_match_and_plain_numbers():
    rows = [
        {"id": 1, "out": "first 3, so #### 1,024.00", "gold": "#### 1024"},
        {"id": 2, "out": "no number", "gold": "#### 5"},
        {"id": 3, "out": "#### 5 or #### 18", "gold": "#### 18"},
    ]
    table = read_predictions(
        rows,
        columns="id=id,answer=out,reference=gold",
        extract={"answer": r"#### ([-\d,.]+)", "reference": r"#### ([-\d,.]+)"},
    ).table
    assert table["answer"].to_pylist() == ["1024", None, "18"]
    assert table["correct"].to_pylist() == [True, False, True]
    with pytest.raises(InputError, match="cannot be used"):
        read_predictions(rows, columns="id=id,answer=out", extract={"answer": "("})


GOOD = '{"id": 1, "correct": true}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b" \n\n", "only white space"),
        ("a.jsonl", (GOOD + '{"id": 2, "corr').encode(), "line 2: broken JSON at character"),
        ("a.jsonl", (GOOD + "\n[1]\n").encode(), r"line 3: is a list, not an object"),
        ("a.jsonl", b'{"id": 1, "corr\n' + GOOD.encode(), "line 1: broken JSON"),
        ("a.json", b'[{"id": 1, "correct": true}, {"id": 2, "correct" true}]', r"in item 2\)"),
        ("a.json", b'[{"id": 1, "correct": true}, 3]', "item 2: is a number, not an object"),
        ("a.json", b'{"a": [{"x": 1}], "b": [{"x": 1}]}', "these are lists of objects: 'a', 'b'"),
        ("a.json", b"[]", "holds no rows"),
        ("a.json", b"[" * 5000, "cannot be read|broken JSON"),
        ("a.jsonl", b'{"id": "\xff", "correct": true}\n{}', "line 1: the text is not UTF-8"),
        ("a.csv", b"id,correct\n1,true\n\xff,true\n", "line 3: the text is not UTF-8"),
        ("a.csv", b"id,correct\n1,true\n2,true,5\n", "row 2 .*has 3 cells, the header has 2"),
        ("a.csv", b"id,id,correct\n1,2,true\n", "column 'id' twice"),
        ("a.csv", b"id,correct\n", "holds no rows"),
        ("a.jsonl", "id".encode("utf-16"), "UTF-16"),
        ("a.bin", bytes(range(256)) * 20, "unknown content"),
        ("a.gz", b"plain text", "named .gz but does not hold gzip data"),
        ("a.jsonl.gz", gzip.compress(GOOD.encode() * 1000, mtime=0)[:60], "gzip data are broken or cut off"),
        ("a.zip", b"PK\x03\x04 not a zip at all", "zip archive"),
        ("a.parquet", b"PAR1 and nothing", "not a readable Parquet file"),
        (
            "a.jsonl",
            b'{"id": 1, "correct": 0.5}',
            r"line 1: 'correct' is '0.5'; it must be true/false or 1/0",
        ),
        ("a.jsonl", b'{"id": null, "correct": true}', "line 1: the id .*is missing"),
        ("a.jsonl", b'{"id": 1, "score": "high"}', "line 1: 'score' is 'high', which is not a number"),
        ("a.jsonl", b'{"id": 1, "score": Infinity}', "infinite"),
        ("a.jsonl", b'{"x": 1}', "no column is known to hold the instance id"),
        ("a.jsonl", GOOD.encode() * 2, r"'1' occurs 2 times \(line 1, line 2\)"),
    ],
)
def test_unusable_files_are_refused_with_the_place_and_the_cause(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value)


def test_a_zip_with_several_files_is_refused_by_name(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.json", "[]")
        archive.writestr("two.json", "[]")
    with pytest.raises(InputError, match=r"holds 2 files \(one.json, two.json\)"):
        read_predictions(path)


def test_missing_files_and_columns_name_the_nearest(tmp_path):
    path = _write(tmp_path, "jsonl")
    with pytest.raises(InputError, match=r"there is no such file. Did you mean 'a.jsonl'"):
        read_predictions(tmp_path / "aa.jsonl")
    with pytest.raises(InputError, match=r"there is no column 'm.f2'. Did you mean 'm.f1'"):
        read_predictions(path, columns="id=qid,score=m.f2")
    parquet = _write(tmp_path, "parquet")
    with pytest.raises(InputError, match=r"there is no column 'm.f2'. Did you mean 'm.f1'"):
        read_predictions(parquet, columns="id=qid,score=m.f2")
    with pytest.raises(InputError, match=r"is no role of a column. Did you mean 'answer'"):
        read_predictions(path, columns="anser=pred")
    with pytest.raises(InputError, match="no reader is called"):
        read_predictions(path, format="lmeval")
    with pytest.raises(InputError, match="folder"):
        read_predictions(tmp_path)


def test_the_store_keeps_everything(tmp_path):
    predictions = Predictions.from_columns(
        {
            "id": ["a", "b"],
            "answer": ["x", None],
            "references": [["x"], None],
            "choices": [["x", "y"], None],
            "choice_scores": [[-1.0, -float("inf")], None],
            "correct": [True, False],
            "scores": [{"f1": 0.5}, {"f1": None}],
            "slices": [{"t": "u"}, {"t": None}],
        },
        Provenance(model="m", task="t", sources={"f": "0"}, extra={"k": "v"}),
    )
    path = tmp_path / "p.parquet"
    write_predictions(predictions, path)
    again = read_store(path)
    assert again.table.equals(predictions.table)
    assert again.provenance == predictions.provenance
    assert read_predictions(path).provenance.model == "m"
    assert read_predictions(path, name="other").provenance.model == "other"


def test_the_store_refuses_other_parquet_and_later_versions(tmp_path):
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(InputError, match="not one of predictions written by muscle-llm"):
        read_store(path)
    table = pa.table({"id": ["a"]}).replace_schema_metadata(
        {"muscle_llm": '{"version": 99, "provenance": {}}'}
    )
    pq.write_table(table, path)
    with pytest.raises(InputError, match="version 99"):
        read_store(path)
    with pytest.raises(InputError, match="no such file"):
        read_store(tmp_path / "none.parquet")


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.text(max_size=2)),
)


@given(st.lists(values, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_json_value_becomes_text_the_same_way_alone_and_among_others(answers):
    rows = [{"id": i, "answer": a} for i, a in enumerate(answers)]
    together = read_predictions(rows).table["answer"].to_pylist()
    alone = [read_predictions([row]).table["answer"].to_pylist()[0] for row in rows]
    assert together == alone


def test_a_name_with_half_a_surrogate_pair_is_escaped(tmp_path):
    path = tmp_path / "log.json"
    path.write_text('[{"id": 1, "score_f\\ud8001": 0.5, "slice_\\udfff": "a", "correct": true}]')
    predictions = read_predictions(path)
    assert predictions.score_names == ("f\\ud8001",)
    assert predictions.slice_names == ("\\udfff",)


def test_a_parquet_file_whose_column_names_are_no_text_is_refused(tmp_path):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"id": ["a"], "correctness": [True]}), path)
    path.write_bytes(path.read_bytes().replace(b"correctness", b"correctn\xff\xfes"))
    with pytest.raises(InputError, match=r"log\.parquet"):
        read_predictions(path)
