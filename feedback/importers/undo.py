"""Take imported feedback out again: a whole import, or one rater."""

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from db.tables import (
    Comparison,
    Consent,
    ErasedRater,
    FeedbackEvent,
    Generation,
    Import,
    Signal,
    Visitor,
    Vote,
    now,
)
from feedback.erase import erase, shows


class NoImport(LookupError):
    """There is no such import, or it was taken back already."""


class NotImported(LookupError):
    """That visitor is not somebody whose words were imported."""


def take_back(session: Session, import_id: int) -> None:
    """Delete what an import brought, and what others said about it; raises NoImport.

    The import and its consents stay, as proof for datasets that were made of it. Visitors of whom
    nothing is left lose their key, like those who are erased; a later import may bring them back.
    """
    done = session.get(Import, import_id, with_for_update=True)
    if done is None or done.taken_back_at is not None:
        raise NoImport(str(import_id))
    consents = select(Consent.id).where(Consent.import_id == import_id)
    made = select(Generation.id).where(Generation.consent_id.in_(consents))
    pairs = select(Comparison.id).where(shows(made))
    session.execute(delete(Vote).where(Vote.comparison_id.in_(pairs)))
    session.execute(delete(Comparison).where(Comparison.id.in_(pairs)))
    session.execute(delete(Signal).where(Signal.generation_id.in_(made)))
    session.execute(
        delete(FeedbackEvent).where(
            or_(FeedbackEvent.consent_id.in_(consents), FeedbackEvent.generation_id.in_(made))
        )
    )
    session.execute(update(Generation).where(Generation.parent_id.in_(made)).values(parent_id=None))
    session.execute(delete(Generation).where(Generation.consent_id.in_(consents)))
    raters = select(Consent.visitor_id).where(Consent.import_id == import_id)
    session.execute(
        update(Visitor)
        .where(
            Visitor.id.in_(raters),
            Visitor.erased_at.is_(None),
            ~exists().where(Generation.visitor_id == Visitor.id),
            ~exists().where(FeedbackEvent.visitor_id == Visitor.id),
        )
        .values(key_hash=None, erased_at=now())
        .execution_options(synchronize_session=False)
    )
    done.taken_back_at = now()
    session.flush()


def erase_rater(session: Session, key_hash: str) -> set[str]:
    """Erase somebody whose words were imported, and let no later import bring them back.

    The SHA-256s of pictures whose files may now go, as from `erase`. Somebody of whom nothing is
    here is kept out all the same.
    """
    if session.get(ErasedRater, key_hash) is None:
        session.add(ErasedRater(rater_hash=key_hash))
        session.flush()
    return erase(session, key_hash)


def imported_key(session: Session, visitor_id: int) -> str:
    """The key of an imported visitor with this number; raises NotImported."""
    key_hash = session.scalar(
        select(Visitor.key_hash).where(
            Visitor.id == visitor_id,
            Visitor.erased_at.is_(None),
            exists().where(Consent.visitor_id == Visitor.id, Consent.import_id.is_not(None)),
        )
    )
    if key_hash is None:
        raise NotImported(str(visitor_id))
    return key_hash
