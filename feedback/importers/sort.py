"""What of a file is new: every request checked, given its ids, and compared with what is kept.

The same work tries a file and imports it; only importing writes.
"""

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.ids import derived_uuid7
from db.tables import ErasedRater, FeedbackEvent, Generation, Visitor
from feedback.identity import Signer
from feedback.importers.check import checked, columns
from feedback.importers.shape import BadRow, Draft, Found, RefusedRow, Request, Said, digest

NAMESPACE = uuid.UUID("3d0f4a52-6f0b-5b67-9a53-3b4f4e8d2c11")  # of the keys of imported events
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
REFUSALS_KEPT = 1_000  # of each reason; the others are counted


@dataclass(frozen=True)
class Origin:
    """Where a file is from, in the owner's words, and the key that hides its raters' names."""

    source: str
    format: str
    basis: str | None  # why it may be trained on; without one it may not
    signer: Signer
    from_here: bool = False  # an export of this very database

    def generation_id(self, identity: str, moment: datetime | None) -> str:
        return derived_uuid7(f"generation\n{self._within(identity)}", moment)

    def request_id(self, identity: str, moment: datetime | None) -> str:
        return derived_uuid7(f"request\n{self._within(identity)}", moment)

    def event_key(self, identity: str) -> str:
        return str(uuid.uuid5(NAMESPACE, self._within(identity)))

    def rater(self, name: str) -> str:
        """The key of the visitor who stands for a rater; no cookie can have it."""
        return self.signer.sign("imported rater", self._within(name))

    def _within(self, name: str) -> str:
        """The name within its source, as text that UTF-8 can hold whatever a tool calls things."""
        return f"{self.source}\n{name}".encode(errors="backslashreplace").decode()


@dataclass(frozen=True)
class NewGeneration:
    id: str
    request_id: str
    number: int
    request: Request
    draft: Draft
    parent_id: str | None
    owner: str  # the key of its visitor

    @property
    def content(self) -> str:
        return digest(self.request.inputs, self.draft.output)


@dataclass(frozen=True)
class NewEvent:
    key: str
    generation_id: str
    said: Said
    columns: dict[str, Any]
    rater: str  # the key of the visitor
    request: Request

    @property
    def content(self) -> str:
        return digest(self.generation_id, self.said.kind, self.columns)


@dataclass
class Batch:
    """What is new among some requests."""

    generations: list[NewGeneration] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)


@dataclass
class Tally:
    """What has been found in a file so far."""

    rows: int = 0  # the highest number of a row
    generations: int = 0
    events: Counter[str] = field(default_factory=Counter)  # new ones, by kind
    known: int = 0  # events that are kept already
    repeated: int = 0  # events that come again in the file
    raters: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[RefusedRow] = field(default_factory=list)
    # Whether the last row of each rater whose rows differ in it allows training, by the source.
    trains: dict[str, bool] = field(default_factory=dict)
    # What came before in this file, for a try that writes nothing: ids and keys, with contents.
    seen: dict[str, str] = field(default_factory=dict)

    def refuse(self, refused: RefusedRow) -> None:
        self.refused[refused.code] += 1
        if self.refused[refused.code] <= REFUSALS_KEPT:
            self.refusals.append(refused)

    def note(self, batch: Batch) -> None:
        self.generations += len(batch.generations)
        self.events.update(event.said.kind for event in batch.events)
        self.raters.update(event.rater for event in batch.events)


def sort_out(session: Session, origin: Origin, found: Iterable[Found], tally: Tally) -> Batch:
    """What of these requests is to be written; everything else is counted in the tally."""
    prepared: list[tuple[NewGeneration, list[NewEvent]]] = []
    for one in found:
        tally.rows = max(tally.rows, one.row)
        note_training(origin, one, tally)
        if isinstance(one, RefusedRow):
            tally.refuse(one)
            continue
        try:
            request, refused = checked(one)
        except BadRow as problem:
            tally.refuse(RefusedRow(one.row, problem.code, problem.details))
            continue
        for refusal in refused:
            tally.refuse(refusal)
        if any(draft.said for draft in request.drafts):  # else all of it was refused
            prepared.extend(made(origin, request))
    kept = Kept(session, origin, prepared)
    batch = Batch()
    for generation, events in prepared:
        add(batch, generation, events, kept, tally)
    tally.note(batch)
    return batch


def made(origin: Origin, request: Request) -> Iterator[tuple[NewGeneration, list[NewEvent]]]:
    """The rows that a request would make, whatever is kept already."""
    moment = request.made_at
    unnamed = f"\nunnamed\n{request.conversation or request.identity}"

    def person(name: str | None) -> str:
        return origin.rater(name or unnamed)

    for place, draft in enumerate(request.drafts):
        generation_id = origin.generation_id(draft.identity, moment)
        parent = origin.generation_id(*request.follows) if request.follows else None
        events = []
        for said in draft.said:
            values = vars(columns(said))
            if said.over:
                values = {**values, "items": [origin.generation_id(o, moment) for o in said.over]}
            events.append(
                NewEvent(
                    origin.event_key(said.identity),
                    generation_id,
                    said,
                    values,
                    person(said.rater),
                    request,
                )
            )
        yield (
            NewGeneration(
                generation_id,
                origin.request_id(request.identity, moment),
                place if draft.number is None else draft.number,
                request,
                draft,
                parent,
                person(request.author),
            ),
            events,
        )


