"""An invented study: 4 updates, 3 tasks, 5 seeds, with a known order of the versions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import pyarrow as pa

from muscle_llm.study.results import _ABOUT, _SCHEMA, Outcomes, write_results

UPDATES, TASKS, SEEDS = ("size", "data", "recipe", "seed"), ("choice", "exact", "summary"), (1, 2, 3, 4, 5)
N = {"choice": 240, "exact": 200, "summary": 160}
# How alike a version's latent is to the old one's, how much better it is, its role, steps.
VERSIONS = {
    "old": (1.0, 0.0, "old", 100),
    "new": (0.4, 0.1, "new", 100),
    "old_rerun": (0.95, 0.0, "old_rerun", 100),
    "continued": (0.45, 0.25, "continued", 100),
    "keep": (0.82, 0.15, "distillation", 100),
    "muscle": (0.6, 0.05, "distillation", 100),
    "keep_replay": (0.85, 0.1, "distillation", 150),
    "half": (0.65, 0.12, "dial", None),
    "both": (0.92, 0.1, "ensemble", None),
    "rerank": (0.8, 0.08, "rerank", None),
}
REMEDIES = {
    "keep": {"kind": "distillation", "mask": "old_unless_new_right", "temperature": 1.0, "ce_weight": 0.3},
    "muscle": {"kind": "distillation", "mask": "student_wrong", "temperature": 2.0, "ce_weight": 0.0},
    "keep_replay": {
        "kind": "distillation",
        "mask": "old_unless_new_right",
        "temperature": 1.0,
        "replay": 400,
    },
    "half": {"kind": "dial", "of": "keep", "share": 0.5},
    "both": {"kind": "ensemble", "share": 0.5},
    "rerank": {"kind": "rerank", "candidates": 8},
}


def _write_study(path: Path, rows: list[dict], instances: dict[str, int], *, share=0.25, **about) -> Path:
    """Write rows as a study's results; what they leave out is as where nothing was trained."""
    written = {
        "instances": {task: [f"{task}:{i}" for i in range(n)] for task, n in instances.items()},
        "kinds": {r["task"]: "score" if r.get("answer") is None else "right" for r in rows},
        "validation_share": share,
        "updates": {},
        "remedies": {},
    }
    table = pa.Table.from_pylist(rows, _SCHEMA)
    write_results(table.replace_schema_metadata({_ABOUT: json.dumps({**written, **about})}), path)
    return path


def _invented_rows(seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for task in TASKS:
        hardness = rng.normal(size=N[task])
        for s in SEEDS:
            old = 0.5 * hardness + 0.87 * rng.normal(size=N[task])
            for u, update in enumerate(UPDATES):
                for version, (alike, better, role, steps) in VERSIONS.items():
                    if version == "rerank" and task == "choice":
                        continue
                    own = 0.5 * hardness + 0.87 * rng.normal(size=N[task])
                    shift = better * (0.5 + 0.3 * u) + (0.05 * rng.normal() if version != "old" else 0)
                    latent = alike * old + np.sqrt(1 - alike**2) * own + shift
                    value = np.round(2 / (1 + np.exp(-latent))) / 2 if task == "summary" else latent > 0
                    other = rng.integers(1, 4, N[task])
                    kept = np.where(rng.random(N[task]) < alike, 1, other)
                    rows.append(
                        {
                            "update": update,
                            "task": task,
                            "seed": s,
                            "version": version,
                            "role": role,
                            "steps": steps,
                            "tokens": None if steps is None else 1000 * steps,
                            "seconds": 0.5 if steps is None else float(steps),
                            "value": value.astype(float).tolist(),
                            "answer": None if task == "summary" else np.where(value, 0, kept).tolist(),
                        }
                    )
    return rows


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """The invented study's results."""
    return _write_study(
        tmp_path_factory.mktemp("study") / "results.parquet",
        _invented_rows(),
        N,
        updates={"size": "a larger base", "data": "more | data"},
        remedies={name: {"name": name, **settings} for name, settings in REMEDIES.items()},
    )


def _outcomes_of(values, answers=None, *, names=None, roles=None, validation=None, task="t") -> Outcomes:
    """Outcomes from an array (V, S, N) alone."""
    values = np.asarray(values, dtype=float)
    versions = tuple(names or ("old", "new", "old_rerun", "continued", "keep")[: len(values)])
    cost = np.full(values.shape[:2], np.nan)
    return Outcomes(
        update="u",
        task=task,
        seeds=tuple(range(values.shape[1])),
        versions=versions,
        values_VSN=values,
        answers_VSN=None if answers is None else np.asarray(answers),
        validation_N=np.zeros(values.shape[2], dtype=bool) if validation is None else np.asarray(validation),
        is_score=answers is None,
        roles_V=tuple(roles or versions),
        seconds_VS=cost,
        steps_VS=cost,
        tokens_VS=cost,
    )


@pytest.fixture(scope="session")
def outcomes_of():
    """Make outcomes from an array alone."""
    return _outcomes_of


@pytest.fixture(scope="session")
def write_study():
    """Write rows as a study's results."""
    return _write_study
