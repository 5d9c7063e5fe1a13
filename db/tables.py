"""The tables: who agreed to what, what was made, what people thought, what became of it."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class UTCDateTime(TypeDecorator[datetime]):
    """A moment with its zone: SQLite forgets the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """This moment, in UTC; the one clock of the database."""
    return datetime.now(UTC)


# Counts up; SQLite only counts up by itself in a column of type INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")
# SQLite would give the id of an erased last row to the next one; ledgers and reviews name ids of
# rows that may be gone, so an id is never used twice.
COUNTS_ON = {"sqlite_autoincrement": True}
Json = JSON(none_as_null=True)
Id = String(36)  # a UUID in text, the same on both databases
Hash = String(64)  # SHA-256 in hexadecimal


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime, dict[str, Any]: Json, list[str]: Json}


def one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


TASKS = ("text", "image", "vae")
VERSION_STATES = ("live", "candidate", "retired")
STATUSES = ("complete", "stopped", "failed")
KINDS = ("thumb", "stars", "reasons", "comment", "edit", "choice", "report", "rank", "region")
ANSWERS = ("left", "right", "tie", "both_bad")  # of a vote
RUN_STATES = ("running", "finished", "failed", "stopped", "interrupted")  # of a scheduled run
SIGNALS = ("copy", "retry", "continue", "stop", "reproduce", "first_action")

PROMPT_LIMIT = 20_000  # characters of one prompt or of all messages of a chat together
TEXT_LIMIT = 20_000  # characters of one output or edit
COMMENT_LIMIT = 2_000  # characters of a comment or a report
MOST_DRAFTS = 16  # of one request


