"""Write what a file brings: visitors for its raters, consents that name the import, the rows.

Nobody was asked anything here, so a consent of an import is what the owner states: with a basis it
allows training, without one it does not. The rule of feedback/trainable.py then holds for these
rows as for all others: they leave only if the consent given with them and the last one allow it.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.engine import Database
from db.tables import (
    Consent,
    FeedbackEvent,
    Generation,
    Import,
    ModelVersion,
    Visitor,
    now,
)
from feedback.blocks import blocks
from feedback.importers.shape import BadFile, Found
from feedback.importers.sort import (
    Batch,
    NewEvent,
    NewGeneration,
    Origin,
    Tally,
    ids_of_people,
    is_from_here,
    sort_out,
)

TOGETHER = 100  # requests in one transaction: visitors' own writes wait for it
TERMS = "import"  # in place of a version of the terms


@dataclass(frozen=True)
class File:
    """What is imported, for the record."""

    name: str
    sha256: str
    language: str = "en"  # in which the basis is stated


def comes_from_here(database: Database, found: Iterable[Found]) -> bool:
    """Whether a file of GenLoop's is an export of this database."""
    for batch in blocks(found, TOGETHER):
        with database.read() as session:
            if is_from_here(session, batch):
                return True
    return False


def attempt(database: Database, origin: Origin, found: Iterable[Found]) -> Tally:
    """What importing would bring, without writing anything."""
    tally = Tally()
    for batch in blocks(found, TOGETHER):
        with database.read() as session:
            sort_out(session, origin, batch, tally)
    return tally


def keep(
    database: Database,
    origin: Origin,
    file: File,
    found: Iterable[Found],
    trains: dict[str, bool],
    told: Callable[[int], None] = lambda row: None,
) -> int:
    """Import, and return the number of the import; nothing that is kept already is written again.

    It comes in many transactions. One that is broken off can be run again: then the rest comes.
    trains: of `attempt`: whose last word on training the source knows to be no.
    """
    import_id = database.write(lambda session: begin(session, origin, file))
    for batch in blocks(found, TOGETHER):
        work = partial(
            keep_batch,
            origin=origin,
            found=batch,
            import_id=import_id,
            trains=trains,
            language=file.language,
        )
        try:
            told(database.write(work))
        except IntegrityError as problem:
            raise BadFile(
                "the file contradicts itself, or what was imported before: two outputs claim to be "
                "the same draft of a request"
            ) from problem
    database.write(lambda session: finish(session, import_id))
    return import_id


def begin(session: Session, origin: Origin, file: File) -> int:
    """The number of the import; an earlier one of the same file and basis is gone on with."""
    known = session.scalar(
        select(Import.id)
        .where(
            Import.source == origin.source,
            Import.format == origin.format,
            Import.file_sha256 == file.sha256,
            Import.basis.is_not_distinct_from(origin.basis),
            Import.taken_back_at.is_(None),
        )
        .limit(1)
    )
    if known is not None:
        return known
    made = Import(
        source=origin.source,
        format=origin.format,
        file_name=file.name,
        file_sha256=file.sha256,
        basis=origin.basis,
    )
    session.add(made)
    session.flush()
    return made.id


def finish(session: Session, import_id: int) -> None:
    session.execute(
        update(Import)
        .where(Import.id == import_id, Import.finished_at.is_(None))
        .values(finished_at=now())
    )


def keep_batch(
    session: Session,
    *,
    origin: Origin,
    found: list[Found],
    import_id: int,
    trains: dict[str, bool],
    language: str,
) -> int:
    """Write what is new among some requests; the last row that was read."""
    tally = Tally()
    batch = sort_out(session, origin, found, tally)
    if batch.generations or batch.events:
        people = keep_people(session, batch)
        consents = Consents(session, origin, import_id, trains, language, people)
        versions = keep_versions(session, origin, batch.generations)
        if batch.generations:
            session.execute(
                insert(Generation),
                [generation_row(one, consents, versions) for one in batch.generations],
            )
        if batch.events:
            session.execute(insert(FeedbackEvent), [event_row(e, consents) for e in batch.events])
        consents.settle()
    return tally.rows


def keep_people(session: Session, batch: Batch) -> dict[str, int]:
    """The visitors who stand for the raters; those who are new are made."""
    keys = {one.owner for one in batch.generations} | {event.rater for event in batch.events}
    there = ids_of_people(session, keys)
    if missing := sorted(keys - there.keys()):
        session.execute(insert(Visitor), [{"key_hash": key} for key in missing])
        there |= ids_of_people(session, missing)
    return there


