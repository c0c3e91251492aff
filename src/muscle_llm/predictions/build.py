"""Raw rows and a mapping become predictions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from muscle_llm.errors import InputError, clip
from muscle_llm.predictions import convert
from muscle_llm.predictions.arrow import pc
from muscle_llm.predictions.mapping import NTH, ROW, with_guesses
from muscle_llm.predictions.raw import Batch, RawRows
from muscle_llm.predictions.schema import COLUMNS, Predictions, Provenance
from muscle_llm.text import counted

__all__ = ["CASE_ONLY", "answers_match", "build", "build_guessed", "check_unique", "converted"]

_COLUMN = {"reference": "references"}


CASE_ONLY = "answers_right_but_for_case"  # in the provenance of graded answers


def build_guessed(
    open_rows: Callable[[], RawRows],
    named: Mapping[str, str],
    provenance: Callable[[Mapping[str, str]], Provenance],
    extract: Mapping[str, str] | None = None,
) -> Predictions:
    """Return the predictions that rows hold under the user's mapping, completed by obvious names.

    A stream of rows may show a column late, such as the first error after thousands of answers. Where the
    columns of all rows would have been guessed otherwise than those of the first, the rows are read again.

    Args:
        open_rows: returns the rows, from the start each time.
        named: role -> dotted path, from the user; see `muscle_llm.predictions.mapping.with_guesses`.
        provenance: returns where the rows come from, for the mapping used.
        extract: as for `build`.

    Raises:
        InputError: as for `build`.
    """
    raw = open_rows()
    roles = with_guesses(named, raw.columns())
    try:
        found = build(raw, roles, provenance(roles), extract)
    except InputError:
        again = with_guesses(named, raw.all_columns())
        if again == roles:
            raise
    else:
        again = with_guesses(named, raw.columns())
        if again == roles:
            return found
        del found  # The rows may fill half the memory.
    return build(open_rows(), again, provenance(again), extract)


def build(
    raw: RawRows,
    roles: Mapping[str, str],
    provenance: Provenance,
    extract: Mapping[str, str] | None = None,
) -> Predictions:
    r"""Return the predictions that ``raw`` holds under the given mapping.

    Where ``correct`` is not mapped but answer and reference are, an answer is right when it equals one of the
    references; no answer (null) without an error is wrong. Answers lose their outer white space, so that
    what is graded alike counts as the same answer; where one is extracted from a text, the text is kept as
    ``output`` unless another column is mapped to it.

    Args:
        raw: the rows of a file.
        roles: role -> dotted path, as `muscle_llm.predictions.mapping.parse_map` gives it.
        provenance: where the rows come from.
        extract: role (``answer`` or ``reference``) -> regular expression; its first group, in its last
            match, is the answer; no match is no answer. Commas and ``$`` are removed from what looks like a
            number.

    Raises:
        InputError: there is no id, a column is missing, a value has the wrong kind, an id occurs twice.
    """
    if not raw.columns():
        raise InputError(f"{raw.label}: holds no rows.")
    _check_extract(raw.label, roles, extract or {})
    if "id" not in roles:
        raise InputError(
            f"{raw.label}: no column is known to hold the instance id; name it with --map id=COLUMN "
            f"(id={ROW} numbers the rows). Columns: {', '.join(clip(c, 60) for c in raw.columns()[:20])}."
        )
    paths = list(dict.fromkeys(p for p in roles.values() if p not in (ROW, NTH)))
    parts = [_typed(raw, batch, roles, extract or {}) for batch in raw.batches(paths)]
    if not parts or not any(p.num_rows for p in parts):
        raise InputError(f"{raw.label}: holds no rows.")
    table = pa.concat_tables(parts)
    if roles.get("repeat") == NTH:
        table = table.set_column(table.column_names.index("repeat"), "repeat", _nth(table["id"]))
    if "correct" not in table.column_names and {"answer", "references"} <= set(table.column_names):
        correct = _graded(table)
        if (count := _case_only(table, correct)) > 0:
            provenance = dataclasses.replace(provenance, extra={**provenance.extra, CASE_ONLY: str(count)})
        table = table.append_column("correct", correct)
    predictions = Predictions(table, provenance)
    check_unique(predictions, raw.label, raw)
    return dataclasses.replace(predictions, unique=True)


def _check_extract(label: str, roles: Mapping[str, str], extract: Mapping[str, str]) -> None:
    for role in extract:
        if role not in ("answer", "reference"):
            raise InputError(f"{label}: --extract finds an answer or a reference in a text, no {role!r}.")
        if role not in roles:
            raise InputError(
                f"{label}: --extract needs a text to find the {role} in, and no column is known to hold one; "
                f"name it with --map {role}=COLUMN."
            )


def _typed(raw: RawRows, batch: Batch, roles: Mapping[str, str], extract: Mapping[str, str]) -> pa.Table:
    """Return one batch with the schema's columns and types."""
    columns = converted(raw, batch, roles, extract)
    missing = pc.index(pc.is_null(columns["id"]), pa.scalar(True)).as_py()
    if missing >= 0:
        raise InputError(f"{raw.where(batch.first + missing)}: the id ({roles['id']!r}) is missing.")
    if "repeat" not in columns:
        columns["repeat"] = pa.array(np.zeros(batch.size, np.int32))
    return pa.table({name: columns[name] for name in COLUMNS if name in columns})


