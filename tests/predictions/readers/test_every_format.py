"""What holds of every format: the same six answers come out, whatever tool logged them."""

from __future__ import annotations

import pytest

from muscle_llm.errors import InputError
from muscle_llm.predictions import Predictions, Provenance, read_many, read_predictions, write_predictions
from muscle_llm.predictions.readers import READERS, choose_reader, load_reader, reader_names
from muscle_llm.predictions.readers.base import ReadOptions
from muscle_llm.predictions.source import find_source

NAMES = [
    "lm-eval",
    "lm-eval filters",
    "promptfoo",
    "promptfoo lines",
    "every_eval_ever",
    "llm-comparator",
    "helm",
    "lighteval",
    "lighteval flat",
    "table lines",
    "table list",
    "table csv",
    "table parquet",
    "table arrow",
    "table columns",
    "table gzip",
    "inspect json",
    "inspect eval",
]


def _write(logs, name, folder):
    if name in logs.INSPECT_WRITERS:
        pytest.importorskip("inspect_ai")
        return logs.INSPECT_WRITERS[name]
    return logs.WRITERS[name]


def test_the_list_of_formats_is_complete(logs):
    assert sorted(NAMES) == sorted([*logs.WRITERS, *logs.INSPECT_WRITERS])
    assert {n.split()[0] for n in NAMES} | {"muscle-llm"} == set(READERS)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_is_recognised_and_tells_the_same_answers(logs, tmp_path, name):
    write, select = _write(logs, name, tmp_path)
    path = write(tmp_path)
    predictions = read_predictions(path, select=select)
    assert predictions.provenance.format == name.split()[0]
    assert predictions.provenance.sources
    first = predictions.table.filter(predictions.table["repeat"].to_numpy() == 0).to_pylist()
    assert len(first) == logs.N
    expected = [logs.right(i) for i in range(logs.N)]
    if name == "lm-eval filters":
        expected[0] = False
    assert [row["correct"] for row in first] == expected
    names = logs.OPTIONS if not name.startswith("inspect") else list("ABC")
    answers = [names[logs.picked(i)] for i in range(logs.N)]
    if name == "lm-eval filters":
        answers[0] = None
    assert [row["answer"] for row in first] == answers
    if not name.startswith("llm-comparator"):
        assert [row["references"] for row in first] == [[names[g]] for g in logs.GOLD]
    if not name.startswith("table"):
        assert all(logs.question(i) in row["prompt"] for i, row in enumerate(first))
    if select is not None:
        assert read_predictions(f"{path}#{select}").table.equals(predictions.table)


@pytest.mark.parametrize("name", NAMES)
def test_named_formats_read_as_detected_ones(logs, tmp_path, name):
    write, select = _write(logs, name, tmp_path)
    path = write(tmp_path)
    named = read_predictions(path, select=select, format=name.split()[0])
    assert named.table.equals(read_predictions(path, select=select).table)


@pytest.mark.parametrize("name", NAMES)
def test_what_can_be_chosen_is_told(logs, tmp_path, name):
    write, _ = _write(logs, name, tmp_path)
    source = find_source(write(tmp_path))
    reader = choose_reader(source, None, ReadOptions())
    for option, choices in (reader.choices(source) if reader.choices else {}).items():
        assert option in ("--filter", "--metric", "--select")
        assert len(set(choices)) == len(choices)


def test_slices_clusters_and_scores_can_be_added_from_the_log(logs, tmp_path):
    path = logs.lm_eval(tmp_path)
    added = read_predictions(path, columns="slice.region=doc.region,cluster=doc.region,prompt=doc.question")
    assert added.provenance.format == "lm-eval"
    assert added.table["slices"].to_pylist()[1] == {"region": "north"}
    assert added.table["cluster"].to_pylist()[0] == "south"
    assert added.table["prompt"].to_pylist()[2] == logs.question(2)
    with pytest.raises(InputError, match=r"no column 'doc.regio'. Did you mean 'doc.region'"):
        read_predictions(path, columns="slice.region=doc.regio")
    with pytest.raises(InputError, match="which is not a number"):
        read_predictions(path, columns="score.x=doc.region")
    with pytest.raises(InputError, match="--map correct= does not fit"):
        read_predictions(path, columns="correct=acc", format="lm-eval")
    with pytest.raises(InputError, match="--extract finds answers in the columns of a table"):
        read_predictions(path, extract={"answer": "(.)"})
    plain = read_predictions(logs.table_lines(tmp_path), columns="slice.q=question")
    assert plain.slice_names == ("region", "q")
    assert plain.table["correct"].null_count == 0


