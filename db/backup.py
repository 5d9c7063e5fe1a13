"""Back a SQLite database up while it is in use: `python -m db.backup --to backups --keep 7`.

A backup is one file of its own, checked before it has its name, with the pictures in a folder
beside it. Copying app.db by hand gives a file that lacks what stands in its log.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import make_url

from config import Settings
from db.engine import sqlite_module
from db.ids import uuid7
from db.media import Media, sync
from db.media_elsewhere import open_media
from db.replica.targets import TargetDown, UnusableTarget
from db.tables import now

NAME = re.compile(r"genloop-\d{8}T\d{6}\.\d{6}Z\.db")
MEDIA = "media"


class NoBackup(RuntimeError):
    """No backup was made, or none can be used; the message says why."""


@dataclass(frozen=True)
class Backup:
    path: Path
    bytes: int
    rows: int  # feedback events
    pictures: int  # in the folder beside it
    removed: list[Path]  # older backups


def back_up(database: Path, media: Media | None, folder: Path, keep: int) -> Backup:
    """Write a new backup into the folder, and remove all but the newest `keep`.

    media: where the pictures are, or None to leave them out. Raises NoBackup or TargetDown; then
    nothing is removed, and nothing half is left.
    """
    if not database.is_file():
        raise NoBackup(f"there is no database at {database}")
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{uuid7()}.partial"
    try:
        vacuum_into(database, fresh)
        check(fresh)
        rows = events_in(fresh)
        used = pictures_in(fresh)
        if media is not None:
            keep_pictures(media, folder / MEDIA, used)
        fresh.chmod(0o600)  # it holds all that visitors said
        sync_file(fresh)
        path = folder / f"genloop-{now():%Y%m%dT%H%M%S.%f}Z.db"
        fresh.rename(path)
        sync(folder)
    finally:
        fresh.unlink(missing_ok=True)
    removed = remove_old(folder, keep)
    drop_pictures(folder)
    return Backup(path, path.stat().st_size, rows, len(used), removed)


def vacuum_into(database: Path, fresh: Path) -> None:
    """Write what the database holds at this moment into a new file, without holding up writers."""
    module = sqlite_module()
    connection = module.connect(database, timeout=30, isolation_level=None)
    try:
        connection.execute("VACUUM INTO ?", (str(fresh),))
    except module.DatabaseError as problem:
        raise NoBackup(f"{database} cannot be backed up: {problem}") from problem
    finally:
        connection.close()


def check(path: Path) -> None:
    """Raise NoBackup unless the file is a whole database whose references hold."""
    module = sqlite_module()
    try:
        found = ask(path, "PRAGMA integrity_check")
        broken = ask(path, "PRAGMA foreign_key_check")
    except module.DatabaseError as problem:
        raise NoBackup(f"{path} is no whole database: {problem}") from problem
    if found != [("ok",)]:
        raise NoBackup(f"{path} is damaged: {found[0][0]}")
    if broken:
        raise NoBackup(f"{path} is damaged: {len(broken)} rows name others that are not there")


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    """The answer of a database file that nobody changes."""
    connection = sqlite_module().connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        answer: list[tuple[Any, ...]] = connection.execute(question).fetchall()
    finally:
        connection.close()
    return answer


def events_in(path: Path) -> int:
    [(count,)] = ask(path, "SELECT count(*) FROM feedback_events")
    return int(count)


def pictures_in(path: Path) -> set[str]:
    """The hashes of the pictures that a backup names."""
    query = "SELECT DISTINCT media_sha256 FROM generations WHERE media_sha256 IS NOT NULL"
    return {sha256 for (sha256,) in ask(path, query)}


def keep_pictures(media: Media, beside: Path, wanted: set[str]) -> None:
    """Copy the pictures that are not there yet; one that is gone already is left out."""
    for sha256 in sorted(wanted):
        place = beside / sha256[:2] / sha256
        if place.exists():
            continue
        try:
            data = media.read(sha256)
        except FileNotFoundError:
            continue
        if hashlib.sha256(data).hexdigest() != sha256:
            raise NoBackup(f"{media.name}: {sha256} is damaged: it is not what its name says")
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{uuid7()}.partial")
        fresh.write_bytes(data)
        sync_file(fresh)
        fresh.replace(place)
        sync(place.parent)


def remove_old(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest backups; those that were."""
    old = backups(folder)[:-keep]
    for path in old:
        path.unlink()
    return old


def drop_pictures(folder: Path) -> None:
    """Remove the pictures that no backup names any more."""
    used = set().union(*map(pictures_in, backups(folder)))
    for path in (folder / MEDIA).rglob("*"):
        if path.is_file() and path.name not in used:
            path.unlink()


def backups(folder: Path) -> list[Path]:
    """All backups in a folder, the oldest first."""
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sqlite_path(url: str) -> Path:
    """The file of a SQLite database; raises NoBackup for another kind."""
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite":
        raise NoBackup("this is for SQLite; PostgreSQL has pg_dump and pg_basebackup")
    return Path(parts.database or "")


def main(
    to: Annotated[Path, typer.Option(help="The folder of the backups.")] = Path("backups"),
    keep: Annotated[int, typer.Option(min=1, help="How many to keep, the new one included.")] = 7,
    pictures: Annotated[
        bool | None,
        typer.Option(help="Keep the pictures too; by itself unless GENLOOP_MEDIA_DIR is a URL."),
    ] = None,
) -> None:
    """Back the database of the settings up, also while the app runs.

    Exit codes: 0 done, 1 no backup was made.
    """
    settings = Settings()
    try:
        media = open_media(settings.media)
        kept = media if pictures or (pictures is None and not media.elsewhere) else None
        made = back_up(sqlite_path(settings.database), kept, to, keep)
    except (NoBackup, TargetDown, UnusableTarget) as problem:
        typer.echo(f"{problem}.", err=True)
        raise typer.Exit(1) from problem
    print(f"{made.path}: {made.bytes} bytes, {made.rows} feedback events, whole.")
    if kept is not None:
        print(f"{to / MEDIA}: {made.pictures} pictures.")
    elif media.elsewhere:
        print(f"Pictures stay at {media.name}, and are not in the backup; --pictures keeps them.")
    for path in made.removed:
        print(f"Removed {path}.")


if __name__ == "__main__":
    typer.run(main)
