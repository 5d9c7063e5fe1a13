"""At the start: an empty database is rebuilt from its copy before anybody is served."""

import logging
import time
from pathlib import Path

from db.engine import Database
from db.media import Media
from db.replica import handover, journal, marks, state
from db.replica.folder_target import FolderTarget
from db.replica.keys import key_check
from db.replica.marks import NewerReplica, Written
from db.replica.replay import ADVICE, NotEmpty, ReplicaDamaged, Report, is_empty, replay
from db.replica.replicator import Replicator
from db.replica.rows import OtherSchema
from db.replica.segments import Damaged
from db.replica.ship import Fenced, Foreign, Shipper
from db.replica.spool import Spool
from db.replica.targets import Target, TargetDown, UnusableTarget, open_target

log = logging.getLogger(__name__)

TRIES = 5  # to reach a target from which an empty database may have to be rebuilt
PAUSE = 2.0  # seconds before the second of them; each next pause is twice as long


class CannotRebuild(RuntimeError):
    """It is not known whether there is something to rebuild, so nobody may be served."""


# Reasons not to start, each with advice in its message.
NO_START = (
    UnusableTarget,
    CannotRebuild,
    ReplicaDamaged,
    NewerReplica,
    OtherSchema,
    Foreign,
    Fenced,
)


def open_replicator(
    database: Database,
    media: Media,
    url: str,
    *,
    token: str,
    secret: str,
    spool: Path,
    seconds: float,
    events: int,
) -> Replicator | None:
    """Rebuild the database if it is empty, and begin to copy it; None where no place is named.

    token: of the Hub. secret: that signs visitors' tokens. spool: a folder for files under way.
    Raises what NO_START holds.
    """
    if not url:
        journal.uninstall(database)
        return None
    target = open_target(url, token)
    check = key_check(secret)
    if database.is_sqlite:
        warn_of_same_disk(target, spool)
    with database.read() as session:
        empty, known = is_empty(session), state.current(session)
    if not empty:
        return begin(database, media, target, check, spool, seconds, events)
    try:
        newest = reach(target)
        if newest is not None and known is not None and newest.mark.copy_id == known.copy_id:
            return begin(database, media, target, check, spool, seconds, events)
        with handover.wish(target):
            rebuild(database, media, target, check)
            return begin(database, media, target, check, spool, seconds, events)
    except Damaged as problem:
        raise ReplicaDamaged(f"{target.url}: {problem}; {ADVICE}") from problem
    except TargetDown as problem:
        raise CannotRebuild(
            f"the database is empty, and {target.url} cannot be reached to see whether it has to "
            f"be rebuilt from there ({problem}); start again when it can, or leave GENLOOP_REPLICA "
            "empty to begin without it"
        ) from problem


def begin(
    database: Database,
    media: Media,
    target: Target,
    check: str,
    spool: Path,
    seconds: float,
    events: int,
) -> Replicator:
    """Note all changes from now on, and copy them."""
    if not journal.install(database):
        database.write(state.interrupt)
    shipper = Shipper(
        database,
        media,
        target,
        Spool(database, spool),
        key_check=check,
        looks_every=max(seconds, target.least_seconds),
    )
    replicator = Replicator(shipper, seconds=seconds, events=events)
    replicator.start()
    return replicator


def warn_of_same_disk(target: Target, spool: Path) -> None:
    if not isinstance(target, FolderTarget) or not target.folder.is_dir():
        return
    if target.folder.stat().st_dev == spool.parent.stat().st_dev:
        log.warning("%s lies on the disk of the database: both are lost together", target.url)


def rebuild(database: Database, media: Media, target: Target, check: str) -> None:
    began = time.monotonic()
    try:
        report = replay(database, media, target)
    except NotEmpty:
        return  # another process was faster
    if report is None:
        log.info("%s is empty: nothing to rebuild", target.url)
        return
    say_what_came_back(report, target, check, time.monotonic() - began)


def reach(target: Target) -> Written | None:
    """The newest mark; waits a little for a target that is away, and then raises TargetDown."""
    pause = PAUSE
    for _ in range(TRIES - 1):
        try:
            return marks.last(target)
        except TargetDown as problem:
            log.warning("%s; trying again in %.0f s", problem, pause)
            time.sleep(pause)
            pause *= 2
    return marks.last(target)


def say_what_came_back(report: Report, target: Target, check: str, seconds: float) -> None:
    assert report.newest is not None
    mark = report.newest.mark
    log.warning(
        "rebuilt from %s, as of %s, in %.1f s: %s; %d pictures, %d of them missing",
        target.url,
        mark.at,
        seconds,
        ", ".join(f"{count} {name}" for name, count in sorted(report.rows.items())) or "no rows",
        report.pictures,
        len(report.missing_pictures),
    )
    if report.missing_pictures:
        log.error("missing pictures: %s", ", ".join(report.missing_pictures))
    if mark.key_check != check:
        log.error(
            "the secret is not the one that signed the tokens of these visitors: they are "
            "strangers now, and can neither see nor erase what they left. Set GENLOOP_SECRET to "
            "the old one"
        )
