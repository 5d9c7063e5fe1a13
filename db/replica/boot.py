"""At the start: an empty database is rebuilt from its copy before anybody is served."""

import logging
import time
from pathlib import Path

from db.engine import Database
from db.media import MediaStore
from db.replica import handover, journal, state
from db.replica.keys import key_check
from db.replica.marks import NewerReplica
from db.replica.replay import NotEmpty, ReplicaDamaged, Report, is_empty, replay
from db.replica.replicator import Replicator
from db.replica.rows import OtherSchema
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
    media: MediaStore,
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
    with database.read() as session:
        empty = is_empty(session)
    if empty:
        rebuild(database, media, target, check)
    if not journal.install(database):
        database.write(state.interrupt)
    looks_every = max(seconds, target.least_seconds)
    shipper = Shipper(
        database,
        media,
        target,
        Spool(database, spool),
        key_check=check,
        looks_every=looks_every,
    )
    replicator = Replicator(shipper, seconds=seconds, events=events)
    replicator.start()
    return replicator


def rebuild(database: Database, media: MediaStore, target: Target, check: str) -> None:
    """Replay what is at the target, once whoever writes there has ended."""
    began = time.monotonic()
    try:
        reach(target)
        handover.ask_and_wait(target)
        report = replay(database, media, target)
    except NotEmpty:
        return  # another process was faster
    except TargetDown as problem:
        raise CannotRebuild(
            f"the database is empty, and {target.url} cannot be reached to see whether it has to "
            f"be rebuilt from there ({problem}); start again when it can, or leave GENLOOP_REPLICA "
            "empty to begin without it"
        ) from problem
    if report is None:
        log.info("%s is empty: nothing to rebuild", target.url)
        return
    say_what_came_back(report, target, check, time.monotonic() - began)


def reach(target: Target) -> None:
    """Wait a little for a target that is away; raises TargetDown."""
    pause = PAUSE
    for left in reversed(range(TRIES)):
        try:
            target.names("log")
            return
        except TargetDown as problem:
            if not left:
                raise
            log.warning("%s; trying again in %.0f s", problem, pause)
            time.sleep(pause)
            pause *= 2


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
