"""Take over feedback from other tools: `python -m feedback.import_feedback --format feel FILE`.

It first only tries, and says what would come and what is refused, row by row; --apply imports.
What is imported may be looked at; it is trained on only where the owner states on what basis.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from config import Settings
from db.engine import Database
from db.migrate import migrate
from feedback.events_csv import Flavour
from feedback.identity import Signer, kept_secret
from feedback.importers import (
    argilla,
    fastchat,
    feel,
    genloop,
    gradio_chat,
    gradio_flags,
    label_studio,
    open_webui,
    plain_csv,
)
from feedback.importers.keep import File, attempt, comes_from_here, keep
from feedback.importers.shape import DOWN, REFUSALS, UP, BadFile, Found, Reading
from feedback.importers.sort import Origin, Tally

FormatName = Literal[
    "genloop",
    "gradio",
    "gradio-simple",
    "gradio-chat",
    "feel",
    "fastchat",
    "open-webui",
    "argilla",
    "label-studio",
    "csv",
]
Read = Callable[[Path, Reading], Iterator[Found]]
FORMATS: dict[FormatName, Read] = {
    "genloop": genloop.read,
    "gradio": gradio_flags.read,
    "gradio-simple": gradio_flags.read_simple,
    "gradio-chat": gradio_chat.read,
    "feel": feel.read,
    "fastchat": fastchat.read,
    "open-webui": open_webui.read,
    "argilla": argilla.read,
    "label-studio": label_studio.read,
    "csv": plain_csv.read,
}
MAPPED = (
    *plain_csv.OTHERS,
    *("thumb", "stars", "edit", "comment", "report", "rank", "choice"),
)
BASIS_LIMIT = 2_000  # characters
SHOWN = 20  # refusals


def tried(
    database: Database, origin: Origin, path: Path, reading: Reading
) -> tuple[Origin, File, Tally]:
    """What importing the file would bring; nothing is written. Raises BadFile."""
    read = FORMATS[origin.format]  # type: ignore[index]
    file = File(path.name, sha256_of(path))
    if origin.format == "genloop" and comes_from_here(database, read(path, reading)):
        origin = replace(origin, from_here=True)
    return origin, file, attempt(database, origin, read(path, reading))


def imported(
    database: Database,
    origin: Origin,
    file: File,
    path: Path,
    reading: Reading,
    tally: Tally,
    told: Callable[[int], None] = lambda row: None,
) -> int:
    """Import what was tried; the number of the import. Raises BadFile, also if the file changed."""
    if sha256_of(path) != file.sha256:
        raise BadFile(f"{path} is still being written: import a copy of it")
    read = FORMATS[origin.format]  # type: ignore[index]
    return keep(database, origin, file, read(path, reading), tally.trains, told)


def sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise BadFile(f"{path} cannot be read: {problem.strerror}") from problem


def report(tally: Tally, *, every: bool) -> Iterator[str]:
    """What came of reading a file, in lines for the owner."""
    events = ", ".join(f"{number} {kind}" for kind, number in sorted(tally.events.items()))
    yield f"{tally.rows} rows read: {tally.generations} outputs and {sum(tally.events.values())}"
    yield f"  events are new ({events or 'none'}), by {len(tally.raters)} raters."
    if tally.known or tally.repeated:
        yield f"  {tally.known} events are here already, {tally.repeated} come again in the file."
    if not tally.refused:
        return
    yield f"Refused: {tally.refused.total()}."
    for code, number in tally.refused.most_common():
        yield f"  {number} times {REFUSALS[code]}"
    shown = tally.refusals if every else tally.refusals[:SHOWN]
    for refused in shown:
        yield f"  row {refused.row}: {refused.sentence}"
    if len(shown) < tally.refused.total():
        yield f"  and {tally.refused.total() - len(shown)} more"


def columns_of(mapped: list[str]) -> dict[str, tuple[str, ...]]:
    """{"prompt": ("Question",)} of ["prompt=Question"]; several of one kind are kept in order."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in mapped:
        ours, equals, theirs = entry.partition("=")
        if not equals or not theirs or ours not in MAPPED:
            raise typer.BadParameter(
                f"--map {entry}: write OURS=THEIRS, where OURS is one of {', '.join(MAPPED)}"
            )
        found[ours] = (*found.get(ours, ()), theirs)
    return found


