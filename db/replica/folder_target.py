"""A copy in a folder: of another disk, of a server, or of a bucket that is mounted."""

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from db.ids import uuid7
from db.media import sync
from db.replica.targets import (
    Content,
    Missing,
    Taken,
    TargetDown,
    bytes_of,
    speaking_to,
)

# What file systems without hard links say, mounted buckets among them.
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
PARTIAL = ".partial"


class FolderTarget:
    """Files in a folder, each complete and synced before it has its name.

    The folder itself must be there: where it is missing, a disk may not be mounted, and it would be
    wrong to take that for a place that nobody has written to.
    """

    least_seconds = 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.url = str(self.folder)

    def names(self, folder: str) -> list[str]:
        with speaking_to(self.url):
            self._look_for_disk()
            found = (self.folder / folder).rglob("*")
            return sorted(
                path.relative_to(self.folder).as_posix()
                for path in found
                if path.is_file() and not path.name.endswith(PARTIAL)
            )

    def read(self, name: str) -> bytes:
        with speaking_to(self.url):
            try:
                return (self.folder / name).read_bytes()
            except FileNotFoundError:
                raise Missing(name) from None

    def put(self, files: Mapping[str, Content]) -> None:
        with speaking_to(self.url):
            self._look_for_disk()
            for name, content in files.items():
                fresh = self._write(name, bytes_of(content))
                fresh.replace(self.folder / name)
                sync(fresh.parent)

    def commit(self, files: Mapping[str, Content], mark: str, content: bytes) -> None:
        self.put(files)
        with speaking_to(self.url):
            fresh, place = self._write(mark, content), self.folder / mark
            try:
                link_or_rename(fresh, place)
            except FileExistsError:
                if place.read_bytes() != content:
                    raise Taken(mark) from None
            finally:
                fresh.unlink(missing_ok=True)
            sync(place.parent)

    def remove(self, names: Iterable[str]) -> None:
        with speaking_to(self.url):
            for name in names:
                (self.folder / name).unlink(missing_ok=True)

    def purge(self) -> None:
        with speaking_to(self.url):
            for left in self.folder.rglob(f"*{PARTIAL}"):  # of a process that died
                left.unlink(missing_ok=True)

    def _look_for_disk(self) -> None:
        if not self.folder.is_dir():
            raise TargetDown(
                f"there is no folder {self.url}: is its disk mounted? Else make the folder"
            )

    def _write(self, name: str, data: bytes) -> Path:
        """The data under a name that nobody looks for, beside its place."""
        place = self.folder / name
        if not place.parent.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            sync(place.parent.parent)
        fresh = place.with_name(f".{uuid7()}{PARTIAL}")
        try:
            with fresh.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        return fresh


def link_or_rename(fresh: Path, place: Path) -> None:
    """Give the file its name unless another has it; raises FileExistsError.

    Without hard links two at the same instant could both believe that the name is theirs; that is
    noticed afterwards, by what then stands in the log (db/replica/ship.py).
    """
    try:
        os.link(fresh, place)
    except OSError as problem:
        if problem.errno not in NO_LINKS:
            raise
        if place.exists():
            raise FileExistsError(place) from problem
        fresh.replace(place)
