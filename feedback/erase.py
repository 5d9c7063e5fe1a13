"""Erase a visitor: what she made and said leaves the database, not only her sight."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.erasure import erase_visitor
from db.tables import Visitor

PATIENCE = 250  # milliseconds to wait for readers before the log is left for later


def erase(session: Session, key_hash: str) -> set[str]:
    """Erase the visitor with this key; the SHA-256s of her pictures, which may now go."""
    visitor_id = session.scalar(
        select(Visitor.id).where(Visitor.key_hash == key_hash).with_for_update()
    )
    return set() if visitor_id is None else erase_visitor(session, visitor_id)


def empty_log(database: Database) -> bool:
    """Fold SQLite's log into the database and empty it, so that no erased text lingers there.

    False where a reader was in the way; the next checkpoint, or the end of the app, does it then.
    PostgreSQL has its own log, which is recycled and not ours to empty.
    """
    if not database.is_sqlite:
        return True
    connection = database.read_engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={PATIENCE}")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        outcome = cursor.fetchone()  # busy, frames in the log, frames written back
        cursor.execute("PRAGMA busy_timeout=5000")
    finally:
        connection.close()
    return outcome is not None and outcome[0] == 0
