"""What the desks of all tabs share: follow a request, stop it, say what went wrong."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any

import gradio as gr

from db.replica.targets import TargetDown
from feedback.answer import Ask, Origin, Progress, Queue, answer, origin
from feedback.consent import NoConsent
from feedback.identity import ForeignHandle
from feedback.measures import ERRORS, IN_SCOPE, REQUEST_ID
from feedback.rate import UnknownGeneration
from generators.base import InvalidRequest
from generators.batching import QueueFull, Ticket
from models.registry import ModelUnavailable
from ui.language import Language
from ui.services import Services

LOADING_EVERY = 0.3  # seconds between two looks at a model that is being loaded
FOLLOWED = (
    InvalidRequest,
    ModelUnavailable,
    QueueFull,
    NoConsent,
    UnknownGeneration,
    TargetDown,  # the pictures are away: nothing of the request is kept
)
State = dict[str, Any]

log = logging.getLogger("genloop.ui")


class Desk(ABC):
    """What a tab's events do, for one language; everything a visitor sends is checked here."""

    task: str

    def __init__(self, services: Services, language: Language) -> None:
        self.services = services
        self.language = language

    @abstractmethod
    def view(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """The state of a request as the page's script draws it."""

    @abstractmethod
    def remembered(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """What later events of the page start from when the request is done."""

    def answers(self, queue: Queue, ask: Ask, request: gr.Request) -> AsyncGenerator[Progress]:
        services = self.services
        REQUEST_ID.set(id_of(request))  # Gradio's queue works outside of the request itself
        return answer(
            services.database, services.media, queue, ask, services.tickets, self.place(request)
        )

    def place(self, request: gr.Request) -> str:
        """Where Stop finds the ticket of this tab of the page."""
        return f"{self.task} {request.session_hash}"

    async def follow(
        self, queue: Queue, ask: Ask, request: gr.Request
    ) -> AsyncGenerator[tuple[State, Any]]:
        """Each state for the page, and at the end what the page must remember of it."""
        try:
            async for progress in self.answers(queue, ask, request):
                if progress.snapshot.error or progress.snapshot.failed:
                    yield self.failure(progress), gr.skip()
                elif progress.snapshot.phase == "done":
                    yield self.view(queue, ask, progress), self.remembered(queue, ask, progress)
                else:
                    yield self.view(queue, ask, progress), gr.skip()
        except FOLLOWED as problem:
            yield self.problem(problem), gr.skip()

    async def loading(self, queue: Queue, request: gr.Request) -> AsyncGenerator[None]:
        """Nothing, every now and then, until the model is there or has failed.

        Raises InvalidRequest when the visitor stops waiting.
        """
        ticket = Ticket({}, None)
        self.services.tickets[self.place(request)] = ticket
        try:
            while queue.state == "loading":
                yield
                await asyncio.sleep(LOADING_EVERY)
                if ticket.snapshot.error is not None:
                    raise ticket.snapshot.error
        finally:
            self.services.tickets.pop(self.place(request), None)

    async def stop(self, request: gr.Request) -> None:
        """End the tab's request after the step under way; one that has not begun, at once."""
        ticket = self.services.tickets.get(self.place(request))
        if ticket is not None:
            ticket.stop()

    def opened(self, handle: str, request: gr.Request) -> Origin:
        """The visitor's own output of this tab; raises UnknownGeneration."""
        key_hash = self.services.key_hash(request)
        if not key_hash:
            raise UnknownGeneration("nobody's")
        try:
            generation_id = self.services.signer.open_handle(handle, key_hash)
        except ForeignHandle as problem:
            raise UnknownGeneration(handle[:36]) from problem
        with self.services.database.read() as session:
            begun = origin(session, key_hash, generation_id)
        if begun.task != self.task:
            raise UnknownGeneration(generation_id)
        return begun

    def handles(self, ask: Ask, progress: Progress, drafts: int) -> list[str | None]:
        """One a draft; None for what is not kept."""
        if not progress.ids:
            return [None] * drafts
        return self.services.handles(progress.ids, ask.key_hash)

    def told_options(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """The options; of a finished request as they are kept, without what no engine was told."""
        options = ask.options
        if progress.snapshot.phase == "done" and queue.model is not None:
            options = queue.model.complete(options)
        told: State = options.as_json()
        return told

    def failure(self, progress: Progress) -> State:
        error = progress.snapshot.error
        return self.problem(error) if error else self.error("model_failed")

    def problem(self, problem: BaseException) -> State:
        """The sentence for an exception of FOLLOWED."""
        if isinstance(problem, InvalidRequest | ModelUnavailable):
            return self.error(problem.code, **problem.details)
        if isinstance(problem, QueueFull):
            return self.error("queue_full")
        if isinstance(problem, NoConsent):
            return self.error("no_consent")
        if isinstance(problem, TargetDown):
            log.warning("answered storage: %s", problem)
            return self.error("storage")
        return self.error("unknown_generation")

    def error(self, code: str, **details: object) -> State:
        ERRORS.labels("page", code).inc()
        return {"phase": "error", "code": code, "message": self.language.error(code, **details)}

    def trouble(self, queue: Queue | None) -> str:
        """A line about a model that is not there yet, or cannot be used; empty when all is well."""
        if queue is not None and queue.state == "loading":
            return self.language.word("model_loading")
        if queue is not None and queue.error is not None:
            return self.language.error(queue.error.code, **queue.error.details)
        return ""


def may_come_back(queue: Queue | None) -> bool:
    """Whether a model is there but cannot be used at this moment: an engine out of reach."""
    return queue is not None and queue.state == "ready" and queue.error is not None


def id_of(request: gr.Request) -> str:
    """The id that web/watch.py gave the HTTP request behind an event."""
    scope = getattr(getattr(request, "request", None), "scope", {})
    return str(scope.get(IN_SCOPE, ""))


def sent(event: gr.EventData) -> State:
    """What the page's script sent with an event; anything but an object counts as nothing."""
    data = getattr(event, "_data", None)
    return data if isinstance(data, dict) else {}


def whole(name: str, value: object) -> int:
    """A number field sends 7.0 for 7; anything that is not whole is refused."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise InvalidRequest("whole_expected", option=name)
    return value
