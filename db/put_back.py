"""Put a backup in the place of the database, without losing the one that is there."""

import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import select

from db.backup import MEDIA, NoBackup, check, pictures_in, sync_file
from db.engine import Database, sqlite_module
from db.erasure import erase_visitor
from db.ids import uuid7
from db.media import MediaStore, sync
from db.migrate import migrate
from db.tables import Visitor, now

# SQLite keeps these beside a database that is in use, or was when its process died.
BESIDE = ("", "-wal", "-shm", "-journal")


class InUse(RuntimeError):
    """The app has the database open."""


@dataclass
class Restored:
    aside: list[Path] = field(default_factory=list)  # where the former database is now
    pictures: int = 0
    missing: int = 0  # pictures that the backup names and nobody has
    erased: list[int] = field(default_factory=list)  # visitors whose erasure was carried out again
    unknown: bool = False  # whether somebody was erased since: the former database says nothing


def put_back(backup: Path, database: Path, media: MediaStore) -> Restored:
    """Put a backup in the place of the database, which is moved aside and not removed.

    Who has erased herself since the backup was made is erased from it too, as far as the former
    database still tells. Raises NoBackup, InUse or NewerDatabase; then nothing has changed.
    """
    check(backup)
    database.parent.mkdir(parents=True, exist_ok=True)
    fresh = database.with_name(f".{uuid7()}.partial")
    try:
        shutil.copyfile(backup, fresh)
        sync_file(fresh)
        bring_up_to_date(fresh)
        erased = refuse_if_in_use(database) if database.exists() else set()
        restored = Restored(unknown=erased is None)
        restored.aside = move_aside(database)
        os.replace(fresh, database)
        sync(database.parent)
    finally:
        fresh.unlink(missing_ok=True)
    restored.pictures = put_pictures_back(backup.parent / MEDIA, media, pictures_in(database))
    restored.missing = sum(not media.path(one).is_file() for one in pictures_in(database))
    restored.erased = erase_again(database, media, erased or set())
    return restored


def bring_up_to_date(path: Path) -> None:
    """Raises NewerDatabase for a backup of a later version."""
    database = Database(f"sqlite:///{path}")
    try:
        migrate(database)
    finally:
        database.close()


def refuse_if_in_use(path: Path) -> set[int] | None:
    """The visitors who are erased in the database; None if it is too broken to tell.

    Folds its log into it, which only works when nobody else has it open. Raises InUse.
    """
    module = sqlite_module()
    connection = module.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        found = connection.execute("SELECT id FROM visitors WHERE erased_at IS NOT NULL").fetchall()
    except module.OperationalError as problem:
        if "locked" in str(problem):
            raise InUse(f"{path} is in use: stop the app first") from problem
        return None
    except module.DatabaseError:
        return None
    finally:
        connection.close()
    return {visitor_id for (visitor_id,) in found}


def move_aside(database: Path) -> list[Path]:
    stamp = f"{now():%Y%m%dT%H%M%S.%f}Z"
    moved = []
    for ending in BESIDE:
        path = database.with_name(database.name + ending)
        if path.exists():
            aside = database.with_name(f"{database.name}.before-{stamp}{ending}")
            path.rename(aside)
            moved.append(aside)
    return moved


def put_pictures_back(beside: Path, media: MediaStore, wanted: set[str]) -> int:
    """Copy the pictures that are not in the store; how many."""
    count = 0
    for sha256 in sorted(wanted):
        path = beside / sha256[:2] / sha256
        if path.is_file() and not media.path(sha256).is_file():
            if media.put(path.read_bytes()) != sha256:
                raise NoBackup(f"{path} is damaged: it is not what its name says")
            count += 1
    return count


def erase_again(path: Path, media: MediaStore, visitors: set[int]) -> list[int]:
    """Erase those visitors who are not erased in the database; their numbers."""
    database = Database(f"sqlite:///{path}")
    try:
        with database.read() as session:
            query = select(Visitor.id).where(Visitor.erased_at.is_(None)).order_by(Visitor.id)
            wanted = [one for one in session.scalars(query) if one in visitors]
        for visitor_id in wanted:
            hashes = database.write(partial(erase_visitor, visitor_id=visitor_id))
            database.write(partial(media.drop_unused, hashes=hashes))
    finally:
        database.close()
    return wanted
