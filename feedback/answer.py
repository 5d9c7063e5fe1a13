"""Serve one request: queue it, follow it, keep what came of it if its visitor agreed to that."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Database
from db.ids import uuid7
from db.media import Media, hold
from db.tables import Generation, ModelVersion
from feedback.consent import NoConsent, permission
from feedback.measures import Measure
from feedback.rate import owned
from feedback.record import Output, Request, Times, record, register_version
from generators.base import Snapshot
from generators.batching import ModelQueue, Ticket
from generators.remote import RemoteQueue

Queue = ModelQueue[Any] | RemoteQueue[Any]


@dataclass(frozen=True)
class Ask:
    """What a visitor asks of a model."""

    inputs: dict[str, Any]  # as the model's generator takes them
    options: Any  # the same: TextOptions, ImageOptions, LatentOptions
    key_hash: str | None  # whose request it is
    parent_id: str | None = None
    relation: str | None = None
    request_id: str = field(default_factory=uuid7)


@dataclass(frozen=True)
class Progress:
    """How far a request is; `ids` has one a draft, None for a draft that is not kept."""

    snapshot: Snapshot
    ids: list[str | None] = field(default_factory=list)  # empty where nothing is kept


async def answer(
    database: Database,
    media: Media,
    queue: Queue,
    ask: Ask,
    tickets: dict[str, Ticket],
    session: str,
) -> AsyncGenerator[Progress]:
    """Each state of the request; the last one comes after its drafts were committed.

    The ticket stands in `tickets` under the page's session while it runs, so that Stop finds it.
    An error of the request or the model comes in the last snapshot. A reader who leaves stops the
    work, and then nothing is kept: nobody has seen the end of it.
    """
    with Measure(queue) as measure:
        ticket = measure.ticket = queue.submit(ask.inputs, ask.options)
        tickets[session] = ticket
        snapshot = Snapshot("waiting")
        try:
            async with aclosing(ticket.follow(queue.ahead)) as states:
                async for snapshot in states:
                    measure.snapshot = snapshot
                    if snapshot.phase != "done":
                        yield Progress(snapshot)
        finally:
            tickets.pop(session, None)
    snapshot = replace(
        snapshot, finish_reasons=[reason or "stop" for reason in snapshot.finish_reasons]
    )
    yield Progress(snapshot, await keep(database, media, queue, ask, ticket, snapshot))


async def keep(
    database: Database,
    media: Media,
    queue: Queue,
    ask: Ask,
    ticket: Ticket,
    snapshot: Snapshot,
) -> list[str | None]:
    """Ids of the kept drafts; none without consent, or where the model failed."""
    key_hash = ask.key_hash
    started, model = ticket.started_at, queue.model
    if snapshot.error or snapshot.failed or not (key_hash and started and model):
        return []
    if any(snapshot.images) and not await may_keep(database, key_hash):
        return []
    outputs = await asyncio.to_thread(outputs_of, snapshot, media)
    if not any(outputs):
        return []
    times = Times(ticket.queued_at, started, ticket.first_token_at, datetime.now(UTC))

    def work(session: Session) -> list[str]:
        hold(session, [one.media_sha256 for one in outputs if one and one.media_sha256])
        for data in snapshot.images:
            if data is not None:
                media.put(data)  # again, should an erased visitor's same picture just have gone
        request = Request(
            task=model.task,
            version_id=version_of(session, model),
            inputs=ask.inputs,
            options=model.complete(ask.options).as_json(),
            input_tokens=snapshot.input_tokens or None,
            parent_id=ask.parent_id,
            relation=ask.relation,
            request_id=ask.request_id,
        )
        return record(session, permission(session, key_hash), request, outputs, times)

    try:
        ids = iter(await database.awrite(work))
    except NoConsent:
        return []
    return [next(ids) if output else None for output in outputs]


async def may_keep(database: Database, key_hash: str) -> bool:
    """Whether the visitor lets anything be kept now; asked before a picture becomes a file."""

    def ask() -> bool:
        with database.read() as session:
            try:
                permission(session, key_hash)
            except NoConsent:
                return False
            return True

    return await asyncio.to_thread(ask)


def outputs_of(snapshot: Snapshot, media: Media) -> list[Output | None]:
    """One a draft, its picture safely in the store; None for one that came to nothing."""
    outputs: list[Output | None] = []
    for draft, end in enumerate(snapshot.finish_reasons):
        text = snapshot.texts[draft] if snapshot.texts else None
        picture = snapshot.images[draft] if snapshot.images else None
        latent = snapshot.latents[draft] if snapshot.latents else None
        nothing = text is None and picture is None and latent is None
        if nothing or end == "error" or (end == "stop" and text == ""):
            outputs.append(None)
            continue
        outputs.append(
            Output(
                text=text,
                status="stopped" if end == "stop" else "complete",
                finish_reason=str(end),
                tokens=snapshot.tokens[draft] if snapshot.tokens else None,
                media_sha256=media.put(picture) if picture is not None else None,
                latent=latent,
                served=(snapshot.served[draft] or None) if snapshot.served else None,
            )
        )
    return outputs


def version_of(session: Session, model: Any) -> int:
    weights = model.weights
    return register_version(
        session,
        task=model.task,
        name=weights.source.name,
        source=weights.source.source,
        revision=weights.source.revision,
        sha256=weights.sha256,
        verified=weights.verified,
        says=None if weights.verified else model.says(),
    )


@dataclass(frozen=True)
class Origin:
    """A kept generation that something starts from: a retry, a continuation, a reproduction."""

    id: str
    model: str
    weights_sha256: str
    draft: int
    inputs: dict[str, Any]
    options: dict[str, Any]
    output: str
    stopped: bool
    task: str = "text"
    media_sha256: str | None = None
    latent: dict[str, Any] | None = None


def origin(session: Session, key_hash: str, generation_id: str) -> Origin:
    """The visitor's own generation; raises NoConsent or UnknownGeneration."""
    generation: Generation = owned(session, permission(session, key_hash).visitor_id, generation_id)
    version = session.scalars(
        select(ModelVersion).where(ModelVersion.id == generation.model_version_id)
    ).one()
    return Origin(
        id=generation.id,
        model=version.name,
        weights_sha256=version.weights_sha256,
        draft=generation.draft,
        inputs=generation.inputs,
        options=generation.options,
        output=generation.output_text or "",
        stopped=generation.status == "stopped",
        task=generation.task,
        media_sha256=generation.media_sha256,
        latent=generation.latent,
    )


def first_difference(before: str, again: str) -> int | None:
    """Where two texts first differ (characters from 0); None for the same text."""
    if before == again:
        return None
    pairs: Sequence[tuple[str, str]] = list(zip(before, again, strict=False))
    return next((at for at, (one, other) in enumerate(pairs) if one != other), len(pairs))
