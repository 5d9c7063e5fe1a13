"""The events themselves as a dataset: one row an event with its generation, nothing decided.

Like the rows for trainers they are first gathered, of which parts can be read apart, and then
written.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from db.json_text import parsed
from db.tables import FeedbackEvent, Generation, ModelVersion
from feedback.blocks import blocks
from feedback.events_csv import encoded, in_utc, moment_as_text, stands
from feedback.gathered import Payload
from feedback.near_duplicates import normalised
from feedback.plan import Config
from feedback.redact import Redactor
from feedback.redaction import KINDS
from feedback.row_files import Shards, opener
from feedback.selection import language_of, prompt_text
from feedback.spec import Moment, Selection
from feedback.trainable import Permissions
from feedback.watch import Watch
from feedback.write import Place, Written

FIRST_ROWS = 10  # that are remembered, to be shown
BLOCK = 64  # rows that are handled together, where that is quicker
PAGE = 1_000  # rows fetched at a time
TEXTS = ("text", "prompt", "messages", "output")

Row = dict[str, Any]
KIND, VERSION, CONSENT = map(itemgetter, ("kind", "model_version_id", "consent_id"))


class Ids(NamedTuple):
    """Events after an id and before another, both excluded."""

    after: int
    before: int


@dataclass
class Counts:
    """What was met so far."""

    rows: int = 0
    left_out: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    consents: set[int] = field(default_factory=set)
    personal: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    first: list[Row] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As JSON can hold it, whose keys are texts."""
        return {
            "rows": self.rows,
            "left_out": self.left_out,
            "kinds": dict(self.kinds),
            "versions": list(self.versions.items()),
            "consents": sorted(self.consents),
            "personal": dict(self.personal),
            "quarantined": dict(self.quarantined),
            "first": self.first,
        }

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        return cls(
            told["rows"],
            told["left_out"],
            Counter(told["kinds"]),
            Counter(dict(told["versions"])),
            set(told["consents"]),
            Counter(told["personal"]),
            Counter(told["quarantined"]),
            told["first"],
        )

    def add(self, other: "Counts") -> None:
        self.rows += other.rows
        self.left_out += other.left_out
        self.kinds += other.kinds
        self.versions += other.versions
        self.consents |= other.consents
        self.personal += other.personal
        self.quarantined += other.quarantined
        self.first = [*self.first, *other.first][:FIRST_ROWS]


