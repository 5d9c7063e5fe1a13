"""GenLoop's own exports of events, as CSV or JSON lines: of another GenLoop, or an older one."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from feedback.events_csv import unguarded
from feedback.importers.reading import at, csv_rows, json_rows, moment
from feedback.importers.shape import (
    BadFile,
    BadRow,
    Draft,
    Found,
    Reading,
    RefusedRow,
    Request,
    Row,
    Said,
    each,
)
from feedback.rate import Value

NEEDED = (
    "event_key",
    "created_at",
    "kind",
    "score",
    "text",
    "items",
    "retracted",
    "visitor",
    "consent_train",
    "generation_id",
    "request_id",
    "draft",
    "task",
    "model",
    "prompt",
    "messages",
    "output",
    "options",
    "queued_at",
)
# Columns that are no text; in CSV they are JSON.
JSON_COLUMNS = ("score", "items", "retracted", "consent_train", "draft", "messages", "options")


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """One request a row: each row is an event together with its generation."""
    rows = csv_objects if path.suffix == ".csv" else plain_objects
    for number, row in rows(path, reading):
        if isinstance(row, RefusedRow):
            yield row
            continue
        for one in each([(number, row)], lambda number, row: requests(number, row, reading)):
            if isinstance(one, RefusedRow):
                # Her last word on training counts, also if she said it about a picture.
                one = replace(one, rater=visitor_of(row), trains=row.get("consent_train") is True)
            yield one


def visitor_of(row: Row) -> str:
    return str(row.get("visitor") or "")


def plain_objects(path: Path, reading: Reading) -> Iterator[tuple[int, RefusedRow | Row]]:
    return json_rows(path, reading.encoding)


def csv_objects(path: Path, reading: Reading) -> Iterator[tuple[int, RefusedRow | Row]]:
    names, rows = csv_rows(path, reading.encoding)
    if missing := [name for name in NEEDED if name not in names]:
        raise BadFile(f"{path} is no export of events: it has no column {missing[0]}")
    for number, cells in rows:
        if isinstance(cells, RefusedRow):
            yield number, cells
            continue
        if reading.spreadsheet:
            cells = [unguarded(cell) for cell in cells]
        row: Row = {name: cell or None for name, cell in zip(names, cells, strict=True)}
        try:
            for name in JSON_COLUMNS:
                row[name] = json.loads(row[name]) if row[name] else None
        except ValueError:
            yield number, RefusedRow(number, "bad_field", {"field": name, "expected": "JSON"})
            continue
        yield number, row


def requests(number: int, row: Row, reading: Reading) -> Iterator[Request]:
    if row.get("task") == "image":
        raise BadRow("needs_picture")
    if row.get("task") != "text":
        raise BadRow("needs_latent")
    if row.get("output") is None:
        raise BadRow("no_output")
    asked_at = moment(row.get("queued_at"), reading.zone)
    visitor = visitor_of(row)
    trains = row.get("consent_train") is True
    said = Said(
        identity=at(row, "event_key", str),
        kind=at(row, "kind", str),
        value=value_of(row),
        rater=visitor,
        at=moment(row.get("created_at"), reading.zone),
        over=tuple(map(str, at(row, "items", list, []))) if row["kind"] == "choice" else (),
        trains=trains,
    )
    messages = row.get("messages")
    yield Request(
        row=number,
        identity=at(row, "request_id", str),
        inputs={"messages": messages} if messages else {"prompt": at(row, "prompt", str, "")},
        drafts=(
            Draft(
                identity=at(row, "generation_id", str),
                output=at(row, "output", str),
                model=at(row, "model", str, ""),
                said=(said,),
                options=at(row, "options", dict, {}),
                number=at(row, "draft", int, 0),
            ),
        ),
        author=visitor,
        made_at=asked_at,
        trains=trains,
    )


def value_of(row: Row) -> Value:
    """The value as it was said; see feedback/rate.py, whose opposite this is."""
    if row.get("retracted"):
        return None
    by_kind: dict[str, Callable[[], Any]] = {
        "choice": lambda: True,
        "reasons": lambda: row.get("items"),
        "region": lambda: {"strokes": row.get("items"), "text": row.get("text") or ""},
        "edit": lambda: row.get("text"),
        "comment": lambda: row.get("text"),
        "report": lambda: row.get("text") or "",
    }
    value: Value = by_kind.get(str(row.get("kind")), lambda: row.get("score"))()
    if value is None:
        raise BadRow("bad_value", kind=row.get("kind"), value="nothing")
    return value
