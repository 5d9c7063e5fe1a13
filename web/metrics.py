"""What Prometheus reads: the counters of this process, and how things stand at this moment.

At /owner/metrics for the owner's browser; at /metrics for who sends the metrics token.
"""

import hmac
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.replica import replicator
from db.replica.safety import safety
from db.tables import RUN_STATES
from feedback.answer import Queue
from feedback.schedule import last_runs
from generators.batching import State
from generators.remote import engine_health
from models.jobs import Jobs
from models.jobs import State as JobState
from web.errors import Refused
from web.owner import rooms
from web.services import Services

Families = Iterator[Metric]

doors = APIRouter(include_in_schema=False)


class Everything:
    """The counters of the process, then what is measured when it is asked for."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def collect(self) -> Families:
        yield from REGISTRY.collect()
        yield from of_storage(self.services)
        yield from of_copy(self.services)
        yield from of_schedule(self.services)
        for look in self.services.looks:
            yield from look()


@doors.get("/metrics")
async def for_prometheus(request: Request) -> Response:
    """For a program that sends the token; where none is set there is nothing here."""
    services: Services = request.app.state.services
    token = services.settings.metrics_token.get_secret_value()
    if not token:
        raise Refused(404, "not_found")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())  # as it was sent
    if scheme.lower() != "bearer" or not right:
        raise Refused(401, "metrics_token")
    return await exposition(request)


@rooms.get("/metrics")
async def exposition(request: Request) -> Response:
    """All numbers, in the format that the reader prefers."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    everything = Everything(request.app.state.services)
    body = await anyio.to_thread.run_sync(encode, everything)
    return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


def of_storage(services: Services) -> Families:
    """The disk, and what waits to be written."""
    folder = services.settings.data_dir
    disk = shutil.disk_usage(folder)
    yield gauge("genloop_disk_free_bytes", "Free space where the data folder lies", disk.free)
    writer = services.database.writer
    if writer is None:
        return
    waiting = writer.waiting.qsize()
    yield gauge("genloop_writes_waiting", "Pieces of work that wait for SQLite's writer", waiting)
    alive = writer.thread.is_alive() and not writer.closed and not writer.paused
    yield gauge("genloop_writer_ready", "Whether SQLite's writer takes work", alive)
    file = Path(services.database.url.database or "")
    sizes = {"database": file, "log": file.with_name(f"{file.name}-wal")}
    family = GaugeMetricFamily("genloop_sqlite_bytes", "Size of SQLite's files", labels=["file"])
    for name, path in sizes.items():
        if path.is_file():
            family.add_metric([name], path.stat().st_size)
    yield family


def of_copy(services: Services) -> Families:
    """What would be lost with this machine; nothing where GENLOOP_REPLICA names no place."""
    if services.replicator is None:
        return
    state = services.replicator.state
    yield states(
        "genloop_copy_state", "What the copying does", get_args(replicator.State), {state: 1}
    )
    try:
        found = safety(services.database, services.replicator)
    except (OperationalError, PoolTimeout):
        return  # a gap in the curves says so; the other numbers are wanted all the more
    for name, said, value in (
        ("genloop_unsafe_events", "Feedback and votes that are not yet copied", found.events),
        ("genloop_unsafe_rows", "Rows that are not yet copied", found.rows),
        (
            "genloop_unsafe_oldest_seconds",
            "Age of the oldest row that is not yet copied",
            found.oldest_seconds or 0.0,
        ),
    ):
        yield gauge(name, said, value)
    if found.safe_at is not None:
        yield gauge(
            "genloop_copied_until_seconds",
            "Everything that was kept before this moment (seconds since 1970) is copied",
            found.safe_at.timestamp(),
        )


def of_schedule(services: Services) -> Families:
    """How the last run went of each job that the app starts by itself."""
    try:
        with services.database.read() as session:
            runs = last_runs(session)
    except (OperationalError, PoolTimeout):
        return
    began = GaugeMetricFamily(
        "genloop_scheduled_began_seconds", "When it began (since 1970)", labels=["job"]
    )
    went = GaugeMetricFamily(
        "genloop_scheduled_state", "How the last run of the job went", labels=["job", "state"]
    )
    for run in runs:
        began.add_metric([run.job], run.started_at.timestamp())
        for state in RUN_STATES:
            went.add_metric([run.job, state], run.state == state)
    yield from (family for family in (began, went) if family.samples)


def look_at_models(queues: Callable[[], Sequence[Queue]], jobs: Jobs) -> Callable[[], Families]:
    """What Services.looks is given: queues, the engines behind them, and trainings."""

    def look() -> Families:
        yield from of_queues(queues())
        yield from of_engines(queues())
        found: dict[str, int] = {}
        for job in jobs.all():
            found[job.state] = found.get(job.state, 0) + 1
        yield states("genloop_jobs", "Trainings of visitors", get_args(JobState), found)

    return look


def of_queues(queues: Sequence[Queue]) -> Families:
    labels = ["task", "model"]
    length = GaugeMetricFamily(
        "genloop_queue_length", "Requests that wait for the model", labels=labels
    )
    oldest = GaugeMetricFamily(
        "genloop_queue_oldest_seconds", "How long the first of them has waited", labels=labels
    )
    ready = GaugeMetricFamily(
        "genloop_model_state", "Of each state the number of such models", labels=[*labels, "state"]
    )
    now = datetime.now(UTC)
    for (task, family), members in grouped(queues).items():
        waiting = [ticket for queue in members for ticket in queue.waiting()]
        ages = [(now - ticket.queued_at).total_seconds() for ticket in waiting]
        length.add_metric([task, family], len(waiting))
        oldest.add_metric([task, family], max([0.0, *ages]))
        for state in get_args(State):
            count = sum(state_of(queue) == state for queue in members)
            ready.add_metric([task, family, state], count)
    yield from (length, oldest, ready)


def state_of(queue: Queue) -> State:
    """An engine that cannot be used at this moment counts as failed."""
    return "failed" if queue.error is not None else queue.state


def grouped(queues: Sequence[Queue]) -> dict[tuple[str, str], list[Queue]]:
    found: dict[tuple[str, str], list[Queue]] = {}
    for queue in queues:
        found.setdefault((queue.task, queue.family), []).append(queue)
    return found


def of_engines(queues: Sequence[Queue]) -> Families:
    labels = ["model", "endpoint"]
    families = {
        name: GaugeMetricFamily(f"genloop_engine_{name}", said, labels=labels)
        for name, said in (
            ("up", "Whether the endpoint is asked, and answered when it was last checked"),
            ("open", "Requests that it is serving"),
            ("served", "Requests that it has begun to answer since the start"),
            ("faults", "Requests that it has failed since the start"),
            ("check_seconds", "How long its last check took"),
        )
    }
    for health in engine_health(queues):
        where = [health.model, health.endpoint]
        up = health.state == "closed" and health.check in (None, "ok")
        families["up"].add_metric(where, up)
        families["open"].add_metric(where, health.in_flight)
        families["served"].add_metric(where, health.served)
        families["faults"].add_metric(where, health.faults)
        if health.milliseconds is not None:
            families["check_seconds"].add_metric(where, health.milliseconds / 1000)
    yield from (family for family in families.values() if family.samples)


def gauge(name: str, said: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, said, value=float(value))


def states(
    name: str, said: str, possible: Sequence[str], found: dict[str, int]
) -> GaugeMetricFamily:
    """One line for each state, so that those nobody is in are 0 and not missing."""
    family = GaugeMetricFamily(name, said, labels=["state"])
    for state in possible:
        family.add_metric([state], found.get(state, 0))
    return family
