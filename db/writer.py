"""The one writer of a SQLite database: many callers, one thread, one fsync for a whole batch.

SQLite lets one connection write at a time, and every commit waits for the disk. Callers hand
their work to this thread; what is waiting is committed together, and a caller has its answer only
after the commit. A piece of work may run more than once, each time after a rollback.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

Answer = TypeVar("Answer")
Piece = tuple[Callable[[Session], Any], "Future[Any]"]
Outcome = tuple[Any, BaseException | None]

BATCH = 64  # pieces of work in one commit
WAITING = 2_000  # pieces of work that may wait; newcomers are then refused at once


class Busy(RuntimeError):
    """More is waiting to be written than can be written soon."""


class Paused(Busy):
    """Another copy of the app writes now; whoever sends again will reach that one."""


class Writer:
    """A thread that owns the writing connection."""

    def __init__(
        self, sessions: sessionmaker[Session], batch: int = BATCH, waiting: int = WAITING
    ) -> None:
        self.sessions = sessions
        self.batch = batch
        self.waiting: queue.Queue[Piece | None]
        self.waiting = queue.Queue(waiting)
        self.closed = False
        self.paused = False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="database writer", daemon=True)
        self.thread.start()

    def write(self, work: Callable[[Session], Answer]) -> Answer:
        """Run `work` and return its answer after the commit; raises Busy or what `work` raises."""
        return self.submit(work).result()

    def submit(
        self, work: Callable[[Session], Answer], *, though_paused: bool = False
    ) -> Future[Answer]:
        """Like write, but the answer comes through a Future."""
        answer: Future[Answer] = Future()
        with self.lock:  # nobody may slip in behind close() or pause()
            if self.closed:
                raise Busy("the database is being closed")
            if self.paused and not though_paused:
                raise Paused("another copy of the app has taken over")
            try:
                self.waiting.put_nowait((work, answer))
            except queue.Full:
                raise Busy(f"{self.waiting.maxsize} writes are waiting") from None
        return answer

    def pause(self) -> None:
        """Refuse new work; what was taken before is committed when this returns."""
        with self.lock:
            self.paused = True
            closed = self.closed
        if not closed:
            self.submit(lambda session: None, though_paused=True).result()

    def resume(self) -> None:
        with self.lock:
            self.paused = False

    def close(self) -> None:
        """Write what is waiting, then stop."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self.waiting.put(None)
        self.thread.join()

    def _run(self) -> None:
        while (first := self.waiting.get()) is not None:
            pieces = [first]
            last = False
            while len(pieces) < self.batch and not last:
                try:
                    piece = self.waiting.get_nowait()
                except queue.Empty:
                    break
                if piece is None:
                    last = True
                else:
                    pieces.append(piece)
            # Who has gone away meanwhile is left out; from here on nobody can: an answer to a
            # cancelled Future raises, and that would end this thread.
            self._commit([piece for piece in pieces if piece[1].set_running_or_notify_cancel()])
            if last:
                return

    def _commit(self, pieces: list[Piece]) -> None:
        """Commit the pieces together; if one fails, each behind a savepoint of its own, so that it
        cannot spoil the others; if the commit itself fails, each in a transaction of its own.

        A disk that is full or a file that is locked fails the commit of the whole batch; then each
        caller learns the fate of its own piece.
        """
        for attempt in (self._run_plainly, self._run_apart):
            try:
                outcomes = attempt(pieces)
            except BaseException as error:  # whatever it is, the callers must hear of it
                failure = error
                continue
            for (_, answer), (result, problem) in zip(pieces, outcomes, strict=True):
                if problem is not None:
                    answer.set_exception(problem)
                else:
                    answer.set_result(result)
            return
        if len(pieces) == 1:
            pieces[0][1].set_exception(failure)
            return
        for piece in pieces:
            self._commit([piece])

    def _run_plainly(self, pieces: list[Piece]) -> list[Outcome]:
        """All or nothing: cheap, and nearly always enough."""
        with self.sessions.begin() as session:
            outcomes: list[Outcome] = [(work(session), None) for work, _ in pieces]
        return outcomes

    def _run_apart(self, pieces: list[Piece]) -> list[Outcome]:
        """Each piece behind a savepoint; what one raises is its own outcome."""
        outcomes: list[Outcome] = []
        with self.sessions.begin() as session:
            for work, _ in pieces:
                try:
                    with session.begin_nested():
                        result = work(session)
                except OperationalError:
                    # The disk is full or broken. SQLite may have rolled back the transaction, and
                    # with it the pieces before this one: nothing of the batch counts.
                    raise
                except BaseException as error:  # it belongs to that caller, not to this thread
                    session.expunge_all()
                    outcomes.append((None, error))
                else:
                    outcomes.append((result, None))
        return outcomes
