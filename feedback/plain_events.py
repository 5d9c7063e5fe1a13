"""The events themselves as a dataset: one row an event with its generation, nothing decided."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import ModelVersion
from feedback.events_csv import encoded, event_rows
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
TEXTS = ("text", "prompt", "messages", "output")


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
    first: list[dict[str, Any]] = field(default_factory=list)


def write_events(
    config: Config,
    session: Session,
    selection: Selection,
    moment: Moment,
    *,
    place: Place | None,
    redactor: Redactor,
    watch: Watch,
) -> tuple[Written, Counts]:
    """Write the events that may be trained on and are wanted; without a place only count them."""
    counts, output = Counts(), None
    if place is not None:
        output = Shards(
            place.folder / config.folder,
            stem(config),
            config.files,
            opener(config),
            place.shard_bytes,
        )
    permissions = Permissions(session, moment.consents)
    versions = allowed_versions(session, selection)
    rows = event_rows(
        session,
        permissions=permissions,
        since=selection.since,
        until=selection.until,
        before=moment.events + 1,
    )
    for row in rows:
        watch.step()
        if not is_wanted(row, selection, versions):
            counts.left_out += 1
            continue
        personal = redactor.values(row, TEXTS)
        if personal and config.redact == "drop_row":
            counts.quarantined["personal_data"] += 1
            if place is not None:
                place.quarantine.write(held(config, row))
            continue
        remember(counts, row, personal)
        if output is not None:
            output.add(as_line(row if config.files == "jsonl" else flat(row)))
    files = output.close() if output is not None else []
    return Written({"train": files} if files else {}), counts


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


def remember(counts: Counts, row: dict[str, Any], personal: int) -> None:
    counts.rows += 1
    if len(counts.first) < FIRST_ROWS:
        counts.first.append(row)
    counts.kinds[row["kind"]] += 1
    counts.versions[row["model_version_id"]] += 1
    counts.consents.add(row["consent_id"])
    if personal:
        counts.personal.update(kind for place, kind in enumerate(KINDS) if personal >> place & 1)


def as_line(row: dict[str, Any]) -> bytes:
    """JSON; half of a surrogate pair, which UTF-8 cannot hold, becomes its escape."""
    try:
        return orjson.dumps(row)
    except orjson.JSONEncodeError:
        return encoded(json.dumps(row, ensure_ascii=False))


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
