"""What a study found, instance by instance, in one Parquet file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from muscle_llm.errors import InputError, RunError
from muscle_llm.files import atomic_path
from muscle_llm.study.grid import cell_plan
from muscle_llm.study.settings import StudySettings
from muscle_llm.update.stages import RunFolder
from muscle_llm.update.task_plan import TaskPlan, versions_of

__all__ = ["Outcomes", "collect", "read_outcomes", "write_results"]

_ABOUT = b"muscle-llm/study"

Table = npt.NDArray[Any]


@dataclass(frozen=True)
class Outcomes:
    """One update on one task: every version's outcome for each seed and instance.

    Args:
        update: its name.
        task: its label.
        seeds: S of them.
        versions: names, in the order of the study.
        values_VSN: 1 / 0 for right / wrong, or the score, per version, seed and instance.
        answers_VSN: a number per different answer to the instance; None for scores.
        validation_N: which instances a remedy is chosen on.
        is_score: whether values are scores.
        roles_V: ``old``, ``new``, ``noise_floor``, ``control`` or the remedy's kind.
        seconds_VS, steps_VS, tokens_VS: cost of the training, NaN where nothing was trained.
    """

    update: str
    task: str
    seeds: tuple[int, ...]
    versions: tuple[str, ...]
    values_VSN: Table
    answers_VSN: Table | None
    validation_N: Table
    is_score: bool
    roles_V: tuple[str, ...]
    seconds_VS: Table
    steps_VS: Table
    tokens_VS: Table


def collect(settings: StudySettings, root: Path) -> pa.Table:
    """Return one row per (update, task, seed, version) of the finished cells.

    Columns: ``update``, ``task``, ``seed``, ``version``, ``role``, ``seconds``, ``steps``, ``tokens`` (of the
    training), and per instance the lists ``value`` (1 / 0, or the score) and ``answer``.

    Raises:
        InputError: no cell is finished.
    """
    rows: list[dict[str, Any]] = []
    codes: dict[str, list[dict[str, int]]] = {}
    instances: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    seconds: dict[str, float] = {}  # by fingerprint: what cells share counts once
    environment: dict[str, str] = {}
    for cell in settings.cells():
        folder, plan = cell_plan(settings, cell, root)
        stages = folder.manifest["stages"]
        versions = versions_of(plan.update, plan.settings)
        if not _finished(folder, plan):
            continue
        seconds |= {stage["fingerprint"]: stage["seconds"] for stage in stages.values()}
        environment = folder.manifest.get("environment", environment)
        remedies = {remedy.name: remedy.kind for remedy in plan.remedies}
        for version in versions:
            table = pq.read_table(plan.path(plan.predictions(version)))
            ids = table["id"].to_pylist()
            if instances.setdefault(cell.task, ids) != ids:
                raise InputError(f"{cell}: '{version}' was asked other instances than the cells before.")
            is_score = "correct" not in table.column_names
            kinds[cell.task] = "score" if is_score else "right"
            rows.append(
                {
                    "update": cell.update,
                    "task": cell.task,
                    "seed": cell.seed,
                    "version": version,
                    "role": remedies.get(version, version),
                    "seconds": stages.get(f"{cell.task}/train/{version}", {}).get("seconds"),
                    **_cost(plan.path(plan.adapter(version)) / "training.json"),
                    "value": _values(table, is_score),
                    "answer": None
                    if is_score
                    else _answers(
                        table["answer"].to_pylist(), codes.setdefault(cell.task, [{} for _ in ids])
                    ),
                }
            )
    if not rows:
        raise InputError(f"{root}: no cell of the study is finished yet. Run it without --collect.")
    about = {
        "title": settings.title,
        "about": settings.about,
        "instances": instances,
        "kinds": kinds,
        "validation_share": settings.validation_share,
        "updates": {name: update.about for name, update in settings.updates.items()},
        "remedies": {remedy.name: remedy.settings() for remedy in settings.remedies},
        "seconds": sum(seconds.values()),
        "environment": environment,
    }
    return pa.Table.from_pylist(rows, _SCHEMA).replace_schema_metadata({_ABOUT: json.dumps(about)})


def _finished(folder: RunFolder, plan: TaskPlan) -> bool:
    """Tell whether every stage of a cell was done with these very settings."""
    try:
        return all(folder.finished(stage, folder.fingerprint(stage)) for stage in plan.version_stages())
    except RunError:  # an input is missing
        return False


_SCHEMA = pa.schema(
    [
        ("update", pa.string()),
        ("task", pa.string()),
        ("seed", pa.int32()),
        ("version", pa.string()),
        ("role", pa.string()),
        ("seconds", pa.float32()),
        ("steps", pa.int32()),
        ("tokens", pa.int64()),
        ("value", pa.list_(pa.float32())),
        ("answer", pa.list_(pa.int16())),
    ]
)


def write_results(table: pa.Table, path: Path) -> None:
    """Write what :func:`collect` found."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=19)


