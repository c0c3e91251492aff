"""The paper's rows: their settings load, their figures fit together, and the table is filled from runs."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STUDY = Path(__file__).resolve().parents[2] / "studies" / "paper"
ROW, UPDATE = "piqa_llama-1-to-2", ("Llama 1 7B", "Llama 2 7B")


def script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(STUDY / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(name: str) -> list[dict[str, str]]:
    with (STUDY / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- results:begin -->\nstale\n<!-- results:end -->\nafter\n")
    return path


def cells(page: Path, *first: str) -> dict[str, list[str]]:
    """Return heading -> cells of the row that begins so; 'measured' stands once for each figure."""
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in page.read_text().split("\n")]
    place = next(i for i, line in enumerate(lines) if tuple(line[: len(first)]) == first)
    head = next(line for line in reversed(lines[:place]) if line[0] in ("task", "mask"))
    found: dict[str, list[str]] = {}
    for name, value in zip(head, lines[place], strict=True):
        found.setdefault(name, []).append(value)
    return found


# --- the paper's figures ---


def test_there_are_four_tasks_by_four_updates() -> None:
    found = {(row["task"], row["update"]) for row in rows("expected.csv")}
    assert len(found) == 16
    assert (len({task for task, _ in found}), len({update for _, update in found})) == (4, 4)


def test_relative_changes_follow_from_the_changes() -> None:
    for row in rows("expected.csv"):
        if row["d_nfr"]:
            nfr, change = float(row["nfr"]), float(row["d_nfr"])
            assert float(row["d_nfr_percent"]) == pytest.approx(100 * change / nfr, abs=0.02)


def test_the_masks_row_is_the_tables_row() -> None:
    (row,) = [r for r in rows("expected.csv") if (r["task"], r["update"]) == ("piqa", "llama-1-to-2")]
    (mask,) = [r for r in rows("expected_masks.csv") if r["remedy"] == "muscle"]
    assert mask["d_nfr_percent"] == row["d_nfr_percent"]
    assert float(mask["d_accuracy"]) == pytest.approx(float(row["c"]) - float(row["v2"]), abs=0.011)


def test_the_page_has_every_figure_of_the_paper() -> None:
    page = STUDY / "README.md"
    for row in rows("expected.csv"):
        found = cells(page, row["task"], row["update"])
        assert f"{float(row['nfr']):.2f}" in found["NFR"]
        assert f"{float(row['d_nfr_percent']):+.2f}" in found["Δ%NFR_c"]
    for row in rows("expected_masks.csv"):
        assert f"{float(row['d_pfr']):+.2f}" in cells(page, row["what"])["ΔPFR_c"]


# --- settings ---


@pytest.mark.train
@pytest.mark.parametrize("rehearse", [False, True])
def test_every_file_loads(rehearse: bool, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from muscle_llm.config import load_update
    from muscle_llm.update.presets import PRESETS

    further = ["--rehearse", "--data", tmp_path / "data"] if rehearse else []
    assert script("make_configs.py", "--out", tmp_path / "c", *further).returncode == 0
    wanted = {f"{r['task']}_{r['update']}": (r["task"], PRESETS[r["update"]]) for r in rows("expected.csv")}
    wanted["masks"] = ("piqa", PRESETS["llama-1-to-2"])
    assert {p.stem for p in (tmp_path / "c").iterdir()} == set(wanted)
    for name, (task, preset) in wanted.items():
        settings = load_update(tmp_path / "c" / f"{name}.yaml")
        assert [t.task for t in settings.tasks] == [task]
        assert (settings.old.base, settings.new.base) == (preset.old.name, preset.new.name)
        assert "muscle" in [r.name for r in settings.remedies]
        assert (settings.old.label == preset.old.label) != rehearse
        assert (settings.training.max_steps, settings.tasks[0].limit) == (
            (3, 32) if rehearse else (None, None)
        )
        folder = settings.tasks[0].data_dir
        assert (Path(folder).resolve() if folder else None) == (
            tmp_path / "data" / task if rehearse else None
        )


@pytest.mark.train
def test_the_masks_are_the_papers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from muscle_llm.config import load_update

    assert script("make_configs.py", "masks", "--out", tmp_path).returncode == 0
    found = {r.name: dataclasses.asdict(r) for r in load_update(tmp_path / "masks.yaml").remedies}
    for row in rows("expected_masks.csv"):
        remedy = found.pop(row["remedy"])
        assert (remedy["mask"], remedy["ce_weight"]) == (row["mask"], float(row["ce_weight"]))
        assert (remedy["temperature"], remedy["divergence"]) == (2, "forward_kl")
    assert list(found) == ["keep"]


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / f"{ROW}.yaml"
    path.write_text("mine")
    assert "stays" in script("make_configs.py", ROW, "--out", tmp_path).stdout
    assert path.read_text() == "mine"
    script("make_configs.py", ROW, "--out", tmp_path, "--force")
    assert "llama-1-to-2" in path.read_text()
    done = script("make_configs.py", "piqa_llama", "--out", tmp_path)
    assert done.returncode == 2
    assert f"Did you mean '{ROW}'" in done.stderr


# --- the table ---


def figure(value: float | None, half: float = 0.01) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "reason": "invented"}
    return {"value": value, "low": value - half, "high": value + half}


def invented(labels: tuple[str, str] = UPDATE, remedies: tuple[str, ...] = ("muscle",)) -> dict[str, Any]:
    def candidate(role: str, nfr: float) -> dict[str, Any]:
        changes = {"d_nfr": nfr - 0.1, "d_pfr": 0.005, "d_accuracy": 0.02}
        return {
            "role": role,
            "metrics": {"accuracy_new": figure(0.8), "nfr": figure(nfr)},
            "scores": {},
            "against_new": {
                "metrics": {
                    **{name: figure(value) for name, value in changes.items()},
                    "d_nfr_percent": figure(1000 * (nfr - 0.1), 1.0),
                },
                "scores": {},
            },
        }

    return {
        "old": {"provenance": {"extra": {"base": labels[0]}}},
        "new": {"provenance": {"extra": {"base": labels[1]}}},
        "counts": {"n": 1838},
        "metrics": {"accuracy_old": figure(0.7), "accuracy_new": figure(0.75), "nfr": figure(0.1)},
        "scores": {},
        "candidates": {
            "old_rerun": candidate("noise_floor", 0.04),
            "continued": candidate("control", 0.09),
            **{name: candidate("remedy", 0.06) for name in remedies},
        },
    }


def invented_scores() -> dict[str, Any]:
    document = invented()
    means = {"mean_old": figure(0.3), "mean_new": figure(0.32), "nfr": figure(0.5)}
    document["metrics"] = {name: figure(None) for name in document["metrics"]}
    document["scores"] = {"rouge1": {"metrics": means}}
    changes = {"d_nfr_percent": figure(-16.0, 1.0), "d_gain": figure(0.006), "d_regress": figure(-0.011)}
    for candidate in document["candidates"].values():
        candidate["scores"] = {"rouge1": {"metrics": {"mean_new": figure(0.35), "nfr": figure(0.4)}}}
        against = candidate["against_new"]
        against["metrics"] = {name: figure(None) for name in against["metrics"]}
        against["scores"] = {"rouge1": {"metrics": changes}}
    return document


def write_run(folder: Path, task: str, document: dict[str, Any]) -> Path:
    home = folder / "tasks" / task
    home.mkdir(parents=True)
    (home / "comparison.json").write_text(json.dumps(document))
    (folder / "manifest.json").write_text(json.dumps({"environment": {"torch": "9.9"}}))
    return folder


def test_without_runs_nothing_is_measured(page: Path) -> None:
    assert script("table.py", "--page", page).returncode == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- results:begin -->\n")
    assert text.endswith("<!-- results:end -->\nafter\n")
    assert "stale" not in text
    assert text.count("| not run |") == 16 + 6
    found = cells(page, "piqa", "llama-1-to-2")
    assert (found["NFR"], found["Δ%NFR_c"]) == (["11.59"], ["-34.25"])
    assert set(found["measured"]) == {""}


def test_measured_figures_stand_beside_the_papers(page: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "mine", "piqa", invented())
    assert script("table.py", run, "--page", page).returncode == 0
    found = cells(page, "piqa", "llama-1-to-2")
    assert found["run"] == ["mine (n = 1838)"]
    assert [value.partition(" ")[0] for value in found["measured"]] == [
        *("70.00", "75.00", "80.00"),
        *("10.00", "-4.00", "-40.00"),
    ]
    assert found["measured"][3] == "10.00 [9.0, 11.0]"
    assert found["NFR of old_rerun"] == ["4.00 [3.0, 5.0]"]
    assert found["Δ%NFR of continued"] == ["-10.00 [-11.0, -9.0]"]
    assert cells(page, "piqa", "phi-1-to-1.5")["run"] == ["not run"]
    mask = cells(page, "student wrong")
    assert [value.partition(" ")[0] for value in mask["measured"]] == ["-40.00", "+0.50", "+2.00"]
    assert cells(page, "old right")["run"] == ["not run"]
    assert "Measured in: torch 9.9." in page.read_text()


def test_scores_are_in_percent(page: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "mine", "samsum", invented_scores())
    assert script("table.py", run, "--page", page).returncode == 0
    found = cells(page, "samsum", "llama-1-to-2")
    assert [value.partition(" ")[0] for value in found["measured"]] == [
        *("30.00", "32.00", "35.00"),
        *("50.00", "-16.00", "+0.60", "-1.10"),
    ]


def test_what_is_undefined_is_said(page: Path, tmp_path: Path) -> None:
    document = invented()
    document["candidates"]["muscle"]["against_new"]["metrics"]["d_nfr_percent"] = figure(None)
    run = write_run(tmp_path / "mine", "piqa", document)
    assert script("table.py", run, "--page", page).returncode == 0
    assert cells(page, "piqa", "llama-1-to-2")["measured"][5] == "undefined"


def test_another_remedy_is_named(page: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "mine", "piqa", invented(remedies=("keep",)))
    assert script("table.py", run, "--page", page, "--remedy", "keep").returncode == 0
    assert "the remedy 'keep'" in page.read_text()
    assert cells(page, "student wrong")["run"] == ["not run"]


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (("Llama 1 7B, rehearsal", "Llama 2 7B, rehearsal"), "piqa", "has no row"),
        (("Phi 1", "Phi 2"), "piqa", "has no row"),  # measured there, but no remedy
        (UPDATE, "choice", "has no row"),
        (UPDATE, "piqa", "no remedy 'other'; it has old_rerun, continued, muscle"),
    ],
)
def test_what_is_no_row_is_refused(
    labels: tuple[str, str], task: str, message: str, page: Path, tmp_path: Path
) -> None:
    before = page.read_text()
    run = write_run(tmp_path / "mine", task, invented(labels))
    done = script("table.py", run, "--page", page, "--remedy", "other")
    assert done.returncode == 2
    assert message in done.stderr
    assert page.read_text() == before


def test_one_row_has_one_run(page: Path, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, "piqa", invented()) for name in ("a", "b")]
    done = script("table.py", *runs, "--page", page)
    assert "are both piqa" in done.stderr
    (tmp_path / "empty").mkdir()
    assert "not a finished run" in script("table.py", tmp_path / "empty", "--page", page).stderr


# --- the whole way, with tiny bases in place of the real ones ---


def write_piqa(folder: Path) -> None:
    folder.mkdir(parents=True)
    for split, first, last in (("train", 0, 40), ("valid", 40, 60)):
        items = [
            {"goal": f"add {i} and 2", "sol1": f"it is {i + 2}", "sol2": f"it is {i}"}
            for i in range(first, last)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        (folder / f"{split}-labels.lst").write_text("0\n" * len(items))


@pytest.mark.train
@pytest.mark.slow
def test_a_row_and_its_masks_run_and_fill_the_table(
    tiny_base: Path, tiny_base_2: Path, page: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    from muscle_llm.cli import main

    write_piqa(tmp_path / "data" / "piqa")
    assert (
        script("make_configs.py", ROW, "masks", "--out", tmp_path, "--data", tmp_path / "data").returncode
        == 0
    )
    run = tmp_path / ROW
    adapters: list[bytes] = []
    for name in (ROW, "masks"):
        path = tmp_path / f"{name}.yaml"
        text = path.read_text()
        for known, by in (
            ("huggyllama/llama-7b,", f"{tiny_base},"),
            ("meta-llama/Llama-2-7b-hf,", f"{tiny_base_2},"),
            ("  epochs: 10 ", "  epochs: 1 "),
            ("  rank: 128", "  rank: 4"),
        ):
            assert known in text
            text = text.replace(known, by)
        path.write_text(text)
        assert main(["update", str(path), "--out", str(run), "--quiet"]) == 0
        adapters.append((run / "tasks" / "piqa" / "adapters" / "old" / "training.json").read_bytes())
    assert adapters[0] == adapters[1]  # seconds are in it: the task adapter was not trained again
    assert script("table.py", run, "--page", page).returncode == 0
    found = cells(page, "piqa", "llama-1-to-2")
    assert found["run"] == [f"{ROW} (n = 20)"]
    assert "" not in found["measured"]
    for row in rows("expected_masks.csv"):
        assert cells(page, row["what"])["run"] == [f"{ROW} (n = 20)"]
