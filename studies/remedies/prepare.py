"""Make what the study needs, into runs/study-world: four further bases, tasks, unlabelled prompts.

Usage: python studies/remedies/prepare.py [FOLDER]

The bases take about 20 minutes on two cores; what is there already is not made again. Their weights depend on
the processor in their last bits, so figures made anew differ a little from the committed ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from muscle_llm.demo.tasks import BASES, TASK_NAMES, task_config
from muscle_llm.demo.world import TaskSizes, dialogues, problems, write_world
from muscle_llm.files import atomic_write_text

TRAINING = "--corpus world --batch-size 16 --learning-rate 2.5e-3 --threads 1"
BASE_COMMANDS = {
    "weak": "--mix old --seed 2 --tokens 3000000 --hidden 80 --feedforward 176 --steps 2000",
    "strong": "--mix new --seed 4 --tokens 6000000 --hidden 128 --feedforward 320 --steps 5000",
    "more": "--mix old --seed 1 --tokens 7000000 --hidden 96 --feedforward 208 --steps 6500",
    "seed": "--mix old --seed 5 --tokens 4000000 --hidden 96 --feedforward 208 --steps 4000",
}
SIZES = {"choice": TaskSizes(2000, 2000), "exact": TaskSizes(800, 1000), "summary": TaskSizes(600, 400)}
WORLD_SEED = 7
PROMPTS_SEED = 991  # drawn from the side of the world that is never tested
PROMPTS = {"choice": 8000, "exact": 8000, "summary": 2500}
ENDINGS = {"choice": "\nAnswer:", "exact": "\nSteps:", "summary": "\nSummary:"}


def main() -> None:
    """Write the world and pretrain the bases that are not there yet."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/study-world")
    write_world(folder / "data", WORLD_SEED, SIZES)
    for name in TASK_NAMES:
        lines = (json.dumps({"prompt": text + ENDINGS[name]}) + "\n" for text in _prompts(name))
        atomic_write_text(folder / "data" / name / "prompts.jsonl", "".join(lines))
        _write_task(name, folder)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: _pretrain(name, folder / "bases" / name), BASE_COMMANDS))


def _prompts(name: str) -> Iterable[str]:
    if name == "summary":
        return (d.text for d in dialogues(PROMPTS_SEED, PROMPTS[name], test=False))
    return (p.text for p in problems(PROMPTS_SEED, PROMPTS[name], test=False, salt=f"{name}-traffic"))


def _write_task(name: str, folder: Path) -> None:
    config = task_config(name, folder / "data")
    for metric in config["metric_list"]:  # pyright: ignore[reportGeneralTypeIssues]
        if callable(metric["metric"]):
            metric["metric"] = metric["metric"].__name__
    config["dataset_kwargs"] = {
        "data_files": {split: f"data/{name}/{split}.jsonl" for split in ("train", "test")}
    }
    atomic_write_text(folder / f"{name}.yaml", yaml.safe_dump(config, sort_keys=False))


def _pretrain(name: str, target: Path) -> None:
    if (target / "model.safetensors").exists():
        return
    command = [sys.executable, "-m", "muscle_llm.demo.pretrain", *TRAINING.split()]
    shared = ["--tokenizer", str(BASES / "old"), "--out", str(target)]
    subprocess.run([*command, *BASE_COMMANDS[name].split(), *shared], check=True)


if __name__ == "__main__":
    main()
