"""Keep what visitors say about generations; never change it, and answer what they say now."""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import COMMENT_LIMIT, KINDS, SIGNALS, TEXT_LIMIT, FeedbackEvent, Generation, Signal
from db.text import TextProblem, check_text
from feedback.consent import Permission

REASONS = {
    "text": {
        "good": ("beautiful", "fits_prompt", "original", "well_formed"),
        "bad": ("off_topic", "wrong_form", "repetitive", "nonsense", "copied", "offensive"),
    },
    "image": {
        "good": ("beautiful", "fits_prompt", "original", "clear"),
        "bad": ("wrong_object", "wrong_colour", "ugly", "artefacts", "unclear", "unsafe"),
    },
    "vae": {
        "good": ("beautiful", "original", "clear"),
        "bad": ("nonsense", "ugly", "artefacts", "unclear", "copied", "unsafe"),
    },
}
# A brush stroke: its width, then the points on its way, all in thousandths of the picture's sides.
STROKE = re.compile(r"\d{1,4}:\d{1,4},\d{1,4}( \d{1,4},\d{1,4})*")
MOST_STROKES = 64
STROKES_LIMIT = 10_000  # characters of all strokes together
REPORT_REASONS = ("offensive", "personal_data", "copyright", "other")

Value = bool | int | str | list[str] | dict[str, Any] | None


class UnknownGeneration(LookupError):
    """There is no such generation of this visitor's."""


class InvalidFeedback(ValueError):
    """What was said does not fit its kind; `code` names the sentence that explains it."""

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


class KeyReused(ValueError):
    """The same key came again with something else."""


@dataclass(frozen=True)
class Said:
    """The columns that one event fills."""

    score: int | None = None
    text: str | None = None
    items: list[str] | None = None
    retracted: bool = False


@dataclass(frozen=True)
class Receipt:
    """Proof that an event is kept; the same for the same key."""

    id: int
    key: str
    kind: str
    created_at: str


def signal(
    session: Session,
    permission: Permission,
    *,
    key: str,
    generation_id: str,
    kind: str,
    milliseconds: int | None,
) -> bool:
    """Keep one implicit act; whether it is new: the same key twice is one act."""
    owned(session, permission.visitor_id, generation_id)
    if kind not in SIGNALS:
        raise InvalidFeedback("unknown_kind", kind=kind)
    key = check_key(key)
    if session.scalar(select(Signal.id).where(Signal.key == key)) is not None:
        return False
    session.add(
        Signal(
            key=key,
            generation_id=generation_id,
            visitor_id=permission.visitor_id,
            consent_id=permission.consent_id,
            kind=kind,
            milliseconds=milliseconds,
        )
    )
    session.flush()
    return True


def owned(session: Session, visitor_id: int, generation_id: str) -> Generation:
    """The generation, if it is this visitor's."""
    generation = session.get(Generation, generation_id)
    if generation is None or generation.visitor_id != visitor_id:
        raise UnknownGeneration(generation_id)
    return generation


def check_key(key: str) -> str:
    try:
        return str(uuid.UUID(key))
    except ValueError:
        raise InvalidFeedback("key_is_no_uuid") from None


def check(session: Session, generation: Generation, kind: str, value: Value) -> Said:
    """What the value says in the columns of its kind; raises InvalidFeedback."""
    if kind not in KINDS:
        raise InvalidFeedback("unknown_kind", kind=kind)
    if value is None:
        return Said(retracted=True)
    if kind in ("thumb", "stars"):
        allowed = (-1, 1) if kind == "thumb" else (1, 2, 3, 4, 5)
        if type(value) is not int or value not in allowed:
            raise InvalidFeedback(f"{kind}_value")
        return Said(score=value)
    if kind == "rank":
        return check_rank(session, generation, value)
    if kind == "region":
        return check_region(value)
    if kind in ("comment", "edit", "report"):
        limit = TEXT_LIMIT if kind == "edit" else COMMENT_LIMIT
        return Said(text=check_words(value, limit, empty=kind == "report"))
    if kind == "reasons":
        return Said(items=check_reasons(generation.task, value))
    if value is not True:
        raise InvalidFeedback("choice_value")
    others = other_drafts(session, generation)
    if not others:
        raise InvalidFeedback("choice_needs_drafts")
    return Said(items=others)


def other_drafts(session: Session, generation: Generation) -> list[str]:
    """Ids of the other drafts of the same request."""
    question = (
        select(Generation.id)
        .where(Generation.request_id == generation.request_id, Generation.id != generation.id)
        .order_by(Generation.draft)
    )
    return list(session.scalars(question))


def check_rank(session: Session, generation: Generation, value: Value) -> Said:
    """A place among the drafts, 1 for the best; two drafts may share one."""
    places = 1 + len(other_drafts(session, generation))
    if places == 1:
        raise InvalidFeedback("choice_needs_drafts")
    if type(value) is not int or not 1 <= value <= places:
        raise InvalidFeedback("rank_value", places=places)
    return Said(score=value)


def check_region(value: Value) -> Said:
    """{"strokes": [...], "text": what is wrong there, or nothing}, see STROKE."""
    if not isinstance(value, dict) or set(value) != {"strokes", "text"}:
        raise InvalidFeedback("region_value")
    strokes = value["strokes"]
    if not isinstance(strokes, list) or not 1 <= len(strokes) <= MOST_STROKES:
        raise InvalidFeedback("region_value")
    if not all(isinstance(stroke, str) and STROKE.fullmatch(stroke) for stroke in strokes):
        raise InvalidFeedback("region_value")
    if sum(map(len, strokes)) > STROKES_LIMIT:
        raise InvalidFeedback("region_too_long")
    if any(int(number) > 1000 for stroke in strokes for number in re.findall(r"\d+", stroke)):
        raise InvalidFeedback("region_value")
    return Said(text=check_words(value["text"], COMMENT_LIMIT, empty=True), items=strokes)


def check_words(value: Value, limit: int, *, empty: bool) -> str:
    if not isinstance(value, str):
        raise InvalidFeedback("text_expected")
    try:
        return check_text(value, limit, empty=empty)
    except TextProblem as problem:
        raise InvalidFeedback(problem.code, **problem.details) from problem


def check_reasons(task: str, value: Value) -> list[str]:
    if not isinstance(value, list) or not value:
        raise InvalidFeedback("reasons_value")
    known = {code for codes in REASONS[task].values() for code in codes}
    for code in value:
        if code not in known:
            raise InvalidFeedback("unknown_reason", reason=str(code)[:40])
    return sorted(set(value))


def standing(
    session: Session, visitor_id: int, generation_ids: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """What the visitor says now about each generation: {generation id: {kind: value}}."""
    wanted = list(generation_ids)
    said: dict[str, dict[str, Any]] = {one: {} for one in wanted}
    events = session.scalars(
        select(FeedbackEvent)
        .where(FeedbackEvent.visitor_id == visitor_id, FeedbackEvent.generation_id.in_(wanted))
        .order_by(FeedbackEvent.id)
    )
    for event in events:
        if event.retracted:
            said[event.generation_id].pop(event.kind, None)
        else:
            said[event.generation_id][event.kind] = value_of(event)
    return said


def value_of(event: FeedbackEvent) -> Value:
    """The value as it was said, None for a retraction."""
    if event.retracted:
        return None
    if event.kind == "choice":
        return True
    if event.kind == "reasons":
        return event.items
    if event.kind == "region":
        return {"strokes": event.items, "text": event.text}
    return event.score if event.kind in ("thumb", "stars", "rank") else event.text