def converted(
    raw: RawRows, batch: Batch, roles: Mapping[str, str], extract: Mapping[str, str]
) -> dict[str, Any]:
    """Return column of the schema -> its values in one batch, for the roles that are mapped.

    Raises:
        InputError: a value has the wrong kind; it names the row.
    """
    columns: dict[str, Any] = {}
    nested: dict[str, dict[str, pa.Array]] = {"scores": {}, "slices": {}}

    def where(row: int) -> str:
        return raw.where(batch.first + row)

    for role, path in roles.items():
        base, _, name = role.partition(".")
        array = _special(path, batch) if path in (ROW, NTH) else batch.columns[path]
        if base == "score":
            nested["scores"][convert.value_text(name) or ""] = convert.to_float(array, f"{path!r}", where)
        elif base == "slice":
            nested["slices"][convert.value_text(name) or ""] = convert.to_text(array)
        else:
            columns[_COLUMN.get(base, base)] = _column(base, array, path, where, extract)
            if base == "answer" and base in extract and "output" not in roles:
                columns["output"] = convert.to_text(array)
    for name, fields in nested.items():
        if fields:
            columns[name] = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    return columns


def _special(path: str, batch: Batch) -> pa.Array:
    rows = np.arange(batch.first, batch.first + batch.size) if path == ROW else np.zeros(batch.size, np.int64)
    return pa.array(rows)


def _column(
    base: str, array: pa.Array, path: str, where: convert.Where, extract: Mapping[str, str]
) -> pa.Array:
    if base == "correct":
        return convert.to_bool(array, f"{path!r}", where)
    if base == "repeat":
        return convert.to_int(array, f"{path!r}", where)
    if base == "choice_scores":
        return convert.to_float_list(array, f"{path!r}", where)
    if base == "choices":
        return convert.trim(convert.to_text_list(array))
    if base == "reference":
        lists = convert.to_text_list(array)
        return _map_values(lists, extract[base]) if base in extract else lists
    if base == "error":
        return convert.to_error(array)
    text = convert.to_text(array)
    if base in extract:
        text = _extracted(text, extract[base])
    return convert.trim(text) if base == "answer" else text


