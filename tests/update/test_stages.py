"""A run folder does each stage once, and again only when something it depends on changed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("filelock")

from muscle_llm.errors import RunError
from muscle_llm.update.stages import RunFolder, Stage, run_stages

pytestmark = pytest.mark.train


def chain(folder: Path, *, greeting: str = "hello", fail: str | None = None) -> list[Stage]:
    """Write a.txt, then b.txt from it, then c.txt from nothing, then d.txt from b and c."""

    def write(name: str, text: str) -> None:
        if fail == name:
            raise KeyboardInterrupt
        (folder / name).write_text(text, encoding="utf-8")

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    def stage(name: str, inputs: tuple[str, ...], text, settings=None) -> Stage:
        return Stage(
            name,
            name,
            lambda: settings or {},
            tuple(Path(i) for i in inputs),
            (Path(name),),
            lambda: write(name, text()),
        )

    return [
        stage("a.txt", (), lambda: greeting, {"greeting": greeting}),
        stage("b.txt", ("a.txt",), lambda: read("a.txt").lower()),
        stage("c.txt", (), lambda: "c"),
        stage("d.txt", ("b.txt", "c.txt"), lambda: read("b.txt") + read("c.txt")),
    ]


def run(path: Path, stages: list[Stage]) -> list[str]:
    folder = RunFolder(path)
    folder.load()
    with folder.lock():
        return run_stages(folder, stages, lambda *_: None)


def test_a_second_run_does_nothing(tmp_path):
    assert run(tmp_path, chain(tmp_path)) == ["a.txt", "b.txt", "c.txt", "d.txt"]
    assert run(tmp_path, chain(tmp_path)) == []


@pytest.mark.parametrize(
    ("deleted", "again"),
    [
        # What is re-made with the same content leaves those who read it as they are.
        ("a.txt", ["a.txt"]),
        ("c.txt", ["c.txt"]),
        ("d.txt", ["d.txt"]),
    ],
)
def test_a_deleted_output_is_made_again(tmp_path, deleted, again):
    run(tmp_path, chain(tmp_path))
    (tmp_path / deleted).unlink()
    assert run(tmp_path, chain(tmp_path)) == again


def test_a_changed_output_is_made_again(tmp_path):
    run(tmp_path, chain(tmp_path))
    (tmp_path / "b.txt").write_text("tampered", encoding="utf-8")
    assert run(tmp_path, chain(tmp_path)) == ["b.txt"]
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "hello"


def test_a_changed_setting_runs_what_depends_on_it(tmp_path):
    run(tmp_path, chain(tmp_path))
    assert run(tmp_path, chain(tmp_path, greeting="bye")) == ["a.txt", "b.txt", "d.txt"]


def test_a_change_that_makes_no_difference_stops_there(tmp_path):
    run(tmp_path, chain(tmp_path))
    assert run(tmp_path, chain(tmp_path, greeting="HELLO")) == ["a.txt", "b.txt"]


def test_an_interrupted_run_continues_where_it_stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, chain(tmp_path, fail="c.txt"))
    assert run(tmp_path, chain(tmp_path)) == ["c.txt", "d.txt"]


def test_a_stage_that_leaves_an_output_out_is_an_error(tmp_path):
    stage = Stage("lazy", "lazy", dict, (), (Path("nothing.txt"),), lambda: None)
    with pytest.raises(RunError, match=r"lazy.*nothing\.txt"):
        run(tmp_path, [stage])


def test_a_missing_input_is_named(tmp_path):
    stage = Stage("reader", "reader", dict, (Path("gone.txt"),), (), lambda: None)
    with pytest.raises(RunError, match=r"gone\.txt"):
        run(tmp_path, [stage])


def test_one_process_at_a_time(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.lock(), pytest.raises(RunError, match="another process"), RunFolder(tmp_path).lock():
        pass


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 99, "stages": {}}', '{"stages": {}}'])
def test_a_broken_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"manifest\.json"):
        RunFolder(tmp_path).load()


def test_a_folder_counts_by_what_is_in_it(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "one").write_text("1")
    before = folder.content(Path("x"))
    (tmp_path / "x" / "two").write_text("2")
    assert folder.content(Path("x")) != before
    (tmp_path / "x" / "two").unlink()
    assert folder.content(Path("x")) == before
