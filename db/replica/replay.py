"""Rebuild an empty database from its copy: the last base, then every change since, in order.

All of it is one transaction: a process that dies on the way leaves the database as empty as it was.
"""

import hashlib
import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Table, and_, bindparam, delete, exists, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.engine import Database
from db.ids import uuid7
from db.media import Media
from db.migrate import LOCK, scripts
from db.replica import journal, marks, older, pictures, rows, segments, serials
from db.replica.journal import BY_NAME, TABLES
from db.replica.marks import READERS, NewerReplica, Written
from db.replica.rows import AT_ONCE, Row
from db.replica.segments import Damaged, Segment
from db.replica.targets import Missing, Target
from db.tables import Change, ModelVersion, Replica

log = logging.getLogger(__name__)

ADVICE = (
    "nothing was changed here. If the place can be mended (an older version of the file, another "
    "copy of the folder), do that and start again; else `python -m db.restore --repair` says what "
    "can be rebuilt without it"
)
MISSING = "missing"  # what became of a picture


class ReplicaDamaged(RuntimeError):
    """The copy cannot be replayed as it is; the message says what is wrong and what can be done."""


class NotEmpty(RuntimeError):
    """There is something in the database already, and a replay never mixes two histories."""


@dataclass
class Report:
    """What a replay brought back, and what it could not."""

    marks: int = 0
    rows: Counter[str] = field(default_factory=Counter)  # written, by table; some more than once
    gone: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    missing_pictures: list[str] = field(default_factory=list)
    damages: list[str] = field(default_factory=list)  # what was skipped, in words
    newest: Written | None = None


def is_empty(session: Session) -> bool:
    """Whether nobody has left anything here; the models that an app offers do not count."""
    counted = [table for table in TABLES if table.name != ModelVersion.__tablename__]
    return not any(session.scalar(select(exists(select(table)))) for table in counted)


def replay(
    database: Database,
    media: Media,
    target: Target,
    *,
    until: int | None = None,
    skip_damaged: bool = False,
) -> Report | None:
    """Rebuild the database and the pictures; None for a target that nobody has written to.

    until: the number of the mark to stop at, when it is not the newest.
    skip_damaged: leave out what is damaged, with all that hangs on it, and say so in the report.
    Raises NotEmpty, ReplicaDamaged, NewerReplica, OtherSchema or TargetDown; then nothing is kept.
    """
    report = Report()
    written = history(target, until, report, skip_damaged)
    if not written:
        return None
    refuse_newer(written)
    try:
        with database.sessions.begin() as session:
            keep_others_out(session, database)
            if not is_empty(session):
                raise NotEmpty("the database is not empty")
            session.execute(delete(ModelVersion))
            write_rows(session, database, target, written, report, skip_damaged)
            fetch_pictures(session, media, target, report, skip_damaged)
            finish(session, written[-1])
    except IntegrityError as problem:
        raise ReplicaDamaged(
            f"{target.url}: rows break a rule of the tables; {ADVICE}"
        ) from problem
    report.marks, report.newest = len(written), written[-1]
    return report


def history(target: Target, until: int | None, report: Report, skip_damaged: bool) -> list[Written]:
    """The marks to replay; tried again once, for whoever copies there may just make a new base."""
    with suppress(Damaged):
        return marks.since_base(target, until)
    try:
        return marks.since_base(target, until)
    except Damaged as problem:
        if not skip_damaged:
            raise ReplicaDamaged(f"{target.url}: {problem}; {ADVICE}") from problem
    return marks.readable(target, report.damages)


def refuse_newer(written: list[Written]) -> None:
    known = ScriptDirectory.from_config(scripts())
    for mark in written:
        try:
            known.get_revision(mark.mark.schema)
        except CommandError as error:
            raise NewerReplica(
                f"{mark.mark.name} is of schema {mark.mark.schema}, which this version of GenLoop "
                "does not know; install the newer version that wrote it"
            ) from error


