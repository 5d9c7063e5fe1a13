"""A session whose questions are all answered as of one moment, and what that moment is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.engine import Database
from db.tables import Consent, FeedbackEvent, Review, Vote
from feedback.spec import Moment

CACHE = -4_000  # KiB: rows are read in order, so more would not make it faster

# What has these ids grows, and is what a moment is told by.
GROWING = (FeedbackEvent, Vote, Review, Consent)


@contextmanager
def snapshot(database: Database) -> Iterator[Session]:
    """A session that sees one moment, however long the questions take.

    What a question has to sort is sorted on the disk, where SQLite was built to let that be chosen.
    """
    if not database.is_sqlite:
        with database.snapshot() as session:
            yield session
        return
    with database.read_engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA temp_store=FILE")  # before the transaction, in which it may not
        [before] = driver.execute("PRAGMA cache_size").fetchone()
        driver.execute(f"PRAGMA cache_size={CACHE}")
        try:
            with Session(connection) as session:
                yield session
        finally:
            connection.rollback()
            driver.execute("PRAGMA temp_store=MEMORY")
            driver.execute(f"PRAGMA cache_size={before}")


def last_moment(database: Database) -> Moment:
    """The last ids there are, such that whatever is committed later has higher ones.

    PostgreSQL gives ids before it commits: there the tables are locked against writing for as long
    as this takes, which waits for those who are just writing. A SQLite database has one writer.
    """
    if database.is_sqlite:
        with database.read() as session:
            return moment(session)
    with database.sessions() as session:
        lock(session)
        found = moment(session)
        session.rollback()
    return found


def lock(session: Session) -> None:
    tables = ", ".join(table.__tablename__ for table in GROWING)
    session.execute(text(f"LOCK TABLE {tables} IN SHARE MODE"))


def moment(session: Session) -> Moment:
    """The last ids that a session sees."""
    last = [session.scalar(select(func.max(table.id))) or 0 for table in GROWING]
    return Moment(*last)
