"""The owner's questions: pages of feedback and of generations, and how much there is of each."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, case, cast, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.tables import (
    Consent,
    FeedbackEvent,
    Generation,
    Import,
    ModelVersion,
    Review,
    Visitor,
)
from feedback.rate import value_of

Row = dict[str, Any]
Later = aliased(FeedbackEvent, name="later")
Newer = aliased(Review, name="newer")

# Not taken back, and nothing later of its kind by its visitor on its generation.
STANDING = ~FeedbackEvent.retracted & ~exists().where(
    Later.visitor_id == FeedbackEvent.visitor_id,
    Later.generation_id == FeedbackEvent.generation_id,
    Later.kind == FeedbackEvent.kind,
    Later.id > FeedbackEvent.id,
)
# The owner's last judgement of the event.
VERDICT = (
    select(Review.verdict)
    .where(
        Review.event_id == FeedbackEvent.id,
        ~exists().where(Newer.event_id == Review.event_id, Newer.id > Review.id),
    )
    .correlate(FeedbackEvent)
    .scalar_subquery()
)
EVENTS = (
    select(
        FeedbackEvent,
        Generation,
        ModelVersion.name.label("model"),
        Consent.train,
        Consent.import_id,
        STANDING.label("standing"),
        VERDICT.label("verdict"),
    )
    .join(Generation, Generation.id == FeedbackEvent.generation_id)
    .join(ModelVersion, ModelVersion.id == Generation.model_version_id)
    .join(Consent, Consent.id == FeedbackEvent.consent_id)
)
GENERATIONS = select(Generation, ModelVersion.name.label("model")).join(
    ModelVersion, ModelVersion.id == Generation.model_version_id
)
GENERATION_COLUMNS = (
    "id",
    "request_id",
    "draft",
    "task",
    "model",
    "version_id",
    "visitor",
    "consent_id",
    "parent_id",
    "relation",
    "prompt",
    "messages",
    "output",
    "options",
    "status",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "queued_at",
    "started_at",
    "first_token_at",
    "finished_at",
)


@dataclass(frozen=True)
class Filter:
    """What to show; None does not narrow. Moments carry a zone, and `until` is excluded."""

    task: str | None = None
    version_id: int | None = None
    kind: str | None = None  # of events
    score: int | None = None  # of events
    standing: bool = False  # only events that are the visitor's present word
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None  # in the prompt, the output, or what was said

    def of_events(self) -> list[ColumnElement[bool]]:
        said = between(FeedbackEvent.created_at, self.since, self.until)
        if self.kind is not None:
            said.append(FeedbackEvent.kind == self.kind)
        if self.score is not None:
            said.append(FeedbackEvent.score == self.score)
        if self.standing:
            said.append(STANDING)
        if self.text:
            said.append(or_(mentions(self.text), has(FeedbackEvent.text, self.text)))
        return said + self._made()

    def of_generations(self) -> list[ColumnElement[bool]]:
        wanted = between(Generation.finished_at, self.since, self.until)
        if self.text:
            wanted.append(mentions(self.text))
        return wanted + self._made()

    def _made(self) -> list[ColumnElement[bool]]:
        wanted: list[ColumnElement[bool]] = []
        if self.task is not None:
            wanted.append(Generation.task == self.task)
        if self.version_id is not None:
            wanted.append(Generation.model_version_id == self.version_id)
        return wanted


ALL = Filter()


def between(
    moment: InstrumentedAttribute[datetime], since: datetime | None, until: datetime | None
) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if since is not None:
        wanted.append(moment >= since)
    if until is not None:
        wanted.append(moment < until)
    return wanted


def mentions(text: str) -> ColumnElement[bool]:
    """Whether the inputs or the output hold the text, whatever the case of its letters."""
    escaped = json.dumps(text)[1:-1]  # how JSON in the database may spell it
    inputs = cast(Generation.inputs, Text)
    return or_(has(Generation.output_text, text), has(inputs, text), has(inputs, escaped))


def has(column: Any, text: str) -> ColumnElement[bool]:
    """LIKE, in which the text's own % and _ are ordinary characters."""
    found: ColumnElement[bool] = column.icontains(text, autoescape=True)
    return found


def events(
    session: Session, wanted: Filter = ALL, *, before: int | None = None, limit: int = 50
) -> list[Row]:
    """A page of feedback, newest first; `before` is the id of the last one seen."""
    query = EVENTS.where(*wanted.of_events()).order_by(FeedbackEvent.id.desc()).limit(limit)
    if before is not None:
        query = query.where(FeedbackEvent.id < before)
    return [event_row(*row) for row in session.execute(query)]


def event_row(
    event: FeedbackEvent,
    generation: Generation,
    model: str,
    train: bool,
    import_id: int | None,
    standing: bool,
    verdict: str | None,
) -> Row:
    return {
        "id": event.id,
        "created_at": event.created_at,
        "kind": event.kind,
        "value": value_of(event),
        "retracted": event.retracted,
        "standing": bool(standing),
        "visitor": event.visitor_id,
        "train": train,
        "import_id": import_id,
        "verdict": verdict,
        "generation_id": generation.id,
        "draft": generation.draft,
        "task": generation.task,
        "model": model,
        "version_id": generation.model_version_id,
        "prompt": generation.inputs.get("prompt"),
        "messages": generation.inputs.get("messages"),
        "output": generation.output_text,
    }


