"""Pictures at the target: sent with the rows that name them, and removed when no row does."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.media import Media, MediaStore
from db.replica.targets import Target
from db.tables import Generation

log = logging.getLogger(__name__)

FOLDER = "media"
SENT_AT_ONCE = 100


def name_of(sha256: str) -> str:
    return f"{FOLDER}/{sha256[:2]}/{sha256}"


def used(session: Session) -> set[str]:
    """The hashes of all pictures that a generation names."""
    query = select(Generation.media_sha256).where(Generation.media_sha256.is_not(None)).distinct()
    return {sha256 for sha256 in session.scalars(query) if sha256}


def send(target: Target, media: Media, hashes: Iterable[str]) -> set[str]:
    """Send the pictures; those that are not there to send, or are no longer what they were.

    Pictures that lie elsewhere are left there: they outlive this machine as the copy does.
    """
    if not isinstance(media, MediaStore):
        return set()
    there, missing = sorted_out(media, hashes)
    for start in range(0, len(there), SENT_AT_ONCE):
        target.put({name_of(one): media.path(one) for one in there[start : start + SENT_AT_ONCE]})
    return missing


def sorted_out(media: MediaStore, hashes: Iterable[str]) -> tuple[list[str], set[str]]:
    """Those that are whole, and the others."""
    there: list[str] = []
    missing: set[str] = set()
    for sha256 in sorted(hashes):
        try:
            whole = hash_of(media.path(sha256)) == sha256
        except FileNotFoundError:
            whole = False
        if whole:
            there.append(sha256)
        else:
            missing.add(sha256)
            log.warning("picture %s is not there, or damaged: it cannot be copied", sha256)
    return there, missing


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def at_target(target: Target) -> set[str]:
    return {name.rpartition("/")[2] for name in target.names(FOLDER)}


def names(hashes: Iterable[str]) -> Iterator[str]:
    return map(name_of, sorted(hashes))