def signer(settings: Settings) -> Signer:
    secret = settings.secret.get_secret_value() or kept_secret(settings.data_dir / "secret")
    return Signer(secret)


def main(
    file: Annotated[Path, typer.Argument(help="The file to import.")],
    format: Annotated[FormatName, typer.Option(help="Which tool wrote it.")],
    apply: Annotated[bool, typer.Option("--apply", help="Import; else it is only tried.")] = False,
    source: Annotated[
        str,
        typer.Option(
            help="Your name for where it comes from, such as my-space; else the format's. The same "
            "row of the same source is imported once."
        ),
    ] = "",
    basis: Annotated[
        str,
        typer.Option(
            help="Why it may be trained on, in your words, such as: section 4 of the survey's "
            "terms of March 2025. It is kept. Without it the rows never leave for training."
        ),
    ] = "",
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of the basis.")] = "en",
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", help="Name of a column or question: --map output=Answer."),
    ] = None,
    up: Annotated[list[str] | None, typer.Option(help="A further word for a thumb up.")] = None,
    down: Annotated[list[str] | None, typer.Option(help="A further word for a thumb down.")] = None,
    timezone: Annotated[str, typer.Option(help="Of times that name none.")] = "UTC",
    encoding: Annotated[str, typer.Option(help="Of the file.")] = "utf-8",
    delimiter: Annotated[str, typer.Option(help="Between the cells of a plain CSV.")] = ",",
    flavour: Annotated[
        Flavour, typer.Option("--for", help="Of GenLoop's own CSV: which flavour it is.")
    ] = "lossless",
    every: Annotated[bool, typer.Option("--all", help="Show every refusal.")] = False,
) -> None:
    """Take over feedback that another tool, or another GenLoop, gathered.

    Exit codes: 0 done, 1 nothing was imported, 2 the options make no sense.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter(f"there is no time zone {timezone}") from None
    if len(basis) > BASIS_LIMIT or len(source) > 200 or len(delimiter) != 1:
        raise typer.BadParameter("--basis, --source or --delimiter is too long")
    reading = Reading(
        columns=columns_of(mapped or []),
        up=UP | {word.strip().lower() for word in up or []},
        down=DOWN | {word.strip().lower() for word in down or []},
        zone=zone,
        encoding=encoding,
        delimiter=delimiter,
        spreadsheet=flavour == "spreadsheet",
    )
    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    try:
        migrate(database)
        origin = Origin(source or format, format, basis.strip() or None, signer(settings))
        origin, record, tally = tried(database, origin, file, reading)
        for line in report(tally, every=every):
            print(line)
        if not apply:
            print("Nothing was written: --apply imports it.")
        elif not tally.events.total() and not tally.generations:
            print("There is nothing new to import.")
        else:
            record = replace(record, language=language)
            with typer.progressbar(length=tally.rows, label="Importing") as bar:
                number = imported(
                    database,
                    origin,
                    record,
                    file,
                    reading,
                    tally,
                    lambda row: bar.update(max(0, row - bar.pos)),
                )
            print(
                f"Imported as number {number}. "
                + (
                    "It may be trained on, on the basis you stated."
                    if origin.basis
                    else "It is not trained on: no basis was stated."
                )
            )
    except BadFile as problem:
        typer.echo(f"{problem}.", err=True)
        raise typer.Exit(1) from problem
    finally:
        database.close()


if __name__ == "__main__":
    typer.run(main)
