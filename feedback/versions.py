"""Look after the versions of datasets: `python -m feedback.versions list`.

    list                        what was exported, and from what it went on
    diff poems@2 poems@3        rows added, removed, withdrawn, moved; balance
    withdrawn                   exports, runs and models with what was withdrawn since
    clean poems@2               a successor without it
    rebuild poems@2 --out DIR   the same again from its manifest, byte for byte
    verify DIR                  whether the files are those of the manifest

Exit codes: 0 done, or nothing found; 1 it could not be done, or something was found; 2 the options
make no sense.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from config import Settings
from db.engine import Database
from db.media_elsewhere import open_media
from db.tables import Export
from feedback.export import PROBLEMS, failed, progress, told
from feedback.former import read_former
from feedback.history import difference, find, label, withdrawn
from feedback.ledger import next_version
from feedback.ready import ready_database
from feedback.remake import clean as make_clean
from feedback.remake import rebuild as make_again
from feedback.spec import InvalidSpec

app = typer.Typer(add_completion=False, help=(__doc__ or "").partition("\n")[0])

Label = Annotated[str, typer.Argument(help="NAME@VERSION, or NAME for the last one.")]
Out = Annotated[Path | None, typer.Option(help="The folder to make.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


@contextmanager
def opened() -> Iterator[tuple[Database, Settings]]:
    """The database and the settings; problems end the command with a sentence."""
    settings = Settings()
    try:
        with ready_database(settings.database) as database:
            yield database, settings
    except (*PROBLEMS, InvalidSpec) as problem:
        raise failed(problem) from problem


@app.command("list")
def list_versions() -> None:
    """Every export there has been, oldest first."""
    with opened() as (database, _), database.read() as session:
        for export in session.scalars(select(Export).order_by(Export.id)):
            manifest = export.manifest or {}
            base = manifest.get("goes_on_from", {}).get("export")
            after = f", goes on from {base}" if base else ""
            print(
                f"{label(export)}: {export.rows} rows of {export.format}, "
                f"{export.created_at:%Y-%m-%d %H:%M} UTC{after}, in {export.folder or '?'}"
            )


@app.command("diff")
def diff(older: Label, newer: Label) -> None:
    """What has changed from one version to another."""
    with opened() as (database, _), database.read() as session:
        found = difference(session, find(session, older), find(session, newer))
    print(f"{found.older} to {found.newer}: {found.same} rows are the same.")
    print(f"{found.added} added, {found.removed} removed, {found.withdrawn} of these withdrawn.")
    for move, rows in found.moved.items():
        print(f"{rows} moved from {move}.")
    for config, balance in found.balance.items():
        for what, (was, now) in balance.items():
            print(f"{config}, {what}: {was} to {now}.")


@app.command("withdrawn")
def list_withdrawn() -> None:
    """Which exports, runs and models hold what was withdrawn since; exit code 1 if any."""
    with opened() as (database, _), database.read() as session:
        found = withdrawn(session)
    for one in found:
        print(
            f"{one.export}: {one.rows} of {one.of} rows, {one.events} events withdrawn; "
            f"python -m feedback.versions clean {one.export}"
        )
        for run in one.runs:
            print(f"  training run {run}")
        for model in one.models:
            print(f"  model {model}")
    if found:
        raise typer.Exit(1)


@app.command("clean")
def clean(name: Label, out: Out = None, quiet: Quiet = False) -> None:
    """Make a successor without what was withdrawn since; the old one stays as it is."""
    with opened() as (database, settings), progress(quiet) as report:
        with database.read() as session:
            base = find(session, name).name
            number = next_version(session, base)
        folder = out or settings.data_dir / "exports" / f"{base}@{number}"
        media = open_media(settings.media)
        manifest = make_clean(database, name, folder, media=media, report=report)
    told(manifest, "Wrote")
    print(f"It is {manifest['name']}@{manifest['version']} in {folder}.")


@app.command("rebuild")
def rebuild(
    name: Label,
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    quiet: Quiet = False,
) -> None:
    """Make an export again from its manifest; exit code 1 if its bytes are not the same."""
    with opened() as (database, settings), progress(quiet) as report:
        media = open_media(settings.media)
        found = make_again(database, name, out, media=media, report=report)
    if not found.different:
        print(f"{found.export} is the same again, byte for byte, in {out}.")
        return
    print(f"{found.export} is not the same again: {', '.join(found.different)}.")
    if found.missing_rows:
        print(f"{found.missing_rows} rows are missing: what was withdrawn does not come back.")
    raise typer.Exit(1)


@app.command("verify")
def verify(folder: Annotated[Path, typer.Argument(help="The folder of an export.")]) -> None:
    """Compare every file of an export with its manifest."""
    try:
        found = read_former(folder)
    except PROBLEMS as problem:
        raise failed(problem) from problem
    print(f"{found.label} is whole, and as its manifest describes it.")


if __name__ == "__main__":
    app()
