"""Databases with a copy elsewhere: copied step by step, without a thread, as a test says."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db.engine import Database
from db.media import MediaStore
from db.migrate import migrate
from db.replica import journal, rows, segments, state
from db.replica.folder_target import FolderTarget
from db.replica.keys import key_check
from db.replica.marks import Written, since_base
from db.replica.replay import replay
from db.replica.ship import Shipper
from db.replica.spool import Spool
from db.replica.targets import Target
from tests.factories import drawn, make_generation, make_pictures, make_visitor, rate

CANARY = "canary 金丝雀 of a visitor"
CHECK = key_check("a secret")


@dataclass
class Copied:
    """A database, its pictures, and what carries them to the target."""

    database: Database
    media: MediaStore
    shipper: Shipper

    def write(self, work: Any) -> Any:
        return self.database.write(work)

    def fill(self, name: str = "ann", text: str = "床前明月光", colour: str = "red") -> None:
        """A visitor with a poem, a picture, and something to say about both."""

        def work(session: Session) -> None:
            visitor = make_visitor(session, name)
            poem = make_generation(session, visitor, prompt=text, output=f"{text}!")
            [picture] = make_pictures(session, self.media, visitor, pictures=(drawn(colour),))
            rate(session, visitor, poem, "edit", f"{text} …")
            rate(session, visitor, picture, "thumb", 1)

        self.write(work)

    def copy(self) -> None:
        """What the thread does at each of its turns, without resting between two bases."""
        if not self.shipper.needs_base():
            self.shipper.ship_changes()
        if self.shipper.needs_base():
            self.shipper.ship_everything()
        if self.shipper.unclean:
            self.shipper.clean()
        self.shipper.base_took = 0.0

    def pending(self) -> journal.Pending:
        with self.database.read() as session:
            return journal.pending(session)

    def close(self) -> None:
        self.database.close()


def folder_target(folder: Path) -> FolderTarget:
    folder.mkdir(exist_ok=True)
    return FolderTarget(folder)


def open_copied(folder: Path, target: Target, url: str = "") -> Copied:
    """As at a start: rebuilt if it is empty, then attached to the target."""
    database, media = new_database(folder, url)
    with database.read() as session:
        empty = not rows_of(session)
    if empty:
        replay(database, media, target)
    if not journal.install(database):
        database.write(state.interrupt)
    spool = Spool(database, folder / "spool")
    shipper = Shipper(database, media, target, spool, key_check=CHECK, looks_every=0.1)
    shipper.attach()
    return Copied(database, media, shipper)


def new_database(folder: Path, url: str = "") -> tuple[Database, MediaStore]:
    folder.mkdir(exist_ok=True)
    path = folder / "app.db"
    if not url and not path.exists():
        path.write_bytes(migrated())
    database = Database(url or f"sqlite:///{path}")
    if url:
        migrate(database)
    return database, MediaStore(folder / "media")


@cache
def migrated() -> bytes:
    """The file of an empty database, for migrating takes its time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.db"
        database = Database(f"sqlite:///{path}")
        migrate(database)
        database.close()
        return path.read_bytes()


def contents(database: Database) -> dict[str, tuple[int, str]]:
    """Of each table that is copied: how many rows, and a hash over all of them."""
    with database.read() as session:
        return {
            table.name: rows.digest(table, rows.all_rows(session, table))
            for table in journal.TABLES
        }


def rows_of(session: Session) -> int:
    return sum(len(list(rows.all_rows(session, table))) for table in journal.TABLES)


def pictures_of(media: MediaStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in media.folder.rglob("*") if path.is_file()}


def all_bytes(target: FolderTarget) -> bytes:
    """Everything that lies at the target, segments unpacked, with what JSON escapes unescaped."""
    found = b""
    for path in sorted(target.folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.parent.name == segments.FOLDER:
                unpacked = b"\n".join(segments.unpacked(data))
                data += unpacked + unpacked.decode("unicode_escape").encode("utf-8", "replace")
            found += path.name.encode() + data
    return found


def newest(target: Target) -> Written:
    return since_base(target)[-1]


def wait_until(true: Callable[[], Any], seconds: float = 30) -> None:
    """Until it is so; how long that takes proves nothing."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it has not come about"
        time.sleep(0.01)