class Visitor(Base):
    """A person, known by a pseudonym only."""

    __tablename__ = "visitors"
    __table_args__ = (
        CheckConstraint(
            "(key_hash IS NULL) = (erased_at IS NOT NULL)", name="only_the_erased_have_no_key"
        ),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    key_hash: Mapped[str | None] = mapped_column(Hash, unique=True)  # HMAC of the visitor's token
    created_at: Mapped[datetime] = mapped_column(default=now)
    erased_at: Mapped[datetime | None]


class Consent(Base):
    """A visitor's answer to one text, never changed; the last one counts."""

    __tablename__ = "consents"
    __table_args__ = (
        CheckConstraint("keep OR NOT train", name="what_trains_is_kept"),
        CheckConstraint(one_of("language", ("en", "zh")), name="consent_was_asked_in_a_language"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    visitor_id: Mapped[int] = mapped_column(ForeignKey("visitors.id"), index=True)
    terms_version: Mapped[str] = mapped_column(String(32))
    terms_sha256: Mapped[str] = mapped_column(Hash)
    language: Mapped[str] = mapped_column(String(8))
    keep: Mapped[bool]
    train: Mapped[bool]
    # Of imported rows: nobody was asked here, and what the owner states stands in the import.
    import_id: Mapped[int | None] = mapped_column(ForeignKey("imports.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Import(Base):
    """One file of feedback that was gathered elsewhere; its rows rest on consents that name it."""

    __tablename__ = "imports"
    __table_args__ = (
        CheckConstraint("basis <> ''", name="a_basis_says_something"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    source: Mapped[str] = mapped_column(String(200))  # the owner's name for where it came from
    format: Mapped[str] = mapped_column(String(32))
    file_name: Mapped[str] = mapped_column(Text)
    file_sha256: Mapped[str] = mapped_column(Hash)
    # Why it may be trained on, in the owner's words; without one it may not.
    basis: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]
    taken_back_at: Mapped[datetime | None]


class ErasedRater(Base):
    """Somebody whose imported words were erased; no later import brings them back."""

    __tablename__ = "erased_raters"

    rater_hash: Mapped[str] = mapped_column(Hash, primary_key=True)  # HMAC of source and name
    erased_at: Mapped[datetime] = mapped_column(default=now)


class ModelVersion(Base):
    """One set of weights."""

    __tablename__ = "model_versions"
    __table_args__ = (
        CheckConstraint(one_of("task", TASKS), name="version_is_for_a_task"),
        CheckConstraint(one_of("state", VERSION_STATES), name="version_is_in_a_state"),
        UniqueConstraint("task", "name", "weights_sha256", name="one_version_per_weights"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    task: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(200))  # what the model picker shows
    source: Mapped[str] = mapped_column(Text)  # hub id or folder
    revision: Mapped[str | None] = mapped_column(String(64))  # commit, of a hub model
    weights_sha256: Mapped[str] = mapped_column(Hash)  # of an engine's model: of its name
    verified: Mapped[bool] = mapped_column(default=True, server_default=true())  # saw the weights
    says: Mapped[dict[str, Any] | None]  # what an engine said of itself when it was first used
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    state: Mapped[str] = mapped_column(String(16), default="live")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Generation(Base):
    """One output, and all that is needed to make it again."""

    __tablename__ = "generations"
    __table_args__ = (
        CheckConstraint(one_of("task", TASKS), name="generation_is_of_a_task"),
        CheckConstraint(one_of("status", STATUSES), name="generation_has_ended"),
        CheckConstraint(f"draft BETWEEN 0 AND {MOST_DRAFTS - 1}", name="draft_is_a_small_number"),
        CheckConstraint(f"length(output_text) <= {TEXT_LIMIT}", name="output_is_not_too_long"),
        UniqueConstraint("request_id", "draft", name="one_output_per_draft"),
        Index("ix_generations_visitor_id_id", "visitor_id", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)  # UUIDv7: ids sort by time
    request_id: Mapped[str] = mapped_column(Id)  # drafts of one request share it
    draft: Mapped[int] = mapped_column(Integer, default=0)  # 0, 1, … in the order shown
    task: Mapped[str] = mapped_column(String(16))
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), index=True)
    visitor_id: Mapped[int] = mapped_column(ForeignKey("visitors.id"))
    consent_id: Mapped[int] = mapped_column(ForeignKey("consents.id"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("generations.id"), index=True)
    relation: Mapped[str | None] = mapped_column(String(16))  # to the parent: retry, continue, turn
    inputs: Mapped[dict[str, Any]]  # {"prompt": …} or {"messages": [{"role", "content"}, …]}
    options: Mapped[dict[str, Any]]  # everything that shapes the output, the seed included
    output_text: Mapped[str | None] = mapped_column(Text)
    media_sha256: Mapped[str | None] = mapped_column(Hash, index=True)  # of the file in db/media.py
    latent: Mapped[dict[str, Any] | None]  # {"z": [floats]}, for a vector also {"x": [floats]}
    served: Mapped[dict[str, Any] | None]  # by an engine: the endpoint, and what it said
    status: Mapped[str] = mapped_column(String(16))
    finish_reason: Mapped[str | None] = mapped_column(String(16))  # end, length, stop, error
    input_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    queued_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    first_token_at: Mapped[datetime | None]
    finished_at: Mapped[datetime]

    visitor: Mapped[Visitor] = relationship()
    consent: Mapped[Consent] = relationship()
    version: Mapped[ModelVersion] = relationship()


class FeedbackEvent(Base):
    """One thing one visitor said about one generation; never changed.

    The last event of a kind by a visitor on a generation is what they say now; an event
    that is `retracted` takes the kind back. What is said stands in the column of its kind:
    thumb and stars in `score`; edit, comment and report in `text`; the codes of reasons, and
    the ids of the drafts that a choice passed over, in `items`.
    """

    __tablename__ = "feedback_events"
    __table_args__ = (
        CheckConstraint(one_of("kind", KINDS), name="feedback_is_of_a_kind"),
        CheckConstraint(
            "kind <> 'thumb' OR retracted OR score IN (-1, 1)", name="thumb_is_up_or_down"
        ),
        CheckConstraint(
            "kind <> 'stars' OR retracted OR score IN (1, 2, 3, 4, 5)", name="stars_are_one_to_five"
        ),
        CheckConstraint(
            f"kind <> 'rank' OR retracted OR score BETWEEN 1 AND {MOST_DRAFTS}",
            name="rank_is_a_place_among_drafts",
        ),
        CheckConstraint(
            "kind NOT IN ('thumb', 'stars', 'rank') OR retracted OR score IS NOT NULL",
            name="a_rating_has_a_score",
        ),
        CheckConstraint(
            "kind NOT IN ('edit', 'comment', 'region') OR retracted OR text IS NOT NULL",
            name="an_edit_comment_or_region_has_text",
        ),
        CheckConstraint(
            "kind NOT IN ('reasons', 'choice', 'region') OR retracted OR items IS NOT NULL",
            name="reasons_choices_and_regions_have_items",
        ),
        CheckConstraint(
            "NOT retracted OR (score IS NULL AND text IS NULL AND items IS NULL)",
            name="a_retraction_says_nothing_else",
        ),
        CheckConstraint(
            f"kind <> 'edit' OR length(text) <= {TEXT_LIMIT}", name="edit_is_not_too_long"
        ),
        CheckConstraint(
            f"kind = 'edit' OR length(text) <= {COMMENT_LIMIT}", name="comment_is_not_too_long"
        ),
        UniqueConstraint("key", name="one_event_per_key"),
        Index("ix_feedback_events_generation_kind", "generation_id", "kind", "id"),
        Index("ix_feedback_events_visitor_id_id", "visitor_id", "id"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    key: Mapped[str] = mapped_column(Id)  # a UUID made by the client
    generation_id: Mapped[str] = mapped_column(ForeignKey("generations.id"))
    visitor_id: Mapped[int] = mapped_column(ForeignKey("visitors.id"))
    consent_id: Mapped[int] = mapped_column(ForeignKey("consents.id"))
    kind: Mapped[str] = mapped_column(String(16))
    score: Mapped[int | None]
    text: Mapped[str | None] = mapped_column(Text)
    items: Mapped[list[str] | None]
    retracted: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)

    generation: Mapped[Generation] = relationship()


class Signal(Base):
    """One implicit act (copy, retry, stop); its own stream, never counted as feedback."""

    __tablename__ = "signals"
    __table_args__ = (
        CheckConstraint(one_of("kind", SIGNALS), name="signal_is_of_a_kind"),
        UniqueConstraint("key", name="one_signal_per_key"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    key: Mapped[str] = mapped_column(Id)
    generation_id: Mapped[str] = mapped_column(ForeignKey("generations.id"), index=True)
    visitor_id: Mapped[int] = mapped_column(ForeignKey("visitors.id"), index=True)
    consent_id: Mapped[int] = mapped_column(ForeignKey("consents.id"))
    kind: Mapped[str] = mapped_column(String(16))
    milliseconds: Mapped[int | None]  # from the output's end to the act, as the page saw it
    created_at: Mapped[datetime] = mapped_column(default=now)


class Comparison(Base):
    """One blind pair shown to one visitor."""

    __tablename__ = "comparisons"
    __table_args__ = (CheckConstraint("left_id <> right_id", name="a_pair_has_two_sides"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    visitor_id: Mapped[int] = mapped_column(ForeignKey("visitors.id"), index=True)
    left_id: Mapped[str] = mapped_column(ForeignKey("generations.id"))  # as shown
    right_id: Mapped[str] = mapped_column(ForeignKey("generations.id"))
    purpose: Mapped[str] = mapped_column(String(32))
    policy: Mapped[str] = mapped_column(String(32))  # how the pair was drawn
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]


class Vote(Base):
    """The one answer to a comparison."""

    __tablename__ = "votes"
    __table_args__ = (
        CheckConstraint(one_of("answer", ANSWERS), name="vote_is_an_answer"),
        UniqueConstraint("comparison_id", name="one_vote_per_comparison"),
        UniqueConstraint("key", name="one_vote_per_key"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    key: Mapped[str] = mapped_column(Id)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"))
    visitor_id: Mapped[int] = mapped_column(ForeignKey("visitors.id"), index=True)
    consent_id: Mapped[int] = mapped_column(ForeignKey("consents.id"))
    answer: Mapped[str] = mapped_column(String(16))
    items: Mapped[list[str] | None]  # codes of reasons
    created_at: Mapped[datetime] = mapped_column(default=now)


class Review(Base):
    """The owner's judgement of a feedback event."""

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint(one_of("verdict", ("approved", "rejected")), name="review_is_a_verdict"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    # No foreign key: the judgement may outlive an erased event.
    event_id: Mapped[int] = mapped_column(BigInteger, index=True)
    verdict: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Export(Base):
    """One version of a dataset."""

    __tablename__ = "exports"
    __table_args__ = (
        UniqueConstraint("name", "version", name="one_export_per_version"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    version: Mapped[int]
    format: Mapped[str] = mapped_column(String(32))
    manifest_sha256: Mapped[str] = mapped_column(Hash)
    rows: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)


class ExportRow(Base):
    """Which event stands behind a row of an export; a row of two events has two of these."""

    __tablename__ = "export_rows"
    __table_args__ = (
        CheckConstraint(
            "(row_sha256 IS NULL) <> (quarantine_reason IS NULL)",
            name="a_row_is_exported_or_quarantined",
        ),
        Index("ix_export_rows_event_id", "event_id"),
    )

    export_id: Mapped[int] = mapped_column(ForeignKey("exports.id"), primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)  # from 0, in the order written
    # No foreign key: the ledger outlives erased events, to say which datasets held them.
    event_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    split: Mapped[str | None] = mapped_column(String(16))
    row_sha256: Mapped[str | None] = mapped_column(Hash)
    quarantine_reason: Mapped[str | None] = mapped_column(String(64))


class TrainingRun(Base):
    """One training on one export."""

    __tablename__ = "training_runs"
    __table_args__ = (
        CheckConstraint(
            one_of("state", ("running", "finished", "failed", "cancelled")),
            name="run_is_in_a_state",
        ),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    export_id: Mapped[int] = mapped_column(ForeignKey("exports.id"))
    base_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    method: Mapped[str] = mapped_column(String(32))
    config: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    metrics: Mapped[dict[str, Any] | None]
    version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))  # what it made
    started_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class Decision(Base):
    """Why a version went live, or did not."""

    __tablename__ = "decisions"
    __table_args__ = (
        CheckConstraint(
            one_of("outcome", ("promote", "keep", "roll_back")), name="decision_has_an_outcome"
        ),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    against_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    outcome: Mapped[str] = mapped_column(String(16))
    rule: Mapped[str] = mapped_column(Text)
    numbers: Mapped[dict[str, Any]]
    decided_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Lease(Base):
    """Who alone may do something, and until when."""

    __tablename__ = "leases"
    __table_args__ = (CheckConstraint("lifetime > 0", name="a_lease_lasts"),)

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str | None] = mapped_column(String(200))  # none: it was given back
    fence: Mapped[int] = mapped_column(BigInteger)  # counts the holders; the highest is in force
    lifetime: Mapped[float] = mapped_column(Float(53))  # seconds from each renewal
    expires_at: Mapped[datetime]


class ScheduledRun(Base):
    """One run of a job that the app starts by itself."""

    __tablename__ = "scheduled_runs"
    __table_args__ = (
        CheckConstraint(one_of("state", RUN_STATES), name="scheduled_run_is_in_a_state"),
        CheckConstraint(
            "(state = 'running') = (finished_at IS NULL)", name="what_runs_has_not_ended"
        ),
        Index("ix_scheduled_runs_job_id", "job", "id"),
        COUNTS_ON,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    job: Mapped[str] = mapped_column(String(64))
    holder: Mapped[str] = mapped_column(String(200))
    fence: Mapped[int] = mapped_column(BigInteger)  # of the lease that it ran under
    state: Mapped[str] = mapped_column(String(16), default="running")
    # The last event and the last vote there were when it began.
    last_event_id: Mapped[int] = mapped_column(BigInteger)
    last_vote_id: Mapped[int] = mapped_column(BigInteger)
    result: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
