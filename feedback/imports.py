"""What was imported, and the way to take it out again: `python -m feedback.imports list`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from config import Settings
from db.engine import Database
from db.migrate import migrate
from feedback.browse import Row, imports
from feedback.erase import empty_log
from feedback.import_feedback import signer
from feedback.importers.sort import Origin
from feedback.importers.undo import (
    NoImport,
    NotImported,
    erase_rater,
    imported_key,
    take_back,
)

app = typer.Typer(help="What was imported, and the way to take it out again.")


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    try:
        migrate(database)
        yield database
    finally:
        database.close()


@app.command("list")
def show() -> None:
    """The imports, the newest first."""
    with opened(Settings()) as database, database.read() as session:
        for one in imports(session):
            print(
                f"{one['id']}  {one['created_at']:%Y-%m-%d %H:%M}  {one['format']}  "
                f"{one['source']}  {one['file_name']}  {one['generations']} outputs, "
                f"{one['events']} events  {standing(one)}"
            )


def standing(one: Row) -> str:
    if one["taken_back_at"] is not None:
        return "taken back"
    basis = f"basis: {one['basis']}" if one["basis"] else "no basis, not trained on"
    return basis if one["finished_at"] is not None else f"{basis}, unfinished"


@app.command("take-back")
def undo(number: Annotated[int, typer.Argument(help="Of the import.")]) -> None:
    """Delete what an import brought. Exit codes: 0 done, 1 there is no such import."""
    with opened(Settings()) as database:
        try:
            database.write(lambda session: take_back(session, number))
        except NoImport:
            typer.echo(f"There is no import {number} that could be taken back.", err=True)
            raise typer.Exit(1) from None
        empty_log(database)
    print(f"Import {number} was taken back. Exports that were made of it stay as they are.")


@app.command("erase")
def erase_one(
    visitor: Annotated[
        int | None, typer.Option(help="Number of an imported visitor, as the owner's page has it.")
    ] = None,
    rater: Annotated[str, typer.Option(help="What the source calls them; needs --source.")] = "",
    source: Annotated[str, typer.Option(help="As it was named at the import.")] = "",
) -> None:
    """Erase one rater: what was imported of them goes, and no later import brings it back.

    Exit codes: 0 done, 1 nobody was erased, 2 the options make no sense.
    """
    if (visitor is None) == (not rater) or bool(rater) != bool(source):
        raise typer.BadParameter("give --visitor, or --rater and --source")
    settings = Settings()
    with opened(settings) as database:
        try:
            if visitor is not None:
                with database.read() as session:
                    key = imported_key(session, visitor)
            else:
                key = Origin(source, "", None, signer(settings)).rater(rater)
            database.write(lambda session: erase_rater(session, key))
        except NotImported:
            typer.echo(f"Visitor {visitor} is not one whose words were imported.", err=True)
            raise typer.Exit(1) from None
        empty_log(database)
    print("Erased, and kept out of later imports.")


if __name__ == "__main__":
    app()
