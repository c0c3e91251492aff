"""lm_eval run by itself on real PIQA with the demo's bases: the same accuracy, and flips from its logs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.cli import main
from muscle_llm.demo.tasks import BASES
from muscle_llm.predictions.store import read_store

SHARED = Path(os.environ.get("MUSCLE_LLM_SHARED", Path(__file__).parents[2].parent / "shared"))
PIQA = SHARED / "data" / "tasks" / "piqa"
LIMIT = 150

pytestmark = [
    pytest.mark.train,
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.skipif(not PIQA.is_dir(), reason="the real data (MUSCLE_LLM_SHARED) are not there"),
]


def run_lm_eval(base: Path, folder: Path) -> tuple[dict[str, Any], Path]:
    """Return lm_eval's own results on our PIQA task file, and the samples it wrote."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    from muscle_llm.tasks.paper import paper_task_files
    from muscle_llm.tasks.quiet import quiet_harness

    with quiet_harness():
        tasks = TaskManager(
            include_path=str(paper_task_files()["piqa"].parent),
            include_defaults=False,
            metadata={"data": str(PIQA)},
        )
        tracker = EvaluationTracker(output_path=str(folder))
        found: Any = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(base)},
            tasks=["piqa"],
            task_manager=tasks,
            limit=LIMIT,
            batch_size=8,
            device="cpu",
            log_samples=True,
            bootstrap_iters=0,
            evaluation_tracker=tracker,
        )
        samples = found.pop("samples")
        tracker.save_results_aggregated(results=found, samples=samples)
        tracker.save_results_samples(task_name="piqa", samples=samples["piqa"])
    (written,) = folder.rglob("samples_piqa_*.jsonl")
    return found["results"]["piqa"], written


def compared(capsys: Any, old: Path, new: Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["compare", str(old), str(new), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_piqa_figures_and_flips_are_those_of_lm_eval(tmp_path: Path, capsys: Any) -> None:
    logs: list[Path] = []
    ours: list[Path] = []
    for name in ("old", "new"):
        results, written = run_lm_eval(BASES / name, tmp_path / f"lm_eval-{name}")
        logs.append(written)
        out = tmp_path / f"{name}.parquet"
        arguments = ["predict", "--base", str(BASES / name), "--task", "piqa", "--data-dir", str(PIQA)]
        assert main([*arguments, "--limit", str(LIMIT), "--out", str(out), "--quiet"]) == 0
        ours.append(out)
        table = read_store(out).table
        assert sum(table["correct"].to_pylist()) / LIMIT == results["acc,none"]
        assert sum(row["acc_norm"] for row in table["scores"].to_pylist()) / LIMIT == results["acc_norm,none"]
    a, b = compared(capsys, *logs), compared(capsys, *ours)
    assert a["counts"]["n"] == LIMIT
    assert a["counts"]["negative_flips"] > 0 < a["counts"]["positive_flips"]
    assert a["counts"] == b["counts"]
    for name, estimate in b["metrics"].items():
        assert a["metrics"][name] == estimate, name
