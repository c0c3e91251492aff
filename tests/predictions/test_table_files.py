"""Tables as people have them: other separators, columns for rows, Arrow; and files that are no table."""

from __future__ import annotations

import json
import pickle
import sqlite3
import zipfile

import pyarrow as pa
import pyarrow.feather as feather
import pytest

from muscle_llm import compare
from muscle_llm.errors import InputError
from muscle_llm.predictions import read_predictions

COLUMNS = {"id": ["01", "02"], "answer": ["a", "b"], "reference": ["a", "a"]}


def _of(path):
    table = read_predictions(path).table
    return table["id"].to_pylist(), table["answer"].to_pylist(), table["correct"].to_pylist()


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_csv_may_be_separated_by_something_else_than_commas(tmp_path, separator, start):
    lines = ["id,answer,reference", '01,"a, or b","a, or b"', "02,b,a"]
    text = "\r\n".join([lines[0].replace(",", separator), f"01{separator}a, or b{separator}a, or b"])
    text += "\r\n" + lines[2].replace(",", separator) + "\r\n"
    path = tmp_path / "a.csv"
    path.write_bytes((start + text).encode())
    assert _of(path) == (["01", "02"], ["a, or b", "b"], [True, False])


def test_empty_rows_below_a_spreadsheet_are_no_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,answer,reference\n01,a,a\n02,b,a\n,,\n,,\n")
    assert _of(path) == (["01", "02"], ["a", "b"], [True, False])
    path.write_text("id,answer,reference\n01,a,a\n,,\n02,b,a\n")
    with pytest.raises(InputError, match=r"row 2: the id \('id'\) is missing"):
        read_predictions(path)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("keyed", [False, True])
def test_a_json_object_of_columns_is_a_table(tmp_path, keyed, indent):
    columns = {n: {str(i): v for i, v in enumerate(c)} for n, c in COLUMNS.items()} if keyed else COLUMNS
    path = tmp_path / "a.json"
    path.write_text(json.dumps(columns, indent=indent))
    assert _of(path) == (["01", "02"], ["a", "b"], [True, False])


@pytest.mark.parametrize("kind", ["feather", "file", "stream"])
def test_arrow_and_feather_are_read(tmp_path, kind):
    path, table = tmp_path / f"a.{kind}", pa.table(COLUMNS)
    if kind == "feather":
        feather.write_feather(table, path)
    else:
        opened = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with opened(path, table.schema) as writer:
            writer.write_table(table)
    assert _of(path) == (["01", "02"], ["a", "b"], [True, False])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="not a readable Arrow file"):
        read_predictions(path)


@pytest.mark.parametrize("missing", ["NA", "N/A", "null", "None", "nan", ""])
def test_a_missing_number_or_verdict_is_null_however_it_is_written(tmp_path, missing):
    path = tmp_path / "a.csv"
    path.write_text(f"id,correct,score\n1,yes,0.5\n2,{missing},{missing}\n")
    table = read_predictions(path).table
    assert table["correct"].to_pylist() == [True, None]
    assert table["scores"].to_pylist() == [{"score": 0.5}, {"score": None}]


def test_what_is_no_table_is_named_with_what_to_do(tmp_path):
    row = b'{"id": 1, "answer": "a", "reference": "a"}'
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr("xl/workbook.xml", "<workbook/>")
    with pa.CompressedOutputStream(str(tmp_path / "a.jsonl.zst"), "zstd") as stream:
        stream.write(row)
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table answers (id)")
    database.close()
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1]))
    (tmp_path / "wide.csv").write_bytes("id,answer\n1,a\n".encode("utf-16-le"))
    (tmp_path / "commas.jsonl").write_bytes(row + b",\n" + row + b",\n")
    (tmp_path / "twice.csv").write_text("id,answer,answer\n1,a,b\n")
    (tmp_path / "link.csv").symlink_to("gone.csv")
    saved = tmp_path / "saved"
    saved.mkdir()
    for name in ("dataset_info.json", "state.json"):
        (saved / name).write_text("{}")
    for name, message in {
        "book.xlsx": "is an Excel workbook; save its sheet as CSV",
        "a.jsonl.zst": "is packed with zstandard; unpack it first",
        "a.db": "is an SQLite database; export the table as CSV",
        "a.pkl": "looks like a pickle, which is never loaded",
        "wide.csv": "looks like UTF-16 text; save it as UTF-8",
        "commas.jsonl": "In JSON lines no comma stands between the rows",
        "twice.csv": "names the column 'answer' twice; rename one of them",
        "link.csv": "is a link to gone.csv, which is not there",
        "saved": "is a dataset as datasets.save_to_disk leaves it; name its .arrow file",
    }.items():
        with pytest.raises(InputError, match=message):
            read_predictions(tmp_path / name)
    with pytest.raises(InputError, match="standard input is not read"):
        read_predictions("-")


SEVERAL = "model,id,answer,reference\nv1,a,x,x\nv1,b,y,z\nv2,b,z,z\nv2,a,X,x\n"


def test_one_model_of_several_in_a_table_is_selected(tmp_path):
    (tmp_path / "all.csv").write_text(SEVERAL)
    names, *rows = (line.split(",") for line in SEVERAL.split())
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    for name in ("all.csv", "all.jsonl"):
        path = tmp_path / name
        with pytest.raises(InputError, match=r"2 ids occur more than once.*--select COLUMN=VALUE"):
            read_predictions(path)
        one = read_predictions(path, select="model=v2")
        assert one.table.select(["id", "correct"]).to_pylist() == [
            {"id": "b", "correct": True},
            {"id": "a", "correct": False},
        ]
        assert read_predictions(f"{path}#model=v1,id=b").table["id"].to_pylist() == ["b"]
        result = compare(f"{path}#model=v1", f"{path}#model=v2")
        assert (result.counts["negative_flips"], result.counts["positive_flips"]) == (1, 1)
        assert result.warnings[-1].startswith(
            "new: 1 answer differs from the reference in upper and lower case"
        )
        with pytest.raises(InputError, match=r"no row has model=v3; there are 'v1' \(2 rows\), 'v2'"):
            read_predictions(path, select="model=v3")
        with pytest.raises(InputError, match="write --select COLUMN=VALUE"):
            read_predictions(path, select="v1")
        with pytest.raises(InputError, match="no column 'modle'"):
            read_predictions(path, select="modle=v1")
        numbered = read_predictions(path, columns={"id": "@row", "answer": "answer"}, select="model=v2")
        assert len(numbered) == 2


def test_the_row_of_a_mistake_is_that_of_the_whole_file(tmp_path):
    (tmp_path / "all.csv").write_text("model,id,correct\nv1,a,true\nv2,a,true\nv1,b,true\nv2,b,maybe\n")
    with pytest.raises(InputError, match="row 4"):
        read_predictions(tmp_path / "all.csv", select="model=v2")
