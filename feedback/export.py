"""Turn feedback into datasets: `python -m feedback.export --format dpo --out data/exports/dpo`.

Only what visitors explicitly allowed for training leaves: by the consent given with every event
and generation, and by their last answer. Nothing can switch that off.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import orjson
import typer
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from config import ROOT, Settings
from db.engine import Database
from db.ids import uuid7
from db.media import MediaStore
from feedback.dataset_folder import FilesBeside, FolderInUse, NewFile, new_folder
from feedback.events_csv import COLUMNS as EVENT_COLUMNS
from feedback.events_csv import Flavour, csv_chunks, encoded, event_rows
from feedback.formats import captions, dpo, image_preferences, kohya, kto, sft, vae_pairs
from feedback.formats.candidate import Candidate, HeldBack, Row
from feedback.formats.pictures import Pictures
from feedback.formats.shapes import Shape
from feedback.formats.vae_samples import Samples
from feedback.ledger import LISTED, MANIFEST, QUARANTINED, NoExport, enter
from feedback.manifest import (
    SHAPED,
    FormatName,
    Medium,
    Recipe,
    Tally,
    dataset_card,
    describe,
    is_parquet,
    schema_revision,
)
from feedback.row_files import JsonLines, ParquetTable, RowFile
from feedback.trainable import allowed_terms, count_events, count_votes


class Format(Protocol):
    """What a module in feedback/formats offers."""

    @property
    def SCHEMA(self) -> dict[str, str]:
        """What its trainer reads: column to type, in the spelling of Arrow."""

    @property
    def DATA(self) -> str:
        """The file that holds the rows."""

    def candidates(self, session: Session) -> Iterator[Candidate]: ...

    def check(self, candidate: Candidate) -> str | None: ...

    def row(self, candidate: Candidate, recipe: Recipe, pictures: Pictures) -> Row:
        """The columns of the schema, and files; raises HeldBack."""


FORMATS: dict[str, Format] = {
    "sft": sft,
    "dpo": dpo,
    "kto": kto,
    "captions": captions,
    "image-preferences": image_preferences,
    "kohya": kohya,
    "vae-samples": Samples("pictures"),
    "vae-pairs": vae_pairs,
}
# Where a row is from, under names that nobody else uses. Lists are words in one string, since
# trainers hand columns that they do not know to code that may not expect lists.
ORIGIN = {
    "genloop_source": "string",
    "genloop_generation_ids": "string",
    "genloop_event_ids": "string",
    "genloop_vote_ids": "string",
}

NAME_LIMIT = 200  # characters, as in the table

Write = Callable[[bytes], object]


class NothingToExport(ValueError):
    """No feedback gives a row of this format."""


def export(
    database: Database,
    folder: Path,
    recipe: Recipe,
    name: str = "",
    *,
    media: MediaStore | None = None,
) -> dict[str, Any]:
    """Write a dataset folder, enter it into the ledger, and return its manifest.

    media: where pictures are kept; formats that hold pictures need it.
    Raises FolderInUse, or NothingToExport; either way no folder is left.
    """
    name = (name or folder.name)[:NAME_LIMIT]
    with snapshot(database) as session, new_folder(folder) as partial:
        data, held, listed, card = (
            NewFile(partial / each)
            for each in (data_file(recipe), QUARANTINED, LISTED, "README.md")
        )
        beside = FilesBeside(partial, listed)
        if recipe.trains:
            tally = write_training_rows(session, recipe, Output(recipe, data, beside, held), media)
        else:
            tally = write_events(session, recipe, data.write)
        if not tally.rows:
            raise NothingToExport(nothing(session, recipe, tally))
        card.write(dataset_card(recipe, data_file(recipe), name, tally).encode())
        for file in (data, held, listed, card):
            file.close()
        beside.close()
        manifest = {
            "id": uuid7(),  # two exports of one second differ
            "name": name,
            **summary(session, recipe, tally),
            **({"media": {"files": beside.files, "bytes": beside.bytes}} if beside.files else {}),
            "files": {
                file.path.name: {"bytes": file.bytes, "sha256": file.hash.hexdigest()}
                for file in (data, held, listed, card)
                if file.bytes
            },
        }
        last = NewFile(partial / MANIFEST)  # its existence means that all the rest is there
        last.write(json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n")
        last.close()
    enter(database, folder)
    return manifest


def count(database: Database, recipe: Recipe, *, media: MediaStore | None = None) -> dict[str, Any]:
    """What the manifest would say, without writing anything."""
    with snapshot(database) as session:
        if recipe.trains:
            tally = write_training_rows(session, recipe, Output(recipe), media)
        else:
            tally = write_events(session, recipe, discard)
        return summary(session, recipe, tally)


def discard(_data: bytes) -> None:
    pass


def format_of(recipe: Recipe) -> Format:
    return Samples(recipe.medium) if recipe.format == "vae-samples" else FORMATS[recipe.format]


def data_file(recipe: Recipe) -> str:
    """The name of the file that holds the rows."""
    return format_of(recipe).DATA if recipe.trains else recipe.events_file


def summary(session: Session, recipe: Recipe, tally: Tally) -> dict[str, Any]:
    """What its trainer reads are the columns; of events it is all of them."""
    columns = tuple(format_of(recipe).SCHEMA) if recipe.trains else EVENT_COLUMNS
    return describe(session, recipe, tally, data_file(recipe), columns)


@contextmanager
def snapshot(database: Database) -> Iterator[Session]:
    """A session whose questions are all answered as of one moment, however long they take."""
    with database.read() as session:
        if not database.is_sqlite:  # which always reads a snapshot, and has no time limits
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            session.execute(text("SET LOCAL statement_timeout = 0"))
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield session


class Output:
    """Where training rows go, with the files beside them and what is held back.

    Without files everything is only tried, for a dry run.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: NewFile | None = None,
        beside: FilesBeside | None = None,
        held: NewFile | None = None,
    ) -> None:
        form = format_of(recipe)
        self.rows: RowFile = JsonLines(data)
        if is_parquet(form.DATA):
            self.rows = ParquetTable(form.SCHEMA | ORIGIN, data)
        self.beside = beside
        self.held = held

    def keep(self, row: Row, origin: dict[str, str]) -> None:
        """Write a row with its files, or raise HeldBack and write neither."""
        self.rows.add(row.columns | origin)
        if self.beside is not None:
            for name, content in row.files.items():
                self.beside.add(name, content)

    def hold(self, candidate: Candidate, reason: str) -> None:
        if self.held is not None:
            self.held.write(quarantined_row(candidate, reason))


