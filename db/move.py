"""Move everything from SQLite to PostgreSQL, and compare every row: `python -m db.move`.

DATABASE_URL names the empty PostgreSQL database; the rows come from app.db in the data folder, or
from the file that --from names. Stop the app first. The SQLite file stays as it is, and nobody can
write to it meanwhile. Either every row is there afterwards, or none: it is one transaction, and it
ends only after each row has been read back and found equal.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Table, func, inspect, select, text, tuple_
from sqlalchemy.exc import DBAPIError

from config import Settings
from db.engine import Database, UnsafeDatabase
from db.media_elsewhere import open_media
from db.migrate import NewerDatabase, migrate
from db.replica.targets import TargetDown, UnusableTarget
from db.tables import Base

AT_ONCE = 1_000  # rows
# Of one database alone: which processes are at work on it, and how far its copy goes.
STAYS = {"leases", "changes", "replica"}
Row = dict[str, Any]


class CannotMove(RuntimeError):
    """Nothing was moved; the message says why."""


def move(source: Database, target: Database) -> dict[str, int]:
    """Copy all rows into an empty database; how many, by table. Raises CannotMove."""
    if not source.is_sqlite or target.is_sqlite:
        raise CannotMove("rows are moved from SQLite to PostgreSQL; DATABASE_URL must name that")
    migrate(source)
    migrate(target)
    moved = {}
    # BEGIN IMMEDIATE: whoever would still write to the old database is refused.
    with source.write_engine.begin() as old, target.write_engine.begin() as new:
        new.execute(text("SET LOCAL statement_timeout = 0"))
        new.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        check_source(old)
        check_empty(new)
        for table in tables():
            insert(old, new, table)
        for table in tables():
            moved[table.name] = compare(old, new, table)
            go_on_counting(old, new, table)
    return moved


def tables() -> list[Table]:
    """Those that are moved, each after the ones that it refers to."""
    return [table for table in Base.metadata.sorted_tables if table.name not in STAYS]


def check_source(old: Connection) -> None:
    """Raise CannotMove for a damaged file."""
    [(said,)] = old.exec_driver_sql("PRAGMA integrity_check(1)").fetchall()
    if said != "ok":
        raise CannotMove(f"the SQLite file is damaged ({said}); restore a backup first")
    if lost := old.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
        raise CannotMove(f"in the SQLite file {len(lost)} rows refer to rows that are not there")


def check_empty(new: Connection) -> None:
    for table in tables():
        if new.execute(select(1).select_from(table).limit(1)).first() is not None:
            raise CannotMove(
                f"there are rows in {table.name} of the PostgreSQL database already; rows are "
                "moved into an empty one, and never mixed with others"
            )


def rows(connection: Connection, table: Table) -> Iterator[Sequence[Row]]:
    """All rows by their key, some at a time."""
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=AT_ONCE)
    for some in connection.execute(query).mappings().partitions():
        yield [dict(row) for row in some]


def insert(old: Connection, new: Connection, table: Table) -> None:
    """Write all rows; what refers to rows of the same table is filled in when all are there."""
    own = [column for column in table.columns if refers_to_own(column)]
    for some in rows(old, table):
        new.execute(table.insert(), [{**row, **{one.name: None for one in own}} for row in some])
    for column in own:
        [key] = table.primary_key
        statement = text(f"UPDATE {table.name} SET {column.name} = :value WHERE {key.name} = :key")
        for some in rows(old, table):
            given = [
                {"key": row[key.name], "value": row[column.name]}
                for row in some
                if row[column.name] is not None
            ]
            if given:
                new.execute(statement, given)


def refers_to_own(column: Column[Any]) -> bool:
    return any(key.column.table is column.table for key in column.foreign_keys)


def compare(old: Connection, new: Connection, table: Table) -> int:
    """How many rows there are; raises CannotMove unless each is the same, and there is no other."""
    keys = list(table.primary_key)
    count = 0
    for some in rows(old, table):
        wanted = tuple_(*keys).in_([tuple(row[key.name] for key in keys) for row in some])
        found = {
            tuple(row[key] for key in keys): dict(row)
            for row in new.execute(select(table).where(wanted)).mappings()
        }
        for row in some:
            key = tuple(row[one.name] for one in keys)
            if found.get(key) != row:
                raise CannotMove(f"row {key} of {table.name} is not the same on both sides")
        count += len(some)
    there = new.scalar(select(func.count()).select_from(table))
    if there != count:
        raise CannotMove(f"{table.name} has {there} rows in place of {count}")
    return count


def go_on_counting(old: Connection, new: Connection, table: Table) -> None:
    """Let ids go on where they were: none is used twice, also of rows that are gone."""
    column = table.autoincrement_column
    if column is None:
        return
    last = old.scalar(select(func.max(column))) or 0
    if inspect(old).has_table("sqlite_sequence"):
        query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        last = max(last, old.scalar(query, {"name": table.name}) or 0)
    if last:
        new.execute(
            text("SELECT setval(pg_get_serial_sequence(:name, :column), :last)"),
            {"name": table.name, "column": column.name, "last": last},
        )


def main() -> None:
    settings = Settings()
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--from", dest="path", type=Path, default=settings.data_dir / "app.db")
    path = parser.parse_args().path.resolve()
    if not path.is_file():
        sys.exit(f"There is no SQLite file {path}.")
    try:
        media = open_media(settings.media).name
        source, target = Database(f"sqlite:///{path}"), Database(settings.database)
        moved = move(source, target)
    except (CannotMove, UnsafeDatabase, NewerDatabase, TargetDown, UnusableTarget) as problem:
        sys.exit(f"Nothing was moved: {problem}.")
    except DBAPIError as problem:
        sys.exit(f"Nothing was moved: the database says {problem.orig}")
    target.close()
    source.close()
    for name, count in moved.items():
        print(f"{count:>10} {name}")
    where = target.url.render_as_string(hide_password=True)
    print(f"{sum(moved.values()):>10} rows are in {where}, and each was compared.")
    print(f"{path} was left as it is. Pictures are not moved; the app looks for them in {media}.")
    print("Where they are not there yet, python -m db.move_pictures --from FOLDER brings them.")


if __name__ == "__main__":
    main()
