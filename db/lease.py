"""Leases: of all the processes at one database only one at a time may do a thing, and not for ever.

The holder renews its lease while it works. One that dies renews nothing, and after the lease's
lifetime another may take it. One clock decides for all: PostgreSQL's own, however wrong the clocks
of the machines are, and on SQLite that of the one machine that can open the file. A holder that
cannot renew counts its lifetime by its own steady clock and gives up first.

If that one clock is set forward, a lease can end early and two may believe for a moment that they
hold it: until the first tries to renew. That is what the fence is for: a number that goes up with
every holder. Who writes under a lease calls `confirm` in the same transaction.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.engine import Database
from db.ids import uuid7
from db.tables import Lease, now
from db.writer import Busy

log = logging.getLogger(__name__)

LIFETIME = 30.0  # seconds
BEATS = 3  # renewals in a lifetime: two may fail


class LeaseTaken(RuntimeError):
    """Somebody else holds the lease."""


class LeaseLost(RuntimeError):
    """The lease has run out, or another has it now: what was to be written must not be."""


def clock(session: Session) -> datetime:
    """This moment, by the clock that all processes at this database share.

    Not PostgreSQL's now(), which stands still in a transaction, also while it waits for a lock.
    """
    if session.get_bind().dialect.name == "sqlite":
        return now()
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    return moment


def take(session: Session, name: str, holder: str, lifetime: float) -> int | None:
    """The fence of the lease if it could be taken; None while another holds it.

    lifetime: seconds until it runs out, unless it is renewed.
    """
    row = session.scalar(select(Lease).where(Lease.name == name).with_for_update())
    moment = clock(session)
    if row is None:
        row = Lease(name=name, fence=0)
        session.add(row)
    elif row.holder is not None and row.expires_at > moment:
        return None
    row.fence += 1
    row.holder, row.lifetime = holder, lifetime
    row.expires_at = moment + timedelta(seconds=lifetime)
    session.flush()
    return row.fence


def renew(session: Session, name: str, fence: int) -> bool:
    """Begin the lifetime anew; False when another has taken the lease meanwhile.

    One that ran out and that nobody took is still its holder's.
    """
    row = session.scalar(select(Lease).where(Lease.name == name).with_for_update())
    if row is None or row.fence != fence or row.holder is None:
        return False
    row.expires_at = clock(session) + timedelta(seconds=row.lifetime)
    session.flush()
    return True


def confirm(session: Session, name: str, fence: int) -> None:
    """Nobody takes the lease before this transaction ends; raises LeaseLost if somebody has.

    The lease cannot be renewed meanwhile either, so keep the transaction short.
    """
    held = select(Lease.expires_at).where(
        Lease.name == name, Lease.fence == fence, Lease.holder.is_not(None)
    )
    expires_at = session.scalar(held.with_for_update(read=True))
    if expires_at is None or expires_at <= clock(session):
        raise LeaseLost(name)


def give_back(session: Session, name: str, fence: int) -> bool:
    """Let the next one take the lease at once; False when it is not ours any more."""
    given = session.execute(
        update(Lease).where(Lease.name == name, Lease.fence == fence).values(holder=None)
    )
    return cast(CursorResult[Any], given).rowcount == 1


def in_force(session: Session, name: str) -> Lease | None:
    """The lease, if somebody holds it now."""
    row = session.get(Lease, name, populate_existing=True)
    if row is None or row.holder is None or row.expires_at <= clock(session):
        return None
    return row


def own_name() -> str:
    """Which process this is, for those who look: machine, process number, a random part."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid7()[-12:]}"


class HeldLease:
    """A lease that a thread keeps renewing until it is given back, or lost.

    asked: when it was asked for, on this process's steady clock: from then on its lifetime counts.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        fence: int,
        lifetime: float,
        asked: float,
        lost: threading.Event,
    ) -> None:
        self.database = database
        self.name = name
        self.fence = fence
        self.lifetime = lifetime
        self.lost = lost  # set when the lease may be another's
        self.over = threading.Event()
        self.countdown = self._count_down(asked)
        self.thread = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)
        self.thread.start()

    def confirm(self, session: Session) -> None:
        """Raises LeaseLost; see the function."""
        confirm(session, self.name, self.fence)

    def close(self) -> None:
        """Stop renewing, and give the lease back."""
        self.over.set()
        self.thread.join()
        self.countdown.cancel()
        try:
            self.database.write(lambda session: give_back(session, self.name, self.fence))
        except (SQLAlchemyError, Busy) as problem:  # then it runs out by itself
            log.warning("lease %s not given back: %s", self.name, type(problem).__name__)

    def _keep(self) -> None:
        while not self.over.wait(self.lifetime / BEATS):
            asked = time.monotonic()
            try:
                renewed = self.database.write(lambda session: renew(session, self.name, self.fence))
            except (SQLAlchemyError, Busy) as problem:
                log.warning("lease %s not renewed: %s", self.name, type(problem).__name__)
                continue
            if not renewed:
                self._lose()
                return
            self.countdown.cancel()
            self.countdown = self._count_down(asked)

    def _count_down(self, asked: float) -> threading.Timer:
        """Give up when the lifetime is over, even while the database does not answer."""
        timer = threading.Timer(asked + self.lifetime - time.monotonic(), self._lose)
        timer.daemon = True
        timer.start()
        return timer

    def _lose(self) -> None:
        log.warning("lease %s is lost", self.name)
        self.lost.set()


@contextmanager
def holding(
    database: Database,
    name: str,
    *,
    lifetime: float = LIFETIME,
    holder: str = "",
    lost: threading.Event | None = None,
) -> Iterator[HeldLease]:
    """Hold the lease while the block runs; raises LeaseTaken.

    lost: an event of the caller's that is set when the lease may be another's.
    """
    holder = holder or own_name()
    asked = time.monotonic()
    fence = database.write(lambda session: take(session, name, holder, lifetime))
    if fence is None:
        raise LeaseTaken(name)
    held = HeldLease(database, name, fence, lifetime, asked, lost or threading.Event())
    try:
        yield held
    finally:
        held.close()