class Consents:
    """The consents that the rows of one import rest on: of a visitor one, or one of each kind."""

    def __init__(
        self,
        session: Session,
        origin: Origin,
        import_id: int,
        trains: dict[str, bool],
        language: str,
        people: dict[str, int],
    ) -> None:
        self.session = session
        self.origin = origin
        self.import_id = import_id
        self.trains = trains
        self.language = language
        self.people = people
        self.ids: dict[tuple[int, bool], int] = {}
        self.answered: set[int] = set()  # visitors who have a new last answer
        rows = session.execute(
            select(Consent.visitor_id, Consent.train, Consent.id)
            .where(Consent.import_id == import_id, Consent.visitor_id.in_(people.values()))
            .order_by(Consent.id.desc())
        )
        for row in rows:
            self.ids[row.visitor_id, row.train] = row.id

    def of(self, key: str, trains: bool) -> tuple[int, int]:
        """The ids of a visitor and of the consent that a row of hers rests on."""
        visitor_id = self.people[key]
        train = trains and self.origin.basis is not None
        if (visitor_id, train) not in self.ids:
            self.ids[visitor_id, train] = self._add(visitor_id, train, self.import_id)
            self.answered.add(visitor_id)
        return visitor_id, self.ids[visitor_id, train]

    def settle(self) -> None:
        """Let the last answer of each visitor be what holds for her, in whatever order rows came.

        What the source says last counts. An import without a basis says nothing about what earlier
        ones brought: it takes nothing away from these, and gives nothing.
        """
        for key, visitor_id in self.people.items():
            if visitor_id not in self.answered:
                continue
            before = self.session.execute(
                select(Consent.train, Consent.import_id)
                .where(
                    Consent.visitor_id == visitor_id,
                    Consent.import_id.is_distinct_from(self.import_id),
                )
                .order_by(Consent.id.desc())
                .limit(1)
            ).one_or_none()
            allowed = self.origin.basis is not None or (before is not None and before.train)
            wanted = allowed and self.trains.get(key, True)
            last = self.session.scalar(
                select(Consent.train)
                .where(Consent.visitor_id == visitor_id)
                .order_by(Consent.id.desc())
                .limit(1)
            )
            if last is not wanted:
                import_id: int | None = self.import_id
                if wanted and self.origin.basis is None and before is not None:
                    import_id = before.import_id  # the yes of that import, said again
                self._add(visitor_id, wanted, import_id)

    def _add(self, visitor_id: int, train: bool, import_id: int | None) -> int:
        basis = self.session.scalar(select(Import.basis).where(Import.id == import_id))
        consent = Consent(
            visitor_id=visitor_id,
            terms_version=TERMS,
            terms_sha256=hashlib.sha256((basis or "").encode()).hexdigest(),
            language=self.language,
            keep=True,
            train=train,
            import_id=import_id,
        )
        self.session.add(consent)
        self.session.flush()
        return consent.id


def keep_versions(
    session: Session, origin: Origin, generations: list[NewGeneration]
) -> dict[str, int]:
    """A model version for each name of a model; nobody here has its weights."""
    found: dict[str, int] = {}
    for name in {one.draft.model for one in generations}:
        shown = name or "unknown"
        sha256 = hashlib.sha256(f"imported\n{origin.source}\n{shown}".encode()).hexdigest()
        version_id = session.scalar(
            select(ModelVersion.id).where(
                ModelVersion.task == "text",
                ModelVersion.name == shown,
                ModelVersion.weights_sha256 == sha256,
            )
        )
        if version_id is None:
            version = ModelVersion(
                task="text",
                name=shown,
                source=f"imported: {origin.source}",
                weights_sha256=sha256,
                verified=False,
                state="retired",
            )
            session.add(version)
            session.flush()
            version_id = version.id
        found[name] = version_id
    return found


def generation_row(
    new: NewGeneration, consents: Consents, versions: dict[str, int]
) -> dict[str, Any]:
    request, draft = new.request, new.draft
    moment = request.made_at or request.seen_at or now()
    visitor_id, consent_id = consents.of(new.owner, request.trains)
    return {
        "id": new.id,
        "request_id": new.request_id,
        "draft": new.number,
        "task": "text",
        "model_version_id": versions[draft.model],
        "visitor_id": visitor_id,
        "consent_id": consent_id,
        "parent_id": new.parent_id,
        "relation": "turn" if new.parent_id else None,
        "inputs": request.inputs,
        "options": dict(draft.options),
        "output_text": draft.output,
        "status": "complete",
        "queued_at": moment,
        "finished_at": moment,
    }


def event_row(new: NewEvent, consents: Consents) -> dict[str, Any]:
    visitor_id, consent_id = consents.of(new.rater, new.said.trains)
    return {
        "key": new.key,
        "generation_id": new.generation_id,
        "visitor_id": visitor_id,
        "consent_id": consent_id,
        "kind": new.said.kind,
        **new.columns,
        "created_at": new.said.at or new.request.seen_at or now(),
    }
