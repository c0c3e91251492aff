"""The one table that every log becomes: an Arrow schema, and the frozen object that carries it.

One row per (instance, repeat). Columns that a log does not tell are null; a metric that needs them says so.
``scores`` and ``slices`` are struct columns: their field names are the names of the scores and slices, so
that they stay columnar (a filter on one slice never touches the others).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from muscle_llm.errors import InputError

__all__ = ["COLUMNS", "SCHEMA_VERSION", "Predictions", "Provenance"]

SCHEMA_VERSION = 1

# name -> (type, what it holds). `scores` and `slices` are structs whose fields differ from file to file.
COLUMNS: dict[str, tuple[pa.DataType | None, str]] = {
    "id": (pa.string(), "instance id, unique together with repeat; never null"),
    "repeat": (pa.int32(), "which of the K answers to this instance, from 0; never null"),
    "prompt": (pa.string(), "what the model was asked"),
    "answer": (pa.string(), "the answer's identity: chosen option, label, extracted or whole text"),
    "output": (pa.string(), "the whole text the model wrote, where it is more than the answer"),
    "references": (pa.list_(pa.string()), "acceptable answers"),
    "choices": (pa.list_(pa.string()), "the options of a multiple-choice instance, in order"),
    "choice_scores": (pa.list_(pa.float64()), "log-likelihood (nats) of each choice, in order"),
    "correct": (pa.bool_(), "whether the answer counts as right"),
    "scores": (None, "struct of float64, higher is better: one field per score"),
    "slices": (None, "struct of string: one field per way to slice"),
    "cluster": (pa.string(), "instances that share a passage or a user: not independent"),
    "prompt_hash": (pa.string(), "hash of the prompt as the log gives it"),
    "reference_hash": (pa.string(), "hash of the reference as the log gives it"),
    "error": (pa.string(), "why there is no answer; an error is not a wrong answer"),
    "finish_reason": (pa.string(), "stop, length (truncated), or what the engine said"),
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where predictions come from: what must match before two of them are compared, and what is shown.

    Attributes:
        model: the name users know the version by.
        task: task name.
        format: reader that produced the table, such as ``"lm-eval"``.
        metric: what decides ``correct``, such as ``"acc"``.
        filter: the harness's answer filter, such as ``"strict-match"``.
        num_fewshot: examples in the prompt.
        chat_template: hash or name of the chat template; ``""`` for none.
        seed: seed of sampling or of training, where it is known.
        harness_version: version of the harness that asked.
        sources: file name -> SHA-256 of its bytes.
        extra: anything else worth showing, as strings.
    """

    model: str | None = None
    task: str | None = None
    format: str | None = None
    metric: str | None = None
    filter: str | None = None
    num_fewshot: int | None = None
    chat_template: str | None = None
    seed: int | None = None
    harness_version: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the known fields as plain JSON types."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v not in (None, {})}


@dataclass(frozen=True, slots=True)
class Predictions:
    """One model's answers on one task.

    Attributes:
        table: Arrow table with the columns of `COLUMNS`; `id` and `repeat` always, together unique.
        provenance: where it comes from.
        unique: whether (id, repeat) has been found unique already; of ten million rows that takes seconds.

    Raises:
        InputError: a column is unknown or has another type, or ``id`` / ``repeat`` is missing.

    Example:
        >>> p = Predictions.from_columns({"id": ["a", "b"], "correct": [True, False]})
        >>> len(p), p.table.column_names
        (2, ['id', 'repeat', 'correct'])
    """

    table: pa.Table
    provenance: Provenance = field(default_factory=Provenance)
    unique: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("id", "repeat"):
            if name not in self.table.column_names:
                raise InputError(f"predictions need a column '{name}'; there are {self.table.column_names}.")
        for column in self.table.schema:
            if column.name not in COLUMNS:
                raise InputError(f"unknown predictions column '{column.name}'; known: {list(COLUMNS)}.")
            kind = COLUMNS[column.name][0]
            if kind is None:
                value = pa.float64() if column.name == "scores" else pa.string()
                good = pa.types.is_struct(column.type) and all(f.type == value for f in column.type)
                if not good:
                    raise InputError(
                        f"column '{column.name}' must be a struct of {value}, not {column.type}."
                    )
            elif column.type != kind:
                raise InputError(f"column '{column.name}' must be {kind}, not {column.type}.")

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the scores, in the file's order."""
        return self._fields("scores")

    @property
    def slice_names(self) -> tuple[str, ...]:
        """Names of the slices, in the file's order."""
        return self._fields("slices")

    def _fields(self, column: str) -> tuple[str, ...]:
        if column not in self.table.column_names:
            return ()
        return tuple(f.name for f in self.table.schema.field(column).type)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any], provenance: Provenance | None = None) -> Predictions:
        """Build from lists or Arrow arrays by column name; ``repeat`` defaults to 0, ids become strings."""
        arrays: dict[str, Any] = {}
        size = len(columns["id"]) if "id" in columns else 0
        for name, values in {"id": columns.get("id", []), "repeat": None, **columns}.items():
            kind = COLUMNS.get(name, (None, ""))[0]
            if name == "repeat" and values is None:
                arrays[name] = pa.array([0] * size, pa.int32())
            elif isinstance(values, pa.Array | pa.ChunkedArray):
                arrays[name] = values
            elif name in ("scores", "slices"):
                value = pa.float64() if name == "scores" else pa.string()
                names = list(dict.fromkeys(k for row in values for k in (row or {})))
                arrays[name] = pa.array(values, pa.struct([(n, value) for n in names]))
            else:
                arrays[name] = pa.array(values, kind)
        return cls(pa.table(arrays), provenance or Provenance())

    def with_metadata(self) -> pa.Table:
        """Return the table with version and provenance in its schema's metadata, ready for Parquet."""
        document = {"version": SCHEMA_VERSION, "provenance": self.provenance.to_dict()}
        return self.table.replace_schema_metadata({"muscle_llm": json.dumps(document, sort_keys=True)})
