"""How much the demo's figures vary from run to run: the whole demo with several seeds, as a table.

Usage: python studies/demo_spread.py [--seeds 1 2 3 4 5] [--runs FOLDER] [--out studies/demo_spread.md]

The bases and the questions stay the same; the seed decides the adapters' starting weights, the order of the
training data and the split that chooses the epoch. Finished runs in the folder are not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from muscle_llm.files import atomic_write_text

ROWS = ("old_rerun", "continued", "muscle")
TASKS = ("choice", "exact", "summary")


def run_demo(seed: int, folder: Path) -> dict[str, Any]:
    """Run the demo with one seed; return its comparison documents by task, and its seconds."""
    from muscle_llm.cli.running import run_update
    from muscle_llm.demo.update import demo_settings, demo_update, world_stage

    settings = demo_settings(seed=seed)
    begun = time.monotonic()
    results = run_update(
        demo_update(settings, folder), folder, before=[world_stage(settings, folder)], quiet=True
    )
    return {"tasks": results["tasks"], "seconds": time.monotonic() - begun}


def figures(document: Mapping[str, Any], score: str | None) -> dict[str, dict[str, Any]]:
    """Return accuracy or score, NFR and its change against no remedy, for every version of a comparison."""
    versions: dict[str, dict[str, Any]] = {}
    for name in ("new", *ROWS):
        part = document if name == "new" else document["candidates"][name]
        against = {} if name in ("new", "old_rerun") else part["against_new"]
        if score is None:
            versions[name] = {
                "level": part["metrics"]["accuracy_new"]["value"],
                "nfr": part["metrics"]["nfr"]["value"],
                "change": against.get("metrics", {}).get("d_nfr"),
            }
        else:
            metrics = part["scores"][score]["metrics"]
            versions[name] = {
                "level": metrics["mean_new"]["value"],
                "nfr": metrics["nfr"]["value"],
                "change": against["scores"][score]["metrics"]["d_nfr"] if against else None,
            }
    whole = document["metrics"] if score is None else document["scores"][score]["metrics"]
    level = whole["accuracy_old" if score is None else "mean_old"]
    versions["old"] = {"level": level["value"], "nfr": 0.0, "change": None}
    return versions


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{100 * statistics.mean(values):.1f} ± {100 * spread:.1f}"


def task_table(task: str, runs: Mapping[int, Mapping[str, dict[str, Any]]]) -> Iterable[str]:
    """Yield the markdown table of one task: a line a seed, then mean and standard deviation."""
    level = "ROUGE-1" if task == "summary" else "accuracy"
    yield f"### {task}\n"
    yield (
        f"| seed | {level} old | new | continued | muscle | NFR no remedy | old re-run | continued | muscle "
        "| change by continued (95 %) | change by muscle (95 %) |"
    )
    yield "|" + "---|" * 11
    columns: list[list[float]] = []
    for seed, versions in runs.items():
        levels = [versions[v]["level"] for v in ("old", "new", "continued", "muscle")]
        rates = [versions[v]["nfr"] for v in ("new", "old_rerun", "continued", "muscle")]
        columns.append([*levels, *rates])
        changes = []
        for name in ("continued", "muscle"):
            change = versions[name]["change"]
            changes.append(
                f"{100 * change['value']:+.1f} ({100 * change['low']:+.1f} to {100 * change['high']:+.1f})"
            )
        yield f"| {seed} | " + " | ".join([*map(_percent, [*levels, *rates]), *changes]) + " |"
    means = [_mean_and_spread(column) for column in zip(*columns, strict=True)]
    relative = []
    for name in ("continued", "muscle"):
        shares = [v[name]["nfr"] / v["new"]["nfr"] - 1 for v in runs.values()]
        relative.append(f"{_mean_and_spread(shares)} % of the NFR")
    yield "| mean ± sd | " + " | ".join([*means, *relative]) + " |\n"
    clear = sum(v["muscle"]["change"]["high"] < 0 for v in runs.values())
    yield f"MUSCLE lowers the NFR with an interval that excludes 0 on {clear} of {len(runs)} seeds.\n"


def page(results: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the results page."""
    lines = ["# How much the demo varies from run to run", "", (__doc__ or "").split("\n\n")[2], ""]
    lines.append(
        "Made by `python studies/demo_spread.py`. All rates in percent; changes in percentage points."
    )
    lines.append("`muscle` is the published loss: student-wrong mask, T = 2, no cross-entropy.\n")
    for task in TASKS:
        score = "rouge1" if task == "summary" else None
        runs = {seed: figures(result["tasks"][task], score) for seed, result in results.items()}
        lines.extend(task_table(task, runs))
    return "\n".join(lines)


def main() -> None:
    """Run the seeds that have not run and write the page."""
    parser = argparse.ArgumentParser(description="Run the demo with several seeds and write a table.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--runs", type=Path, default=Path("runs/demo_spread"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    results: dict[int, dict[str, Any]] = {}
    for seed in options.seeds:
        results[seed] = run_demo(seed, options.runs / str(seed))
        print(f"seed {seed}: {results[seed]['seconds']:.0f} s", flush=True)
        atomic_write_text(options.runs / f"{seed}.json", json.dumps(results[seed]))
    atomic_write_text(options.out, page(results))
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
