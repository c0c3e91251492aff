"""Values of any log as the schema's types, a whole column at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from muscle_llm.errors import InputError, clip
from muscle_llm.predictions.arrow import pc

__all__ = [
    "to_arrow",
    "to_bool",
    "to_error",
    "to_float",
    "to_float_list",
    "to_int",
    "to_text",
    "to_text_list",
    "trim",
    "value_text",
]

Where = Callable[[int], str]

_TRUE = ("true", "1", "1.0", "yes", "y", "t", "correct", "right", "pass", "passed", "c")
_FALSE = ("false", "0", "0.0", "no", "n", "f", "incorrect", "wrong", "fail", "failed", "i")
_MISSING = ("", "nan", "na", "n/a", "<na>", "none", "null")
_NO_ERROR = (*_MISSING, "false", "no", "0", "0.0", "[]", "{}")
_EXACT = 2.0**53


def to_arrow(values: Any) -> pa.Array:
    """Return values of any kind as one Arrow array; where kinds are mixed, as text.

    Example:
        >>> to_arrow([1, 2.5, None]).type, to_arrow([1, "a"]).to_pylist()
        (DataType(double), ['1', 'a'])
    """
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    try:
        if _truth_and_numbers(values):  # Arrow would make false the number 0 among numbers.
            raise TypeError
        return pa.array(values)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError, ValueError):
        if any(isinstance(v, list) and not _of_objects(v) for v in values):
            lists = [v if isinstance(v, list) or v is None else [v] for v in values]
            return pa.array([v and [value_text(x) for x in v] for v in lists], pa.list_(pa.string()))
        return pa.array([value_text(v) for v in values], pa.string())


def _truth_and_numbers(values: Any) -> bool:
    kinds = {type(v) for v in values}
    if list in kinds:
        kinds.update(type(x) for v in values if isinstance(v, list) for x in v)
    return bool in kinds and not kinds.isdisjoint((int, float))


def _of_objects(values: list[Any]) -> bool:
    return any(isinstance(v, dict) for v in values)


def value_text(value: Any) -> str | None:
    """Return one value as text by the rules of `to_text`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return to_text(pa.array([value]))[0].as_py()
    if isinstance(value, list) and not _of_objects(value):
        texts = [value_text(v) for v in value]
        return texts[0] if len(texts) == 1 else json.dumps(texts)
    return json.dumps(value, ensure_ascii=True, sort_keys=True, default=str)


def to_text(array: pa.Array) -> pa.Array:
    """Return any array as text: whole numbers without a point, NaN as null, nested values as JSON.

    A list with one element counts as that element. So ``3``, ``3.0`` and ``"3"`` are the same answer.

    Example:
        >>> to_text(pa.array([1.0, 2.5, float("nan")])).to_pylist()
        ['1', '2.5', None]
        >>> to_text(pa.array([["x"], ["x", "y"]])).to_pylist()
        ['x', '["x", "y"]']
    """
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_dictionary(kind):
        return to_text(array.dictionary_decode())
    if pa.types.is_floating(kind):
        array = array.cast(pa.float64())
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
        text = array.cast(pa.string())
        whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), _EXACT))
        integers = pc.if_else(whole, array, 0.0).cast(pa.int64(), safe=False).cast(pa.string())
        return pc.if_else(whole, integers, text)
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_nested(kind):
        return pa.array([value_text(v) for v in array.to_pylist()], pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array(
            [None if v is None else v.decode("utf-8", "backslashreplace") for v in array.to_pylist()]
        )
    return array.cast(pa.string())


def to_text_list(array: pa.Array) -> pa.Array:
    """Return a list of texts per row: a list as it is, anything else as a list of one.

    Example:
        >>> to_text_list(pa.array(["a", None])).to_pylist(), to_text_list(pa.array([[1, 2]])).to_pylist()
        ([['a'], None], [['1', '2']])
    """
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        array = array.cast(pa.list_(kind.value_type)) if not pa.types.is_list(kind) else array
        values = to_text(array.flatten())
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        return _lists(values, lengths, array.is_valid())
    if pa.types.is_struct(kind):
        return pa.array([_options(v) for v in array.to_pylist()], pa.list_(pa.string()))
    values = to_text(array)
    valid = values.is_valid()
    return _lists(values.drop_null(), valid.to_numpy(zero_copy_only=False).astype(np.int64), valid)


def trim(array: pa.Array) -> pa.Array:
    """Return texts, or lists of texts, without outer white space.

    Example:
        >>> trim(pa.array([" a b\\n", None])).to_pylist(), trim(pa.array([["a ", None], None])).to_pylist()
        (['a b', None], [['a', None], None])
    """
    if pa.types.is_null(array.type):
        return array
    if not pa.types.is_list(array.type):
        return pc.utf8_trim_whitespace(array)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return _lists(trim(array.flatten()), lengths, array.is_valid())


def _lists(values: pa.Array, lengths: np.ndarray, valid: pa.Array) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = pc.invert(valid) if pc.any(pc.invert(valid)).as_py() else None
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)


