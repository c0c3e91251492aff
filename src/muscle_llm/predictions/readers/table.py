"""Any table: JSON lines, JSON, CSV, TSV, Parquet or Arrow, also packed as .gz or .zip."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from muscle_llm.errors import InputError, clip
from muscle_llm.predictions.build import build_guessed
from muscle_llm.predictions.kinds import foreign_kind
from muscle_llm.predictions.mapping import with_guesses
from muscle_llm.predictions.raw import ArrowRows, JsonRows, RawRows
from muscle_llm.predictions.readers.base import Reader, ReadOptions
from muscle_llm.predictions.readers.fields import kind_of
from muscle_llm.predictions.readers.json_table import (
    check_utf8,
    json_table,
    line_of,
    object_lists,
    rows_of_columns,
)
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.selected import choose_rows
from muscle_llm.predictions.source import Source
from muscle_llm.predictions.store import COMPARISON_KEY

__all__ = ["READER", "json_lines", "open_rows", "text_kind"]

_BOM = b"\xef\xbb\xbf"
# A file without a telling suffix is a table if its first line reads as column names of at most this length.
_NAME = 80


def text_kind(source: Source) -> str | None:
    """Return ``"jsonl"``, ``"json"``, ``"csv"``, ``"tsv"``, ``"parquet"``, ``"arrow"``, or ``None`` for
    anything else.

    The content decides, not the name; only comma against tab is told by the name first.

    Raises:
        InputError: the content is text in another encoding than UTF-8, or only white space.
    """
    head = source.head
    if head[:4] == b"PAR1":
        return "parquet"
    if head[:6] == b"ARROW1" or head[:4] == b"\xff\xff\xff\xff":  # a file (Feather too), a stream
        return "arrow"
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
    whole = isinstance(row, dict) and (object_lists(row) or rows_of_columns(row))
    return bool(rest.strip()) or not whole


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
    if kind == "arrow":
        return _arrow(source)
    if kind in ("csv", "tsv"):
        return _delimited(source, "\t" if kind == "tsv" else _separator(source.head))
    if kind == "jsonl":
        return _jsonl(source)
    if kind == "json":
        return json_table(source)
    known = "neither JSON lines, JSON, CSV, TSV, Parquet nor Arrow; the content starts with"
    raise InputError(f"{source.label}: {foreign_kind(source.head) or f'{known} {source.head[:12]!r}'}.")


def _parquet(source: Source) -> RawRows:
    try:
        if source.container == "plain":
            file = pq.ParquetFile(source.path, memory_map=True)
        else:
            with source.open() as stream:
                file = pq.ParquetFile(pa.BufferReader(stream.read()))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source.label}: not a readable Parquet file ({line_of(error)}).") from error

    if COMPARISON_KEY in (file.schema_arrow.metadata or {}):
        raise InputError(
            f"{source.label}: holds a whole comparison, not one model's answers; show it with: "
            f"muscle-llm view {source.path}"
        )

    def read(names: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from file.iter_batches(batch_size=1 << 18, columns=names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{source.label}: the Parquet data are broken ({line_of(error)}).") from error

    return ArrowRows(file.schema_arrow, read, source.label)


def _arrow(source: Source) -> RawRows:
    """Read an Arrow file, which is what Feather is, or an Arrow stream, as in saved datasets."""
    opened = pa.ipc.open_file if source.head[:6] == b"ARROW1" else pa.ipc.open_stream
    try:
        with source.open() as stream, opened(pa.BufferReader(stream.read())) as reader:
            table = reader.read_all()
            table.validate(full=True)  # The offsets in the file are taken as they are, and may lead anywhere.
            return ArrowRows.of_table(table, source.label)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source.label}: not a readable Arrow file ({line_of(error)}).") from error


def _separator(head: bytes) -> str:
    r"""Return what separates the cells of a table in CSV: a comma, unless only another is in the header.

    Example:
        >>> _separator(b"id;answer\n1;a,b\n"), _separator(b"id,answer\n")
        (';', ',')
    """
    header = head.removeprefix(_BOM).lstrip().splitlines()[0]
    if b"," not in header:
        for other in (";", "\t", "|"):
            if other.encode() in header:
                return other
    return ","


def _delimited(source: Source, delimiter: str) -> RawRows:
    """Read CSV or TSV with every cell as text, so that an id such as ``007`` stays; empty cells are null."""
    with source.open() as stream:
        data = stream.read()
    check_utf8(data, source.label)
    parse = pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    read = pacsv.ReadOptions(use_threads=False)
    try:
        names = pacsv.open_csv(io.BytesIO(data), parse_options=parse, read_options=read).schema.names
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InputError(
                f"{source.label}: the header names the column {clip(twice[0])!r} twice; rename one of them."
            )
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
            f"{source.label}: not a readable {delimiter!r}-separated table ({line_of(error)})."
        ) from error
    return ArrowRows.of_table(_without_empty_end(table), source.label)


def _without_empty_end(table: pa.Table) -> pa.Table:
    """Leave out the rows of empty cells that spreadsheets write below a table."""
    size = table.num_rows
    while size and all(not column[size - 1].is_valid for column in table.columns):
        size -= 1
    return table.slice(0, size)


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
                raise InputError(f"{label}, line {number}: is {kind_of(row)}, not an object {{...}}.")
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
        raise InputError(f"{label}, line {line}: JSON that cannot be read ({line_of(error)}).") from error


def _detect(source: Source) -> bool:
    if source.container == "directory":
        return False
    if source.container == "zip" and len(source.members) != 1:
        return True  # Reading it then says what is wrong.
    return text_kind(source) is not None


def _read(source: Source, options: ReadOptions) -> Predictions:
    def rows() -> RawRows:
        raw = open_rows(source)
        alone = isinstance(raw, JsonRows) and raw.word == "document"
        if alone and "id" not in with_guesses(options.columns, raw.columns()):
            raise InputError(
                f"{source.label}: is one JSON object "
                f"({', '.join(clip(c, 60) for c in raw.columns()[:6])}), not a list of instances; "
                "versions are compared instance by instance."
            )
        return raw

    def provenance(roles: Mapping[str, str]) -> Provenance:
        told = ", ".join(f"{role}={path}" for role, path in roles.items())
        return Provenance(format="table", sources={source.path.name: source.sha256}, extra={"columns": told})

    chosen = choose_rows(rows, options.select, source.label)
    return build_guessed(chosen, options.columns, provenance, options.extract)


_READ: Callable[[Source, ReadOptions], Predictions] = _read
READER = Reader(
    "table",
    "JSON lines, JSON, CSV, TSV, Parquet or Arrow; columns named with --map",
    _detect,
    _READ,
    takes=("extract", "select"),
)
