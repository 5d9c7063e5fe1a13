"""Bring the pictures to where they are to be: `python -m db.move_pictures --from data/media`.

GENLOOP_MEDIA_DIR names the new place, --from the old one; either may be a folder or a URL. Stop the
app first, or what visitors erase meanwhile is brought along. The old place is left as it is.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated

import typer

from config import Settings
from db.engine import Database, UnsafeDatabase
from db.media import Media
from db.media_elsewhere import open_media
from db.replica import pictures
from db.replica.targets import TargetDown, UnusableTarget


class DamagedPicture(RuntimeError):
    """A picture at the old place is not what its name says."""


@dataclass
class Brought:
    there: int  # before
    brought: int = 0
    nowhere: list[str] = field(default_factory=list)


def bring(database: Database, old: Media, new: Media) -> Brought:
    """Put into the new place what the database names and is not there; may be done again.

    Raises DamagedPicture or TargetDown; what was brought until then is whole.
    """
    with database.read() as session:
        named = pictures.used(session)
    missing = sorted(new.lacks(named))
    done = Brought(len(named) - len(missing))
    for sha256 in missing:
        try:
            data = old.read(sha256)
        except FileNotFoundError:
            done.nowhere.append(sha256)
            continue
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedPicture(f"{old.name}: {sha256} is damaged: it is not what its name says")
        new.put(data)
        done.brought += 1
    return done


def main(
    old: Annotated[str, typer.Option("--from", help="Folder or URL where the pictures are now.")],
) -> None:
    """Bring the pictures that the database names to the place that GENLOOP_MEDIA_DIR names.

    Exit codes: 0 all are there, 1 some are not.
    """
    settings = Settings()
    try:
        new = open_media(settings.media)
        database = Database(settings.database)
        try:
            done = bring(database, open_media(old), new)
        finally:
            database.close()
    except (DamagedPicture, UnsafeDatabase, TargetDown, UnusableTarget) as problem:
        typer.echo(f"{problem}.", err=True)
        raise typer.Exit(1) from problem
    print(f"{done.brought} pictures were brought to {new.name}; {done.there} were there before.")
    for sha256 in done.nowhere:
        print(f"- {sha256} is nowhere")
    if done.nowhere:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
