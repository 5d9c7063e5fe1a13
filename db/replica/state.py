"""How far the copy goes, as the database itself remembers it."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.ids import uuid7
from db.replica.marks import Written
from db.tables import Replica


class Superseded(RuntimeError):
    """Another process has begun to copy this database, and goes on with it."""


def current(session: Session) -> Replica | None:
    return session.get(Replica, 1)


def begin(session: Session, run_id: str) -> Replica:
    """From now on this process copies."""
    state = session.get(Replica, 1, with_for_update=True)
    if state is None:
        state = Replica(id=1, copy_id=uuid7(), seq=0, whole=False, erases=False)
        session.add(state)
    state.run_id = run_id
    session.flush()
    return state


def start_over(session: Session, run_id: str) -> Replica:
    """The target is empty: nothing is copied yet."""
    state = ours(session, run_id)
    state.seq, state.mark_sha256, state.pending_sha256 = 0, None, None
    state.whole, state.safe_at = False, None
    session.flush()
    return state


def intend(session: Session, run_id: str, sha256: str) -> Replica:
    """Note the mark that is written next: whether it arrived may have to be found out later."""
    state = ours(session, run_id)
    state.pending_sha256 = sha256
    session.flush()
    return state


def settle(session: Session, run_id: str, written: Written, *, just_now: bool) -> Replica:
    """The mark is at the target.

    just_now: this process wrote it, so no change can have been missed since its base was read.
    """
    state = ours(session, run_id)
    state.seq, state.mark_sha256, state.pending_sha256 = written.mark.seq, written.sha256, None
    state.whole = state.whole or (written.mark.base and just_now)
    # A new base is without them, but what is older than it has to be removed first.
    state.erases = written.mark.erases or (written.mark.base and state.erases)
    state.safe_at = datetime.fromisoformat(written.mark.at)
    session.flush()
    return state


def broken(session: Session, run_id: str) -> Replica:
    """Something is no longer at the target that should be: everything has to be copied again."""
    state = ours(session, run_id)
    state.whole = False
    session.flush()
    return state


def cleaned(session: Session, run_id: str, erases: bool) -> Replica:
    """Nothing from before the last base is at the target any more."""
    state = ours(session, run_id)
    state.erases = erases
    session.flush()
    return state


def interrupt(session: Session) -> None:
    """Some changes may be missing in the journal: everything has to be copied again."""
    state = session.get(Replica, 1, with_for_update=True)
    if state is not None:
        state.whole = False


def ours(session: Session, run_id: str) -> Replica:
    state = session.get(Replica, 1, with_for_update=True)
    if state is None or state.run_id != run_id:
        raise Superseded("another process copies this database")
    return state


def schema(session: Session) -> str:
    """The migration that the database is at."""
    return str(session.scalar(text("SELECT version_num FROM alembic_version")))
