"""Remove the pictures that no row names: `python -m db.sweep_pictures --remove`.

A process that is killed between keeping a picture and its row leaves one behind, which nobody can
see and nobody can erase. The app may run meanwhile.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import typer

from config import Settings
from db.engine import Database, UnsafeDatabase
from db.media import Media, MediaStore
from db.media_elsewhere import open_media
from db.replica import pictures
from db.replica.targets import TargetDown, UnusableTarget
from db.writer import Busy

AT_ONCE = 100  # pictures that are removed in one transaction
TORN = 3_600  # seconds after which a file that is not whole will not become so any more


class Doubtful(RuntimeError):
    """Most pictures would go: more likely this is not the database that they belong to."""


@dataclass
class Found:
    """What there is."""

    named: int  # pictures that rows name
    stray: list[str] = field(default_factory=list)  # those that none names
    torn: int = 0  # files that were never finished


def look(database: Database, media: Media) -> Found:
    """Raises TargetDown."""
    # In this order: a picture is kept before its row is.
    there = media.every()
    with database.read() as session:
        named = pictures.used(session)
    torn = len(media.torn(time.time() - TORN)) if isinstance(media, MediaStore) else 0
    return Found(len(there & named), sorted(there - named), torn)


def sweep(database: Database, media: Media, found: Found, *, even_most: bool = False) -> None:
    """Remove what was found to be stray, unless a row names it by now.

    Raises Doubtful, before anything is gone, or TargetDown.
    """
    if len(found.stray) > found.named and not even_most:
        raise Doubtful(
            f"{len(found.stray)} of {found.named + len(found.stray)} pictures at {media.name} are "
            "named by no row of this database: is it the one they belong to? If so, say "
            "--even-most"
        )
    for start in range(0, len(found.stray), AT_ONCE):
        some = set(found.stray[start : start + AT_ONCE])
        database.write(partial(media.drop_unused, hashes=some))
    if isinstance(media, MediaStore):
        for path in media.torn(time.time() - TORN):
            path.unlink(missing_ok=True)


def main(
    remove: Annotated[bool, typer.Option("--remove", help="Remove them; else only say.")] = False,
    even_most: Annotated[
        bool, typer.Option("--even-most", help="Also where most pictures would go.")
    ] = False,
) -> None:
    """Say which pictures at GENLOOP_MEDIA_DIR no row of the database names, and remove them."""
    settings = Settings()
    try:
        media = open_media(settings.media)
        database = Database(settings.database)
        try:
            found = look(database, media)
            if remove:
                sweep(database, media, found, even_most=even_most)
        finally:
            database.close()
    except (Busy, Doubtful, UnsafeDatabase, TargetDown, UnusableTarget) as problem:
        typer.echo(f"{problem}.", err=True)
        raise typer.Exit(1) from problem
    done = "are gone" if remove else "can be removed with --remove"
    print(f"{found.named} pictures at {media.name} are named by rows.")
    print(f"{len(found.stray)} that none names and {found.torn} unfinished files {done}.")


if __name__ == "__main__":
    typer.run(main)
