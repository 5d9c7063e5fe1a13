"""One queue a model: requests wait in order, one thread works, readers follow along.

Threads that call a network at the same time are slower together than one after another, so each
model has one thread. Today it serves one request at a time, whatever its task; batching several
requests belongs here and nowhere else.
"""

import asyncio
import contextvars
import gc
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from generators.base import Generator, InvalidRequest, Snapshot
from models.registry import ModelUnavailable

log = logging.getLogger(__name__)

Loaded = TypeVar("Loaded", bound=Generator)
State = Literal["loading", "ready", "failed"]

FRAMES = 8  # of an error's traceback, those next to where it was raised
PUBLISH_EVERY = 0.1  # seconds between two looks at an unfinished output; each costs the model time
POSITION_EVERY = 0.5  # seconds between two looks at the place in the queue
# While transformers or diffusers build a network, modules of every thread are made without memory
# (accelerate's init_empty_weights): a model that is loaded beside it would stay without weights.
LOADING = threading.Lock()


class Ticket:
    """One request in the queue, and the way to follow or stop it."""

    def __init__(self, inputs: dict[str, Any], options: Any) -> None:
        self.inputs = inputs
        self.options = options
        self.queued_at = datetime.now(UTC)
        self.started_at: datetime | None = None
        self.first_token_at: datetime | None = None
        self.stopped = False  # by its reader: what is there counts
        self.abandoned = False  # nobody reads any more
        self.asking = contextvars.copy_context()  # whose request it is, for a GPU that is lent
        self.snapshot = Snapshot("waiting")
        self._changed: Callable[[], None] = lambda: None

    def stop(self) -> None:
        """End the work after the current step; what is there is the result.

        A request that has not begun ends at once, with nothing.
        """
        self.stopped = True
        if self.started_at is None:
            self.publish(Snapshot("done", error=InvalidRequest("stopped_early")))

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._changed()

    async def follow(self, ahead: Callable[["Ticket"], int]) -> AsyncGenerator[Snapshot]:
        """Each new state until the work is done; leaving the loop abandons the work."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def changed() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)

        self._changed = changed
        try:
            while True:
                news.clear()
                snapshot = self.snapshot
                if snapshot.phase == "waiting":
                    snapshot = Snapshot("waiting", ahead=ahead(self))
                yield snapshot
                if snapshot.phase == "done":
                    return
                try:
                    await asyncio.wait_for(news.wait(), POSITION_EVERY)
                except TimeoutError:
                    continue
        finally:
            self.abandoned = True


class QueueFull(RuntimeError):
    """More requests wait for this model than it will serve soon."""


class ModelQueue(Generic[Loaded]):
    """A model, the thread that loads and runs it, and the requests that wait for it."""

    def __init__(
        self,
        name: str,
        load: Callable[[], Loaded],
        max_waiting: int,
        *,
        task: str = "",
        family: str = "",
    ) -> None:
        """task: of the model. family: the name that short-lived models are counted under."""
        self.name = name
        self.task = task
        self.family = family or name
        self.max_waiting = max_waiting
        self.state: State = "loading"
        self.model: Loaded | None = None
        self.error: ModelUnavailable | None = None
        self._load = load
        self._waiting: deque[Ticket] = deque()
        self._lock = threading.Lock()
        self._loaded = threading.Event()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"model {name}")

    def start(self) -> None:
        """Begin to load in the background."""
        self._thread.submit(self._load_alone).add_done_callback(self._on_loaded)

    def wait_until_loaded(self, seconds: float) -> State:
        """Wait until the model is there or has failed; for scripts and tests."""
        self._loaded.wait(seconds)
        return self.state

    def submit(self, inputs: dict[str, Any], options: Any) -> Ticket:
        """Take a place in the queue; raises QueueFull or, for a broken model, ModelUnavailable."""
        if self.error is not None:
            raise self.error
        ticket = Ticket(inputs, options)
        with self._lock:
            if len(self._waiting) >= self.max_waiting:
                raise QueueFull(self.name)
            self._waiting.append(ticket)
        context = copy_context()  # so that what is logged of it names the visitor's request
        future = self._thread.submit(context.run, self._serve, ticket)
        future.add_done_callback(lambda future: context.run(self._on_served, ticket, future))
        return ticket

    def waiting(self) -> list[Ticket]:
        """The requests that have not begun, the oldest first."""
        with self._lock:
            return [ticket for ticket in self._waiting if ticket.started_at is None]

    def ahead(self, ticket: Ticket) -> int:
        """How many requests are served before this one, the one under way included."""
        with self._lock:
            waiting = list(self._waiting)
        return waiting.index(ticket) if ticket in waiting else 0

    def close(self) -> None:
        """Finish the step under way and stop."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _load_alone(self) -> Loaded:
        with LOADING:
            return self._load()

    def _on_loaded(self, future: Future[Loaded]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.model = future.result()
            self.state = "ready"
            # What it needs has been imported and stays: no collection need look at it (see app.py).
            gc.freeze()
            log.info("model %s is ready", self.name)
        else:
            log.error("model %s cannot be used: %s", self.name, error)
            if not isinstance(error, ModelUnavailable):
                error = ModelUnavailable("model_unreadable", model=self.name)
            self.error = error
            self.state = "failed"
        self._loaded.set()

    def _serve(self, ticket: Ticket) -> None:
        """Run one request; what it raises ends that request alone (see _on_served)."""
        if ticket.abandoned or ticket.stopped:
            return
        if self.model is None:
            ticket.publish(Snapshot("done", error=self.error))
            return
        try:
            work = self.model.start(ticket.inputs, ticket.options)
        except InvalidRequest as error:
            ticket.publish(Snapshot("done", error=error))
            return
        ticket.started_at = datetime.now(UTC)
        shown = 0.0
        for _ in self.model.run(work):
            if ticket.first_token_at is None:
                ticket.first_token_at = datetime.now(UTC)
            if ticket.abandoned or ticket.stopped or self._closed:
                break
            if time.monotonic() - shown >= PUBLISH_EVERY:
                ticket.publish(work.look("running"))
                shown = time.monotonic()
        ticket.publish(work.look("done"))

    def _on_served(self, ticket: Ticket, future: Future[None]) -> None:
        with self._lock:
            self._waiting.remove(ticket)
        error = None if future.cancelled() else future.exception()
        if error is not None or future.cancelled():
            log.error("model %s failed at a request: %s", self.name, where(error))
            ticket.publish(replace(ticket.snapshot, phase="done", failed=True))


def where(error: BaseException | None) -> str:
    """The kind of an error and where it was raised, the innermost frame first, on one line.

    Not its message, which may quote a prompt.
    """
    if error is None:
        return "the app is closing"
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = " < ".join(
        f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno} {frame.name}"
        for frame in reversed(frames)
    )
    return f"{type(error).__name__} at {places}" if places else type(error).__name__
