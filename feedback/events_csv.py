"""Feedback events with their generations as flat rows, and these as CSV of two flavours.

Lossless: every cell is exactly what is in the database. Spreadsheet: text that a spreadsheet
could take for a formula has an apostrophe in front, which `unguarded` takes away again.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, exists, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.functions import FunctionElement

from db.json_text import parsed
from db.tables import FeedbackEvent, Generation, ModelVersion
from feedback.spec import Flavour
from feedback.trainable import (
    EVENT_MAY_TRAIN,
    GENERATION_MAY_TRAIN,
    EventConsent,
    MadeConsent,
)

COLUMNS = (
    "event_id",
    "event_key",
    "created_at",
    "kind",
    "score",
    "text",
    "items",
    "retracted",
    "standing",
    "visitor",
    "consent_id",
    "consent_train",
    "generation_id",
    "request_id",
    "draft",
    "task",
    "model_version_id",
    "model",
    "model_revision",
    "model_sha256",
    "prompt",
    "messages",
    "output",
    "options",
    "status",
    "finish_reason",
    "queued_at",
    "started_at",
    "first_token_at",
    "finished_at",
)

# Where in a row of the question there is something to be made plain.
MOMENTS = [2, *(COLUMNS.index(name) - 1 for name in COLUMNS[-4:])]
ITEMS, STANDING = COLUMNS.index("items"), COLUMNS.index("standing")
INPUTS, OPTIONS = COLUMNS.index("prompt"), COLUMNS.index("options") - 1

PAGE = 500  # events fetched at a time
CHUNK = 64 * 1024  # characters gathered before a chunk is handed on
BOM = b"\xef\xbb\xbf"  # tells Excel that the file is UTF-8

# What makes a spreadsheet read a cell as a formula, the full-width forms included; and the
# apostrophe itself, so that taking one away always gives the text back.
GUARDED = tuple("=+-@\t\r\n＝＋－＠'")

Later = aliased(FeedbackEvent, name="later")


def event_rows(
    session: Session,
    *,
    visitor_id: int | None = None,
    training_only: bool = False,
    kind: str | None = None,
    version_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int = 0,
    before: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Events by id as rows of COLUMNS, fetched in pages.

    visitor_id: only this visitor's. training_only: only what may be trained on, by the consent
    on the event and on its generation and by the visitor's last answer. since, until: when it was
    said, until excluded. after, before: ids, both excluded; whoever answers slowly can ask for a
    page at a time in sessions of their own.
    """
    query = question(before)
    if visitor_id is not None:
        query = query.where(FeedbackEvent.visitor_id == visitor_id)
    if training_only:
        query = query.where(EVENT_MAY_TRAIN, GENERATION_MAY_TRAIN)
    if kind is not None:
        query = query.where(FeedbackEvent.kind == kind)
    if version_id is not None:
        query = query.where(Generation.model_version_id == version_id)
    if since is not None:
        query = query.where(FeedbackEvent.created_at >= since)
    if until is not None:
        query = query.where(FeedbackEvent.created_at < until)
    while page := session.execute(query.where(FeedbackEvent.id > after).limit(PAGE)).all():
        yield from map(flat, page)
        after = page[-1][0]


def question(before: int | None) -> Any:
    """The events up to an id, in order; what was said later has not been said yet."""
    query = (
        select(
            FeedbackEvent.id,
            FeedbackEvent.key,
            moment_as_text(FeedbackEvent.created_at),
            FeedbackEvent.kind,
            FeedbackEvent.score,
            FeedbackEvent.text,
            cast(FeedbackEvent.items, Text),
            FeedbackEvent.retracted,
            stands(before),
            FeedbackEvent.visitor_id,
            FeedbackEvent.consent_id,
            EventConsent.train,
            FeedbackEvent.generation_id,
            Generation.request_id,
            Generation.draft,
            Generation.task,
            Generation.model_version_id,
            ModelVersion.name,
            ModelVersion.revision,
            ModelVersion.weights_sha256,
            cast(Generation.inputs, Text),
            Generation.output_text,
            cast(Generation.options, Text),
            Generation.status,
            Generation.finish_reason,
            moment_as_text(Generation.queued_at),
            moment_as_text(Generation.started_at),
            moment_as_text(Generation.first_token_at),
            moment_as_text(Generation.finished_at),
        )
        .join_from(FeedbackEvent, Generation, Generation.id == FeedbackEvent.generation_id)
        .join(ModelVersion, ModelVersion.id == Generation.model_version_id)
        .join(EventConsent, EventConsent.id == FeedbackEvent.consent_id)
        .join(MadeConsent, MadeConsent.id == Generation.consent_id)
        .order_by(FeedbackEvent.id)
    )
    return query if before is None else query.where(FeedbackEvent.id < before)


