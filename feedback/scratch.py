"""Room on the disk for what an export has to remember of every row: sorted tables, joined sets."""

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 16  # numbers that are handled at once

PRAGMAS = (
    "journal_mode=OFF",  # nothing here outlives the process
    "synchronous=OFF",
    "locking_mode=EXCLUSIVE",
    "temp_store=FILE",
    "cache_size=-16000",  # KiB
)


class Scratch:
    """A temporary folder with a SQLite database in it; both are gone when it is closed."""

    def __init__(self, folder: Path, schema: str) -> None:
        self.temporary = tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder)
        self.folder = Path(self.temporary.name)
        self.database = sqlite3.connect(self.folder / "scratch.db", isolation_level=None)
        for pragma in PRAGMAS:
            self.database.execute(f"PRAGMA {pragma}")
        self.database.executescript(schema)
        self.database.execute("BEGIN")  # one transaction for all: nothing is ever rolled back

    def close(self) -> None:
        self.database.close()
        self.temporary.cleanup()


class OnScratch:
    """Something that is backed by a Scratch, and is used in a `with`."""

    def __init__(self, folder: Path, schema: str) -> None:
        self.scratch = Scratch(folder, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.scratch.close()


def numbers(path: Path, length: int) -> NDArray[np.int64]:
    """Zeros in a mapped file, which the system can page out."""
    path.unlink(missing_ok=True)  # who still maps the former file of that name may go on
    return np.memmap(path, np.int64, "w+", shape=(max(length, 1),))[:length]


def chunks(length: int) -> Iterator[slice]:
    for start in range(0, length, CHUNK):
        yield slice(start, min(start + CHUNK, length))


class DisjointSets:
    """Which of the numbers 0 … length - 1 belong together; the smallest names its set.

    A forest with path halving (Tarjan and van Leeuwen 1984), 8 bytes a number, on the disk.
    """

    def __init__(self, path: Path, length: int) -> None:
        self.parents = numbers(path, length)
        for chunk in chunks(length):
            self.parents[chunk] = np.arange(chunk.start, chunk.stop)
        self.parent = self.parents.data  # single numbers come faster from it

    def find(self, one: int) -> int:
        parent = self.parent
        while (above := parent[one]) != one:
            parent[one] = one = parent[above]
        return one

    def join(self, one: int, other: int) -> None:
        one, other = self.find(one), self.find(other)
        if one < other:
            self.parent[other] = one
        else:
            self.parent[one] = other

    def names(self) -> NDArray[np.int64]:
        """The name of the set of each number."""
        for chunk in chunks(len(self.parents)):
            part = self.parents[chunk]
            while (part != (above := self.parents[part])).any():
                part = above
            self.parents[chunk] = part
        return self.parents
