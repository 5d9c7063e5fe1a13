"""A damaged copy: rebuild what is whole, and write that to the target as a new base."""

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

from db.engine import Database
from db.media import Media, MediaStore
from db.migrate import migrate
from db.replica import journal, marks
from db.replica.marks import Written
from db.replica.replay import Report, replay
from db.replica.ship import Shipper
from db.replica.spool import Spool
from db.replica.targets import Target


def repair(target: Target, *, write: bool, elsewhere: Media | None = None) -> Report | None:
    """What can be rebuilt and what cannot; None for a target of which nothing can be read.

    elsewhere: where the pictures are, if that is not this machine.
    write: make that the new base, after which the damaged files are removed. Whatever app still
    copies to the target is fenced off by that. Raises TargetDown, NewerReplica or Fenced.
    """
    with tempfile.TemporaryDirectory(prefix="genloop-repair-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'app.db'}")
        try:
            migrate(database)
            media = MediaStore(Path(folder) / "media")
            report = replay(database, media, target, skip_damaged=True)
            if report is not None and write:
                journal.install(database)
                write_base(database, elsewhere or media, target, report, Path(folder) / "spool")
            return report
        finally:
            database.close()


def write_base(
    database: Database, media: Media, target: Target, report: Report, spool: Path
) -> None:
    """Follow the last mark that is there, readable or not."""
    assert report.newest is not None
    known = report.newest.mark
    shipper = Shipper(
        database,
        media,
        target,
        Spool(database, spool),
        key_check=known.key_check,
        looks_every=known.looks_every,
    )
    tail = marks.numbers(target.names(marks.FOLDER))[-1]
    sha256 = hashlib.sha256(target.read(marks.name_of(tail))).hexdigest()
    shipper.go_on_behind(Written(replace(known, seq=tail), sha256))
    shipper.ship_everything()
    shipper.clean()
