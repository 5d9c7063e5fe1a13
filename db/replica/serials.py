"""The numbers that tables give away by themselves: none is given twice, also after a loss."""

from sqlalchemy import Table, text
from sqlalchemy.orm import Session

from db.replica.journal import TABLES

# What was numbered after the last copy is lost, but its numbers may stand in exports and receipts.
JUMP = 10_000


def counting() -> list[tuple[Table, str]]:
    """The tables that count up, and the column."""
    return [
        (table, column.name)
        for table in TABLES
        if (column := table.autoincrement_column) is not None
    ]


def read(session: Session) -> dict[str, int]:
    """The last number that each table gave away; tables that gave none are left out."""
    if session.get_bind().dialect.name == "sqlite":
        kept: dict[str, int] = {}
        for name, last in session.execute(text("SELECT name, seq FROM sqlite_sequence")):
            kept[name] = last
        return {table.name: kept[table.name] for table, _ in counting() if table.name in kept}
    query = text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, :column)::regclass)")
    found = {
        table.name: session.scalar(query, {"name": table.name, "column": column})
        for table, column in counting()
    }
    return {name: last for name, last in found.items() if last is not None}


def write(session: Session, serials: dict[str, int], *, jump: int) -> None:
    """Let every table go on behind the number given, and `jump` further."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    for table, column in counting():
        last = serials.get(table.name, 0)
        if not last:
            continue
        values = {"name": table.name, "column": column, "last": last + jump}
        if not sqlite:
            session.execute(
                text("SELECT setval(pg_get_serial_sequence(:name, :column), :last)"), values
            )
            continue
        session.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
        session.execute(text("INSERT INTO sqlite_sequence VALUES (:name, :last)"), values)
