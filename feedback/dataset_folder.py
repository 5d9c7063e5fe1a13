"""A folder that appears whole or not at all: written beside its place, then renamed into it."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

TOGETHER = 256  # files beside rows that are brought to the disk together


class FolderInUse(FileExistsError):
    """There is something at that place already."""


def make_private(folder: Path) -> None:
    """Make the folder and what is missing above it, for their owner alone."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700)


def begin_to_store(descriptor: int, start: int, length: int) -> None:
    """Let the system bring these bytes to the disk from now on, where it can be told so.

    All at once at the end, they would hold up everybody who waits for the disk: visitors' writes.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)


class NewFile:
    """A file that only its owner may read; it is made with its first bytes, and counts them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.closed = False
        self.hash = hashlib.sha256()
        self.descriptor: int | None = None
        self.waiting = bytearray()

    def write(self, data: bytes) -> int:
        self.waiting += data
        self.bytes += len(data)
        self.hash.update(data)
        if len(self.waiting) > 1 << 20:
            self.flush()
        return len(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        if self.descriptor is None:
            self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        while self.waiting:
            written = os.write(self.descriptor, self.waiting)
            del self.waiting[:written]
            begin_to_store(self.descriptor, self.bytes - len(self.waiting) - written, written)

    def rename(self, name: str) -> None:
        """Give the finished file another name in its folder."""
        self.path = self.path.rename(self.path.with_name(name))

    def close(self, *, safely: bool = True) -> None:
        """Bring what was written to the disk; or leave that to the system for now."""
        if self.waiting:
            self.flush()
        if self.descriptor is not None:
            if safely:
                os.fsync(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = None
        self.closed = True


class FilesBeside:
    """Files that rows refer to, each written once, in subfolders; and the list of them.

    The list has a line {"name", "bytes", "sha256"} for each file, in the order they came.
    """

    def __init__(self, folder: Path, listed: NewFile) -> None:
        self.folder = folder
        self.listed = listed
        self.files = 0
        self.bytes = 0
        self.unsettled: list[Path] = []  # written, and perhaps not on the disk yet

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def add(self, name: str, data: bytes) -> None:
        """Write a new file; names follow from content, so ask first whether it is there."""
        path = self.folder / name
        make_private(path.parent)
        file = NewFile(path)
        file.write(data)
        file.close(safely=False)
        self.unsettled.append(path)
        if len(self.unsettled) == TOGETHER:
            self.settle()
        self.files += 1
        self.bytes += file.bytes
        line = {"name": name, "bytes": file.bytes, "sha256": file.hash.hexdigest()}
        self.listed.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def settle(self) -> None:
        """Wait until what was written is on the disk, which is quicker for many files together."""
        for path in self.unsettled:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        self.unsettled = []

    def close(self) -> None:
        """Bring files, and the names in the subfolders, to the disk."""
        self.settle()
        for folder, _, _ in os.walk(self.folder):
            sync_folder(Path(folder))


def check_free(folder: Path) -> None:
    """Raise FolderInUse unless the folder is missing or empty."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FolderInUse(f"{folder} is not a folder; name a new one")
    if folder.is_dir() and any(folder.iterdir()):
        raise FolderInUse(f"{folder} exists and is not empty; name a new folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes its place when the block ends well, and vanishes otherwise.

    A process that is killed leaves nothing at `folder`, and a hidden `.NAME.*.partial` beside it.
    """
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(
        tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent)
    )
    try:
        yield partial
        sync_folder(partial)
        check_free(folder)  # somebody may have been quicker
        partial.rename(folder)
    except BaseException:  # even Ctrl-C leaves nothing behind
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
