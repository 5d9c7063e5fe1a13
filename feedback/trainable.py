"""What may be trained on: the rule of explicit consent, written once and used by every export."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    func,
    literal,
    select,
    true,
)
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


def last_answer(
    visitor_id: InstrumentedAttribute[int], until: int | None = None
) -> ScalarSelect[bool]:
    """Whether the visitor's last answer allows training; nothing when they are erased.

    until: the last consent to look at, for what the answer was then.
    Asked anew for each row: a list of all willing visitors would be made again for every page.
    """
    answers = select(Answer.train).join(Person, Person.id == Answer.visitor_id)
    if until is not None:
        answers = answers.where(Answer.id <= until)
    return (
        answers.where(Answer.visitor_id == visitor_id, Person.erased_at.is_(None))
        .order_by(Answer.id.desc())
        .limit(1)
        .correlate_except(Answer, Person)
        .scalar_subquery()
    )


EVENT_MAY_TRAIN = may_train(FeedbackEvent.visitor_id, EventConsent.train)
GENERATION_MAY_TRAIN = may_train(Generation.visitor_id, MadeConsent.train)
VOTE_MAY_TRAIN = may_train(Vote.visitor_id, VoteConsent.train)


class Permissions:
    """The rule of `may_train` for whoever reads many rows: a byte a visitor, and a byte a consent.

    Indexed by their ids, 1 where training is allowed. Who did not allow it at the moment of
    `until`, the last consent that counts, does not allow it here either; nor who has withdrawn it
    since.
    """

    def __init__(self, session: Session, until: int) -> None:
        last = session.scalar(select(func.max(Consent.id))) or 0
        willing = select(Visitor.id).where(last_answer(Visitor.id).is_(True))
        if until < last:
            willing = willing.where(last_answer(Visitor.id, until).is_(True))
        given = select(Consent.id).where(Consent.train)
        self.willing = flags(session, willing, func.max(Visitor.id))
        self.given = flags(session, given, func.max(Consent.id))

    def may_train(self, visitor_id: int, consent_id: int) -> bool:
        """The consent given with a row allows training, and its visitor still does."""
        return bool(self.willing[visitor_id] and self.given[consent_id])


def flags(session: Session, ids: Select[int], last: ColumnElement[int]) -> bytearray:
    """1 at the place of every id, up to the last there is."""
    found = bytearray((session.scalar(select(last)) or 0) + 1)
    rows: Iterable[int] = session.scalars(ids, execution_options={"yield_per": 10_000})
    for one in rows:
        found[one] = 1
    return found


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


def count_events(session: Session, until: int | None = None) -> tuple[int, int]:
    """How many feedback events there are, and how many of them may be trained on.

    All of them are looked at once, so that a list of all willing visitors pays.
    """
    so_far = true() if until is None else FeedbackEvent.id <= until
    every = session.scalar(select(func.count()).select_from(FeedbackEvent).where(so_far)) or 0
    willing = select(Visitor.id).where(last_answer(Visitor.id).is_(True)).cte("willing")
    maker = willing.alias("maker")
    allowed = (
        select(func.count())
        .select_from(FeedbackEvent)
        .join(EventConsent, EventConsent.id == FeedbackEvent.consent_id)
        .join(Generation, Generation.id == FeedbackEvent.generation_id)
        .join(MadeConsent, MadeConsent.id == Generation.consent_id)
        .join(willing, willing.c.id == FeedbackEvent.visitor_id)
        .join(maker, maker.c.id == Generation.visitor_id)
        .where(EventConsent.train, MadeConsent.train, so_far)
    )
    return every, session.scalar(allowed) or 0


def count_votes(session: Session, until: int | None = None) -> tuple[int, int]:
    """How many votes on pairs there are, and how many of them may be trained on."""
    so_far = true() if until is None else Vote.id <= until
    every = session.scalar(select(func.count()).select_from(Vote).where(so_far)) or 0
    return every, session.scalar(allowed_votes(func.count()).where(so_far)) or 0


def allowed_votes(*columns: Any) -> Select[Any]:
    """Columns of the votes that may be trained on: by their consent and those of both sides."""
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
