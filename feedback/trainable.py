"""What may be trained on: the rule of explicit consent, written once and used by every export."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.tables import Comparison, Consent, FeedbackEvent, Generation, Visitor, Vote


class Terms(NamedTuple):
    """A text that visitors agreed to."""

    version: str
    sha256: str
    language: str


EventConsent = aliased(Consent, name="event_consent")
MadeConsent = aliased(Consent, name="made_consent")
VoteConsent = aliased(Consent, name="vote_consent")
LeftConsent = aliased(Consent, name="left_consent")
RightConsent = aliased(Consent, name="right_consent")
Left = aliased(Generation, name="left")
Right = aliased(Generation, name="right")
Answer = aliased(Consent, name="answer")
Person = aliased(Visitor, name="person")


def may_train(
    visitor_id: InstrumentedAttribute[int], given_with_it: InstrumentedAttribute[bool]
) -> ColumnElement[bool]:
    """The consent given with a row allows training, and its visitor still does."""
    return and_(given_with_it.is_(True), last_answer(visitor_id).is_(True))


def last_answer(visitor_id: InstrumentedAttribute[int]) -> ScalarSelect[bool]:
    """Whether the visitor's last answer allows training; nothing when they are erased.

    Asked anew for each row: a list of all willing visitors would be made again for every page.
    """
    return (
        select(Answer.train)
        .join(Person, Person.id == Answer.visitor_id)
        .where(Answer.visitor_id == visitor_id, Person.erased_at.is_(None))
        .order_by(Answer.id.desc())
        .limit(1)
        .correlate_except(Answer, Person)
        .scalar_subquery()
    )


EVENT_MAY_TRAIN = may_train(FeedbackEvent.visitor_id, EventConsent.train)
GENERATION_MAY_TRAIN = may_train(Generation.visitor_id, MadeConsent.train)
VOTE_MAY_TRAIN = may_train(Vote.visitor_id, VoteConsent.train)


def allowed_events(*columns: Any) -> Select[Any]:
    """Columns of the events that may be trained on, their generations and both consents."""
    return (
        select(*columns)
        .select_from(FeedbackEvent)
        .join(EventConsent, EventConsent.id == FeedbackEvent.consent_id)
        .join(Generation, Generation.id == FeedbackEvent.generation_id)
        .join(MadeConsent, MadeConsent.id == Generation.consent_id)
        .where(EVENT_MAY_TRAIN, GENERATION_MAY_TRAIN)
    )


def count_events(session: Session) -> tuple[int, int]:
    """How many feedback events there are, and how many of them may be trained on."""
    every = session.scalar(select(func.count()).select_from(FeedbackEvent)) or 0
    return every, session.scalar(allowed_events(func.count())) or 0


def allowed_votes(*columns: Any) -> Select[Any]:
    """Columns of the votes that may be trained on: the vote itself, and both that it compares."""
    return (
        select(*columns)
        .select_from(Vote)
        .join(VoteConsent, VoteConsent.id == Vote.consent_id)
        .join(Comparison, Comparison.id == Vote.comparison_id)
        .join(Left, Left.id == Comparison.left_id)
        .join(LeftConsent, LeftConsent.id == Left.consent_id)
        .join(Right, Right.id == Comparison.right_id)
        .join(RightConsent, RightConsent.id == Right.consent_id)
        .where(
            VOTE_MAY_TRAIN,
            may_train(Left.visitor_id, LeftConsent.train),
            may_train(Right.visitor_id, RightConsent.train),
        )
    )


def count_votes(session: Session) -> tuple[int, int]:
    """How many votes on pairs there are, and how many of them may be trained on."""
    every = session.scalar(select(func.count()).select_from(Vote)) or 0
    return every, session.scalar(allowed_votes(func.count())) or 0


def count_since(session: Session, event_id: int, vote_id: int, most: int | None = None) -> int:
    """How many events and votes that may be trained on came after these two.

    most: as far as is counted; whoever only asks for enough of them need not wait for all.
    """
    events = allowed_events(literal(1)).where(FeedbackEvent.id > event_id)
    votes = allowed_votes(literal(1)).where(Vote.id > vote_id)
    found = 0
    for new in (events, votes):
        left = None if most is None else most - found
        counted = select(func.count()).select_from(new.limit(left).subquery())
        found += session.scalar(counted) or 0
    return found


def allowed_terms(session: Session) -> set[Terms]:
    """The texts that were agreed to, for all events that may be trained on."""
    return {
        Terms(*row)
        for consent in (EventConsent, MadeConsent)
        for row in session.execute(
            allowed_events(consent.terms_version, consent.terms_sha256, consent.language).distinct()
        )
    }