def keep_others_out(session: Session, database: Database) -> None:
    if database.is_sqlite:
        return  # which has one writer anyway
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
        session.execute(text(f"SET LOCAL {limit} = 0"))
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def write_rows(
    session: Session,
    database: Database,
    target: Target,
    written: list[Written],
    report: Report,
    skip_damaged: bool,
) -> None:
    """Every row, into the tables of the schema that it was copied with, which then go forward.

    There is a new base after each migration (db/replica/ship.py), so the schema of the first mark
    is that of all that bring rows.
    """
    schema, tables = written[0].mark.schema, BY_NAME
    if schema != older.head():
        log.info("the copy is of schema %s: it is rebuilt as it was, then migrated", schema)
        tables = older.lay_out(session, schema)
    put_references_off(session, database)
    wanted = (segment for one in written for segment in one.mark.segments)
    apply_all(session, target, wanted, tables, report, skip_damaged)
    if skip_damaged:
        drop_orphans(session, tables.values(), report)
    check_references(session, database)
    if schema != older.head():
        older.bring_up_to_date(session)


def put_references_off(session: Session, database: Database) -> None:
    """Let rows come in any order: references are checked at the end."""
    if database.is_sqlite:
        session.execute(text("PRAGMA defer_foreign_keys=ON"))
        return
    for reference in references(session):
        session.execute(text(f"ALTER TABLE {reference} DEFERRABLE INITIALLY DEFERRED"))


def check_references(session: Session, database: Database) -> None:
    """Check now what was put off; SQLite does so at the commit. Raises IntegrityError."""
    if database.is_sqlite:
        return
    session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    for reference in references(session):
        session.execute(text(f"ALTER TABLE {reference} NOT DEFERRABLE"))


def references(session: Session) -> list[str]:
    """Every foreign key of PostgreSQL, as ALTER TABLE names it."""
    query = (
        "SELECT format('%I ALTER CONSTRAINT %I', relname, conname) FROM pg_constraint "
        "JOIN pg_class ON pg_class.oid = conrelid "
        "WHERE contype = 'f' AND relnamespace = current_schema()::text::regnamespace "
        "ORDER BY relname, conname"
    )
    return list(session.scalars(text(query)))


def apply_all(
    session: Session,
    target: Target,
    wanted: Iterable[Segment],
    tables: Mapping[str, Table],
    report: Report,
    skip_damaged: bool,
) -> None:
    for segment, fetched in ahead(target, wanted):
        try:
            lines = segments.lines(fetched.result())
        except Damaged as problem:
            if not skip_damaged:
                raise ReplicaDamaged(f"{target.url}: {problem}; {ADVICE}") from problem
            lost = ", ".join(f"{count} {name}" for name, count in segment.rows.items())
            report.damages.append(f"{problem}: left out {lost or 'no rows'}")
            continue
        for table, gone, some in grouped(lines, tables):
            if skip_damaged:
                apply_what_fits(session, table, gone, some, report)
            else:
                apply(session, table, gone, some)
            (report.gone if gone else report.rows)[table.name] += len(some)


def ahead(target: Target, wanted: Iterable[Segment]) -> Iterator[tuple[Segment, Future[bytes]]]:
    """Segments in order, the next few on their way already."""
    with ThreadPoolExecutor(READERS) as readers:
        coming: deque[tuple[Segment, Future[bytes]]] = deque()
        for segment in wanted:
            coming.append((segment, readers.submit(segments.fetch, target, segment)))
            if len(coming) == READERS:
                yield coming.popleft()
        yield from coming


def apply(session: Session, table: Table, gone: bool, some: list[Row]) -> None:
    """Write rows as they were copied, or remove them."""
    session.connection().execute(remove(table) if gone else put(session, table), some)


def apply_what_fits(
    session: Session, table: Table, gone: bool, some: list[Row], report: Report
) -> None:
    """The same where tombstones may be lost, so that a row may say again what another says."""
    try:
        with session.begin_nested():
            apply(session, table, gone, some)
    except IntegrityError as problem:
        if len(some) == 1:
            report.damages.append(f"left out a row of {table.name}: {problem.orig}")
            return
        for one in some:
            apply_what_fits(session, table, gone, [one], report)


