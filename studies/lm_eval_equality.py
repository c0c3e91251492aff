"""lm_eval run by itself beside `muscle-llm predict`: the same figures to the last digit, the same flips.

Usage: python studies/lm_eval_equality.py TASKS_FOLDER [--only NAME]

TASKS_FOLDER holds the tasks' original files: piqa/, hellaswag/, gsm8k/, arc/. Prints a Markdown table; about
15 minutes on one core. The bases are the demo's, told that they may read 2048 tokens: their answers are
worthless, which is all the same for this purpose.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lm_eval import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

from muscle_llm.demo.tasks import BASES
from muscle_llm.predictions.store import read_store
from muscle_llm.tasks.paper import paper_task_files
from muscle_llm.tasks.quiet import quiet_harness
from muscle_llm.update.stages import environment

ARC = Path(__file__).parents[1] / "examples" / "tasks" / "arc_easy_local.yaml"
LONG = 2048


@dataclass(frozen=True)
class Case:
    """One comparison."""

    label: str
    task: str
    data: str
    metric: str
    limit: int | None = None


CASES = [
    Case("PIQA", "piqa", "piqa", "acc,none"),
    Case("HellaSwag, 1000", "hellaswag", "hellaswag/hellaswag_val_subset1000.jsonl", "acc,none"),
    Case("HellaSwag, all", "hellaswag", "hellaswag/hellaswag_val_full.jsonl", "acc,none"),
    Case("ARC-Easy", "arc_easy_local", "arc", "acc,none"),
    Case("GSM8K, first 50", "gsm8k", "gsm8k", "exact_match,strict-match", 50),
]


def main() -> None:
    """Run every case with both bases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    print(
        "| task | instances | base | lm_eval | muscle-llm | equal | same answers | flips: its logs / ours |"
    )
    print("|---|---:|---|---:|---:|---|---:|---|", flush=True)
    seconds = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        bases = {name: _long_base(name, Path(scratch)) for name in ("old", "new")}
        for case in CASES:
            if given.only.lower() in case.label.lower():
                _run(case, bases, given.tasks.resolve() / case.data, Path(tempfile.mkdtemp(dir=scratch)))
    told = ", ".join(f"{name} {version}" for name, version in environment().items())
    print(f"\nEnvironment: {told}. It took {time.monotonic() - seconds:.0f} s.")


def _long_base(name: str, folder: Path) -> Path:
    target = folder / name
    shutil.copytree(BASES / name, target)
    for file, key in (
        ("config.json", "max_position_embeddings"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        settings = json.loads((target / file).read_text(encoding="utf-8"))
        (target / file).write_text(json.dumps({**settings, key: LONG}), encoding="utf-8")
    return target


def _run(case: Case, bases: dict[str, Path], data: Path, folder: Path) -> None:
    spec = _task_file(case, data, folder)
    logs, ours, rows = [], [], []
    for name, base in bases.items():
        theirs, written = _by_lm_eval(case, spec, base, data, folder / f"lm_eval-{name}")
        out = folder / f"{name}.parquet"
        command = ["predict", "--base", str(base), "--task", case.task if spec is None else str(spec)]
        command += ["--data-dir", str(data)] if spec is None else []
        command += ["--limit", str(case.limit)] if case.limit else []
        _muscle(*command, "--out", str(out), "--quiet")
        table = read_store(out).table
        mine = sum(table["correct"].to_pylist()) / len(table)
        same = sum(a == b for a, b in zip(_answers(written), _own_answers(table), strict=True))
        logs.append(written)
        ours.append(out)
        rows.append((len(table), name, theirs, mine, same))
    counts = [_flips(*pair, case) for pair in (logs, ours)]
    told = [
        k for k in counts[0] if None not in (counts[0][k], counts[1][k])
    ]  # its logs do not tell everything
    for count, name, theirs, mine, same in rows:
        equal = "yes" if theirs == mine else "NO"
        flips = " / ".join(f"-{c['negative_flips']} +{c['positive_flips']}" for c in counts)
        agree = "equal" if all(counts[0][k] == counts[1][k] for k in told) else "DIFFERENT"
        print(
            f"| {case.label} | {count} | {name} | {float(theirs)!r} | {mine!r} | {equal} "
            f"| {same} | {flips}, all {len(told)} counts {agree} |",
            flush=True,
        )


def _task_file(case: Case, data: Path, folder: Path) -> Path | None:
    """Write the ARC task with absolute paths, which lm_eval needs; the paper's tasks find their data."""
    if case.task != "arc_easy_local":
        return None
    config = yaml.safe_load(ARC.read_text(encoding="utf-8"))
    files = config["dataset_kwargs"]["data_files"]
    config["dataset_kwargs"]["data_files"] = {split: str(data / file) for split, file in files.items()}
    (folder / "tasks").mkdir()
    path = folder / "tasks" / "arc_easy_local.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _by_lm_eval(case: Case, spec: Path | None, base: Path, data: Path, folder: Path) -> tuple[float, Path]:
    """Return the accuracy that lm_eval reports and the samples that it writes."""
    place = spec.parent if spec else paper_task_files()[case.task].parent
    with quiet_harness():
        tasks = TaskManager(include_path=str(place), include_defaults=False, metadata={"data": str(data)})
        tracker = EvaluationTracker(output_path=str(folder))
        found: Any = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(base)},
            tasks=[case.task],
            task_manager=tasks,
            limit=case.limit,
            batch_size=32,
            device="cpu",
            log_samples=True,
            bootstrap_iters=0,
            evaluation_tracker=tracker,
        )
        samples = found.pop("samples")
        tracker.save_results_aggregated(results=found, samples=samples)
        tracker.save_results_samples(task_name=case.task, samples=samples[case.task])
    (written,) = folder.rglob(f"samples_{case.task}_*.jsonl")
    return found["results"][case.task][case.metric], written


def _answers(samples: Path) -> list[int | str]:
    """Return what lm_eval's log says the model answered: the likeliest option, or the text."""
    rows: dict[int, int | str] = {}
    for line in samples.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        said = [r[0] for r in row["resps"]]
        rows[row["doc_id"]] = said[0] if isinstance(said[0], str) else _largest([float(s[0]) for s in said])
    return [rows[i] for i in sorted(rows)]


def _own_answers(table: Any) -> list[int | str]:
    rows = table.to_pylist()
    if "choice_scores" in table.column_names:
        return [_largest(row["choice_scores"]) for row in rows]
    return [row["output"] if row["output"] is not None else row["answer"] for row in rows]


def _largest(values: list[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _flips(old: Path, new: Path, case: Case) -> dict[str, Any]:
    filter_of = (
        ["--filter", case.metric.split(",")[1]] if old.suffix == ".jsonl" and "exact" in case.metric else []
    )
    return json.loads(_muscle("compare", str(old), str(new), "--json", "-", *filter_of))["counts"]


def _muscle(*arguments: str) -> str:
    command = [sys.executable, "-m", "muscle_llm", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