def _extracted(text: pa.Array, pattern: str) -> pa.Array:
    """Return the first group of the last match of ``pattern`` in each text; null where there is none."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"the extraction pattern {pattern!r} cannot be used: {error}.") from error

    def last(value: str | None) -> str | None:
        found = None
        for match in compiled.finditer(value or ""):
            found = match.group(1 if compiled.groups else 0)
        return found

    found = pa.array([last(v) for v in text.to_pylist()], pa.string())
    number = pc.match_substring_regex(found, r"^\s*[-+]?\$?[\d,]*\.?\d+\s*$")
    plain = pc.replace_substring_regex(found, r"[,$\s]", "")
    plain = pc.replace_substring_regex(plain, r"\.0+$", "")
    return pc.if_else(pc.fill_null(number, False), plain, found)


def _map_values(lists: pa.Array, pattern: str) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, _extracted(lists.flatten(), pattern))


def answers_match(answer: pa.ChunkedArray, references: pa.ChunkedArray) -> np.ndarray:
    """Return per row whether the answer equals one of the references, both without outer white space.

    Example:
        >>> answers_match(pa.chunked_array([["a ", None]]), pa.chunked_array([[["b", "a"], ["a"]]])).tolist()
        [True, False]
    """
    size = len(answer)
    right = np.zeros(size, bool)
    start = 0
    for chunk in references.chunks:
        rows = pc.list_parent_indices(chunk)
        given = pc.utf8_trim_whitespace(answer.slice(start, len(chunk)).combine_chunks().take(rows))
        same = pc.fill_null(pc.equal(given, pc.utf8_trim_whitespace(chunk.flatten())), False)
        hits = rows.to_numpy(zero_copy_only=False)[same.to_numpy(zero_copy_only=False)]
        right[start + hits] = True
        start += len(chunk)
    return right


def _graded(table: pa.Table) -> pa.Array:
    right = answers_match(table["answer"], table["references"])
    # Without a reference there is no right or wrong; an error is not a wrong answer.
    ungraded = table["references"].is_null().to_numpy()
    if "error" in table.column_names:
        ungraded = ungraded | table["error"].is_valid().to_numpy()
    return pa.array(right, mask=ungraded)


def _case_only(table: pa.Table, correct: pa.Array) -> int:
    """Return how many wrong answers differ from a reference in upper and lower case only."""
    wrong = table.filter(pc.invert(pc.fill_null(correct, True)))
    lists = wrong["references"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    lowered = pa.ListArray.from_arrays(offsets, pc.utf8_lower(lists.flatten()))
    return int(answers_match(pc.utf8_lower(wrong["answer"]), pa.chunked_array([lowered])).sum())


def _nth(ids: pa.ChunkedArray) -> pa.Array:
    """Return how manyth row of its id each row is, from 0."""
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    within = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    nth = np.empty(len(codes), np.int32)
    nth[order] = within
    return pa.array(nth)


def check_unique(predictions: Predictions, label: str, raw: RawRows | None = None) -> None:
    """Check that no (id, repeat) occurs twice and that no id is missing.

    Raises:
        InputError: one does; the message says which, how often, in which rows, and what to do.
    """
    if predictions.unique:
        return
    table = predictions.table
    if table["id"].null_count:
        raise InputError(f"{label}: {counted(table['id'].null_count, 'row has', 'rows have')} no id.")
    single = pc.max(table["repeat"]).as_py() in (0, None)
    key = ["id"] if single else ["id", "repeat"]
    if single and len(pc.unique(table["id"])) == table.num_rows:
        return
    counts = table.select(key).group_by(key).aggregate([([], "count_all")])
    double = counts.filter(pc.greater(counts["count_all"], 1))
    if not double.num_rows:
        return
    worst = double.slice(0, 1).to_pylist()[0]
    mask = pc.equal(table["id"], worst["id"])
    if not single:
        mask = pc.and_(mask, pc.equal(table["repeat"], worst["repeat"]))
    rows = np.flatnonzero(mask.to_numpy())[:3]
    places = ", ".join(raw.where(int(r)).removeprefix(f"{label}, ") for r in rows) if raw else ""
    ids = counted(double.num_rows, "id occurs", "ids occur")
    raise InputError(
        f"{label}: {ids} more than once; {worst['id'][:80]!r} occurs "
        f"{worst['count_all']} times{f' ({places})' if places else ''}. If these are repeated answers to one "
        f"question, say so with --map repeat=COLUMN or repeat={NTH}; if a table holds several models, take "
        "one with --select COLUMN=VALUE; else remove the duplicates."
    )