def grouped(
    lines: Iterable[dict[str, Any]], tables: Mapping[str, Table]
) -> Iterator[tuple[Table, bool, list[Row]]]:
    """Lines that follow each other and are of one table and kind, as parameters."""
    before: tuple[Table, bool] | None = None
    some: list[Row] = []
    for entry in lines:
        table, gone = rows.table_of(entry, tables), "gone" in entry
        if before is not None and (before != (table, gone) or len(some) == AT_ONCE):
            yield *before, some
            some = []
        before = (table, gone)
        if gone:
            names = [f"key_{column.name}" for column in table.primary_key]
            some.append(dict(zip(names, entry["gone"], strict=True)))
        else:
            some.append(rows.parameters(table, entry["row"]))
    if before is not None:
        yield *before, some


def put(session: Session, table: Table) -> Any:
    """A statement that writes a row, whether its key is there or not."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    key = list(table.primary_key)
    statement = dialect.insert(table)
    others = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if not column.primary_key
    }
    if not others:
        return statement.on_conflict_do_nothing(index_elements=key)
    return statement.on_conflict_do_update(index_elements=key, set_=others)


def remove(table: Table) -> Any:
    return delete(table).where(
        and_(*(column == bindparam(f"key_{column.name}") for column in table.primary_key))
    )


def drop_orphans(session: Session, tables: Iterable[Table], report: Report) -> None:
    """Remove rows that name others which were left out; a link within a table is cut."""
    for table in tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            parent, column = key.column, key.parent
            others = parent.table.alias("named")
            alone = and_(
                column.is_not(None),
                ~exists().where(others.c[parent.name] == column),
            )
            if parent.table is table:
                session.execute(table.update().where(alone).values({column.name: None}))
                continue
            dropped: Any = session.execute(delete(table).where(alone))
            if dropped.rowcount:
                report.damages.append(
                    f"left out {dropped.rowcount} {table.name} without their {parent.table.name}"
                )


def fetch_pictures(
    session: Session, media: Media, target: Target, report: Report, skip_damaged: bool
) -> None:
    """Fetch the pictures that are not here yet and put them into the store, each by its hash."""
    named = pictures.used(session)
    wanted = sorted(media.lacks(named)) if named else []
    with ThreadPoolExecutor(READERS) as readers:
        for sha256, outcome in readers.map(lambda one: (one, fetch(media, target, one)), wanted):
            if outcome is None:
                report.pictures += 1
            elif outcome == MISSING:
                report.missing_pictures.append(sha256)
            elif skip_damaged:
                report.damages.append(outcome)
                report.missing_pictures.append(sha256)
            else:
                raise ReplicaDamaged(f"{target.url}: {outcome}; {ADVICE}")


def fetch(media: Media, target: Target, sha256: str) -> str | None:
    """Put a picture into the store; else why not."""
    name = pictures.name_of(sha256)
    try:
        data = target.read(name)
    except Missing:
        return MISSING
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        return f"{name} has the SHA-256 {found}"
    media.put(data)
    return None


def finish(session: Session, newest: Written) -> None:
    """Numbers go on behind the last ones, and the database knows whose copy it is.

    From here on its changes are noted, in the same transaction: the copy at the target is whole.
    """
    serials.write(session, newest.mark.serials, jump=0 if newest.mark.released else serials.JUMP)
    journal.install_on(session.connection())
    session.execute(delete(Change))  # what triggers noted of the replay, if there were any
    session.execute(delete(Replica))
    state = {
        "id": 1,
        "copy_id": uuid7(),
        "seq": newest.mark.seq,
        "mark_sha256": newest.sha256,
        # After a migration everything is copied anew, also if it took place here.
        "whole": newest.mark.schema == older.head(),
        "erases": newest.mark.erases,
        "safe_at": datetime.fromisoformat(newest.mark.at),
    }
    session.execute(insert(Replica), state)