def stands(before: int | None) -> ColumnElement[bool]:
    """Whether an event counts: it was not taken back, and nothing came later in its place."""
    later: list[Any] = [
        Later.generation_id == FeedbackEvent.generation_id,
        Later.kind == FeedbackEvent.kind,
        # Plus 0 keeps SQLite from the index by visitor, who says much; little is said about one
        # generation.
        Later.visitor_id + 0 == FeedbackEvent.visitor_id,
        Later.id > FeedbackEvent.id,
    ]
    if before is not None:
        later.append(Later.id < before)
    return ~FeedbackEvent.retracted & ~exists().where(*later)


class moment_as_text(FunctionElement[Any]):
    """A moment of a column as SQLite keeps it, `2026-01-31 12:00:00.000000` in UTC."""

    inherit_cache = True  # its type is none, so that the drivers leave it alone


@compiles(moment_as_text)
def as_it_is(element: Any, compiler: Any, **kwargs: Any) -> str:
    return str(compiler.process(element.clauses, **kwargs))


@compiles(moment_as_text, "postgresql")
def as_postgresql_writes_it(element: Any, compiler: Any, **kwargs: Any) -> str:
    """The server writes it: datetimes of a driver took nearly half the time of a row."""
    column = compiler.process(element.clauses, **kwargs)
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"


def flat(row: Any) -> dict[str, Any]:
    """The row in the order of COLUMNS: moments as text, inputs as either prompt or messages."""
    values = list(row[: len(COLUMNS) - 1])  # inputs stand for two columns
    for place in MOMENTS:
        values[place] = in_utc(values[place])
    values[ITEMS] = None if values[ITEMS] is None else parsed(values[ITEMS])
    values[STANDING] = bool(values[STANDING])
    inputs, values[OPTIONS] = parsed(values[INPUTS]), parsed(values[OPTIONS])
    values[INPUTS : INPUTS + 1] = [inputs.get("prompt"), inputs.get("messages")]
    return dict(zip(COLUMNS, values, strict=True))


def in_utc(value: str | None) -> str | None:
    """A moment of `moment_as_text` in ISO 8601."""
    return None if value is None else f"{value[:10]}T{value[11:]}+00:00"


def plain(value: object) -> object:
    """Moments in ISO 8601, always with six digits of a second."""
    return plain_moment(value) if isinstance(value, datetime) else value


def plain_moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def csv_chunks(
    rows: Iterable[Mapping[str, Any]], flavour: Flavour = "lossless", bom: bool = False
) -> Iterator[bytes]:
    """A CSV file (RFC 4180, UTF-8) piece by piece; the header comes even without rows."""
    if bom:
        yield BOM
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([cell(row[name], flavour) for name in COLUMNS])
        if buffer.tell() >= CHUNK:
            yield encoded(buffer.getvalue())
            buffer.seek(0)
            buffer.truncate()
    yield encoded(buffer.getvalue())


def encoded(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which JSON columns alone can hold, becomes its escape."""
    return text.encode(errors="backslashreplace")


def cell(value: object, flavour: Flavour) -> str:
    """The text of a cell; nothing is an empty cell, lists and objects are JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return guarded(value) if flavour == "spreadsheet" else value
    return json.dumps(value, ensure_ascii=False)


def guarded(text: str) -> str:
    """The text with an apostrophe in front where a spreadsheet could calculate it."""
    return f"'{text}" if text.startswith(GUARDED) else text


def unguarded(cell: str) -> str:
    """The text of a cell of the spreadsheet flavour."""
    return cell.removeprefix("'")
