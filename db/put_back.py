"""Put a backup in the place of the database, without losing the one that is there."""

import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy.orm import Session

from db.backup import MEDIA, NoBackup, check, pictures_in, sync_file
from db.engine import Database
from db.former import Carried, Former, carry_over, read_former
from db.ids import uuid7
from db.media import Media, sync
from db.migrate import migrate
from db.replica import serials
from db.tables import now

# SQLite keeps these beside a database that is in use, or was when its process died.
BESIDE = ("", "-wal", "-shm", "-journal")


@dataclass
class Restored:
    carried: Carried  # what was taken back since, and is taken back in the backup too
    known: bool  # whether the former database told
    aside: list[Path] = field(default_factory=list)  # where the former database is now
    pictures: int = 0
    missing: int = 0  # pictures that the backup names and nobody has


def put_back(backup: Path, database: Path, media: Media) -> Restored:
    """Put a backup in the place of the database, which is moved aside and not removed.

    What visitors and the owner have taken back since is taken back in it before it has its name, as
    far as the former database still tells. Raises NoBackup, InUse, NewerDatabase or TargetDown;
    then nothing has changed.
    """
    check(backup)
    media.check()
    database.parent.mkdir(parents=True, exist_ok=True)
    fresh = database.with_name(f".{uuid7()}.partial")
    try:
        shutil.copyfile(backup, fresh)
        former = read_former(database) if database.exists() else Former()
        restored = Restored(bring_up_to_date(fresh, former), former.known)
        sync_file(fresh)
        restored.aside = move_aside(database)
        os.replace(fresh, database)
        sync(database.parent)
    finally:
        for ending in BESIDE:
            fresh.with_name(fresh.name + ending).unlink(missing_ok=True)
    missing = media.lacks(pictures_in(database))
    restored.pictures = put_pictures_back(backup.parent / MEDIA, media, missing)
    restored.missing = len(missing) - restored.pictures
    return restored


def bring_up_to_date(path: Path, former: Former) -> Carried:
    """Raises NewerDatabase for a backup of a later version."""
    database = Database(f"sqlite:///{path}")
    try:
        migrate(database)
        database.write(partial(give_no_number_again, former=former))
        return carry_over(former, database)
    finally:
        database.close()


def give_no_number_again(session: Session, former: Former) -> None:
    """Receipts and exports may name numbers that were given since the backup."""
    numbers = serials.read(session)
    highest = {name: max(last, former.numbers.get(name, 0)) for name, last in numbers.items()}
    serials.write(session, former.numbers | highest, jump=0 if former.numbers else serials.JUMP)


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


def put_pictures_back(beside: Path, media: Media, missing: set[str]) -> int:
    """Copy what is missing in the store and lies beside the backup; how many."""
    count = 0
    for sha256 in sorted(missing):
        path = beside / sha256[:2] / sha256
        if path.is_file():
            if media.put(path.read_bytes()) != sha256:
                raise NoBackup(f"{path} is damaged: it is not what its name says")
            count += 1
    return count
