"""What would be lost if this machine were gone now: the question of the owner, and of /health."""

from dataclasses import dataclass
from datetime import datetime

from db.engine import Database
from db.replica import journal, state
from db.replica.replicator import Replicator
from db.tables import now


@dataclass(frozen=True)
class Safety:
    """How much is not yet at the target, and whether copying goes on."""

    state: str  # of the replicator (db/replica/replicator.py), or off
    target: str
    events: int  # feedback and votes that are not yet copied
    rows: int  # of all tables, each write of one
    oldest_seconds: float | None  # since the oldest of these was written
    safe_at: datetime | None  # everything committed before is copied
    erasing: bool  # the target still holds what was erased here
    problem: str  # in words; may name places, so it is for the owner alone


OFF = Safety("off", "", 0, 0, None, None, False, "")


def safety(database: Database, replicator: Replicator | None) -> Safety:
    """As of now; the counts are right whichever process copies."""
    if replicator is None:
        return OFF
    with database.read() as session:
        pending = journal.pending(session)
        known = state.current(session)
    # A clock may have been set back since: nothing waits for less than no time, and nothing that
    # still waits is called safe.
    waits = max(0.0, (now() - pending.oldest).total_seconds()) if pending.oldest else None
    safe_at = known.safe_at if known else None
    if safe_at is not None and pending.oldest is not None:
        safe_at = min(safe_at, pending.oldest)
    return Safety(
        state=replicator.state,
        target=replicator.target.url,
        events=pending.said,
        rows=pending.rows,
        oldest_seconds=waits,
        safe_at=safe_at,
        erasing=bool(known and known.erases),
        problem=replicator.problem,
    )
