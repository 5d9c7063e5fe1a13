"""Try the copy out: rebuild it in a temporary place, and compare that with the database itself."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from db.engine import Database
from db.media import MediaStore
from db.migrate import migrate
from db.replica import journal, marks, rows, state
from db.replica.journal import TABLES, Changes
from db.replica.replay import ReplicaDamaged, Report, replay
from db.replica.targets import Target

TRIES = 3  # a new base may remove what is being read

Digest = tuple[int, str]  # rows, and a hash over them


@dataclass(frozen=True)
class Compared:
    """One table, without the rows that are not yet copied."""

    table: str
    there: Digest
    here: Digest | None  # None where there is no database to compare with
    waiting: int  # rows that are not yet copied

    @property
    def same(self) -> bool:
        return self.here is None or self.here == self.there


@dataclass(frozen=True)
class Drill:
    report: Report
    tables: list[Compared]


def drill(target: Target, database: Database | None) -> Drill | None:
    """Rebuild the copy as it was when the database last knew of it, and compare the two.

    The app may go on meanwhile: both sides are taken at one mark. None for a target that nobody has
    written to. Raises what replay() raises.
    """
    for left in reversed(range(TRIES)):
        try:
            return drill_once(target, database)
        except ReplicaDamaged:
            newest = marks.last(target)
            if not left or newest is None or newest.mark.later_marks:
                raise
    raise AssertionError("unreachable")


def drill_once(target: Target, database: Database | None) -> Drill | None:
    if database is None:
        return with_rebuilt(target, None, lambda rebuilt, report: compare(rebuilt, report, None))
    with database.snapshot() as session:
        known = state.current(session)
        if known is None or not known.seq:
            return with_rebuilt(
                target, None, lambda rebuilt, report: compare(rebuilt, report, None)
            )
        return with_rebuilt(
            target, known.seq, lambda rebuilt, report: compare(rebuilt, report, session)
        )


def with_rebuilt(
    target: Target, until: int | None, use: Callable[[Database, Report], Drill]
) -> Drill | None:
    """What `use` makes of a database that is rebuilt from the target and then removed."""
    with tempfile.TemporaryDirectory(prefix="genloop-drill-") as folder:
        rebuilt = Database(f"sqlite:///{Path(folder) / 'app.db'}")
        try:
            migrate(rebuilt)
            report = replay(rebuilt, MediaStore(Path(folder) / "media"), target, until=until)
            return None if report is None else use(rebuilt, report)
        finally:
            rebuilt.close()


def compare(rebuilt: Database, report: Report, here: Session | None) -> Drill:
    waiting = Changes([], {}) if here is None else journal.read(here)
    tables = []
    with rebuilt.snapshot() as there:
        for table in TABLES:
            without = set(waiting.keys.get(table.name, []))
            tables.append(
                Compared(
                    table.name,
                    rows.digest(table, rows.all_rows(there, table), without),
                    rows.digest(table, rows.all_rows(here, table), without) if here else None,
                    len(without),
                )
            )
    return Drill(report, tables)
