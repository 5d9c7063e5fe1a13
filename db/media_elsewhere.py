"""Pictures in object storage, by any URL that fsspec knows: several apps share them by its name."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.orm import Session

from db.ids import uuid7
from db.media import Media, MediaStore, hashes_in, unused
from db.replica.fsspec_target import FsspecTarget, Patience, without_password
from db.replica.targets import Missing, TargetDown, UnusableTarget, speaking_to, split

# A visitor waits for it, and on SQLite so does whoever else writes: not longer than half a minute.
HURRY = Patience(connect=3, read=6, attempts=1, tries=2)
AT_ONCE = 200  # pictures that are removed between two questions to the database


class MediaElsewhere:
    """Objects named by their content below a URL, named as MediaStore names its files."""

    elsewhere = True

    def __init__(self, place: str) -> None:
        """Raises UnusableTarget."""
        self.target = FsspecTarget(place, HURRY)
        self.name = self.target.url
        self.place = place

    def check(self) -> None:
        self.target.check()

    def has(self, sha256: str) -> bool:
        if self.target.size(name_of(sha256)) is not None:
            return True
        self.check()  # or everything is away
        return False

    def lacks(self, hashes: Iterable[str]) -> set[str]:
        self.check()
        there = {name.rpartition("/")[2] for name in self.target.names("")}
        return set(hashes) - there

    def every(self) -> set[str]:
        self.check()
        return hashes_in(name.rpartition("/")[2] for name in self.target.names(""))

    def read(self, sha256: str) -> bytes:
        try:
            return self.target.read(name_of(sha256))
        except Missing as problem:
            self.check()
            raise FileNotFoundError(sha256) from problem

    def put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        # Not every place gives a file its name only when it is whole: one cut short is replaced.
        if self.target.size(name_of(sha256)) != len(data):
            self.target.put({name_of(sha256): data})
        return sha256

    def small(self, sha256: str) -> bytes | None:
        try:
            return self.target.read(small_name(sha256))
        except Missing:
            return None

    def put_small(self, sha256: str, data: bytes) -> None:
        self.target.put({small_name(sha256): data})
        if not self.has(sha256):  # erased meanwhile, perhaps before the small one was there
            self.target.remove([small_name(sha256)])
            raise FileNotFoundError(sha256)

    def remove(self, hashes: Iterable[str]) -> None:
        gone = sorted(hashes)
        if not gone:
            return
        # In this order: who is making the small one looks for the original afterwards.
        self.target.remove(map(name_of, gone))
        self.target.remove(map(small_name, gone))
        self.check()  # of a bucket that is away nothing is removed

    def drop_unused(self, session: Session, hashes: set[str]) -> None:
        ordered = sorted(hashes)
        for start in range(0, len(ordered), AT_ONCE):
            self.remove(unused(session, set(ordered[start : start + AT_ONCE])))

    def probe(self) -> None:
        """Write, read and remove an object of no meaning; raises TargetDown."""
        name, data = f"probe/{uuid7()}", b"GenLoop was here, and has removed this again."
        self.target.put({name: data})
        same = self.target.size(name) == len(data) and self.target.read(name) == data
        self.target.remove([name])
        if not same:
            raise TargetDown(f"{self.name} gives back something else than it was given")
        if self.target.size(name) is not None:
            raise TargetDown(f"{self.name} does not remove what it is told to remove")


def open_media(place: str) -> Media:
    """The pictures in a folder or at a URL of fsspec; raises UnusableTarget.

    Nobody is asked yet whether it can be reached.
    """
    scheme, path = split(place)
    if scheme in ("", "file"):
        return MediaStore(Path(path))
    if scheme == "hf":
        raise UnusableTarget(
            f"{without_password(place)} takes a commit for each picture: name a folder or "
            "s3://BUCKET/FOLDER in GENLOOP_MEDIA_DIR, and the Hub in GENLOOP_REPLICA"
        )
    with speaking_to(without_password(place)):
        return MediaElsewhere(place)


def refuse_inside_copy(media: Media, replica: str) -> None:
    """Raise UnusableTarget where the copy of the database would tidy up among the pictures."""
    copy = without_password(replica).rstrip("/")
    if media.elsewhere and copy and f"{media.name.rstrip('/')}/".startswith(f"{copy}/"):
        raise UnusableTarget(
            f"GENLOOP_MEDIA_DIR ({media.name}) lies inside GENLOOP_REPLICA ({copy}), which removes "
            "what it does not know: name two folders that lie side by side"
        )


def name_of(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def small_name(sha256: str) -> str:
    return f"{name_of(sha256)}.webp"
