"""Reads damaged logs of every format and says what must never happen: an error that is not the package's
own, or a number that silently changed in a row that was left alone."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import random
import shutil
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from muscle_llm.errors import MuscleError
from muscle_llm.predictions import Predictions, read_predictions
from muscle_llm.predictions.describe import describe
from muscle_llm.predictions.readers.base import ReadOptions

__all__ = ["Failure", "Report", "fuzz", "load"]

_HERE = Path(__file__).parent


def load(name: str, path: Path) -> ModuleType:
    """Return the module in a file, imported once."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


MUTATIONS = load("log_mutations", _HERE / "mutations.py")
LOGS = load("written_logs", _HERE.parent / "predictions" / "readers" / "written_logs.py")


@dataclasses.dataclass(frozen=True)
class Failure:
    """One input that broke a promise."""

    format: str
    seed: str
    damage: str
    reason: str


@dataclasses.dataclass
class Report:
    """What came of all inputs."""

    outcomes: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    failures: list[Failure] = dataclasses.field(default_factory=list)

    @property
    def inputs(self) -> int:
        """Number of damaged inputs read."""
        return sum(self.outcomes.values())


OPTIONS: Sequence[ReadOptions] = (
    *(ReadOptions(),) * 6,
    ReadOptions(metric="acc"),
    ReadOptions(metric="exact_match"),
    ReadOptions(metric="x\ud800"),
    ReadOptions(filter="none"),
    ReadOptions(filter="strict-match"),
    ReadOptions(select="0"),
    ReadOptions(select="a"),
    ReadOptions(select="last"),
    ReadOptions(columns={"slice.region": "doc.region"}),
    ReadOptions(columns={"slice.s": "metadata", "cluster": "input.raw"}),
    ReadOptions(columns={"score.s": "score"}),
    ReadOptions(columns={"id": "id", "answer": "prediction", "reference": "reference"}),
    ReadOptions(columns={"id": "doc_id", "answer": "filtered_resps.0", "correct": "acc"}),
    ReadOptions(extract={"answer": "(.)"}),
)


def fuzz(count: int, seed: int = 0, *, inspect: bool = False, downstream: float = 0.1) -> Report:
    """Read ``count`` damaged logs, spread over all formats.

    Args:
        count: number of inputs.
        seed: makes the run repeatable; each input has a seed of its own, told in a `Failure`.
        inspect: also logs of Inspect (needs the package inspect-ai).
        downstream: share of the inputs that also go through `describe` and the comparison with the whole log.
    """
    report = Report()
    writers = {**LOGS.WRITERS, **(LOGS.INSPECT_WRITERS if inspect else {})}
    with tempfile.TemporaryDirectory() as folder:
        bases = {
            name: _Base(name, Path(folder) / f"base{n}", *w) for n, (name, w) in enumerate(writers.items())
        }
        names = list(bases)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for number in range(count):
                name = names[number % len(names)]
                _one(bases[name], f"{seed}:{name}:{number}", Path(folder) / "x", report, downstream)
    return report


class _Base:
    """A whole log: its files, and what is read from it."""

    def __init__(self, name: str, folder: Path, write: Callable[[Path], Path], select: str | None) -> None:
        self.name = name
        path = write(folder)
        self.path = path.relative_to(folder)
        self.select = select
        self.files = {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        self.predictions = read_predictions(path, select=select)
        self.verdicts = _verdicts(self.predictions)


def _verdicts(predictions: Predictions) -> dict[tuple[str, int], bool | None]:
    table = predictions.table
    if "correct" not in table.column_names:
        return {}
    keys = zip(table["id"].to_pylist(), table["repeat"].to_pylist(), strict=True)
    return dict(zip(keys, table["correct"].to_pylist(), strict=True))


def _one(base: _Base, seed: str, folder: Path, report: Report, downstream: float) -> None:
    rng = random.Random(seed)
    if folder.exists():
        shutil.rmtree(folder)
    target = (
        rng.choice([base.path] * 3 + list(base.files))
        if base.path in base.files
        else rng.choice(list(base.files))
    )
    damage = None
    for path, data in base.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path == target:
            data, damage = MUTATIONS.damaged(data, path.name, rng)
        place.write_bytes(data)
    options = rng.choice(OPTIONS)
    if base.select is not None and options.select is None:
        options = dataclasses.replace(options, select=base.select)
    plain = options == ReadOptions(select=base.select)
    try:
        outcome, wrong = _read(base, folder / base.path, options, plain, damage, rng.random() < downstream)
    except MuscleError as error:
        outcome, wrong = "refused", _bad_message(str(error), folder)
    except Exception:
        outcome, wrong = "crashed", traceback.format_exc(limit=-6)
    report.outcomes[base.name, outcome] += 1
    if wrong:
        report.failures.append(Failure(base.name, seed, str(damage), wrong))


def _bad_message(message: str, folder: Path) -> str | None:
    if not message.strip():
        return "the message is empty"
    if "Traceback" in message or len(message) > 3000:
        return f"a message no user can read: {message[:500]}"
    return None


def _read(
    base: _Base, path: Path, options: ReadOptions, plain: bool, damage: Any, downstream: bool
) -> tuple[str, str | None]:
    predictions = read_predictions(
        path,
        columns=options.columns,
        filter=options.filter,
        metric=options.metric,
        extract=options.extract,
        select=options.select,
    )
    wrong = _broken(predictions) or (_changed(base, predictions, damage) if plain else None)
    if wrong is None and downstream:
        describe(path, options).to_dict()
        _compare(base.predictions, predictions)
    return "read", wrong


def _compare(base: Predictions, other: Predictions) -> None:
    from muscle_llm.comparison import compare
    from muscle_llm.report.json import render_json

    try:
        result = compare(base, other, on_mismatch="intersect")
    except MuscleError:
        return
    render_json(result)


def _broken(predictions: Predictions) -> str | None:
    """Return which promise of a predictions table does not hold."""
    table = predictions.table
    keys = list(zip(table["id"].to_pylist(), table["repeat"].to_pylist(), strict=True))
    if not keys or len(set(keys)) < len(keys) or any(i is None or r is None for i, r in keys):
        return "ids are missing or occur twice"
    if "scores" in table.column_names:
        for row in table["scores"].to_pylist():
            if any(v is not None and not math.isfinite(v) for v in (row or {}).values()):
                return "a score is not finite"
    if "error" in table.column_names and "correct" in table.column_names:
        pairs = zip(table["error"].to_pylist(), table["correct"].to_pylist(), strict=True)
        if predictions.provenance.format != "table" and any(
            e is not None and c is not None for e, c in pairs
        ):
            return "a row with an error is judged right or wrong"
    return None


def _changed(base: _Base, predictions: Predictions, damage: Any) -> str | None:
    """Return which row that was left alone is judged otherwise than before."""
    if damage.row is None or predictions.provenance.metric != base.predictions.provenance.metric:
        return None
    verdicts: Mapping[tuple[str, int], bool | None] = _verdicts(predictions)
    if not verdicts:
        return None
    odd = [k for k, v in verdicts.items() if k in base.verdicts and base.verdicts[k] != v]
    if len(odd) > 1:
        return f"{len(odd)} rows are judged otherwise, though one was touched: {odd[:4]}"
    lost = len(base.verdicts) - len(verdicts)
    if lost > 0 and damage.key != "filter":
        return f"{lost} rows are gone without a word"
    return None
