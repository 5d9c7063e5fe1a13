"""Take a visitor's words out of the tables; who she was is no longer known afterwards."""

from sqlalchemy import ColumnElement, Select, delete, or_, select, update
from sqlalchemy.orm import Session

from db.tables import (
    Comparison,
    FeedbackEvent,
    Generation,
    Signal,
    Visitor,
    Vote,
    now,
)


def erase_visitor(session: Session, visitor_id: int) -> set[str]:
    """Erase the visitor of this number; the SHA-256s of her pictures, which may now go.

    Her generations, feedback events, signals, comparisons and votes are deleted. The visitor's
    row stays as a tombstone without key, so that her number is never given again, and so do her
    consents: they hold no word of hers and can no longer be tied to a person, but a dataset that
    was exported before rests on them, and they are the only proof that it was made with
    permission. The ledger of exports stays too: it says which datasets held what is now gone.
    """
    hers = select(Generation.id).where(Generation.visitor_id == visitor_id)
    pictures = select(Generation.media_sha256).where(
        Generation.visitor_id == visitor_id, Generation.media_sha256.is_not(None)
    )
    shown = {sha256 for sha256 in session.scalars(pictures) if sha256}
    pairs = select(Comparison.id).where(shows(hers) | (Comparison.visitor_id == visitor_id))
    session.execute(
        delete(Vote).where(or_(Vote.comparison_id.in_(pairs), Vote.visitor_id == visitor_id))
    )
    session.execute(delete(Comparison).where(Comparison.id.in_(pairs)))
    for table in (Signal, FeedbackEvent):
        session.execute(
            delete(table).where(or_(table.visitor_id == visitor_id, table.generation_id.in_(hers)))
        )
    # A generation may go on from another one: cut the links, so that the order does not matter.
    session.execute(update(Generation).where(Generation.parent_id.in_(hers)).values(parent_id=None))
    session.execute(delete(Generation).where(Generation.visitor_id == visitor_id))
    session.execute(
        update(Visitor).where(Visitor.id == visitor_id).values(key_hash=None, erased_at=now())
    )
    return shown


def shows(generations: Select[str]) -> ColumnElement[bool]:
    return or_(Comparison.left_id.in_(generations), Comparison.right_id.in_(generations))
