"""Run a job when it is due, in a thread of this process, and in one process at a time.

Every replica of the app has a scheduler. Whichever sees first that the job is due takes the lease
and runs it; the others find the lease taken, and later that nothing is due.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database
from db.lease import LIFETIME, HeldLease, LeaseLost, LeaseTaken, holding, own_name
from db.writer import Busy
from feedback.schedule import Schedule, begin, end, state

log = logging.getLogger(__name__)

TICK = 20.0  # seconds between two looks at whether the job is due
PATIENCE = 1.0  # seconds that a job has to stop when the app ends


class Stopped(Exception):
    """The job was asked to stop, and did."""


@dataclass(frozen=True)
class Turn:
    """What a job is handed: when to stop, and the number to write under (db/lease.py)."""

    fence: int
    stop: threading.Event = field(default_factory=threading.Event)


# A job returns a sentence for the owner. It raises Stopped as soon as it sees that `stop` is set:
# the app is about to end, or the lease is lost, and then another process may run the job.
Job = Callable[[Turn], str]


class Scheduler:
    """The thread that runs one job whenever its schedule says so."""

    def __init__(
        self,
        database: Database,
        schedule: Schedule,
        job: Job,
        *,
        tick: float = TICK,
        lifetime: float = LIFETIME,
    ) -> None:
        self.database = database
        self.schedule = schedule
        self.job = job
        self.tick = tick
        self.lifetime = lifetime
        self.name = own_name()
        self.closing = threading.Event()
        self.stop = threading.Event()  # of the turn that is running; a new one for each
        self.thread = threading.Thread(
            target=self._run, name=f"scheduler of {schedule.job}", daemon=True
        )

    def start(self) -> None:
        self.thread.start()

    def close(self) -> None:
        """Stop the job and the thread; close the database only afterwards."""
        self.closing.set()
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join(PATIENCE)
            if self.thread.is_alive():
                log.warning("the job %s did not stop; its lease will run out", self.schedule.job)

    def _run(self) -> None:
        while not self.closing.wait(self.tick):
            try:
                if self._is_due():
                    self._take_turn()
            except LeaseTaken:
                continue  # another replica was quicker
            except (SQLAlchemyError, Busy, LeaseLost) as problem:
                log.warning("job %s: %s", self.schedule.job, type(problem).__name__)

    def _is_due(self) -> bool:
        with self.database.read() as session:
            return state(session, self.schedule, enough=True).due

    def _take_turn(self) -> None:
        self.stop = threading.Event()
        if self.closing.is_set():  # in this order: close() may have set the stop of before
            return
        with holding(
            self.database,
            self.schedule.lease,
            lifetime=self.lifetime,
            holder=self.name,
            lost=self.stop,
        ) as held:
            if self._is_due():  # not if another replica has just run it
                self._work(held)

    def _work(self, held: HeldLease) -> None:
        run_id = self.database.write(lambda session: begin(session, self.schedule, self.name, held))
        outcome, result, error = self._outcome(Turn(held.fence, self.stop))
        self.database.write(
            lambda session: end(session, run_id, outcome, result=result, error=error)
        )

    def _outcome(self, turn: Turn) -> tuple[str, str | None, str | None]:
        try:
            return "finished", self.job(turn), None
        except Stopped:
            return "stopped", None, None
        except BaseException as problem:  # whatever it is, the owner sees it, and the thread lives
            log.warning("job %s failed: %s", self.schedule.job, type(problem).__name__)
            return "failed", None, f"{type(problem).__name__}: {problem}"
