"""Answers that are made while they are sent, so that their length costs no memory."""

import csv
import io
import itertools
from collections.abc import Iterator
from typing import Any

import orjson
from fastapi.responses import StreamingResponse

from db.engine import Database
from feedback.browse import GENERATION_COLUMNS, Filter, generations_after
from feedback.events_csv import BOM, cell, event_rows, plain
from feedback.mine import MINE, everything
from feedback.spec import Flavour

Row = dict[str, Any]
PAGE = 500  # events read in one session
CHUNK = 64 * 1024  # bytes gathered before they are sent

NDJSON = "application/x-ndjson"
CSV = "text/csv; charset=utf-8"


def download(chunks: Iterator[bytes], media_type: str, name: str) -> StreamingResponse:
    """A file for the visitor to keep; `name` is ours."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chunks, media_type=media_type, headers=headers)


def events(database: Database, **filters: Any) -> Iterator[Row]:
    """Feedback events, each page from a session of its own: a slow reader holds none open."""
    after = 0
    while True:
        with database.read() as session:
            page = list(itertools.islice(event_rows(session, after=after, **filters), PAGE))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]["event_id"]


def generations(database: Database, wanted: Filter) -> Iterator[Row]:
    """Generations, oldest first, each page from a session of its own."""
    after = None
    while True:
        with database.read() as session:
            page = generations_after(session, wanted, after=after, limit=PAGE)
        for row in page:
            yield {name: plain(value) for name, value in row.items()}
        if len(page) < PAGE:
            return
        after = page[-1]["id"]


def generations_csv(rows: Iterator[Row], flavour: Flavour, bom: bool) -> Iterator[bytes]:
    """Generations as CSV, in the same two flavours as the events."""
    lines = ([cell(row[name], flavour) for name in GENERATION_COLUMNS] for row in rows)
    header = [list(GENERATION_COLUMNS)]
    return gathered(
        itertools.chain([BOM] if bom else [], map(csv_line, itertools.chain(header, lines)))
    )


def csv_line(cells: list[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def json_lines(rows: Iterator[Row]) -> Iterator[bytes]:
    """One JSON object a line (UTF-8)."""
    return gathered(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def my_json(database: Database, key_hash: str) -> Iterator[bytes]:
    """One JSON object with a list for each table that knows the visitor."""
    return gathered(my_json_pieces(everything(database.read, key_hash)))


def my_json_pieces(rows: Iterator[tuple[str, Row]]) -> Iterator[bytes]:
    """The tables come in the order of MINE; those without rows are empty lists."""
    row = next(rows, None)
    for number, name in enumerate(MINE):
        yield b'%s\n"%s": [' % (b"," if number else b"{", name.encode())
        comma = b"\n"
        while row is not None and row[0] == name:
            yield comma + orjson.dumps(row[1])
            comma = b",\n"
            row = next(rows, None)
        yield b"]"
    yield b"\n}\n"


def gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces in chunks that are worth sending."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= CHUNK:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)
