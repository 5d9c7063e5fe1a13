"""Pictures under their SHA-256: the same picture is kept once, whoever made it.

They are files in a folder, or lie elsewhere (db/media_elsewhere.py).
"""

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.ids import uuid7
from db.tables import Generation

NAME = re.compile(r"([0-9a-f]{64})(?:\.webp)?")  # of a file: a picture, or its small version
UNFINISHED = re.compile(r"\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # what put() begins with
LOCKS = 0x67656E  # the first of two keys of PostgreSQL's advisory locks


class Media(Protocol):
    """Where pictures are kept. Every method may raise OSError, and TargetDown is one."""

    @property
    def name(self) -> str:
        """Where they are, without secrets."""

    @property
    def place(self) -> str:
        """What another process opens it by (`open_media`); it may hold a password."""

    @property
    def elsewhere(self) -> bool:
        """Whether they are still there when this machine is gone."""

    def check(self) -> None:
        """Raise TargetDown where nothing could be kept or found now."""

    def has(self, sha256: str) -> bool:
        """Whether the picture is there."""

    def lacks(self, hashes: Iterable[str]) -> set[str]:
        """Those of many that are not there."""

    def every(self) -> set[str]:
        """All pictures that are there, also those of which only the small version is."""

    def read(self, sha256: str) -> bytes:
        """The bytes; raises FileNotFoundError."""

    def put(self, data: bytes) -> str:
        """Keep the bytes, safely there before this returns; their SHA-256 in hexadecimal."""

    def small(self, sha256: str) -> bytes | None:
        """The small version of a picture, once somebody has made it."""

    def put_small(self, sha256: str, data: bytes) -> None:
        """Keep a small version; raises FileNotFoundError where the picture itself has gone."""

    def remove(self, hashes: Iterable[str]) -> None:
        """Remove pictures and their small versions; those that are not there do not matter."""

    def drop_unused(self, session: Session, hashes: set[str]) -> None:
        """Remove those pictures that no generation refers to any more.

        Call it in the write transaction that lets go of them, at its end: where a picture cannot be
        removed, nobody lets go of it. Whoever keeps the same picture anew does so inside a write
        transaction too (`hold`, then `put` again).
        """


class MediaStore:
    """A folder of files named by their content, in subfolders by their first two digits."""

    elsewhere = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)
        self.place = str(folder.absolute())

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def small_path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}.webp"

    def check(self) -> None:
        """A folder is made when the first picture comes; what cannot be written is told then."""

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def lacks(self, hashes: Iterable[str]) -> set[str]:
        return {sha256 for sha256 in hashes if not self.has(sha256)}

    def every(self) -> set[str]:
        return hashes_in(path.name for path in self.folder.glob("??/*"))

    def torn(self, before: float) -> list[Path]:
        """What a process left behind that was killed while it wrote; untouched since a moment."""
        found = []
        for path in self.folder.glob("??/.*"):
            with suppress(FileNotFoundError):  # by now it has its name
                if UNFINISHED.fullmatch(path.name) and path.stat().st_mtime < before:
                    found.append(path)
        return found

    def read(self, sha256: str) -> bytes:
        return self.path(sha256).read_bytes()

    def put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        if path.exists():
            return sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{uuid7()}")
        try:
            with fresh.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        sync(path.parent)
        sync(self.folder)
        return sha256

    def small(self, sha256: str) -> bytes | None:
        try:
            return self.small_path(sha256).read_bytes()
        except FileNotFoundError:
            return None

    def put_small(self, sha256: str, data: bytes) -> None:
        small = self.small_path(sha256)
        fresh = small.with_name(f".{uuid7()}")
        try:
            fresh.write_bytes(data)
            fresh.replace(small)
        finally:
            fresh.unlink(missing_ok=True)
        if not self.has(sha256):  # erased meanwhile, perhaps before the small one was there
            small.unlink(missing_ok=True)
            raise FileNotFoundError(sha256)

    def remove(self, hashes: Iterable[str]) -> None:
        for sha256 in hashes:
            # In this order: who is making the small one looks for the original afterwards.
            self.path(sha256).unlink(missing_ok=True)
            self.small_path(sha256).unlink(missing_ok=True)

    def drop_unused(self, session: Session, hashes: set[str]) -> None:
        self.remove(unused(session, hashes))


def hold(session: Session, hashes: Iterable[str], *, to_remove: bool = False) -> None:
    """Let nobody else remove, or with to_remove keep, these pictures before the transaction ends.

    For PostgreSQL; a SQLite database has one writer at a time.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    lock = func.pg_advisory_xact_lock if to_remove else func.pg_advisory_xact_lock_shared
    # 4,096 of them: PostgreSQL has room for more, and few have one in common.
    for each in sorted({int(sha256[:3], 16) for sha256 in hashes}):
        session.execute(select(lock(LOCKS, each)))


def unused(session: Session, hashes: set[str]) -> set[str]:
    """Those that no generation refers to, nor will before the transaction ends."""
    hold(session, hashes, to_remove=True)
    query = select(Generation.media_sha256).where(Generation.media_sha256.in_(hashes))
    return hashes - set(session.scalars(query))


def hashes_in(names: Iterable[str]) -> set[str]:
    """The pictures that files of these names are of; others are of something else."""
    return {found[1] for name in names if (found := NAME.fullmatch(name))}


def sync(folder: Path) -> None:
    """Make the names in a folder safe; Windows can neither open nor needs to sync a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
