"""What a visitor may know about herself: her consent, her generations, all that is kept of her."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.tables import (
    Base,
    Comparison,
    Consent,
    FeedbackEvent,
    Generation,
    ModelVersion,
    Signal,
    Visitor,
    Vote,
)
from feedback.consent import TERMS_VERSION, current
from feedback.rate import UnknownGeneration, standing

Row = dict[str, Any]
PAGE = 500  # rows read at once

# Every table that knows its visitor; the order is that of the download.
MINE: dict[str, type[Base]] = {
    "consents": Consent,
    "generations": Generation,
    "feedback_events": FeedbackEvent,
    "signals": Signal,
    "comparisons": Comparison,
    "votes": Vote,
}
COUNTED = ("generations", "feedback_events", "signals", "votes")

REQUEST = (
    select(
        Generation.id,
        Generation.request_id,
        Generation.draft,
        Generation.task,
        ModelVersion.name.label("model"),
        Generation.parent_id,
        Generation.relation,
        Generation.inputs,
        Generation.options,
        Generation.output_text,
        Generation.media_sha256,
        Generation.latent,
        Generation.status,
        Generation.finish_reason,
        Generation.queued_at,
    )
    .join(ModelVersion, ModelVersion.id == Generation.model_version_id)
    .order_by(Generation.request_id.desc(), Generation.draft)
)


def find(session: Session, key_hash: str | None) -> int | None:
    """The visitor's id; None for one of whom nothing is kept."""
    if key_hash is None:
        return None
    return session.scalar(select(Visitor.id).where(Visitor.key_hash == key_hash))


def about(session: Session, key_hash: str | None) -> Row:
    """The standing consent, the terms now asked for, and how much is kept."""
    visitor_id = find(session, key_hash)
    consent = current(session, visitor_id) if visitor_id is not None else None
    return {
        "consent": consent and consent_row(consent),
        "current_terms": TERMS_VERSION,
        "counts": {name: count(session, MINE[name], visitor_id) for name in COUNTED},
    }


def consent_row(consent: Consent) -> Row:
    return {
        "keep": consent.keep,
        "train": consent.train,
        "terms_version": consent.terms_version,
        "language": consent.language,
        "created_at": consent.created_at.isoformat(),
    }


def count(session: Session, table: type[Base], visitor_id: int | None) -> int:
    if visitor_id is None:
        return 0
    mine = table.__table__.c.visitor_id == visitor_id
    return session.scalar(select(func.count()).select_from(table).where(mine)) or 0


def requests(
    session: Session,
    key_hash: str,
    *,
    handle: Callable[[str], str],
    limit: int,
    before: str | None = None,
    task: str | None = None,
) -> list[Row]:
    """The visitor's own requests with their drafts, newest first; `before` is a request's id."""
    visitor_id = find(session, key_hash)
    # Distinct, and not those of draft 0: a request may have kept its later drafts alone.
    newest = (
        select(Generation.request_id)
        .where(Generation.visitor_id == visitor_id)
        .distinct()
        .order_by(Generation.request_id.desc())
        .limit(limit)
    )
    if task is not None:
        newest = newest.where(Generation.task == task)
    if before is not None:
        newest = newest.where(Generation.request_id < before)
    ids = session.scalars(newest).all()
    rows = session.execute(
        REQUEST.where(Generation.request_id.in_(ids), Generation.visitor_id == visitor_id)
    ).all()
    return grouped(session, visitor_id, rows, handle)


def one(
    session: Session, key_hash: str, generation_id: str, *, handle: Callable[[str], str]
) -> Row:
    """The request of one generation, with that draft alone; raises UnknownGeneration."""
    visitor_id = find(session, key_hash)
    rows = session.execute(
        REQUEST.where(Generation.id == generation_id, Generation.visitor_id == visitor_id)
    ).all()
    if not rows:
        raise UnknownGeneration(generation_id)
    return grouped(session, visitor_id, rows, handle)[0]


