"""What is not yet copied: triggers note the key of every row that is written, in its transaction.

A journal needs no watermark, and so no order of ids: a transaction that commits late brings its
entries late, and they are copied then. Entries go when what they name is at the target.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table, delete, func, or_, select, text, update
from sqlalchemy.orm import Session

from db.engine import Database
from db.tables import Base, Change, Lease, Replica

# Tables of this database alone, and why; everything else is copied.
LOCAL = {
    Change.__tablename__: "what is not yet copied is not to be copied itself",
    Replica.__tablename__: "how far the copy goes is different where it is rebuilt",
    Lease.__tablename__: "processes hold leases, and are gone when a copy is needed",
}
TABLES = [table for table in Base.metadata.sorted_tables if table.name not in LOCAL]
BY_NAME = {table.name: table for table in TABLES}
SAID = ("feedback_events", "votes")  # what visitors count as theirs

LOCK = 0x67656E6C6F6F71  # of PostgreSQL, while triggers are made
PREFIX = "genloop_note_"  # of all triggers
FORGET_AT_ONCE = 2_000  # entries in one transaction: visitors' own writes wait for it

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Changes:
    """What the journal holds as of one moment."""

    ids: list[tuple[int, int]]  # of the entries, as runs from … to
    keys: dict[str, list[Key]]  # of the rows, by table

    def __bool__(self) -> bool:
        return bool(self.ids)


@dataclass(frozen=True)
class Pending:
    """How much is not yet copied."""

    rows: int  # entries of the journal
    said: int  # of these, feedback and votes that are still there
    oldest: datetime | None


def install(database: Database) -> bool:
    """Make the triggers; whether all of them were there already, so that nothing was missed."""
    with database.write_engine.begin() as connection:
        return install_on(connection)


def install_on(connection: Connection) -> bool:
    """The same in a transaction that is under way."""
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    there = triggers(connection)
    missing = [table for table in TABLES if not names_of(table, sqlite) <= there]
    for table in missing:
        for statement in statements(table, sqlite):
            connection.exec_driver_sql(statement)
    return not missing


def uninstall(database: Database) -> None:
    """Take the triggers away and empty the journal: nobody would ever empty it."""
    with database.write_engine.begin() as connection:
        if not (there := triggers(connection)):
            return
        for name in sorted(there):
            if database.is_sqlite:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            else:
                connection.exec_driver_sql(f"DROP FUNCTION {name} CASCADE")
        connection.execute(delete(Change))
        connection.execute(update(Replica).values(whole=False))


def triggers(connection: Connection) -> set[str]:
    """The names of our triggers."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = (
            "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE relnamespace = current_schema()::text::regnamespace AND NOT tgisinternal"
        )
    return {name for name in connection.scalars(text(query)) if name.startswith(PREFIX)}


def names_of(table: Table, sqlite: bool) -> set[str]:
    if not sqlite:
        return {f"{PREFIX}{table.name}"}
    return {f"{PREFIX}{table.name}_{event}" for event in ("insert", "update", "delete")}


def statements(table: Table, sqlite: bool) -> Iterator[str]:
    """The SQL that makes the triggers of a table."""
    if sqlite:
        for event, row, gone in (("INSERT", "NEW", 0), ("UPDATE", "NEW", 0), ("DELETE", "OLD", 1)):
            yield (
                f"CREATE TRIGGER IF NOT EXISTS {PREFIX}{table.name}_{event.lower()} "
                f"AFTER {event} ON {table.name} BEGIN "
                "INSERT INTO changes (table_name, row_key, gone, changed_at) VALUES "
                f"('{table.name}', json_array({key_columns(table, row)}), {gone}, "
                "strftime('%Y-%m-%d %H:%M:%f000', 'now')); END"
            )
        return
    name = f"{PREFIX}{table.name}"
    note = (
        "INSERT INTO changes (table_name, row_key, gone, changed_at) VALUES "
        f"('{table.name}', json_build_array({{columns}})::text, {{gone}}, clock_timestamp());"
    )
    yield (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' THEN {note.format(columns=key_columns(table, 'OLD'), gone='true')} "
        f"ELSE {note.format(columns=key_columns(table, 'NEW'), gone='false')} "
        "END IF; RETURN NULL; END $$"
    )
    yield (
        f"CREATE OR REPLACE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {table.name} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}()"
    )


