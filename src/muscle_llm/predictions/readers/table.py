"""Any table: JSON lines, a JSON list, CSV, TSV or Parquet, also packed as .gz or .zip."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from muscle_llm.errors import InputError, clip
from muscle_llm.predictions.build import build
from muscle_llm.predictions.mapping import auto_map
from muscle_llm.predictions.raw import ArrowRows, JsonRows, RawRows
from muscle_llm.predictions.readers.base import ADDABLE, Reader, ReadOptions
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import Source

__all__ = ["READER", "json_lines", "open_rows", "text_kind"]

_BOM = b"\xef\xbb\xbf"
# A file without a telling suffix is a table if its first line reads as column names of at most this length.
_NAME = 80


def text_kind(source: Source) -> str | None:
    """Return ``"jsonl"``, ``"json"``, ``"csv"``, ``"tsv"``, ``"parquet"``, or ``None`` for anything else.

    The content decides, not the name; only comma against tab is told by the name first.

    Raises:
        InputError: the content is text in another encoding than UTF-8, or only white space.
    """
    head = source.head
    if head[:4] == b"PAR1":
        return "parquet"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{source.label}: is UTF-16 text; save it as UTF-8.")
    if b"\x00" in head:
        return None
    text = head.removeprefix(_BOM).lstrip()
    if not text:
        raise InputError(f"{source.label}: the file holds only white space.")
    if text[:1] == b"[":
        return "json"
    if text[:1] == b"{":
        return "jsonl" if _starts_with_row(source) else "json"
    first = text.split(b"\n", 1)[0]
    if source.suffix in (".tsv", ".tab"):
        return "tsv"
    if source.suffix == ".csv":
        return "csv"
    for delimiter, kind in ((b",", "csv"), (b"\t", "tsv")):
        if delimiter in first and all(0 < len(cell.strip()) <= _NAME for cell in first.split(delimiter)):
            return kind
    return None


def _starts_with_row(source: Source) -> bool:
    """Whether the first line is a row, or is meant to be one: not the start, nor the whole, of a document."""
    first = source.first_line.removeprefix(_BOM)
    rest = source.head[source.head.find(first) + len(first) :]
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        # A line that breaks off is a broken row if the next one starts a new object.
        return rest.lstrip()[:1] == b"{" and not first.rstrip().endswith((b"{", b"[", b","))
    return bool(rest.strip()) or not (isinstance(row, dict) and _object_lists(row))


def _object_lists(document: dict[str, Any]) -> dict[str, list[Any]]:
    return {k: v for k, v in document.items() if isinstance(v, list) and v and isinstance(v[0], dict)}


def open_rows(source: Source) -> RawRows:
    """Return the rows of a table, whatever its kind.

    Raises:
        InputError: the content is no table, broken, or in another encoding; it names the place.
    """
    if source.container == "directory":
        raise InputError(f"{source.label}: is a folder; name a file in it.")
    if source.container == "zip" and len(source.members) != 1:
        with source.open():
            pass
    kind = text_kind(source)
    if kind == "parquet":
        return _parquet(source)
    if kind in ("csv", "tsv"):
        return _delimited(source, "\t" if kind == "tsv" else ",")
    if kind == "jsonl":
        return _jsonl(source)
    if kind == "json":
        return _json(source)
    raise InputError(
        f"{source.label}: neither JSON lines, JSON, CSV, TSV nor Parquet; the content starts with "
        f"{source.head[:12]!r}."
    )


def _parquet(source: Source) -> RawRows:
    try:
        if source.container == "plain":
            file = pq.ParquetFile(source.path, memory_map=True)
        else:
            with source.open() as stream:
                file = pq.ParquetFile(pa.BufferReader(stream.read()))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source.label}: not a readable Parquet file ({_line(error)}).") from error

    def read(names: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from file.iter_batches(batch_size=1 << 18, columns=names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{source.label}: the Parquet data are broken ({_line(error)}).") from error

    return ArrowRows(file.schema_arrow, read, source.label)


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _delimited(source: Source, delimiter: str) -> RawRows:
    """Read CSV or TSV with every cell as text, so that an id such as ``007`` stays; empty cells are null."""
    with source.open() as stream:
        data = stream.read()
    _check_utf8(data, source.label)
    parse = pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    read = pacsv.ReadOptions(use_threads=False)
    try:
        names = pacsv.open_csv(io.BytesIO(data), parse_options=parse, read_options=read).schema.names
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InputError(f"{source.label}: the header names the column {clip(twice[0])!r} twice.")
        convert = pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=True,
        )
        table = pacsv.read_csv(io.BytesIO(data), read, parse, convert)
    except pa.ArrowInvalid as error:
        match = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        if match:
            raise InputError(
                f"{source.label}, row {int(match[1]) - 1} (the header not counted): has {match[3]} cells, "
                f"the header has {match[2]}; quote cells that hold the delimiter or line breaks."
            ) from error
        raise InputError(
            f"{source.label}: not a readable {delimiter!r}-separated table ({_line(error)})."
        ) from error
    return ArrowRows.of_table(table, source.label)


def _check_utf8(data: bytes, label: str) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{label}, line {line}: the text is not UTF-8; save the file as UTF-8.") from error


def _jsonl(source: Source) -> RawRows:
    numbers: list[int] = []
    return JsonRows(json_lines(source, numbers), source.label, "line", numbers)


def json_lines(source: Source, numbers: list[int] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file; append each one's line number to ``numbers``.

    Raises:
        InputError: a line is no JSON object; it names the line.
    """
    label = source.label
    with source.open() as stream:
        for number, line in enumerate(_lines(stream), 1):
            if not line.strip():
                continue
            row = _parse(line, label, number)
            if not isinstance(row, dict):
                raise InputError(f"{label}, line {number}: is {_kind(row)}, not an object {{...}}.")
            if numbers is not None:
                numbers.append(number)
            yield row


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    first = True
    for line in stream:
        yield line.removeprefix(_BOM) if first else line
        first = False