class NoPicture(LookupError):
    """The generation has no picture, or its file is gone."""


def picture(session: Session, key_hash: str, generation_id: str) -> str:
    """The SHA-256 of a generation's picture; raises UnknownGeneration or NoPicture."""
    row = session.execute(
        select(Generation.media_sha256).where(
            Generation.id == generation_id,
            Generation.visitor_id == find(session, key_hash),
        )
    ).one_or_none()
    if row is None:
        raise UnknownGeneration(generation_id)
    if row.media_sha256 is None:
        raise NoPicture(generation_id)
    sha256: str = row.media_sha256
    return sha256


def grouped(
    session: Session, visitor_id: int | None, rows: Any, handle: Callable[[str], str]
) -> list[Row]:
    if visitor_id is None:
        return []
    said = standing(session, visitor_id, [row.id for row in rows])
    voted = last_votes(session, visitor_id, [row.id for row in rows])
    found: dict[str, Row] = {}
    for row in rows:
        request = found.setdefault(
            row.request_id,
            {
                "request_id": row.request_id,
                "task": row.task,
                "model": row.model,
                "inputs": row.inputs,
                "options": row.options,
                "parent": row.parent_id and handle(row.parent_id),
                "relation": row.relation,
                "created_at": row.queued_at.isoformat(),
                "drafts": [],
                "votes": [],
            },
        )
        request["drafts"].append(
            {
                "generation": handle(row.id),
                "draft": row.draft,
                "output": row.output_text,
                "picture": row.media_sha256 is not None,
                "latent": row.latent,
                "status": row.status,
                "finish_reason": row.finish_reason,
                "feedback": said[row.id],
            }
        )
        request["votes"] += [
            {"left": handle(vote.left_id), "right": handle(vote.right_id), "answer": vote.answer}
            for vote in voted.get(row.id, [])
        ]
    return list(found.values())


def last_votes(session: Session, visitor_id: int, ids: list[str]) -> dict[str, list[Any]]:
    """What the visitor last said of each pair of these outputs, by the output on its left."""
    rows = session.execute(
        select(Comparison.left_id, Comparison.right_id, Vote.answer)
        .join(Vote, Vote.comparison_id == Comparison.id)
        .where(Vote.visitor_id == visitor_id)
        .where(Comparison.left_id.in_(ids), Comparison.right_id.in_(ids))
        .order_by(Vote.id)
    )
    last = {frozenset((row.left_id, row.right_id)): row for row in rows}
    found: dict[str, list[Any]] = {}
    for row in last.values():
        found.setdefault(row.left_id, []).append(row)
    return found


def everything(
    read: Callable[[], AbstractContextManager[Session]], key_hash: str
) -> Iterator[tuple[str, Row]]:
    """All that is kept of a visitor, as (table, row).

    Each page is a question of its own, so that a slow reader holds no snapshot open; rows never
    change, so nothing is lost between two pages.
    """
    with read() as session:
        visitor_id = find(session, key_hash)
        models = session.execute(select(ModelVersion.id, ModelVersion.name)).all()
    names = {model.id: model.name for model in models}
    if visitor_id is None:
        return
    for name, table in MINE.items():
        for row in pages(read, table, visitor_id):
            if "model_version_id" in row:
                row["model"] = names.get(row.pop("model_version_id"))
            if row.get("served"):  # where her engine stands is the owner's affair
                row["served"].pop("endpoint", None)
            yield name, row


def pages(
    read: Callable[[], AbstractContextManager[Session]], table: type[Base], visitor_id: int
) -> Iterator[Row]:
    columns = table.__table__.c
    question = select(*columns).where(columns.visitor_id == visitor_id).order_by(columns.id)
    after = None
    while True:
        with read() as session:
            page = question.limit(PAGE)
            rows = session.execute(page if after is None else page.where(columns.id > after)).all()
        yield from (dict(row._mapping) for row in rows)
        if len(rows) < PAGE:
            return
        after = rows[-1].id