def key_columns(table: Table, row: str) -> str:
    return ", ".join(f'{row}."{column.name}"' for column in table.primary_key)


def read(session: Session) -> Changes:
    """Everything that the journal holds; the session is a snapshot."""
    keys: dict[str, set[Key]] = defaultdict(set)
    ids: list[int] = []
    query = select(Change.id, Change.table_name, Change.row_key).order_by(Change.id)
    for id, table_name, row_key in session.execute(query.execution_options(yield_per=5_000)):
        ids.append(id)
        keys[table_name].add(tuple(json.loads(row_key)))
    return Changes(runs(ids), {name: sorted(found) for name, found in keys.items()})


def read_ids(session: Session) -> list[tuple[int, int]]:
    """The ids alone, for when all rows are copied anyway."""
    query = select(Change.id).order_by(Change.id).execution_options(yield_per=50_000)
    return runs(session.scalars(query))


def runs(ids: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending ids as runs of consecutive ones, the last included.

    An id between two runs belongs to a transaction that had not committed, or never will.
    """
    found: list[tuple[int, int]] = []
    for id in ids:
        if found and found[-1][1] == id - 1:
            found[-1] = (found[-1][0], id)
        else:
            found.append((id, id))
    return found


def forget(database: Database, ids: Sequence[tuple[int, int]]) -> None:
    """Remove these entries, a few at a time; what is left of them after a crash is copied again."""
    for some in portions(ids):
        database.write(partial(drop, ids=some), though_paused=True)


def drop(session: Session, ids: Sequence[tuple[int, int]]) -> None:
    """Remove these entries, which must not be too many, in a transaction that is under way."""
    which = or_(*(Change.id.between(first, last) for first, last in ids))
    session.execute(delete(Change).where(which).execution_options(synchronize_session=False))


def portions(ids: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Runs in lists that a transaction can take at once: not many ids, and not many runs."""
    portion: list[tuple[int, int]] = []
    size = 0
    for first, last in ids:
        for start in range(first, last + 1, FORGET_AT_ONCE):
            end = min(last, start + FORGET_AT_ONCE - 1)
            if portion and (size + end - start >= FORGET_AT_ONCE or len(portion) >= 200):
                yield portion
                portion, size = [], 0
            portion.append((start, end))
            size += end - start + 1
    if portion:
        yield portion


def pending(session: Session) -> Pending:
    """How much is not yet copied, and since when the oldest of it waits."""
    rows, said, oldest = session.execute(
        select(
            func.count(),
            func.count(Change.id).filter(Change.table_name.in_(SAID)),
            func.min(Change.changed_at),
        ).select_from(Change)
    ).one()
    return Pending(rows, said - _erased(session) if said else 0, oldest)


def _erased(session: Session) -> int:
    """Entries of things said that were erased before they were copied, those of the erasure too."""
    erased = select(Change.table_name, Change.row_key).where(
        Change.gone, Change.table_name.in_(SAID)
    )
    gone = erased.subquery()
    count = session.scalar(
        select(func.count())
        .select_from(Change)
        .join(gone, (Change.table_name == gone.c.table_name) & (Change.row_key == gone.c.row_key))
    )
    return count or 0


def at_least(session: Session, number: int) -> bool:
    """Whether so many entries wait; cheap however many there are."""
    some = select(Change.id).limit(number).subquery()
    return (session.scalar(select(func.count()).select_from(some)) or 0) >= number
