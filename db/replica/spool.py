"""Rows of one moment, compressed into files on this machine, before anything is sent anywhere.

So a slow target never keeps a snapshot of the database open, in whose way SQLite's log would grow.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import Table
from sqlalchemy.orm import Session

from db.engine import Database
from db.replica import journal, rows, serials, state
from db.replica.journal import BY_NAME, TABLES, Changes, Key
from db.replica.rows import Row
from db.replica.segments import Segment, SegmentWriter
from db.tables import Generation, Visitor, now


@dataclass
class Spooled:
    """What is to be copied."""

    at: datetime  # everything committed before this moment is in it
    schema: str
    serials: dict[str, int]
    ids: list[tuple[int, int]]  # the journal's entries that are done with it, as runs
    files: dict[Path, Segment] = field(default_factory=dict)
    pictures: set[str] = field(default_factory=set)  # hashes that the rows name
    erases: bool = False  # rows are gone, or a visitor has lost her name


class Spool:
    """A folder for files under way. What a process that died left there is removed."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder

    def empty(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def changes(self, seq: int) -> Iterator[Spooled]:
        """Everything that the journal names, as it is now; seq is of the mark that will name it."""
        with self._moment() as (session, folder, at):
            found = journal.read(session)
            spooled = Spooled(at, state.schema(session), serials.read(session), found.ids)
            with SegmentWriter(folder, seq) as writer:
                write_changes(session, found, spooled, writer)
            session.close()
            spooled.files = writer.written
            yield spooled

    @contextmanager
    def everything(self, seq: int) -> Iterator[Spooled]:
        """Every row of every table."""
        with self._moment() as (session, folder, at):
            ids = journal.read_ids(session)
            spooled = Spooled(at, state.schema(session), serials.read(session), ids)
            with SegmentWriter(folder, seq) as writer:
                for table in TABLES:
                    for row in rows.all_rows(session, table):
                        write_row(table, row, spooled, writer)
            spooled.erases = False  # nothing that is gone is in it
            session.close()
            spooled.files = writer.written
            yield spooled

    def nothing(self) -> Spooled:
        """No row at all, for a mark that only says who goes on; right after nothing has changed."""
        at = now()
        with self.database.snapshot() as session:
            return Spooled(at, state.schema(session), serials.read(session), ids=[])

    @contextmanager
    def _moment(self) -> Iterator[tuple[Session, Path, datetime]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            at = now()  # before the snapshot
            with self.database.snapshot() as session:
                yield session, Path(folder), at


def write_changes(
    session: Session, changes: Changes, spooled: Spooled, writer: SegmentWriter
) -> None:
    """The tombstones first, for a new row may say what must be said once, and a gone one did."""
    there: dict[str, list[Key]] = {}
    for name, keys in changes.keys.items():
        table = BY_NAME[name]
        found = rows.existing(session, table, keys)
        there[name] = [key for key in keys if key in found]
        for key in keys:
            if key not in found:
                writer.tombstone(name, rows.tombstone(table, key))
                spooled.erases = True
    for table in TABLES:
        for row in rows.with_keys(session, table, there.get(table.name, [])):
            write_row(table, row, spooled, writer)


def write_row(table: Table, row: Row, spooled: Spooled, writer: SegmentWriter) -> None:
    writer.row(table.name, rows.line(table, row))
    if table.name == Generation.__tablename__ and row["media_sha256"]:
        spooled.pictures.add(row["media_sha256"])
    if table.name == Visitor.__tablename__ and row["erased_at"] is not None:
        spooled.erases = True
