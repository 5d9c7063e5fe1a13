"""The queue before an engine: many requests at once, on one thread that only waits."""

import asyncio
import logging
import threading
from collections.abc import Container, Iterable
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from generators.base import InvalidRequest, Phase, Snapshot
from generators.batching import PUBLISH_EVERY, QueueFull, State, Ticket, where
from generators.endpoints import EndpointHealth, Pool
from models.engines import BadEngine, EngineVersion
from models.registry import ModelUnavailable

log = logging.getLogger(__name__)

CHECK_EVERY = 15.0  # seconds between two looks at each endpoint
CLOSING = 5.0  # seconds that requests under way get to let go when the app ends


class RemoteWork(Protocol):
    """A request under way at an engine."""

    started_at: datetime | None  # when the first of its requests was sent
    first_token_at: datetime | None

    def look(self, phase: Phase) -> Snapshot:
        """How far it is."""


class RemoteModel(Protocol):
    """A model that an engine serves. All but `start` runs in the queue's thread."""

    task: str
    name: str
    weights: EngineVersion
    pool: Pool

    def start(self, inputs: dict[str, Any], options: Any) -> Any:
        """Check the request and make it ready (a RemoteWork); raises InvalidRequest."""

    async def run(self, work: Any, slots: asyncio.Semaphore) -> None:
        """Do the work; each request to an endpoint takes a slot. Cancelled when it is stopped."""

    def says(self) -> dict[str, Any]:
        """What each endpoint says of itself, by its address."""

    async def check(self) -> None:
        """Ask each endpoint how it is."""

    async def close(self) -> None:
        """Let go of the connections."""


Served = TypeVar("Served", bound=RemoteModel)


class RemoteQueue(Generic[Served]):
    """A model at an engine, and the requests to it; to the pages it is like a ModelQueue."""

    def __init__(
        self, model: Served, max_waiting: int, at_once: int, check_every: float = CHECK_EVERY
    ) -> None:
        self.name = model.name
        self.max_waiting = max_waiting
        self.state: State = "loading"  # until its endpoints were asked for the first time
        self.model: Served = model
        self._check_every = check_every
        self._waiting: list[Ticket] = []  # those that have no slot yet
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(at_once)
        self._thread = threading.Thread(target=self._live, name=f"engine {model.name}", daemon=True)
        self._stop = asyncio.Event()

    @property
    def error(self) -> ModelUnavailable | None:
        """What is wrong while no endpoint can be used; it may be back a moment later."""
        endpoints = self.model.pool.endpoints
        if self.state == "loading" or not all(one.is_down for one in endpoints):
            return None
        fault = self.model.pool.refusal()
        return ModelUnavailable(fault.code, **{**fault.details, "model": self.name})

    def start(self) -> None:
        """Begin to serve, and to look after the endpoints."""
        self._thread.start()

    def wait_until_loaded(self, seconds: float) -> State:
        """Wait until the endpoints were asked for the first time; for scripts and tests."""
        self._ready.wait(seconds)
        return self.state

    def submit(self, inputs: dict[str, Any], options: Any) -> Ticket:
        """Take a place in the queue; raises QueueFull."""
        ticket = Ticket(inputs, options)
        with self._lock:
            if len(self._waiting) >= self.max_waiting:
                raise QueueFull(self.name)
            self._waiting.append(ticket)
        future = asyncio.run_coroutine_threadsafe(self._serve(ticket), self._loop)
        future.add_done_callback(lambda future: self._on_served(ticket, future))
        return ticket

    def ahead(self, ticket: Ticket) -> int:
        """How many requests must get a slot before this one is served."""
        with self._lock:
            return self._waiting.index(ticket) if ticket in self._waiting else 0

    def health(self) -> list[EndpointHealth]:
        """How each endpoint is."""
        return self.model.pool.health(self.name)

    def close(self) -> None:
        """Stop what is under way, keep what came of it, and let go of the connections."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(CLOSING)
        else:
            self._loop.close()

    # In the thread

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._look_after())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _look_after(self) -> None:
        """Ask the endpoints how they are, now and then, until the app ends."""
        while not self._stop.is_set():
            checking = asyncio.create_task(self.model.check())
            await asyncio.wait({checking})
            if checking.exception() is not None:
                log.error("a check of engine %s failed: %s", self.name, where(checking.exception()))
            self.state = "ready"
            self._ready.set()
            try:
                async with asyncio.timeout(self._check_every):
                    await self._stop.wait()
            except TimeoutError:
                continue
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=CLOSING - 1)
        await self.model.close()

    async def _serve(self, ticket: Ticket) -> None:
        """Run one request; what it raises ends that request alone (see _on_served)."""
        if ticket.abandoned or ticket.stopped:
            return
        try:
            work = self.model.start(ticket.inputs, ticket.options)
        except InvalidRequest as error:
            ticket.publish(Snapshot("done", error=error))
            return
        running = asyncio.create_task(self.model.run(work, self._slots))
        shown, ending = None, False
        while not running.done():
            if not ending and (ticket.stopped or ticket.abandoned or self._stop.is_set()):
                ending = running.cancel()
            await asyncio.wait({running}, timeout=PUBLISH_EVERY)
            self._note_start(ticket, work)
            state = work.look("running")
            if ticket.started_at is not None and state != shown and not running.done():
                ticket.publish(state)
                shown = state
        self._note_start(ticket, work)
        if not running.cancelled() and (broken := running.exception()):
            # Of the drafts' errors the first: where() tells nothing of a group's members.
            raise broken.exceptions[0] if isinstance(broken, BaseExceptionGroup) else broken
        done = work.look("done")
        if ticket.stopped and not any(done.tokens) and not any(done.images):
            done = Snapshot("done", error=InvalidRequest("stopped_early"))
        ticket.publish(done)

    def _note_start(self, ticket: Ticket, work: RemoteWork) -> None:
        """Take over the times; a request that has a slot waits no longer."""
        ticket.first_token_at = work.first_token_at
        if ticket.started_at is None and work.started_at is not None:
            ticket.started_at = work.started_at
            self._forget(ticket)

    def _forget(self, ticket: Ticket) -> None:
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    def _on_served(self, ticket: Ticket, future: "Future[None]") -> None:
        self._forget(ticket)
        error = None if future.cancelled() else future.exception()
        if error is not None or future.cancelled():
            log.error("engine %s failed at a request: %s", self.name, where(error))
            ticket.publish(replace(ticket.snapshot, phase="done", failed=True))


def no_engine(source: str) -> RemoteQueue[Any] | None:
    """For who has no engines: every entry of the settings names weights."""
    return None


def new_name(name: str, taken: Container[str]) -> str:
    """The name itself; raises BadEngine where another model has it."""
    if name in taken:
        raise BadEngine(f"two models are called {name}: give one another with ?name=")
    return name


def engine_health(queues: Iterable[Any]) -> list[EndpointHealth]:
    """How every endpoint of the engines among these queues is, for a page of the owner's."""
    return [
        health for queue in queues if isinstance(queue, RemoteQueue) for health in queue.health()
    ]
