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
from muscle_llm.predictions.convert import to_arrow, to_text, to_text_list, trim

__all__ = ["COLUMNS", "SCHEMA_VERSION", "Predictions", "Provenance"]

SCHEMA_VERSION = 1

# name -> (type, what it holds). `scores` and `slices` are structs whose fields differ from file to file.
COLUMNS: dict[str, tuple[pa.DataType | None, str]] = {
    "id": (pa.string(), "instance id, unique together with repeat; never null"),
    "repeat": (pa.int32(), "which of the K answers to this instance, from 0; never null"),
    "prompt": (pa.string(), "what the model was asked"),
    "answer": (pa.string(), "the answer's identity: chosen option, label, text; no outer white space"),
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
    "instance_hash": (pa.string(), "hash of the instance itself, however the prompt was made of it"),
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
        """Build from lists or Arrow arrays by column name.

        ``repeat`` defaults to 0, ids become strings, answers and choices lose their outer white space.

        Args:
            columns: name in `COLUMNS` -> one value per row; ``scores`` and ``slices`` are dicts.
            provenance: where they come from.

        Raises:
            InputError: ``id`` is missing, a column is unknown, too short, too long or of another kind.

        Example:
            >>> Predictions.from_columns({"id": [7, 8], "answer": ["A ", None]}).table.to_pylist()
            [{'id': '7', 'repeat': 0, 'answer': 'A'}, {'id': '8', 'repeat': 0, 'answer': None}]
        """
        if "id" not in columns:
            raise InputError(f"predictions need a column 'id'; there are {list(columns)}.")
        size = len(columns["id"])
        arrays: dict[str, Any] = {}
        for name, values in {"id": None, "repeat": [0] * size, **columns}.items():
            if len(values) != size:
                raise InputError(f"column {name!r} has {len(values)} values; 'id' has {size}.")
            arrays[name] = _column(name, values)
        return cls(pa.table(arrays), provenance or Provenance())

    def with_metadata(self) -> pa.Table:
        """Return the table with version and provenance in its schema's metadata, ready for Parquet."""
        document = {"version": SCHEMA_VERSION, "provenance": self.provenance.to_dict()}
        return self.table.replace_schema_metadata({"muscle_llm": json.dumps(document, sort_keys=True)})


def _column(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """Return the values of one column as Arrow, of its own type where they are not Arrow already."""
    given = isinstance(values, pa.Array | pa.ChunkedArray)
    if name == "id":
        return to_text(to_arrow(values))
    try:
        if given:
            array = values
        elif name in ("scores", "slices"):
            value = pa.float64() if name == "scores" else pa.string()
            names = list(dict.fromkeys(k for row in values for k in (row or {})))
            array = pa.array(values, pa.struct([(n, value) for n in names]))
        elif name in ("references", "choices"):  # Arrow would take a text for the list of its letters.
            array = to_text_list(to_arrow(values))
        else:
            array = pa.array(values, COLUMNS.get(name, (None, ""))[0])
    except (pa.ArrowException, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"column {name!r} cannot be used ({reason}).") from error
    trimmed = name in ("answer", "choices") and array.type == COLUMNS[name][0]
    return trim(array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array) if trimmed else array
