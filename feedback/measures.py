"""What the app counts of its own work for its owner; docs/running.md explains each number.

Nothing here says who did something or what was written: labels are names of models, kinds and
codes, of which there are few.
"""

import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from opentelemetry import trace
from prometheus_client import Counter, Histogram

from generators.base import InvalidRequest, Snapshot
from generators.batching import QueueFull, Ticket
from models.registry import ModelUnavailable

log = logging.getLogger(__name__)
tracer = trace.get_tracer("genloop")  # does nothing unless web/tracing.py has set it up

# Of the HTTP request under way, for the log; empty outside of one.
REQUEST_ID: ContextVar[str] = ContextVar("REQUEST_ID", default="")
IN_SCOPE = "genloop.request_id"  # where it stands in the scope of the request

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
Outcome = Literal["complete", "stopped", "left", "refused", "failed"]

GENERATIONS = Counter(
    "genloop_generations", "Requests to a model that ended", ["task", "model", "outcome"]
)
WAITED = Histogram(
    "genloop_generation_wait_seconds",
    "From the request to the first step of the model",
    ["task", "model"],
    buckets=SECONDS,
)
FIRST = Histogram(
    "genloop_generation_first_seconds",
    "From the first step of the model to its first token, or step of a picture",
    ["task", "model"],
    buckets=SECONDS,
)
TOOK = Histogram(
    "genloop_generation_seconds",
    "From the first step of the model to the end of the output",
    ["task", "model"],
    buckets=SECONDS,
)
TOKENS = Counter("genloop_tokens", "Tokens that text models read and wrote", ["model", "way"])
EVENTS = Counter("genloop_feedback", "Feedback events and votes that were kept", ["kind"])
SIGNALS = Counter("genloop_signals", "Implicit acts that were kept", ["kind"])
CONSENTS = Counter("genloop_consents", "Answers to the terms that were kept", ["keep", "train"])
ERRORS = Counter(
    "genloop_errors",
    "Errors that visitors were told of, by the code of the sentence",
    ["place", "code"],
)


class Measured(Protocol):
    """A queue, as far as it is counted."""

    @property
    def task(self) -> str: ...
    @property
    def family(self) -> str: ...


@dataclass
class Measure:
    """One request to a model, from before it is queued until it has ended."""

    queue: Measured
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ticket: Ticket | None = None
    snapshot: Snapshot | None = None

    def __enter__(self) -> "Measure":
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        note(self, *ending(self, error))


def ending(measure: Measure, error: BaseException | None) -> tuple[Outcome, str]:
    """How a request ended, and the code of what was wrong; empty where nothing was."""
    snapshot = measure.snapshot
    told = snapshot.error if snapshot is not None else None
    problem = told or error
    if isinstance(problem, QueueFull):
        return "refused", "queue_full"
    if isinstance(problem, InvalidRequest):
        stopped = problem.code == "stopped_early"
        return ("stopped", "") if stopped else ("refused", problem.code)
    if isinstance(problem, ModelUnavailable):
        return "failed", problem.code
    if snapshot is not None and snapshot.failed:
        return "failed", "model_failed"
    if snapshot is None or snapshot.phase != "done":
        return "left", ""  # the reader went away, and the work ended with that
    stopped = measure.ticket is not None and measure.ticket.stopped
    return ("stopped" if stopped else "complete"), ""


def note(measure: Measure, outcome: Outcome, code: str) -> None:
    """Count a request that has ended, log it and trace it."""
    task, model = measure.queue.task, measure.queue.family
    GENERATIONS.labels(task, model, outcome).inc()
    fields: dict[str, Any] = {"task": task, "model": model, "outcome": outcome}
    if code:
        fields["code"] = code
    ticket, snapshot, now = measure.ticket, measure.snapshot, datetime.now(UTC)
    if ticket is not None and ticket.started_at is not None:
        fields["waited"] = seconds(ticket.queued_at, ticket.started_at)
        fields["took"] = seconds(ticket.started_at, now)
        WAITED.labels(task, model).observe(fields["waited"])
        TOOK.labels(task, model).observe(fields["took"])
        if ticket.first_token_at is not None:
            fields["first"] = seconds(ticket.started_at, ticket.first_token_at)
            FIRST.labels(task, model).observe(fields["first"])
    if snapshot is not None and snapshot.tokens:
        fields["read"], fields["wrote"] = snapshot.input_tokens, sum(snapshot.tokens)
        TOKENS.labels(model, "read").inc(fields["read"])
        TOKENS.labels(model, "wrote").inc(fields["wrote"])
    log.info("generation", extra=fields)
    span(measure, fields, now)


def span(measure: Measure, fields: dict[str, Any], now: datetime) -> None:
    """The request as a span of OpenTelemetry, with the moment at which its model began."""
    made = tracer.start_span(
        "generation",
        start_time=nanoseconds(measure.asked_at),
        attributes={f"genloop.{name}": value for name, value in fields.items()}
        | {"genloop.request_id": REQUEST_ID.get()},
    )
    ticket = measure.ticket
    if ticket is not None and ticket.started_at is not None:
        made.add_event("begun", timestamp=nanoseconds(ticket.started_at))
    if fields["outcome"] == "failed":
        made.set_status(trace.StatusCode.ERROR)
    made.end(nanoseconds(now))


def seconds(since: datetime, until: datetime) -> float:
    """Never negative: the clock may have been set back in between."""
    return round(max(0.0, (until - since).total_seconds()), 4)


def nanoseconds(moment: datetime) -> int:
    """Since 1970."""
    return int(moment.timestamp() * 1e9)
