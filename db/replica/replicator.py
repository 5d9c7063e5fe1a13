"""The thread that copies: every few seconds, or when enough is waiting, and at the end."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Literal

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.replica import handover, journal
from db.replica.election import Election
from db.replica.marks import NewerReplica
from db.replica.segments import Damaged
from db.replica.ship import Fenced, Foreign, Shipper
from db.replica.state import Superseded
from db.replica.targets import Missing, UnusableTarget
from db.writer import Busy, Writer

log = logging.getLogger(__name__)

LONGEST_PAUSE = 300.0  # seconds between two attempts while the target is away
LOOK = 1.0  # seconds between two looks at how much is waiting
LAST_WORDS = 4.0  # seconds that the end of the app waits for the last copy
RECLAIM = 60.0  # seconds after which a wish that is not renewed is nobody's any more

# What may be better at the next attempt: the target (TargetDown), the disk, the database.
# A file may be gone that was listed a moment ago, when another app has just cleaned up.
PASSING = (OSError, Missing, OperationalError, PoolTimeout, Busy)
# What only a person can mend; nothing more is copied.
FINAL = (Foreign, Fenced, Damaged, NewerReplica, UnusableTarget)

State = Literal[
    "starting",  # nothing was tried yet
    "copying",
    "standby",  # another process copies this database
    "failing",  # the last attempt failed; there will be another
    "stuck",  # somebody has to decide; nothing is copied
    "handed_over",  # another app asked to go on from here, and this one writes nothing any more
    "fenced",  # another app has gone on from here, and this one writes nothing any more
    "stopped",
]


class Replicator:
    """Copies one database until it is stopped."""

    def __init__(self, shipper: Shipper, *, seconds: float, events: int) -> None:
        """Copy every so many seconds, or as soon as so many rows are waiting."""
        self.shipper = shipper
        self.database = shipper.database
        self.target = shipper.target
        self.seconds = seconds
        self.events = events
        self.election = Election(self.database)
        self.state: State = "starting"
        self.problem = ""  # in words, while the state is failing, stuck, fenced or stopped
        self.failures = 0
        self.last_at = self.next_at = 0.0  # of time.monotonic(): an attempt, and the next one
        self.handed_over_at: float | None = None  # of time.monotonic(), as long as that holds
        self.renewed: list[bytes] = []  # what stood in the wishes
        self.ending = self.hurried = False
        self.wake = threading.Event()
        self.thread = threading.Thread(target=self._run, name="replicator", daemon=True)

    def start(self) -> None:
        """Find the place to go on from, then copy in a thread.

        Raises Foreign, Fenced or UnusableTarget, for then somebody has to decide. A target that is
        away is no such reason: visitors are served, and what they say is copied later.
        """
        self._attempt(self._attach)
        self.hurried = self.state == "copying"  # there may be something to copy from before
        self.thread.start()

    def hurry(self) -> None:
        """Copy at the next look: the app is about to end. Signal handlers may call it."""
        self.hurried = True

    def stop(self, patience: float = LAST_WORDS) -> None:
        """Copy what is left, and stop; wait no longer than `patience` seconds for that."""
        self.ending = True
        self.wake.set()
        if self.thread.is_alive():
            self.thread.join(patience)
        if self.thread.is_alive():
            log.warning("the app ends before everything is copied to %s", self.target.url)

    def _run(self) -> None:
        try:
            while not self.ending and self.state not in ("stuck", "fenced"):
                self.wake.wait(self._nap())
                self.wake.clear()
                if not self.ending and self._is_due():
                    self._attempt(self._step)
            self._last_words()
        except BaseException as error:  # whatever it is, the owner must hear of it
            self._say("stopped", f"{type(error).__name__}: {error}")
            log.critical("nothing is copied any more", exc_info=True)
        finally:
            self.election.lose()

    def _nap(self) -> float:
        return max(0.01, min(LOOK, self.seconds / 2, self.next_at - time.monotonic()))

    def _is_due(self) -> bool:
        moment = time.monotonic()
        if self.hurried or moment >= self.next_at:
            return True
        if self.state != "copying" or moment - self.last_at < self.target.least_seconds:
            return False
        try:
            with self.database.read() as session:
                return journal.at_least(session, self.events)
        except (OperationalError, PoolTimeout):
            return False  # the next attempt says so

    def _attempt(self, step: Callable[[], None]) -> None:
        self.last_at, self.hurried = time.monotonic(), False
        try:
            step()
        except FINAL as problem:
            if isinstance(problem, Fenced) and self.database.writer is not None:
                self.database.writer.pause()
            self._say("fenced" if isinstance(problem, Fenced) else "stuck", str(problem))
            log.error("nothing is copied any more: %s", problem)
            if not self.thread.is_alive() and isinstance(
                problem, (Foreign, Fenced, UnusableTarget)
            ):
                raise
        except Superseded as problem:
            self.election.lose()
            self.shipper.detach()
            self._say("standby", str(problem))
            self.next_at = time.monotonic() + LONGEST_PAUSE
        except PASSING as problem:
            self._failed(problem)
        else:
            if self.failures:
                log.info("copying to %s again", self.target.url)
            self.failures = 0
            self.next_at = time.monotonic() + max(self.seconds, self.target.least_seconds)

    def _failed(self, problem: BaseException) -> None:
        self.failures += 1
        pause = min(LONGEST_PAUSE, self.seconds * 2 ** min(self.failures - 1, 10))
        self.next_at = time.monotonic() + pause * random.uniform(0.8, 1.2)
        self._say("failing", str(problem))
        if self.failures & (self.failures - 1) == 0:  # the 1st, 2nd, 4th, 8th …
            log.warning("attempt %d to copy failed: %s", self.failures, problem)

    def _say(self, state: State, problem: str = "") -> None:
        self.state, self.problem = state, problem

    def _attach(self) -> None:
        if not self.election.won():
            self.shipper.detach()
            self._say("standby")
        elif self.shipper.state is None:
            self.shipper.attach()
            # It is ours now: whoever asked for it was us, or came too late.
            self.target.remove(handover.wishes(self.shipper.watch()))
            self._say("copying")

    def _step(self) -> None:
        self._attach()
        if self.state == "standby":
            return
        if self.handed_over_at is not None:
            self._wait_for_successor(self.handed_over_at)
            return
        wishes = handover.wishes(self.shipper.watch())
        # Who writes to a PostgreSQL elsewhere cannot be stopped from here; it is durable by itself.
        if wishes and self.database.writer is not None:
            self._hand_over(self.database.writer)
            return
        self._copy()
        self._say("copying")

    def _copy(self) -> None:
        if not self.shipper.needs_base():
            self.shipper.ship_changes()
        if self.shipper.needs_base():  # also because of what was just copied
            self.shipper.ship_everything()
        if self.shipper.unclean:
            self.shipper.clean()

    def _hand_over(self, writer: Writer) -> None:
        log.warning("another app wants to go on from here: no more writes are taken")
        writer.pause()
        try:
            if self.shipper.needs_base():
                self.shipper.ship_everything()
            self.shipper.ship_changes(released=True)
        except PASSING:
            writer.resume()
            raise
        self.handed_over_at = time.monotonic()
        self._say("handed_over")

    def _wait_for_successor(self, since: float) -> None:
        wishes = handover.wishes(self.shipper.watch())  # raises Fenced once there is one
        renewed = [self.target.read(name) for name in wishes]
        if renewed != self.renewed:  # it is still at its work
            self.renewed, since = renewed, time.monotonic()
            self.handed_over_at = since
        if time.monotonic() - since < RECLAIM:
            self._say("handed_over")
            return
        log.warning("nobody has come: going on")
        self.target.remove(wishes)
        self.shipper.claim()
        self.handed_over_at = None
        if self.database.writer is not None:
            self.database.writer.resume()
        self._say("copying")

    def _last_words(self) -> None:
        """Copy what is left; the mark says that nothing came after, if nobody else can write."""
        if self.shipper.state is None or self.state not in ("copying", "failing"):
            return
        if self.handed_over_at is not None:
            return
        try:
            if self.shipper.needs_base():
                self.shipper.ship_everything()
            self.shipper.ship_changes(released=self.database.is_sqlite)
        except (*PASSING, *FINAL, Superseded) as problem:
            log.warning("not everything is copied to %s: %s", self.target.url, problem)
