"""Rows as lines of JSON and back, for every table alike, and a hash over many of them."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, select, tuple_
from sqlalchemy.orm import Session

from db.replica.journal import Key
from db.tables import UTCDateTime

AT_ONCE = 500  # rows that are asked for or written together
Row = dict[str, Any]


class OtherSchema(ValueError):
    """The row is not one of the tables of its schema."""


def line(table: Table, row: Mapping[str, Any]) -> bytes:
    """A row as it is copied: {"table", "row": {column: value}}, ASCII, moments in ISO 8601.

    JSON columns stay JSON; the numbers that JSON does not know (NaN, Infinity) are written as
    Python writes them, so that nothing is lost.
    """
    return dump({"table": table.name, "row": {name: plain(value) for name, value in row.items()}})


def tombstone(table: Table, key: Key) -> bytes:
    """That a row is gone: {"table", "gone": [its primary key]}."""
    return dump({"table": table.name, "gone": list(key)})


def dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def table_of(entry: Mapping[str, Any], tables: Mapping[str, Table]) -> Table:
    """The table that a line is about; raises OtherSchema."""
    try:
        return tables[entry["table"]]
    except KeyError:
        raise OtherSchema(
            f"the copy has rows of a table {entry['table']}, which its schema does not know: it "
            "was written by a version of GenLoop that is not this one's past"
        ) from None


def parameters(table: Table, row: Mapping[str, Any]) -> Row:
    """A copied row for its table; raises OtherSchema unless the columns are the same."""
    if row.keys() != set(table.columns.keys()):
        odd = ", ".join(sorted(row.keys() ^ set(table.columns.keys())))
        raise OtherSchema(
            f"the copy and its schema do not agree on the columns of {table.name} ({odd}): it was "
            "written by a version of GenLoop that is not this one's past"
        )
    return {column.name: value(column, row[column.name]) for column in table.columns}


def value(column: Column[Any], given: Any) -> Any:
    if isinstance(column.type, UTCDateTime) and given is not None:
        return datetime.fromisoformat(given)
    return given


def key_of(table: Table, row: Mapping[str, Any]) -> Key:
    return tuple(row[column.name] for column in table.primary_key)


def with_keys(session: Session, table: Table, keys: Sequence[Key]) -> Iterator[Row]:
    """Those rows of a table that are there."""
    for wanted in portions(table, keys):
        query = select(table).where(wanted).order_by(*table.primary_key)
        for row in session.execute(query):
            yield dict(row._mapping)


def existing(session: Session, table: Table, keys: Sequence[Key]) -> set[Key]:
    """The keys of those rows."""
    return {
        tuple(key)
        for wanted in portions(table, keys)
        for key in session.execute(select(*table.primary_key).where(wanted))
    }


def portions(table: Table, keys: Sequence[Key]) -> Iterator[ColumnElement[bool]]:
    """Conditions that choose the rows of these keys, a few at a time."""
    columns = list(table.primary_key)
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        if len(columns) == 1:
            yield columns[0].in_([key[0] for key in some])
        else:
            yield tuple_(*columns).in_(some)


def all_rows(session: Session, table: Table) -> Iterator[Row]:
    """Every row of a table, by its key."""
    query = select(table).order_by(*table.primary_key)
    for row in session.execute(query.execution_options(yield_per=AT_ONCE)):
        yield dict(row._mapping)


def digest(
    table: Table, rows: Iterable[Row], without: Collection[Key] = frozenset()
) -> tuple[int, str]:
    """How many rows there are, and the sum of their SHA-256s modulo 2**256, in hexadecimal.

    A sum does not depend on the order, which differs between databases. without: keys of rows that
    do not count.
    """
    count = total = 0
    for row in rows:
        if without and key_of(table, row) in without:
            continue
        count += 1
        total += int.from_bytes(hashlib.sha256(line(table, row)).digest())
    return count, f"{total % 2**256:064x}"