class Kept:
    """What the database holds of these rows, and whose may not come back."""

    def __init__(
        self, session: Session, origin: Origin, prepared: list[tuple[NewGeneration, list[NewEvent]]]
    ) -> None:
        ids = {generation.id for generation, _ in prepared}
        ids |= {generation.parent_id for generation, _ in prepared if generation.parent_id}
        events = [event for _, said in prepared for event in said]
        keys = {event.key for event in events}
        people = {event.rater for event in events} | {one.owner for one, _ in prepared}
        self.generations = {
            row.id: digest(row.inputs, row.output_text)
            for row in session.execute(
                select(Generation.id, Generation.inputs, Generation.output_text).where(
                    Generation.id.in_(ids)
                )
            )
        }
        self.events = {
            event.key: digest(event.generation_id, event.kind, columns_of(event))
            for event in session.scalars(select(FeedbackEvent).where(FeedbackEvent.key.in_(keys)))
        }
        self.erased = set(
            session.scalars(
                select(ErasedRater.rater_hash).where(ErasedRater.rater_hash.in_(people))
            )
        )
        self.from_here = origin.from_here
        self.own = own_events(session, [event.said for event in events]) if self.from_here else []


def own_events(session: Session, said: Iterable[Said]) -> list[str]:
    """Keys that an export of GenLoop names and that stand in this database."""
    wanted = {one.identity for one in said if UUID.fullmatch(one.identity)}
    return list(session.scalars(select(FeedbackEvent.key).where(FeedbackEvent.key.in_(wanted))))


def is_from_here(session: Session, found: Iterable[Found]) -> bool:
    """Whether some of these events are our own: then what is missing here was erased here."""
    requests = [one for one in found if isinstance(one, Request)]
    said = [one for request in requests for draft in request.drafts for one in draft.said]
    return bool(own_events(session, said))


def columns_of(event: FeedbackEvent) -> dict[str, Any]:
    return {
        "score": event.score,
        "text": event.text,
        "items": event.items,
        "retracted": event.retracted,
    }


def add(
    batch: Batch,
    generation: NewGeneration,
    events: list[NewEvent],
    kept: Kept,
    tally: Tally,
) -> None:
    """Add to the batch what is new of a generation and its events."""
    row = generation.request.row
    if generation.owner in kept.erased:
        tally.refuse(RefusedRow(row, "erased"))
        return
    before = kept.generations.get(generation.id) or tally.seen.get(generation.id)
    if before is not None and before != generation.content:
        tally.refuse(RefusedRow(row, "changed"))
        return
    wanted = list(wanted_events(events, kept, tally))
    if before is None and (wanted or not events):
        parent = generation.parent_id
        known = parent in kept.generations or parent in tally.seen
        batch.generations.append(generation if known else without_parent(generation))
        tally.seen[generation.id] = generation.content
    batch.events.extend(wanted)


def wanted_events(events: list[NewEvent], kept: Kept, tally: Tally) -> Iterator[NewEvent]:
    for event in events:
        if event.rater in kept.erased:
            tally.refuse(RefusedRow(event.request.row, "erased"))
            continue
        if kept.from_here and event.said.identity in kept.own:
            tally.known += 1
            continue
        if kept.from_here:
            tally.refuse(RefusedRow(event.request.row, "erased_here"))
            continue
        if event.key in tally.seen:
            if tally.seen[event.key] != event.content:
                tally.refuse(RefusedRow(event.request.row, "changed"))
            else:
                tally.repeated += 1
            continue
        tally.seen[event.key] = event.content
        if event.key in kept.events:
            if kept.events[event.key] != event.content:
                tally.refuse(RefusedRow(event.request.row, "changed"))
            else:
                tally.known += 1
            continue
        yield event


def note_training(origin: Origin, found: Found, tally: Tally) -> None:
    """Remember the last word on training of those of whom the source has not always said yes."""
    if isinstance(found, RefusedRow):
        words = [(found.rater, found.trains)]
    else:
        words = [(said.rater, said.trains) for draft in found.drafts for said in draft.said]
    for name, trains in words:
        if name and (not trains or tally.trains):
            rater = origin.rater(name)
            if not trains or rater in tally.trains:
                tally.trains[rater] = trains


def without_parent(generation: NewGeneration) -> NewGeneration:
    return NewGeneration(**{**vars(generation), "parent_id": None})


def ids_of_people(session: Session, keys: Iterable[str]) -> dict[str, int]:
    rows = session.execute(
        select(Visitor.key_hash, Visitor.id).where(Visitor.key_hash.in_(list(keys)))
    )
    return {row.key_hash: row.id for row in rows if row.key_hash is not None}