def write_training_rows(
    session: Session, recipe: Recipe, output: Output, media: MediaStore | None
) -> Tally:
    """Write the rows in their order, and those that are held back apart; keep count."""
    form, pictures, tally = format_of(recipe), Pictures(media), Tally()
    for candidate in form.candidates(session):
        try:
            reason = form.check(candidate)
            if reason is not None:
                raise HeldBack(reason)
            output.keep(form.row(candidate, recipe, pictures), origin(candidate))
        except HeldBack as problem:
            [reason] = problem.args
            tally.quarantined[reason] += 1
            output.hold(candidate, reason)
            continue
        tally.rows += 1
        tally.sources[candidate.source] += 1
        if candidate.label is not None:
            tally.labels[str(candidate.label).lower()] += 1
        tally.versions.update({judged.version.id for judged in candidate.made})
        tally.terms.update(judged.terms for judged in candidate.made)
        tally.terms.update(event.terms for event in candidate.events)
    output.rows.close()
    return tally


def origin(candidate: Candidate) -> dict[str, str]:
    events, votes = ids(candidate)
    return {
        "genloop_source": candidate.source,
        "genloop_generation_ids": " ".join(judged.id for judged in candidate.made),
        "genloop_event_ids": " ".join(map(str, events)),
        "genloop_vote_ids": " ".join(map(str, votes)),
    }


def ids(candidate: Candidate) -> tuple[list[int], list[int]]:
    """The events and the votes that a row rests on."""
    said = candidate.events
    return (
        [event.id for event in said if event.kind != "vote"],
        [event.id for event in said if event.kind == "vote"],
    )


def quarantined_row(candidate: Candidate, reason: str) -> bytes:
    """Why, and where to look; no texts, since these may be the reason."""
    events, votes = ids(candidate)
    row = {
        "reason": reason,
        "source": candidate.source,
        "generation_ids": [judged.id for judged in candidate.made],
        "event_ids": events,
        "vote_ids": votes,
    }
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def write_events(session: Session, recipe: Recipe, write: Write) -> Tally:
    tally = Tally(terms=allowed_terms(session))
    rows = counted(event_rows(session, training_only=True), tally)
    if recipe.format == "csv":
        chunks = csv_chunks(rows, recipe.flavour, recipe.bom)
    else:
        chunks = (encoded(json.dumps(row, ensure_ascii=False) + "\n") for row in rows)
    for chunk in chunks:
        write(chunk)
    return tally