def generations(
    session: Session, wanted: Filter = ALL, *, before: str | None = None, limit: int = 50
) -> list[Row]:
    """A page of generations, newest first; `before` is the id of the last one seen."""
    query = GENERATIONS.where(*wanted.of_generations()).order_by(Generation.id.desc())
    if before is not None:
        query = query.where(Generation.id < before)
    return [generation_row(*row) for row in session.execute(query.limit(limit))]


def generations_after(
    session: Session, wanted: Filter, *, after: str | None, limit: int
) -> list[Row]:
    """A page of generations, oldest first, for downloads."""
    query = GENERATIONS.where(*wanted.of_generations()).order_by(Generation.id)
    if after is not None:
        query = query.where(Generation.id > after)
    return [generation_row(*row) for row in session.execute(query.limit(limit))]


def generation_row(generation: Generation, model: str) -> Row:
    row = {
        "model": model,
        "version_id": generation.model_version_id,
        "visitor": generation.visitor_id,
        "prompt": generation.inputs.get("prompt"),
        "messages": generation.inputs.get("messages"),
        "output": generation.output_text,
    }
    return {
        name: row[name] if name in row else getattr(generation, name) for name in GENERATION_COLUMNS
    }


def events_per_kind(session: Session, wanted: Filter = ALL) -> list[Row]:
    """[{kind, score, events}]: how often each thing was said; score is None but for ratings."""
    query = narrowed(
        select(FeedbackEvent.kind, FeedbackEvent.score, func.count().label("events")), wanted
    )
    counted = query.group_by(FeedbackEvent.kind, FeedbackEvent.score).order_by(
        FeedbackEvent.kind, FeedbackEvent.score
    )
    return [dict(row._mapping) for row in session.execute(counted)]


def events_per_model(session: Session, wanted: Filter = ALL) -> list[Row]:
    """What was said about each model version, the most talked about first."""
    kind, score = FeedbackEvent.kind, FeedbackEvent.score
    query = narrowed(
        select(
            Generation.model_version_id.label("version_id"),
            ModelVersion.name.label("model"),
            Generation.task,
            func.count().label("events"),
            func.count(FeedbackEvent.visitor_id.distinct()).label("visitors"),
            times((kind == "thumb") & (score == 1)).label("up"),
            times((kind == "thumb") & (score == -1)).label("down"),
            func.avg(case((kind == "stars", score))).label("stars"),
            times((kind == "edit") & ~FeedbackEvent.retracted).label("edits"),
        ),
        wanted,
    )
    counted = query.group_by(
        Generation.model_version_id, ModelVersion.name, Generation.task
    ).order_by(func.count().desc(), Generation.model_version_id)
    rows = [dict(row._mapping) for row in session.execute(counted)]
    return [row | {"stars": None if row["stars"] is None else float(row["stars"])} for row in rows]


def times(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows fulfil the condition."""
    return func.count(case((condition, 1)))


def narrowed(query: Select[*tuple[Any, ...]], wanted: Filter) -> Select[*tuple[Any, ...]]:
    """The question about events, with the tables that a filter may speak of."""
    return (
        query.join_from(FeedbackEvent, Generation, Generation.id == FeedbackEvent.generation_id)
        .join(ModelVersion, ModelVersion.id == Generation.model_version_id)
        .where(*wanted.of_events())
    )


def versions(session: Session) -> list[Row]:
    """The model versions that have made something, for a filter's choices."""
    query = select(
        ModelVersion.id,
        ModelVersion.task,
        ModelVersion.name,
        ModelVersion.revision,
        ModelVersion.weights_sha256,
        ModelVersion.verified,
        ModelVersion.state,
    ).order_by(ModelVersion.id)
    return [dict(row._mapping) for row in session.execute(query)]


def imports(session: Session) -> list[Row]:
    """What was imported, the newest first, and how many outputs and events of it are here."""
    generations, events = (
        select(func.count())
        .select_from(table)
        .join(Consent, Consent.id == table.consent_id)
        .where(Consent.import_id == Import.id)
        .correlate(Import)
        .scalar_subquery()
        for table in (Generation, FeedbackEvent)
    )
    query = select(
        Import.id,
        Import.source,
        Import.format,
        Import.file_name,
        Import.file_sha256,
        Import.basis,
        Import.created_at,
        Import.finished_at,
        Import.taken_back_at,
        generations.label("generations"),
        events.label("events"),
    ).order_by(Import.id.desc())
    return [dict(row._mapping) for row in session.execute(query)]


def totals(session: Session) -> dict[str, int]:
    """How much there is in all."""
    here = select(func.count()).select_from(Visitor).where(Visitor.erased_at.is_(None))
    return {
        "visitors": session.scalar(here) or 0,
        "generations": session.scalar(select(func.count()).select_from(Generation)) or 0,
        "events": session.scalar(select(func.count()).select_from(FeedbackEvent)) or 0,
    }
