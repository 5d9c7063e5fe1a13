"""Models on a GPU that is lent for one request at a time, as on the ZeroGPU Spaces of Hugging Face.

There the app's own process never has a GPU. It names the functions that need one; a call of such a
function runs in a process that is forked from the app, models and all, and gets a GPU for as long
as the call takes. Arguments and results travel between the two, so they are small: the name of a
model, a request, and looks at its work.
"""

import contextvars
import time
from collections.abc import Callable
from collections.abc import Generator as Generating
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

from generators.base import Generator, InvalidRequest, Snapshot
from generators.batching import PUBLISH_EVERY, ModelQueue, Ticket
from models.device import Placement
from models.registry import ModelUnavailable

Loaded = TypeVar("Loaded", bound=Generator)
Steps = Generating[Snapshot | None, None, None]  # a look at the work now and then
Work = Callable[[str, dict[str, Any], Any], Steps]

CPU = Placement(torch.device("cpu"), torch.float32)
FIRST_GUESS = 60  # seconds of a GPU that a model's first request asks for
AT_LEAST = 10  # seconds that any request asks for: to begin is slower than to go on
AT_MOST = 120  # seconds; a visitor without an account has no more than that in a day
SPARE = 1.5  # of what was needed before

# What the package `spaces` calls its refusals. All others are faults.
QUOTA = ("ZeroGPU quota exceeded", "ZeroGPU pending credits exceeded", "ZeroGPU illegal duration")
BUSY = ("ZeroGPU queue timeout", "ZeroGPU client error")


class GPU(Protocol):
    """`spaces.GPU`: makes of a generator function one that runs on a lent GPU."""

    def __call__(self, *, duration: Callable[..., int]) -> Callable[[Work], Work]: ...


class Lender:
    """Hands requests to the lent GPU, with a guess of how long each needs it."""

    def __init__(
        self, gpu: GPU, refusal: type[Exception], takes: Callable[[str], bool] = lambda _: True
    ) -> None:
        """refusal: what is raised where there is no GPU; takes: which models are worth one."""
        self.refusal = refusal
        self.takes = takes
        self.models: dict[str, Generator] = {}
        self.paces: dict[str, float] = {}  # seconds of a GPU for one token or denoising step

        def work(name: str, inputs: dict[str, Any], options: Any) -> Steps:
            # In the forked process: `self` is as it was at the fork, so with all models.
            yield from looks(self.models[name], inputs, options)

        self._on_gpu = gpu(duration=self.seconds)(work)

    def seconds(self, name: str, inputs: dict[str, Any], options: Any) -> int:
        """For how long to ask; a visitor's quota must cover all of it, so not too long."""
        if name not in self.paces:
            return FIRST_GUESS
        guess = SPARE * self.paces[name] * amount(self.models[name], options)
        return min(max(AT_LEAST, round(guess)), AT_MOST)

    def steps(self, name: str, inputs: dict[str, Any], options: Any) -> Steps:
        """The work, on a GPU; raises InvalidRequest where there is none to be had."""
        try:
            yield from self._on_gpu(name, inputs, options)
        except self.refusal as problem:
            raise refused(problem) from problem

    def learn(self, name: str, options: Any, seconds: float) -> None:
        """Remember how long a whole request took."""
        pace = seconds / amount(self.models[name], options)
        self.paces[name] = max(pace, 0.8 * self.paces.get(name, 0))  # slowly forget the slowest


def refused(problem: Exception) -> Exception:
    """The sentence for a refusal; a fault stays as it is."""
    title = str(getattr(problem, "title", ""))
    if title in QUOTA:
        return InvalidRequest("gpu_quota", said=str(getattr(problem, "message", "")))
    if title in BUSY:
        return InvalidRequest("gpu_busy")
    return problem


def amount(model: Any, options: Any) -> int:
    """How much a request asks of a model: new tokens, or denoising steps of all drafts."""
    whole = model.complete(options)
    if hasattr(whole, "max_new_tokens"):
        return int(whole.max_new_tokens)
    return int(whole.steps * whole.drafts)


def looks(model: Generator, inputs: dict[str, Any], options: Any) -> Steps:
    """Serve one request: something after every step, so that it can be stopped there."""
    try:
        work = model.start(inputs, options)
    except InvalidRequest as error:
        yield Snapshot("done", error=error)
        return
    shown = 0.0
    for _ in model.run(work):
        if time.monotonic() - shown < PUBLISH_EVERY:
            yield None
            continue
        shown = time.monotonic()
        yield work.look("running")
    yield work.look("done")


def within(context: contextvars.Context, steps: Steps) -> Steps:
    """The same steps, each taken in a context; closing these closes those."""
    try:
        while True:
            try:
                look = context.run(next, steps)
            except StopIteration:
                return
            yield look
    finally:
        context.run(steps.close)


class LentQueue(ModelQueue[Loaded]):
    """The queue of a model that runs where the GPU is; its thread here only waits."""

    def __init__(
        self, name: str, load: Callable[[], Loaded], max_waiting: int, lender: Lender
    ) -> None:
        super().__init__(name, load, max_waiting)
        self._lender = lender

    def load(self) -> None:
        """Load now, in this thread: the main one, where CUDA is played until the fork."""
        loaded: Future[Loaded] = Future()
        loaded.add_done_callback(self._on_loaded)
        try:
            loaded.set_result(self._load_alone())
        except BaseException as error:
            loaded.set_exception(error)
            if not isinstance(error, Exception):
                raise
        if self.model is not None:
            self._lender.models[self.name] = self.model

    def start(self) -> None:
        """Nothing: a model that was not loaded before the first fork could never be lent a GPU."""

    def close(self) -> None:
        """Stop; who waits for a GPU is not waited for."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _serve(self, ticket: Ticket) -> None:
        """Run one request; what it raises ends that request alone."""
        if ticket.abandoned or ticket.stopped:
            return
        if self.model is None:
            ticket.publish(Snapshot("done", error=self.error))
            return
        # The visitor's request is found in the context: the time is charged to her account.
        steps = self._lender.steps(self.name, ticket.inputs, ticket.options)
        try:
            with closing(within(ticket.asking, steps)) as asked:
                self._follow(ticket, asked)
        except (InvalidRequest, ModelUnavailable) as error:
            ticket.publish(Snapshot("done", error=error))

    def _follow(self, ticket: Ticket, steps: Steps) -> None:
        last = Snapshot("running")
        began = time.monotonic()
        for look in steps:
            if ticket.started_at is None:
                ticket.started_at = datetime.now(UTC)
                began = time.monotonic()
            last = look or last
            if ticket.abandoned or ticket.stopped or self._closed:
                break
            if look is None:
                continue
            if ticket.first_token_at is None:
                ticket.first_token_at = datetime.now(UTC)
            ticket.publish(look)
        if last.phase != "done":
            ticket.publish(replace(last, phase="done"))
        elif last.error is None:
            self._lender.learn(self.name, ticket.options, time.monotonic() - began)


def open_queue(
    source: str,
    name: str,
    load: Callable[[Placement], Loaded],
    placement: Placement,
    max_waiting: int,
    lender: Lender | None,
) -> ModelQueue[Loaded]:
    """The queue of a model: with a device of its own, or with a GPU that is lent.

    A model that is not worth a lent GPU runs on the CPU.
    """
    if lender is None:
        return ModelQueue(name, partial(load, placement), max_waiting)
    if not lender.takes(source):
        return ModelQueue(name, partial(load, CPU), max_waiting)
    return LentQueue(name, partial(load, placement), max_waiting, lender)
