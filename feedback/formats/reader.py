"""What the formats read: judged generations as of a moment, one by one, by prompt or by request."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from copy import copy
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Text, func, null, select, true, union_all
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session, aliased

from db.json_text import parsed
from db.tables import Comparison, FeedbackEvent, Generation, ModelVersion, Review, Vote
from feedback.compare import PURPOSE
from feedback.formats.grouped import Member, grouped
from feedback.formats.judged import Ballot, Judged, Opinion, Standing, Version
from feedback.spec import Moment, Task
from feedback.trainable import Permissions

PAGE = 1_000  # rows fetched at a time
# Generations of one prompt that are compared with each other; a prompt that everybody tries may
# have any number, and memory must not grow with it.
MOST_TOGETHER = 2_000

# What decides about rows; other things that visitors say are not even read.
USED_KINDS: dict[Task, tuple[str, ...]] = {
    "text": ("thumb", "stars", "edit", "choice", "report"),
    "image": ("thumb", "stars", "edit", "choice", "report", "rank", "reasons"),
    "vae": ("thumb", "stars", "choice", "report", "rank"),
}

Other = aliased(Generation, name="other")


class Part(NamedTuple):
    """Generations, or groups of them by their first one, from an id up to before another."""

    first: str | None = None
    before: str | None = None

    def holds(self, column: Any) -> ColumnElement[bool]:
        found: ColumnElement[bool] = true()
        if self.first is not None:
            found &= column >= self.first
        if self.before is not None:
            found &= column < self.before
        return found


WHOLE = Part()


class Reader:
    """Whoever may be read, up to a moment.

    with_times: whether events say when they were said.
    """

    def __init__(self, session: Session, moment: Moment, *, with_times: bool = False) -> None:
        self.session = session
        self.moment = moment
        self.part = WHOLE
        self.folder: Path | None = None  # for temporary files
        self.kinds: tuple[str, ...] = ()
        self.with_times = with_times
        self.permissions = Permissions(session, moment.consents)
        self.reviews = Reviews(session, moment.reviews)
        self.versions = {
            row[0]: Version(*row)
            for row in session.execute(
                select(
                    ModelVersion.id,
                    ModelVersion.name,
                    ModelVersion.weights_sha256,
                    ModelVersion.verified,
                )
            )
        }

    def of(self, part: Part, kinds: tuple[str, ...] = (), folder: Path | None = None) -> "Reader":
        """The same for a part.

        kinds: of events, besides those that decide about rows. folder: for temporary files.
        """
        other = copy(self)
        other.part, other.kinds, other.folder = part, kinds, folder
        return other

    def generations(self, task: Task) -> Iterator[Judged]:
        """Every generation of a task that somebody judged, as they were made; no ballots."""
        query = (
            select(*self.columns(task))
            .select_from(FeedbackEvent)
            .join(Generation, Generation.id == FeedbackEvent.generation_id)
            .where(
                self.counts(task),
                Generation.task == task,
                self.part.holds(FeedbackEvent.generation_id),
            )
            .order_by(FeedbackEvent.generation_id, FeedbackEvent.kind, FeedbackEvent.id)
        )
        return self.gathered(self.rows(query), {})

    def prompts(self, task: Task) -> Iterator[list[Judged]]:
        """The generations of one prompt at a time; drafts that a choice passed over are among them.

        Prompts come in the order in which they were first asked; one that was asked more than
        MOST_TOGETHER times comes in several parts.
        """
        return self.groups(task, Generation.inputs)

    def requests(self, task: Task) -> Iterator[list[Judged]]:
        """The drafts of one request at a time, in the order in which they were asked for."""
        return self.groups(task, Generation.request_id)

    def count(self, task: Task) -> int:
        """How many generations there are to read, at most."""
        query = (
            select(func.count(FeedbackEvent.generation_id.distinct()))
            .join(Generation, Generation.id == FeedbackEvent.generation_id)
            .where(
                self.counts(task),
                Generation.task == task,
                self.part.holds(FeedbackEvent.generation_id),
            )
        )
        return self.session.scalar(query) or 0

    def counts(self, task: Task) -> ColumnElement[bool]:
        """The event is of a kind that is wanted, and had been said at the moment."""
        kinds = {*USED_KINDS[task], *self.kinds}
        return FeedbackEvent.kind.in_(sorted(kinds)) & (FeedbackEvent.id <= self.moment.events)

    def columns(self, task: Task) -> tuple[Any, ...]:
        """JSON as its text: most of it is read faster than by the driver, or not at all."""
        latent = sql_cast(Generation.latent, Text) if task == "vae" else null()
        return (
            Generation.id,
            Generation.request_id,
            Generation.model_version_id,
            Generation.visitor_id,
            Generation.consent_id,
            sql_cast(Generation.inputs, Text),
            Generation.output_text,
            Generation.media_sha256,
            latent.label("latent"),
            Generation.status,
            FeedbackEvent.id.label("event_id"),
            FeedbackEvent.visitor_id.label("speaker"),
            FeedbackEvent.consent_id.label("event_consent"),
            FeedbackEvent.kind,
            FeedbackEvent.score,
            FeedbackEvent.text,
            sql_cast(FeedbackEvent.items, Text).label("said_items"),
            FeedbackEvent.retracted,
            (FeedbackEvent.created_at if self.with_times else null()).label("said_at"),
        )

    def rows(self, query: Any) -> Iterable[Any]:
        """The rows as tuples, fetched in pages."""
        connection = self.session.connection()
        return connection.execute(query, execution_options={"yield_per": PAGE})

    def groups(self, task: Task, by: Any) -> Iterator[list[Judged]]:
        for _, group in groupby(self.in_groups(task, by), key=lambda one: one[0]):
            together: list[Judged] = []
            for _, judged in group:
                together.append(judged)
                if len(together) == MOST_TOGETHER:
                    yield together
                    together = []
            if together:
                yield together

    def in_groups(self, task: Task, by: Any) -> Iterator[tuple[int, Judged]]:
        """Generations group by group, each with the number of its group.

        They belong together whose values of a column are the same. Only ids and keys are put in
        order; what else there is follows page by page.
        """
        page: list[tuple[int, str]] = []
        for member in grouped(self.members(task, by), self.folder, *self.part):
            page.append(member)
            if len(page) == PAGE:
                yield from self.filled(task, page)
                page = []
        yield from self.filled(task, page)

    def members(self, task: Task, by: Any) -> Iterator[Member]:
        """Every generation that is looked at together with others, in the order of ids."""
        rated = select(FeedbackEvent.id).where(
            FeedbackEvent.generation_id == Generation.id, self.counts(task)
        )
        chosen_from = (
            select(Other.id)
            .join(FeedbackEvent, FeedbackEvent.generation_id == Other.id)
            .where(
                Other.request_id == Generation.request_id,
                FeedbackEvent.kind == "choice",
                FeedbackEvent.id <= self.moment.events,
            )
        )
        wanted = rated.exists() | chosen_from.exists()
        if task != "text":  # whose formats do not know votes
            sides = [
                select(side)
                .join(Vote, Vote.comparison_id == Comparison.id)
                .where(Vote.id <= self.moment.votes)
                for side in (Comparison.left_id, Comparison.right_id)
            ]
            wanted |= Generation.id.in_(union_all(*sides))
        query = (
            select(sql_cast(by, Text), Generation.id, Generation.visitor_id, Generation.consent_id)
            .where(Generation.task == task, wanted)
            .order_by(Generation.id)
        )
        may_train = self.permissions.may_train
        for common, one, visitor, consent in self.rows(query):
            yield Member(common, one, may_train(visitor, consent))

    def filled(self, task: Task, page: list[tuple[int, str]]) -> Iterator[tuple[int, Judged]]:
        """The generations of a page, with feedback or without."""
        if not page:
            return
        ids = [one for _, one in page]
        query = (
            select(*self.columns(task))
            .select_from(Generation)
            .outerjoin(
                FeedbackEvent,
                (FeedbackEvent.generation_id == Generation.id)
                & FeedbackEvent.generation_id.in_(ids)  # or PostgreSQL goes through all events
                & self.counts(task),
            )
            .where(Generation.id.in_(ids))
            .order_by(Generation.id, FeedbackEvent.kind, FeedbackEvent.id)
        )
        cast_about = {} if task == "text" else self.ballots(ids)
        rows = self.session.connection().execute(query).all()  # not one by one, which is slower
        found = {judged.id: judged for judged in self.gathered(rows, cast_about)}
        for common, one in page:
            yield common, found[one]

    def ballots(self, ids: list[str]) -> dict[str, list[Ballot]]:
        """The votes on pairs of which one of these generations was shown on the left."""
        query = (
            select(
                Comparison.left_id,
                Comparison.right_id,
                Vote.answer,
                Vote.id,
                Vote.visitor_id,
                Vote.consent_id,
                (Vote.created_at if self.with_times else null()).label("said_at"),
            )
            .join(Comparison, Comparison.id == Vote.comparison_id)
            .where(
                Comparison.purpose == PURPOSE,
                Comparison.left_id.in_(ids),
                Vote.id <= self.moment.votes,
            )
            .order_by(Vote.id)
        )
        found: dict[str, list[Ballot]] = {}
        for left, right, answer, vote_id, visitor, consent, at in self.session.execute(query):
            may_train = self.permissions.may_train(visitor, consent)
            vote = Standing(
                vote_id, "vote", None, None, None, may_train, None, visitor, consent, at
            )  # nobody can review a vote
            found.setdefault(left, []).append(Ballot(right, answer, vote))
        return found

    def gathered(self, rows: Iterable[Any], ballots: dict[str, list[Ballot]]) -> Iterator[Judged]:
        """One Judged for the rows of each generation, which follow each other.

        What each visitor says now comes out of the order of the events: by kind, then as said.
        """
        willing, given = self.permissions.willing, self.permissions.given
        review = self.reviews.of
        made, said = None, dict[int, Opinion]()
        for row in rows:
            if made is None or row[0] != made[0]:
                if made is not None and willing[made[3]] and given[made[4]]:
                    yield self.judged(made, said, ballots)
                made, said = row, {}
            event_id, visitor, consent, kind, score, text, items, retracted, at = row[10:]
            if event_id is None:
                continue
            opinion = said.setdefault(visitor, {})
            if retracted:
                opinion.pop(kind, None)
                continue
            opinion[kind] = Standing(
                event_id,
                kind,
                score,
                text,
                None if items is None else parsed(items),
                bool(willing[visitor] and given[consent]),
                review(event_id),
                visitor,
                consent,
                at,
            )
        if made is not None and willing[made[3]] and given[made[4]]:
            yield self.judged(made, said, ballots)

    def judged(
        self, row: Any, said: dict[int, Opinion], ballots: dict[str, list[Ballot]]
    ) -> Judged:
        one, request, version, visitor, consent, inputs, output, media, latent, status = row[:10]
        return Judged(
            one,
            request,
            self.versions[version],
            visitor,
            consent,
            parsed(inputs),
            output or "",
            media,
            None if latent is None else parsed(latent),
            status,
            list(said.values()),
            ballots.get(one, []),
        )


class Reviews:
    """The owner's last verdict on each event that has one, in 9 bytes each."""

    VERDICTS = ("approved", "rejected")

    def __init__(self, session: Session, until: int) -> None:
        self.events = array("q")
        self.verdicts = bytearray()
        query = (
            select(Review.event_id, Review.verdict)
            .where(Review.id <= until)
            .order_by(Review.event_id, Review.id)
        )
        for event, verdict in session.execute(query, execution_options={"yield_per": PAGE}):
            if self.events and self.events[-1] == event:
                self.verdicts[-1] = self.VERDICTS.index(verdict)
            else:
                self.events.append(event)
                self.verdicts.append(self.VERDICTS.index(verdict))

    def of(self, event_id: int) -> str | None:
        if not self.events:
            return None
        place = bisect_left(self.events, event_id)
        if place < len(self.events) and self.events[place] == event_id:
            return self.VERDICTS[self.verdicts[place]]
        return None