OPTIONS = {
    "filter": "nosuch",
    "metric": "nosuch",
    "select": "nosuch",
    "extract": {"answer": "(nosuch)"},
    "columns": "slice.topic=nosuch",
}


def _sources(logs, name, folder):
    """A log of every reader, and what is in memory: what to read, and what must be selected."""
    if name == "muscle-llm":
        path = folder / "p.parquet"
        write_predictions(read_predictions(logs.table_lines(folder)), path)
        return path, None
    rows = logs.table_rows()
    match name:
        case "rows":
            return rows, None
        case "frame":
            return pytest.importorskip("pandas").DataFrame(rows), None
        case "predictions":
            return read_predictions(rows), None
    write, select = _write(logs, name, folder)
    return write(folder), select


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", [*NAMES, "muscle-llm", "rows", "frame", "predictions"])
def test_every_option_is_used_or_refused(logs, tmp_path, name, option):
    source, select = _sources(logs, name, tmp_path)
    plain = read_predictions(source, select=select)
    try:
        found = read_predictions(source, **{"select": select, option: OPTIONS[option]})
    except InputError as error:
        assert "nosuch" in str(error) or option in str(error)  # noqa: PT017
    else:
        assert not found.table.equals(plain.table)


@pytest.mark.parametrize("name", [*NAMES, "muscle-llm", "rows", "frame", "predictions"])
def test_slices_can_be_added_to_everything(logs, tmp_path, name):
    source, select = _sources(logs, name, tmp_path)
    column = {
        "lm-eval": "doc_id",
        "promptfoo": "testIdx",
        "every_eval_ever": "sample_id",
        "llm-comparator": "input_text",
        "helm": "instance.id",
        "lighteval": "doc.query" if name == "lighteval" else "full_prompt",
        "inspect": "id",
        "table": "question",
        "rows": "question",
        "frame": "question",
    }.get(name.split()[0], "prompt")
    plain = read_predictions(source, select=select)
    added = read_predictions(source, select=select, columns=f"slice.extra={column},cluster={column}")
    assert added.slice_names[-1] == "extra"
    values = [row["extra"] for row in added.table["slices"].to_pylist()]
    assert None not in values
    assert values == added.table["cluster"].to_pylist()
    assert added.table.drop_columns(["slices", "cluster"]).equals(
        plain.table.drop_columns([c for c in ("slices", "cluster") if c in plain.table.column_names])
    )


def test_predictions_read_already_keep_what_decides_them():
    p = Predictions.from_columns({"id": ["a"], "correct": [True]}, Provenance(metric="acc", filter="none"))
    assert read_predictions(p, metric="acc", filter="none").table.equals(p.table)
    with pytest.raises(InputError, match="made by the metric 'acc', and keep no other"):
        read_predictions(p, metric="acc_norm")
    with pytest.raises(InputError, match="--map correct= does not fit"):
        read_predictions(p, columns="correct=correct")
    for options in ({"format": "table"}, {"select": "a"}, {"extract": {"answer": "x"}}):
        with pytest.raises(InputError, match="read already"):
            read_predictions(p, **options)


def test_the_default_metric_of_promptfoo_can_be_named(logs, tmp_path):
    path = logs.promptfoo(tmp_path)
    assert read_predictions(path, metric="success").table.equals(read_predictions(path).table)


def test_two_names_of_an_evaluation_must_agree(logs, tmp_path):
    path = logs.every_eval_ever(tmp_path)
    name = read_predictions(path).provenance.metric
    assert len(read_predictions(path, select=name, metric=name)) == logs.N
    with pytest.raises(InputError, match="there is no evaluation 'nosuch'"):
        read_predictions(path, select=name, metric="nosuch")


def test_readers_are_named_in_the_help(logs):
    assert reader_names()[: len(READERS)] == list(READERS)
    for name in READERS:
        assert load_reader(name).name == name
        assert load_reader(name).summary


def test_a_part_named_twice_and_paths_with_a_hash(logs, tmp_path):
    path = logs.llm_comparator(tmp_path)
    with pytest.raises(InputError, match="name it once"):
        read_predictions(f"{path}#a", select="b")
    odd = tmp_path / "a#b.json"
    odd.write_bytes(path.read_bytes())
    assert len(read_predictions(f"{odd}#b")) == logs.N
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "none#a")


def test_a_single_file_is_a_folder_of_one_task(logs, tmp_path):
    assert list(read_many(logs.lm_eval(tmp_path))) == ["warmth"]
    assert list(read_many(logs.table_lines(tmp_path), name="m")) == ["rows"]
    assert read_many(logs.table_lines(tmp_path), name="m")["rows"].provenance.model == "m"