def counted(rows: Iterator[dict[str, Any]], tally: Tally) -> Iterator[dict[str, Any]]:
    for row in rows:
        tally.rows += 1
        tally.sources[row["kind"]] += 1
        tally.versions[row["model_version_id"]] += 1
        yield row


def nothing(session: Session, recipe: Recipe, tally: Tally) -> str:
    every, allowed = count_events(session)
    votes, votes_allowed = count_votes(session)
    said = f", of {votes} votes {votes_allowed}" if votes else ""
    held = "".join(f"; {number} held back: {why}" for why, number in tally.quarantined.items())
    return (
        f"there is nothing to export as {recipe.format}: of {every} feedback events {allowed} may "
        f"be used for training{said}, and none of them gives a row{held}"
    )


class NotReady(RuntimeError):
    """The database is missing, or not at this version's schema."""


@contextmanager
def ready_database(url: str) -> Iterator[Database]:
    """The database at the URL, when it is there and up to date; raises NotReady."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_file():
        raise NotReady(f"there is no database at {parts.database}")
    database = Database(url)
    try:
        with database.read() as session:
            at, wanted = schema_revision(session), newest_revision()
        if at != wanted:
            raise NotReady(
                f"the database is at schema {at}, this version of GenLoop needs {wanted}: run "
                "python -m db.migrate, or the version of GenLoop that made the database"
            )
        yield database
    finally:
        database.close()


def newest_revision() -> str | None:
    """The migration that this version of GenLoop was written for."""
    return ScriptDirectory(str(ROOT / "db" / "migrations")).get_current_head()


def main(
    format: Annotated[FormatName | None, typer.Option(help="What the rows are for.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to make.")] = None,
    shape: Annotated[
        Shape, typer.Option(help="Of sft, dpo and kto: plain text, or turns of a chat.")
    ] = "standard",
    medium: Annotated[
        Medium, typer.Option(help="Of vae-samples: which of the samples.")
    ] = "pictures",
    name: Annotated[str, typer.Option(help="Name in the ledger; else the folder's.")] = "",
    flavour: Annotated[
        Flavour,
        typer.Option("--for", help="Of csv: exact cells, or none that a spreadsheet calculates."),
    ] = "lossless",
    bom: Annotated[bool, typer.Option("--bom", help="Of csv: tell Excel it is UTF-8.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and write nothing.")] = False,
    register: Annotated[
        Path | None,
        typer.Option(help="Enter the finished export of this folder into the ledger, and no more."),
    ] = None,
) -> None:
    """Make a dataset of the feedback that may be used for training.

    Exit codes: 0 done, 1 nothing was written, 2 the options make no sense.
    """
    if register is None and (format is None or (out is None and not dry_run)):
        raise typer.BadParameter("give --format and --out")
    recipe = Recipe(format or "jsonl", shape, medium, flavour, bom)
    if recipe.format != "csv" and (bom or flavour == "spreadsheet"):
        raise typer.BadParameter("--for and --bom are for --format csv")
    if recipe.format not in SHAPED and shape == "conversational":
        raise typer.BadParameter("--shape is for sft, dpo and kto")
    if recipe.format != "vae-samples" and medium != "pictures":
        raise typer.BadParameter("--medium is for vae-samples")
    settings = Settings()
    media = MediaStore(settings.media)
    try:
        with ready_database(settings.database) as database:
            if register is not None:
                print(f"Entered as export {enter(database, register)}.")
            elif dry_run or out is None:
                report(count(database, recipe, media=media), "Would write")
            else:
                report(export(database, out, recipe, name, media=media), "Wrote")
    except (NotReady, NoExport, FolderInUse, NothingToExport) as problem:
        typer.echo(f"{problem}.", err=True)
        raise typer.Exit(1) from problem


def report(manifest: dict[str, Any], verb: str) -> None:
    """Tell the owner what is in the dataset, and what to mind."""
    print(f"{verb} {manifest['rows']} rows: {listed(manifest['rows_by_source'])}.")
    if manifest["quarantined"]:
        held = listed(manifest["quarantined_by_reason"])
        print(f"Held back {manifest['quarantined']}: {held}.")
    for warning in manifest["warnings"]:
        typer.echo(f"Warning: {warning}.", err=True)


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())


if __name__ == "__main__":
    typer.run(main)
