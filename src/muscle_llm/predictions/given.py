"""Predictions that are read already, under further options: each is used or refused."""

from __future__ import annotations

import dataclasses

import pyarrow as pa

from muscle_llm.errors import InputError
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.build import converted
from muscle_llm.predictions.mapping import only_adds
from muscle_llm.predictions.raw import ArrowRows
from muscle_llm.predictions.readers.base import ReadOptions
from muscle_llm.predictions.readers.rows import not_addable
from muscle_llm.predictions.schema import COLUMNS, Predictions

__all__ = ["with_options"]


def with_options(predictions: Predictions, options: ReadOptions, label: str) -> Predictions:
    """Return predictions with the columns that ``--map`` adds, such as a slice made of another column.

    What decides right or wrong is settled: ``metric`` and ``filter`` may only say what it is.

    Args:
        predictions: the predictions.
        options: what the user says; ``extract`` and ``select`` are not looked at.
        label: how messages name them.

    Raises:
        InputError: there is no such column, a role cannot be added, or metric or filter is another one.

    Example:
        >>> p = Predictions.from_columns({"id": ["a", "b"], "finish_reason": ["stop", "length"]})
        >>> with_options(p, ReadOptions({"slice.end": "finish_reason"}), "p").table["slices"].to_pylist()
        [{'end': 'stop'}, {'end': 'length'}]
    """
    for option, known in (
        ("metric", predictions.provenance.metric),
        ("filter", predictions.provenance.filter),
    ):
        wanted = getattr(options, option)
        if option == "filter" and options.filter_where_several:
            continue
        if wanted is not None and wanted != known:
            settled = f"by the {option} {known!r}" if known else f"without a {option}"
            raise InputError(
                f"{label}: --{option} {wanted}: these predictions were made {settled}, and keep no other. "
                f"Leave --{option} out, or read the log they come from."
            )
    for role in options.columns:
        if not only_adds([role]):
            raise not_addable(label, role)
    if not options.columns or not len(predictions):
        return predictions
    return dataclasses.replace(predictions, table=_with_columns(predictions.table, options, label))


def _with_columns(table: pa.Table, options: ReadOptions, label: str) -> pa.Table:
    raw = ArrowRows.of_table(table, label)
    paths = list(dict.fromkeys(options.columns.values()))
    added = pa.concat_tables(
        [pa.table(converted(raw, batch, options.columns, {})) for batch in raw.batches(paths)]
    )
    columns = {name: table[name] for name in table.column_names}
    for name in added.column_names:
        both = name in ("scores", "slices") and name in columns
        columns[name] = _merged(columns[name], added[name]) if both else added[name]
    return pa.table({name: columns[name] for name in COLUMNS if name in columns})


def _merged(old: pa.ChunkedArray, new: pa.ChunkedArray) -> pa.StructArray:
    """Return a struct with the fields of both; those of ``new`` win."""
    fields = {}
    for column in (old.combine_chunks(), new.combine_chunks()):
        fields.update({f.name: pc.struct_field(column, [i]) for i, f in enumerate(column.type)})
    return pa.StructArray.from_arrays(list(fields.values()), list(fields))