class Events:
    """Plain events as they will be written, in their order, in a folder.

    told: what was told of those that are there. keep: or else they are only counted.
    """

    def __init__(
        self, folder: Path, told: dict[str, Any] | None = None, *, keep: bool = True
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.keep = folder, keep
        self.lines = Payload(folder / "lines")
        self.held = Payload(folder / "held")
        self.counts = Counts() if told is None else Counts.of(told)

    def __len__(self) -> int:
        return self.counts.rows

    def told(self) -> dict[str, Any]:
        """What there is to know of it besides its files."""
        return self.counts.told()

    def flush(self) -> None:
        """See that all of it is in the folder."""
        self.lines.flush()
        self.held.flush()

    def take(self, other: "Events") -> None:
        """Append the events of another."""
        self.lines.take(other.lines)
        self.held.take(other.held)
        self.counts.add(other.counts)

    def remove(self) -> None:
        """Leave nothing of it on the disk."""
        shutil.rmtree(self.folder)


def gather_events(
    config: Config,
    session: Session,
    selection: Selection,
    moment: Moment,
    part: Ids | None,
    found: Events,
    redactor: Redactor,
    watch: Watch,
) -> None:
    """Add the events of a part that may be trained on and are wanted; without a part all."""
    counts, versions = found.counts, allowed_versions(session, selection)
    permissions = Permissions(session, moment.consents)
    for block in blocks(rows_of(session, selection, moment, permissions, part), BLOCK):
        watch.step(len(block))
        rows = [row for row in block if is_wanted(row, selection, versions)]
        counts.left_out += len(block) - len(rows)
        personal = redactor.values_of_all(rows, TEXTS)
        if config.redact == "drop_row" and any(personal):
            for row, kinds in zip(rows, personal, strict=True):
                if kinds:
                    counts.quarantined["personal_data"] += 1
                    if found.keep:
                        found.held.add(held(config, row))
            rows = [row for row, kinds in zip(rows, personal, strict=True) if not kinds]
            personal = [0] * len(rows)
        remember(counts, rows, personal)
        if found.keep:
            plain = rows if config.files == "jsonl" else map(flat, rows)
            found.lines.add(b"".join(map(as_line, plain)))


def rows_of(
    session: Session,
    selection: Selection,
    moment: Moment,
    permissions: Permissions,
    part: Ids | None,
) -> Iterator[Row]:
    """Rows of events_csv.COLUMNS of what may be trained on.

    What is the same for many is not asked for with each: models, and that consent was given.
    """
    event, made = FeedbackEvent, Generation
    query = (
        select(
            event.id,
            event.key,
            moment_as_text(event.created_at),
            event.kind,
            event.score,
            event.text,
            cast(event.items, Text).label("said_items"),
            event.retracted,
            stands(moment.events + 1),
            event.visitor_id.label("speaker"),
            event.consent_id.label("said_under"),
            event.generation_id,
            made.request_id,
            made.draft,
            made.task,
            made.model_version_id,
            cast(made.inputs, Text).label("asked"),
            made.output_text,
            cast(made.options, Text).label("set"),
            made.status,
            made.finish_reason,
            moment_as_text(made.queued_at),
            moment_as_text(made.started_at),
            moment_as_text(made.first_token_at),
            moment_as_text(made.finished_at),
            made.visitor_id.label("maker"),
            made.consent_id.label("made_under"),
        )
        .join(made, made.id == event.generation_id)
        .where(event.id <= moment.events)
        .order_by(event.id)
    )
    if part is not None:
        query = query.where(event.id > part.after, event.id < part.before)
    if selection.since is not None:
        query = query.where(event.created_at >= selection.since)
    if selection.until is not None:
        query = query.where(event.created_at < selection.until)
    models = {
        row[0]: row[1:]
        for row in session.execute(
            select(
                ModelVersion.id,
                ModelVersion.name,
                ModelVersion.revision,
                ModelVersion.weights_sha256,
            )
        )
    }
    may_train = permissions.may_train
    asked = session.connection().execute(query, execution_options={"yield_per": PAGE})
    for (
        event_id,
        key,
        created_at,
        kind,
        score,
        text,
        items,
        retracted,
        standing,
        visitor,
        consent,
        generation_id,
        request_id,
        draft,
        task,
        version_id,
        inputs,
        output,
        options,
        status,
        finish_reason,
        queued_at,
        started_at,
        first_token_at,
        finished_at,
        maker,
        made_under,
    ) in asked:
        if not (may_train(visitor, consent) and may_train(maker, made_under)):
            continue
        prompt = parsed(inputs)
        model, revision, sha256 = models[version_id]
        yield {
            "event_id": event_id,
            "event_key": key,
            "created_at": in_utc(created_at),
            "kind": kind,
            "score": score,
            "text": text,
            "items": None if items is None else parsed(items),
            "retracted": retracted,
            "standing": bool(standing),
            "visitor": visitor,
            "consent_id": consent,
            "consent_train": True,
            "generation_id": generation_id,
            "request_id": request_id,
            "draft": draft,
            "task": task,
            "model_version_id": version_id,
            "model": model,
            "model_revision": revision,
            "model_sha256": sha256,
            "prompt": prompt.get("prompt"),
            "messages": prompt.get("messages"),
            "output": output,
            "options": parsed(options),
            "status": status,
            "finish_reason": finish_reason,
            "queued_at": in_utc(queued_at),
            "started_at": in_utc(started_at),
            "first_token_at": in_utc(first_token_at),
            "finished_at": in_utc(finished_at),
        }


def ids_of(session: Session, moment: Moment, number: int) -> list[Ids]:
    """So many parts, in their order; ids that were given one after the other make them even."""
    first = session.scalar(select(func.min(FeedbackEvent.id))) or 1
    each = max(moment.events + 1 - first, 0)
    marks = [first + each * place // number for place in range(number)] + [moment.events + 1]
    return [Ids(start - 1, end) for start, end in zip(marks, marks[1:], strict=False)]


def write_events(config: Config, found: Events, place: Place, watch: Watch) -> Written:
    """Write what was gathered into the files of the config."""
    output = Shards(
        place.folder / config.folder, stem(config), config.files, opener(config), place.shard_bytes
    )
    for lines in found.lines.whole_lines():
        watch.step(output.add_lines(lines))
    for lines in found.held.whole_lines():
        place.quarantine.write(lines)
    files = output.close()
    return Written({"train": files} if files else {})


def stem(config: Config) -> str:
    """The name of the file says when it is not the plain truth."""
    return "feedback-for-spreadsheets" if config.recipe.flavour == "spreadsheet" else "feedback"


def allowed_versions(session: Session, selection: Selection) -> set[int] | None:
    """The model versions that are wanted; None for all."""
    if not selection.verified:
        return set(selection.versions) or None
    verified = set(session.scalars(select(ModelVersion.id).where(ModelVersion.verified)))
    return verified & set(selection.versions) if selection.versions else verified


def is_wanted(row: dict[str, Any], selection: Selection, versions: set[int] | None) -> bool:
    """By the wishes that plain events know; when they were said is asked of the database."""
    if versions is not None and row["model_version_id"] not in versions:
        return False
    if selection.tasks and row["task"] not in selection.tasks:
        return False
    if row["visitor"] in selection.exclude_visitors:
        return False
    if selection.sources and row["kind"] not in selection.sources:
        return False
    if selection.languages and language_of(prompt_text(row)) not in selection.languages:
        return False
    if selection.topics or selection.without_topics:
        asked = normalised(prompt_text(row))
        if any(normalised(topic) in asked for topic in selection.without_topics):
            return False
        topics = selection.topics
        return not topics or any(normalised(topic) in asked for topic in topics)
    return True


def remember(counts: Counts, rows: list[Row], personal: Iterable[int]) -> None:
    counts.rows += len(rows)
    counts.first += rows[: FIRST_ROWS - len(counts.first)]
    counts.kinds.update(map(KIND, rows))
    counts.versions.update(map(VERSION, rows))
    counts.consents.update(map(CONSENT, rows))
    for kinds in filter(None, personal):
        counts.personal.update(kind for place, kind in enumerate(KINDS) if kinds >> place & 1)


def as_line(row: Row) -> bytes:
    """JSON; half of a surrogate pair, which UTF-8 cannot hold, becomes its escape."""
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return encoded(json.dumps(row, ensure_ascii=False)) + b"\n"


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """The row for a table, in which lists and objects are JSON."""
    return {name: cell_value(value) for name, value in row.items()}


def cell_value(value: object) -> object:
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return encoded(value).decode() if isinstance(value, str) else value


def held(config: Config, row: dict[str, Any]) -> bytes:
    entry = {
        "config": config.name,
        "reason": "personal_data",
        "source": row["kind"],
        "generation_ids": [row["generation_id"]],
        "event_ids": [row["event_id"]],
        "vote_ids": [],
    }
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def tally(counts: Counts) -> dict[str, Any]:
    """What the manifest says about the rows."""
    return {
        "selected": counts.rows + counts.quarantined.total(),
        "left_out": counts.left_out,
        "rows": counts.rows,
        "rows_by_source": dict(sorted(counts.kinds.items())),
        "quarantined": counts.quarantined.total(),
        "quarantined_by_reason": dict(sorted(counts.quarantined.items())),
        "personal_data": {kind: count for kind, count in counts.personal.items() if count},
        "warnings": [],
    }