def _options(value: dict[str, Any] | None) -> list[str | None] | None:
    """Return the texts of ``{"text": [...], "label": [...]}`` or of ``{"A": "...", "B": "..."}``."""
    if value is None:
        return None
    inner = value.get("text", value.get("choices"))
    return [value_text(v) for v in (inner if isinstance(inner, list) else value.values())]


def to_float(array: pa.Array, what: str, where: Where) -> pa.Array:
    """Return an array as float64: numbers, booleans (0 and 1) and numbers written as text; NaN is null, as
    are the words tables write for it (NA, N/A, null, None).

    Raises:
        InputError: a value is not a number, or is infinite; it names the row.

    Example:
        >>> to_float(pa.array(["0.5", "", None]), "score", str).to_pylist()
        [0.5, None, None]
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_boolean(array.type):
        numbers = array.cast(pa.int8()).cast(pa.float64())
    elif pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        numbers = array.cast(pa.float64(), safe=False)
    elif pa.types.is_null(array.type):
        numbers = pa.nulls(len(array), pa.float64())
    else:
        text = pc.utf8_trim_whitespace(to_text(array))
        text = _without_missing(text)
        text = pc.if_else(pc.equal(text, "true"), "1", pc.if_else(pc.equal(text, "false"), "0", text))
        try:
            numbers = text.cast(pa.float64())
        except pa.ArrowInvalid as error:
            row, value = next(
                (i, v) for i, v in enumerate(text.to_pylist()) if v is not None and not _number(v)
            )
            raise InputError(f"{where(row)}: {what} is {clip(value)!r}, which is not a number.") from error
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    row = _first(pc.is_inf(numbers))
    if row is not None:
        raise InputError(f"{where(row)}: {what} is infinite; leave it out (null) or give an error.")
    return numbers


def _without_missing(text: pa.Array) -> pa.Array:
    """Return null in place of what tables write where a value is missing."""
    missing = pc.is_in(pc.utf8_lower(text), pa.array(_MISSING))
    return pc.if_else(missing, pa.scalar(None, pa.string()), text)


def to_error(array: pa.Array) -> pa.Array:
    """Return an array as what went wrong, null where nothing did: no text, NaN, false, no, 0, none, nothing.

    Example:
        >>> to_error(pa.array(["timeout", "False", " nan", "0", ""])).to_pylist()
        ['timeout', None, None, None, None]
    """
    text = to_text(array)
    nothing = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), pa.array(_NO_ERROR))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), text)


def _number(text: str) -> bool:
    try:
        pa.array([text]).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def to_bool(array: pa.Array, what: str, where: Where) -> pa.Array:
    """Return an array as booleans: true/false, 1/0, yes/no, correct/incorrect, C/I in any case.

    Raises:
        InputError: a value is none of these, such as a share; it names the row.

    Example:
        >>> to_bool(pa.array([1.0, 0.0, None]), "correct", str).to_pylist()
        [True, False, None]
        >>> to_bool(pa.array(["Yes", "wrong", ""]), "correct", str).to_pylist()
        [True, False, None]
    """
    if pa.types.is_boolean(array.type):
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), pa.bool_())
    text = pc.utf8_lower(pc.utf8_trim_whitespace(to_text(array)))
    text = _without_missing(text)
    right = pc.is_in(text, pa.array(_TRUE))
    known = pc.or_(right, pc.is_in(text, pa.array(_FALSE)))
    row = _first(pc.and_(pc.is_valid(text), pc.invert(known)))
    if row is not None:
        raise InputError(
            f"{where(row)}: {what} is {clip(text[row].as_py())!r}; it must be true/false or 1/0. "
            "A share between 0 and 1 is a score: map it with score=."
        )
    return pc.if_else(pc.is_valid(text), right, pa.scalar(None, pa.bool_()))


def to_int(array: pa.Array, what: str, where: Where) -> pa.Array:
    """Return an array as int32 (whole numbers, or text that holds them).

    Raises:
        InputError: a value is null, not whole, or out of range; it names the row.

    Example:
        >>> to_int(pa.array(["0", "1"]), "repeat", str).to_pylist()
        [0, 1]
    """
    numbers = to_float(array, what, where)
    bad = pc.or_(pc.is_null(numbers), pc.fill_null(pc.not_equal(pc.floor(numbers), numbers), False))
    row = _first(pc.or_(bad, pc.fill_null(pc.greater_equal(pc.abs(numbers), 2.0**31), False)))
    if row is not None:
        shown = to_text(array)[row].as_py()
        raise InputError(f"{where(row)}: {what} is {clip(shown or '')!r}; it must be a whole number.")
    return numbers.cast(pa.int32())


def to_float_list(array: pa.Array, what: str, where: Where) -> pa.Array:
    """Return a list of float64 per row; infinities are kept, since a log-likelihood may be minus infinite.

    Raises:
        InputError: a row is not a list of numbers.
    """
    kind = array.type
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.list_(pa.float64()))
    try:
        return array.cast(pa.list_(pa.float64()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{where(0)}: {what} must be a list of numbers, not {kind}.") from error


def _first(mask: pa.Array) -> int | None:
    """Return the index of the first true value."""
    index = pc.index(mask, pa.scalar(True)).as_py()
    return None if index < 0 else index