def _parse(data: bytes, label: str, line: int) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{label}, line {line}: the text is not UTF-8 (byte {error.start + 1}); save the file as UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{label}, line {line}: broken JSON at character {error.colno}: {error.msg}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{label}, line {line}: JSON that cannot be read ({_line(error)}).") from error


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        list: "a list",
        str: "a text",
        bool: "true or false",
        type(None): "null",
        dict: "an object",
    }
    return names.get(type(value), "a number")


def _json(source: Source) -> RawRows:
    with source.open() as stream:
        data = stream.read().removeprefix(_BOM)
    _check_utf8(data, source.label)
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        items = _items_before(data.decode("utf-8"), error.pos)
        raise InputError(
            f"{source.label}, line {error.lineno}: broken JSON at character {error.colno}{items}: "
            f"{error.msg}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source.label}: JSON that cannot be read ({_line(error)}).") from error
    rows, word = _row_list(document, source.label)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"{source.label}, {word} {number}: is {_kind(row)}, not an object {{...}}.")
    return JsonRows(rows, source.label, word)


def _items_before(text: str, position: int) -> str:
    """Return how many whole items of a list come before ``position``, as words for the message."""
    decoder = json.JSONDecoder()
    at, count = text.find("[") + 1, 0
    while 0 < at < position:
        match = re.compile(r"[\s,]*").match(text, at)
        at = match.end() if match else at
        try:
            _, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        count += 1
    return f" (in item {count + 1})"


def _row_list(document: Any, label: str) -> tuple[Sequence[Any], str]:
    if isinstance(document, list):
        return document, "item"
    if not isinstance(document, dict):
        raise InputError(f"{label}: holds {_kind(document)}, not a list of objects.")
    lists = _object_lists(document)
    if len(lists) == 1:
        name, rows = next(iter(lists.items()))
        return rows, f"{name} item"
    if not lists:
        return [document], "document"
    found = ", ".join(repr(k) for k in lists)
    raise InputError(
        f"{label}: an object with one list of objects is needed; these are lists of objects: {found}. "
        "Save the rows as a JSON list or as JSON lines."
    )


def _detect(source: Source) -> bool:
    if source.container == "directory":
        return False
    if source.container == "zip" and len(source.members) != 1:
        return True  # Reading it then says what is wrong.
    return text_kind(source) is not None


def _read(source: Source, options: ReadOptions) -> Predictions:
    raw = open_rows(source)
    roles = dict(options.columns)
    if all(role.partition(".")[0] in ADDABLE for role in roles):
        roles = {**auto_map(raw.columns()), **roles}
    if isinstance(raw, JsonRows) and raw.word == "document" and "id" not in roles:
        raise InputError(
            f"{source.label}: is one JSON object "
            f"({', '.join(clip(c, 60) for c in raw.columns()[:6])}), not a list of instances; "
            "versions are compared instance by instance."
        )
    provenance = Provenance(
        format="table",
        sources={source.path.name: source.sha256},
        extra={"columns": ", ".join(f"{role}={path}" for role, path in roles.items())},
    )
    return build(raw, roles, provenance, options.extract)


_READ: Callable[[Source, ReadOptions], Predictions] = _read
READER = Reader("table", "JSON lines, JSON, CSV, TSV or Parquet; columns named with --map", _detect, _READ)
