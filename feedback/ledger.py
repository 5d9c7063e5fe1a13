"""The ledger of exports: which events stand behind which row of which dataset.

It is read off the finished folder, so it can be entered again when a process died before it
was complete: whoever erases a visitor asks it which datasets held their words.

Events and votes are numbered apart: a vote stands in the ledger as its number below zero.
"""

import csv
import hashlib
import io
import json
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Table, delete, func, select
from sqlalchemy.orm import Session

from db.bulk import insert_many
from db.engine import Database
from db.json_text import parsed
from db.tables import Export, ExportRow
from feedback.blocks import blocks
from feedback.watch import Watch

MANIFEST = "manifest.json"
QUARANTINED = "quarantine.jsonl"
LISTED = "files.jsonl"  # what lies in subfolders
ASSIGNED = "assignments.jsonl"  # the side of every key, for exports that go on from this one

# Rows in one transaction: visitors' own writes wait for it.
BATCH = 500
# Seconds between two of them. Another process that wants to write to a SQLite file looks for the
# lock now and then; without a pause it seldom comes when nobody has it.
PAUSE = 0.001

EVENT_FIRST = b'{"event_id":'
NAMES = ("genloop_event_ids", "genloop_vote_ids", "genloop_row_sha256")

# What an entry says, in this order, behind the number of its export.
COLUMNS = ("row", "event_id", "config", "split", "row_sha256", "quarantine_reason")
Entry = tuple[int, int, str, str | None, str | None, str | None]
Behind = tuple[list[int], str]  # the events behind a row, and its SHA-256


class NoExport(ValueError):
    """The folder holds no finished export."""


class VersionTaken(ValueError):
    """Another export has entered the ledger under the same name and version."""


def next_version(session: Session, name: str) -> int:
    """The version that an export of that name will be."""
    last = session.scalar(select(func.max(Export.version)).where(Export.name == name))
    return (last or 0) + 1


def enter(database: Database, folder: Path, watch: Watch | None = None) -> int:
    """Enter the export in the folder, or complete its entry; the export's id.

    Raises NoExport or VersionTaken.
    """
    watch = watch or Watch()
    content, manifest = read_manifest(folder)
    sha256 = hashlib.sha256(content).hexdigest()
    place = str(folder.resolve())
    export_id = database.write(lambda session: enter_export(session, manifest, sha256, place))
    for batch in blocks(ledger_rows(folder, manifest), BATCH):
        database.write(partial(enter_rows, export_id=export_id, entries=batch))
        watch.step(len(batch))
        if database.is_sqlite:
            time.sleep(PAUSE)
    return export_id


def read_manifest(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The manifest as it stands in the file, and what it says; raises NoExport."""
    try:
        content = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NoExport(f"{folder} holds no finished export: there is no {MANIFEST}") from None
    return content, json.loads(content)


def enter_export(session: Session, manifest: dict[str, Any], sha256: str, folder: str) -> int:
    """The id of the export, of which no row is entered yet."""
    known = session.scalar(select(Export).where(Export.manifest_sha256 == sha256))
    if known is not None:
        known.folder = folder
        session.execute(delete(ExportRow).where(ExportRow.export_id == known.id))
        return known.id
    name, version = manifest["name"], manifest["version"]
    taken = select(Export.id).where(Export.name == name, Export.version == version)
    if session.scalar(taken) is not None:
        raise VersionTaken(f"there is another {name}@{version} already")
    formats = [config["format"] for config in manifest["configs"]]
    export = Export(
        name=name,
        version=version,
        format=formats[0] if len(formats) == 1 else "several",
        manifest_sha256=sha256,
        rows=manifest["rows"],
        folder=folder,
        manifest=manifest,
    )
    session.add(export)
    session.flush()
    return export.id


def enter_rows(session: Session, *, export_id: int, entries: list[Entry]) -> None:
    table = ExportRow.__table__
    assert isinstance(table, Table)
    rows = [(export_id, *entry) for entry in entries]
    insert_many(session.connection(), table, ("export_id", *COLUMNS), rows)


def ledger_rows(folder: Path, manifest: dict[str, Any]) -> Iterator[Entry]:
    """One entry for each event of each row; quarantined rows are counted on behind the others."""
    number = 0
    for config, split, path in data_files(manifest):
        for events, sha256 in data_rows(folder / path, config):
            for event in events:
                yield number, event, config["name"], split, sha256, None
            number += 1
    for name, events, reason in held_rows(folder / QUARANTINED):
        for event in events:
            yield number, event, name, None, None, reason
        number += 1


def data_files(manifest: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """The files with rows, in the order in which these are numbered: config, split and path."""
    for config in manifest["configs"]:
        for split, files in config["splits"].items():
            for file in files:
                yield config, split, file["path"]


def data_rows(path: Path, config: dict[str, Any]) -> Iterator[Behind]:
    """The events behind each row of a file, and what the row is known by.

    That is the SHA-256 in the row; of a plain event it is that of its line or cells.
    """
    if config["shape"] == "openai":  # whose rows say nothing of themselves
        path = origin_path(path)
    plain = config["format"] == "events"
    return READERS[path.suffix](path, plain)


def origin_path(path: Path) -> Path:
    """Where it stands what the rows of a file are from, if not in them."""
    return path.with_name(f"{path.stem}.origin.jsonl")


def held_rows(path: Path) -> Iterator[tuple[str, list[int], str]]:
    """The config, the events behind each row that was held back, and the reason."""
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                row = orjson.loads(line)
                yield row["config"], numbers(row["event_ids"], row["vote_ids"]), row["reason"]


def jsonl_rows(path: Path, plain: bool) -> Iterator[Behind]:
    with path.open("rb") as file:
        for line in file:
            if plain:
                yield [event_of(line)], hashlib.sha256(line).hexdigest()
            else:
                yield named(orjson.loads(line))


def event_of(line: bytes) -> int:
    """The event of a plain row, which begins with it."""
    if line.startswith(EVENT_FIRST):
        return int(line[len(EVENT_FIRST) : line.index(b",")])
    event: int = parsed(line.decode())["event_id"]
    return event


def parquet_rows(path: Path, plain: bool) -> Iterator[Behind]:
    """Of a plain event the JSON of its cells counts."""
    from pyarrow.parquet import ParquetFile  # takes its time, and no other export needs it

    with ParquetFile(path, pre_buffer=False) as file:  # which would keep all that was read
        columns = None if plain else list(NAMES)
        for batch in file.iter_batches(batch_size=512, use_threads=False, columns=columns):
            for row in batch.to_pylist():
                if plain:
                    yield [row["event_id"]], hashlib.sha256(orjson.dumps(row)).hexdigest()
                else:
                    yield named(row)


def csv_rows(path: Path, plain: bool) -> Iterator[Behind]:
    csv.field_size_limit(1 << 30)  # a prompt with its messages is longer than the usual limit
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        head = next(rows)
        for row in rows:
            if plain:
                buffer = io.StringIO(newline="")
                csv.writer(buffer).writerow(row)
                yield [int(row[0])], hashlib.sha256(buffer.getvalue().encode()).hexdigest()
            else:
                yield named(dict(zip(head, row, strict=True)))


def named(row: dict[str, Any]) -> Behind:
    """The events and votes that a row for a trainer names."""
    events, votes, sha256 = (row[name] for name in NAMES)
    return numbers(events.split(), votes.split()), sha256


def numbers(events: Iterable[str | int], votes: Iterable[str | int]) -> list[int]:
    return [*map(int, events), *(-int(vote) for vote in votes)]


READERS = {".jsonl": jsonl_rows, ".parquet": parquet_rows, ".csv": csv_rows}
