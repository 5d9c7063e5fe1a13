"""Make a dataset out of feedback, or see beforehand what would be in it.

The rows of each config are read and tried one by one (`gather`), weighed against each other
(`weigh`), split (`divide`) and written (`write`). The folder appears whole or not at all, and its
manifest says how to make the same again.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.engine import Database
from db.ids import uuid7
from db.media import Media
from feedback.card import Examples, dataset_card
from feedback.crew import Alone, Crew
from feedback.dataset_folder import FilesBeside, NewFile, new_folder
from feedback.divide import divide
from feedback.formats.llama_factory import DATASET_INFO, description, name_of
from feedback.formats.pictures import Pictures
from feedback.former import Former, read_former
from feedback.gathered import Gathered
from feedback.history import find
from feedback.ledger import ASSIGNED, LISTED, MANIFEST, QUARANTINED, enter, next_version
from feedback.lengths import Lengths
from feedback.lint import lint
from feedback.manifest import (
    MANIFEST_VERSION,
    config_entry,
    describe,
    file_entries,
    media_entry,
    model_versions,
    terms,
    totals,
    written_with,
)
from feedback.plain_events import Events, write_events
from feedback.plain_events import tally as events_tally
from feedback.plan import Config, plan
from feedback.reading import Found, Reading, token_counts
from feedback.redact import Sample
from feedback.selection import language_of
from feedback.snapshot import last_moment, moment, snapshot
from feedback.spec import InvalidSpec, Moment, Spec, as_json, from_json
from feedback.splits import Split
from feedback.tally import consents, tally, versions
from feedback.trainable import count_events, count_votes
from feedback.watch import Report, Watch, never, nobody
from feedback.weigh import Outcome, kept_rows, over_cap, texts_of, used_by, weigh
from feedback.write import Place, write

NAME_LIMIT = 200  # characters, as in the table
WORK = "work"  # where rows are remembered until they are written
JOB = "job.json"  # what is being made, for whoever finds the folder of a process that was killed
FIRST_ROWS = 10  # that a preview shows
EXAMPLES = 2  # of each config in the card
LOOKED_AT = 300  # rows whose language is told for the card
TELLING = 16  # characters; the language of a shorter text is a guess


class NothingToExport(ValueError):
    """No feedback gives a row of what is asked for."""


@dataclass
class Made:
    """The rows of one config, and what became of each."""

    config: Config
    found: Gathered
    outcome: Outcome
    samples: list[Sample]  # of the personal data in them, for the owner's eye alone


@dataclass
class Plain:
    """The plain events of one config."""

    config: Config
    found: Events
    samples: list[Sample]


@dataclass
class Preview:
    """What a dataset would be like."""

    summary: dict[str, Any]  # as in the manifest: the sums, and `configs`
    rows: dict[str, list[dict[str, Any]]]  # the first ones, by config
    personal_data: list[Sample] = field(default_factory=list)  # for the owner's eye alone


def export(
    database: Database,
    spec: Spec,
    folder: Path,
    *,
    name: str = "",
    media: Media | None = None,
    report: Report = nobody,
    cancelled: Callable[[], bool] = never,
    version: int | None = None,
    crew: Crew | None = None,
) -> dict[str, Any]:
    """Write a dataset folder, enter it into the ledger, and return its manifest.

    name: of the dataset, whose versions are counted; else the folder's. media: where pictures are
    kept; formats that hold pictures need it. report: told how far it is. cancelled: asked now and
    then. version: of the export that is made again; it is not entered anew. crew: who reads the
    rows; else this process alone.

    Raises InvalidSpec, FolderInUse, NothingToExport, WorkerGone or Cancelled; then no folder is
    left, and what was there before is untouched.
    """
    configs, watch = plan(spec), Watch(report, cancelled)
    name = (name or folder.name)[:NAME_LIMIT]
    with (
        at_work(crew) as readers,
        moment_of(database, spec, readers) as (session, spec),
        new_folder(folder) as partial,
    ):
        remember_job(partial, name, spec)
        counts = token_counts(session, spec.lint, configs)
        spec = settled(spec, counts)
        manifest = {
            "manifest_version": MANIFEST_VERSION,
            "id": uuid7(),  # two exports of one second differ
            "name": name,
            "version": version or next_version(session, name),
            **describe(session, spec),
        }
        former = former_of(session, spec, configs)
        reading = Reading(session, spec, Pictures(media), counts)
        finish(Making(reading, configs, watch, readers, former), partial, manifest)
    if version is None:
        # The folder is there: whoever cancels now comes too late.
        entering = Watch(report)
        entering.begin("entering", total=manifest["selected"])
        enter(database, folder, entering)
    return manifest


@dataclass
class Making:
    """What an export is made from."""

    reading: Reading
    configs: list[Config]
    watch: Watch
    crew: Crew
    former: Former | None = None

    @property
    def session(self) -> Session:
        return self.reading.session

    @property
    def spec(self) -> Spec:
        return self.reading.spec

    @property
    def pictures(self) -> Pictures:
        return self.reading.pictures

    @property
    def moment(self) -> Moment:
        assert self.spec.as_of is not None
        return self.spec.as_of


@contextmanager
def at_work(crew: Crew | None) -> Iterator[Crew]:
    """The crew, which is let go at the end; else this process alone."""
    readers = crew or Alone()
    try:
        yield readers
    finally:
        readers.close()


def preview(
    database: Database,
    spec: Spec,
    *,
    media: Media | None = None,
    report: Report = nobody,
    cancelled: Callable[[], bool] = never,
    work: Path | None = None,
    crew: Crew | None = None,
) -> Preview:
    """Count what an export would write, and show its first rows; nothing is left on the disk.

    work: a folder for temporary files, of about the size of the dataset.
    """
    configs = plan(spec)
    with (
        at_work(crew) as readers,
        moment_of(database, spec, readers) as (session, spec),
        tempfile.TemporaryDirectory(dir=work) as folder,
    ):
        counts = token_counts(session, spec.lint, configs)
        spec = settled(spec, counts)
        former = former_of(session, spec, configs)
        reading = Reading(session, spec, Pictures(media), counts, to_write=False)
        making = Making(reading, configs, Watch(report, cancelled), readers, former)
        made, plain, splits = weighed(making, Path(folder))
        contents = [tally(one.config, one.found, one.outcome) for one in made]
        entries = [
            config_entry(one.config, content, {})
            for one, content in zip(made, contents, strict=True)
        ]
        first = {
            one.config.name: [
                columns for _, columns in islice(kept_rows(one.found, one.outcome), FIRST_ROWS)
            ]
            for one in made
        }
        samples = [sample for one in made for sample in one.samples]
        for events in plain:
            entries.append(config_entry(events.config, events_tally(events.found.counts), {}))
            first[events.config.name] = events.found.counts.first
            samples += events.samples
        return Preview(
            {**describe(session, spec), **totals(entries), "splits": splits, "configs": entries},
            first,
            samples,
        )


@contextmanager
def moment_of(database: Database, spec: Spec, crew: Crew) -> Iterator[tuple[Session, Spec]]:
    """A session that sees one moment, and the spec as of that moment."""
    last = None
    if spec.as_of is None and not database.is_sqlite:
        last = last_moment(database)
    with snapshot(database) as session:
        crew.begin(database, session)
        yield session, spec if spec.as_of is not None else spec.at(last or moment(session))


def remember_job(partial: Path, name: str, spec: Spec) -> None:
    job = NewFile(partial / JOB)
    job.write(orjson.dumps({"name": name, "spec": as_json(spec)}))
    job.close()


def settled(spec: Spec, counts: Lengths | None) -> Spec:
    """The spec with what `auto` came to mean, so that it means the same when made again."""
    tokenizer = "" if counts is None else str(counts.folder)
    limit = None if counts is None else counts.max_tokens
    return replace(spec, lint=replace(spec.lint, tokenizer=tokenizer, max_tokens=limit))


def former_of(session: Session, spec: Spec, configs: list[Config]) -> Former | None:
    """The version that the spec goes on from.

    Raises InvalidSpec where it cannot be gone on from, NoVersion, NoExport or DamagedExport.
    """
    if not spec.base:
        return None
    base = find(session, spec.base)
    if base.folder is None:
        raise InvalidSpec(f"it is not known where {spec.base} lies: enter its folder anew")
    former = read_former(Path(base.folder))
    known = {config["name"]: config for config in former.manifest["configs"]}
    for config in configs:
        entry = known.get(config.name, {})
        if (entry.get("format"), entry.get("shape"), entry.get("files")) != (
            config.recipe.format,
            config.recipe.shape,
            config.files,
        ):
            raise InvalidSpec(f"{spec.base} has no config {config.name} of this format and file")
    return former


def weighed(
    making: Making,
    work: Path,
    *,
    remember: Callable[[str, Split], object] = lambda _key, _split: None,
) -> tuple[list[Made], list[Plain], dict[str, Any]]:
    """The rows of every config that is for trainers, weighed and split; plain events; and how the
    former were split.
    """
    spec, selection, watch = making.spec, making.spec.selection, making.watch
    everything: list[tuple[Config, Found, list[Sample]]] = []
    for config in making.configs:
        watch.begin("reading", config.name, making.reading.count(config))
        found, samples = making.crew.gather(making.reading, config, work / config.name, watch)
        everything.append((config, found, samples))
    making.crew.close()  # what follows needs their memory
    used, former = np.empty(0, np.int64), making.former
    made: list[Made] = []
    plain: list[Plain] = []
    for config, found, samples in everything:
        if isinstance(found, Events):
            plain.append(Plain(config, found, samples))
            continue
        assert config.format is not None
        watch.begin("comparing", config.name, len(found))
        outcome = weigh(
            config,
            found,
            selection,
            used,
            reuse=spec.reuse == "allow",
            folder=work,
            former=None if former is None else all_ids(former, config.name),
        )
        if config.format.uses_events:
            used = np.union1d(used, used_by(found, outcome))
        made.append(Made(config, found, outcome, samples))
    watch.begin("comparing")
    rows = [(one.found, one.outcome) for one in made]
    pins = former.assignments() if former is not None else ()
    splits = divide(rows, spec.splits, work, pins=pins, remember=remember) if made else {}
    for found, outcome in rows:
        over_cap(found, outcome, selection.cap_rows, selection.cap_share)
    return made, plain, splits


def all_ids(former: Former, name: str) -> NDArray[np.uint64]:
    return np.concatenate([np.empty(0, np.uint64), *former.ids(name).values()])


def finish(making: Making, partial: Path, manifest: dict[str, Any]) -> None:
    """Write everything into the folder, the manifest last."""
    spec, watch, work = making.spec, making.watch, partial / WORK
    work.mkdir()
    held, listed, assigned, card = (
        NewFile(partial / each) for each in (QUARANTINED, LISTED, ASSIGNED, "README.md")
    )
    beside = FilesBeside(partial, listed)
    place = Place(partial, beside, held, spec.shard_mb << 20, manifest["version"])
    made, plain, splits = weighed(
        making, work, remember=lambda *side: assigned.write(assignment(*side))
    )
    everything: list[Made | Plain] = [*made, *plain]
    by_name = {each.config.name: each for each in everything}
    entries, files = [], []
    rows_of_versions, agreed = Counter[int](), set[int]()
    for config in making.configs:
        one = by_name[config.name]
        watch.begin("writing", config.name, len(one.found))
        if isinstance(one, Plain):
            counts = one.found.counts
            written, content = write_events(config, one.found, place, watch), events_tally(counts)
            by_version, under = dict(counts.versions), sorted(counts.consents)
        else:
            content = tally(config, one.found, one.outcome)
            written = write(
                config, one.found, one.outcome, place, making.pictures, watch, making.former
            )
            kept = one.outcome.kept
            by_version = versions(one.found, kept)
            under = consents(one.found, kept).tolist()
        rows_of_versions.update(by_version)
        agreed.update(under)
        entries.append(config_entry(config, content, written.paths(partial)))
        files += written.files
    examples, languages = looked_at(made)
    shutil.rmtree(work)
    if making.former is not None:
        manifest["goes_on_from"] = {
            "export": making.former.label,
            "manifest_sha256": making.former.sha256,
        }
    manifest |= {
        **totals(entries),
        "splits": splits,
        "configs": entries,
        "model_versions": model_versions(making.session, rows_of_versions),
        "terms": terms(making.session, agreed),
        "written_with": written_with(making.configs),
        **media_entry(place.beside),
    }
    if not manifest["rows"]:
        raise NothingToExport(nothing(making, manifest))
    card.write(dataset_card(manifest, making.configs, examples, languages).encode())
    for file in (held, listed, assigned, card):
        file.close()
    place.beside.close()
    files += [held, listed, card, *described(entries, partial)]
    watch.begin("checking", total=manifest["rows"])
    manifest["checked"] = lint(partial, spec, making.configs, entries)
    (partial / JOB).unlink()
    manifest["files"] = file_entries(files, partial)
    # Hashes of prompts and visitors stay with the owner: whoever carries a dataset elsewhere takes
    # along what `files` names.
    manifest["for_the_owner"] = file_entries([assigned], partial)
    last = NewFile(partial / MANIFEST)  # its existence means that all the rest is there
    last.write(json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n")
    last.close()


def described(entries: list[dict[str, Any]], partial: Path) -> list[NewFile]:
    """What LLaMA-Factory has to be told of the files that are in its spelling."""
    info = {
        name_of(entry["name"], split): description(entry["shape"], entry["columns"], files)
        for entry in entries
        if entry["shape"] in ("alpaca", "sharegpt")
        for split, files in entry["splits"].items()
    }
    if not info:
        return []
    file = NewFile(partial / DATASET_INFO)
    file.write(json.dumps(info, indent=2).encode() + b"\n")
    file.close()
    return [file]


def looked_at(made: list[Made]) -> tuple[Examples, Counter[str]]:
    """Some rows of each config for the card, and the languages of many of them."""
    examples, languages = {}, Counter[str]()
    for one in made:
        step = max(len(one.found) // LOOKED_AT, 1)
        rows = [columns for _, columns in kept_rows(one.found, one.outcome, step)]
        examples[one.config.name] = rows[:EXAMPLES]
        texts = (" ".join(texts_of(columns, one.config.words)) for columns in rows)
        languages.update(language_of(text) for text in texts if len(text) >= TELLING)
    return examples, languages


def assignment(key: str, split: Split) -> bytes:
    return b'{"key":"%b","split":"%b"}\n' % (key.encode(), split.encode())


def nothing(making: Making, manifest: dict[str, Any]) -> str:
    every, allowed = count_events(making.session, making.moment.events)
    votes, votes_allowed = count_votes(making.session, making.moment.votes)
    said = f", of {votes} votes {votes_allowed}" if votes else ""
    by_reason = manifest["quarantined_by_reason"].items()
    held = "".join(f"; {number} held back: {why}" for why, number in by_reason)
    formats = ", ".join(config.name for config in making.configs)
    return (
        f"there is nothing to export as {formats}: of {every} feedback events {allowed} may be "
        f"used for training{said}, and none of them gives a row{held}"
    )


def job_in(partial: Path) -> tuple[str, Spec]:
    """The name and the spec of what a process was making when it was killed."""
    job = json.loads((partial / JOB).read_bytes())
    return job["name"], from_json(job["spec"])
