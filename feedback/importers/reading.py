"""Files as numbered rows: CSV, JSON and JSON lines, and clear words where they are none of these.

Rows count from 1: records of a CSV without its header, lines of JSON lines, items of a JSON list.
"""

import codecs
import csv
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import IO, Any, TypeVar

from feedback.importers.shape import BadFile, BadRow, RefusedRow, Row

Kind = TypeVar("Kind")

CELL_LIMIT = 2_000_000  # characters; a conversation is one cell of some logs
RECORD_LIMIT = 50_000_000  # characters of one record, before its file is taken for broken
FOREIGN_BYTE = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of one
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def opened(path: Path, encoding: str) -> IO[str]:
    """The file as text; bytes that are none become surrogates, so that their row can be named."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if start in WIDE and "16" not in encoding:
            raise BadFile(f"{path} is UTF-16: save it as UTF-8, or say --encoding utf-16")
        name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        return path.open(encoding=name, errors="surrogateescape", newline="")
    except LookupError:
        raise BadFile(f"there is no encoding {encoding}") from None
    except OSError as problem:
        raise BadFile(f"{path} cannot be read: {problem.strerror}") from problem


def check_encoding(text: str, path: Path, row: int, encoding: str) -> None:
    if FOREIGN_BYTE.search(text):
        raise BadFile(
            f"row {row} of {path} is not {encoding}: save the file as UTF-8, or name its encoding "
            "(--encoding gb18030, for one)"
        )


def csv_records(path: Path, encoding: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """All records, the first with number 0; raises BadFile where the file is no CSV."""
    csv.field_size_limit(RECORD_LIMIT)
    number = 0
    with opened(path, encoding) as file:
        records = csv.reader(file, strict=True, delimiter=delimiter)
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except (csv.Error, UnicodeError) as problem:
                raise BadFile(f"row {number} of {path} cannot be read: {problem}") from problem
            check_encoding("".join(record), path, number, encoding)
            if record:
                yield number, record
                number += 1


def csv_rows(
    path: Path, encoding: str, *, header: bool = True, delimiter: str = ","
) -> tuple[list[str], Iterator[tuple[int, RefusedRow | list[str]]]]:
    """The header (empty without one), and the records below it; ragged ones are refused."""
    records = csv_records(path, encoding, delimiter)
    names: list[str] = []
    if header:
        first = next(records, None)
        if first is None:
            raise BadFile(f"{path} is empty")
        names = first[1]
    return names, checked_cells(records, len(names), 0 if header else 1)


def checked_cells(
    records: Iterator[tuple[int, list[str]]], width: int, shift: int
) -> Iterator[tuple[int, RefusedRow | list[str]]]:
    """The records with numbers from 1; `width` is how many cells they should have, 0 for any."""
    for number, cells in records:
        row = number + shift
        longest = max(map(len, cells))
        if longest > CELL_LIMIT:
            yield row, RefusedRow(row, "huge_cell", {"length": longest})
        elif width and len(cells) != width:
            yield row, RefusedRow(row, "ragged", {"found": len(cells), "expected": width})
        else:
            yield row, cells


def json_rows(path: Path, encoding: str) -> Iterator[tuple[int, RefusedRow | Row]]:
    """The objects of a JSON list, or of JSON lines; what is no object is refused."""
    with opened(path, encoding) as file:
        head = file.read(4096).lstrip()
    if not head:
        raise BadFile(f"{path} is empty")
    rows = list_rows(path, encoding) if head[0] == "[" else line_rows(path, encoding)
    for number, value in rows:
        if isinstance(value, (RefusedRow, dict)):
            yield number, value
        else:
            yield number, RefusedRow(number, "bad_field", {"field": "it", "expected": "an object"})


def list_rows(path: Path, encoding: str) -> Iterator[tuple[int, Any]]:
    with opened(path, encoding) as file:
        text = file.read()
    for line, part in enumerate(text.split("\n"), 1):
        check_encoding(part, path, line, encoding)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise BadFile(f"{path} is not JSON: {short(problem)}") from problem
    yield from enumerate(values, 1)


def line_rows(path: Path, encoding: str) -> Iterator[tuple[int, Any]]:
    with opened(path, encoding) as file:
        for number, line in enumerate(file, 1):
            check_encoding(line, path, number, encoding)
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as problem:
                yield number, RefusedRow(number, "no_json", {"problem": short(problem)})


def short(problem: Exception) -> str:
    return "it is nested too deeply" if isinstance(problem, RecursionError) else str(problem)[:120]


def at(row: Row, name: str, kind: type[Kind], default: Kind | None = None) -> Kind:
    """A field of a JSON object; raises BadRow where it is of another kind, or missing.

    With a default, a field that is missing or null is that.
    """
    value = row.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadRow("bad_field", field=name, expected=NAMES[kind])
    return value


NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


def moment(value: object, zone: tzinfo) -> datetime | None:
    """A moment, of seconds or milliseconds since 1970 or in ISO 8601; None for nothing.

    zone: of a text that names none. Raises BadRow.
    """
    if value is None or value == "":
        return None
    try:
        found = from_number(value) if isinstance(value, (int, float)) else from_text(value, zone)
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None or not EARLIEST <= found <= LATEST:
        raise BadRow("bad_time", value=str(value)[:40])
    return found


def from_number(value: float) -> datetime | None:
    if isinstance(value, bool) or not math.isfinite(value):
        return None
    seconds = value / 1000 if abs(value) > 1e11 else value
    return datetime.fromtimestamp(seconds, UTC)


def from_text(value: object, zone: tzinfo) -> datetime | None:
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.replace(".", "", 1).isdigit() and len(text) > 8:  # shorter ones are dates
        return from_number(float(text))
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=zone).astimezone(UTC) if found.tzinfo is None else found