def read_outcomes(path: Path) -> list[Outcomes]:
    """Read a study's results: one entry per update and task, with the seeds that all its versions have.

    Raises:
        InputError: the file is not a study's.
    """
    try:
        table = pq.read_table(path)
        about = json.loads(table.schema.metadata[_ABOUT])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
        raise InputError(f"{path} does not hold a study's results ({error}).") from error
    return list(_outcomes(table.to_pylist(), about))


def about_of(path: Path) -> Mapping[str, Any]:
    """Return what a results file says of its study: updates, remedies, instances."""
    return json.loads(pq.read_schema(path).metadata[_ABOUT])


def _outcomes(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> Iterator[Outcomes]:
    groups: dict[tuple[str, str], dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        found = groups.setdefault((row["update"], row["task"]), {})
        found.setdefault(row["version"], {})[row["seed"]] = row
    for (update, task), versions in groups.items():
        seeds = sorted(set.intersection(*(set(by_seed) for by_seed in versions.values())))
        is_score = about["kinds"][task] == "score"

        def gathered(column: str, kind: Any, versions: Any = versions, seeds: Any = seeds) -> Table:
            return np.array(
                [[by_seed[s][column] for s in seeds] for by_seed in versions.values()], dtype=kind
            )

        yield Outcomes(
            update=update,
            task=task,
            seeds=tuple(seeds),
            versions=tuple(versions),
            values_VSN=gathered("value", float),
            answers_VSN=None if is_score else gathered("answer", int),
            validation_N=_in_validation(about["instances"][task], about["validation_share"]),
            is_score=is_score,
            roles_V=tuple(next(iter(by_seed.values()))["role"] for by_seed in versions.values()),
            seconds_VS=gathered("seconds", float),
            steps_VS=gathered("steps", float),
            tokens_VS=gathered("tokens", float),
        )


def _in_validation(ids: Sequence[str], share: float) -> Table:
    """Tell which instances belong to the validation part, by their ids alone.

    Example:
        >>> bool(_in_validation(["1"], 0.0)[0])
        False
    """
    places = [int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big") / 2**32 for id in ids]
    return np.array([place < share for place in places])


def _values(table: pa.Table, is_score: bool) -> list[float]:
    if is_score:
        name = table.schema.field("scores").type.field(0).name
        return [row[name] for row in table["scores"].to_pylist()]
    return [float(value) for value in table["correct"].to_pylist()]


def _answers(answers: Sequence[str | None], codes: list[dict[str, int]]) -> list[int]:
    """Number each instance's different answers in the order they are met; no answer is -1."""
    return [
        -1 if answer is None else known.setdefault(answer, len(known))
        for answer, known in zip(answers, codes, strict=True)
    ]


def _cost(record: Path) -> dict[str, Any]:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    return {"steps": found.get("steps"), "tokens": found.get("tokens")}
