"""Room on the disk for what an export has to remember of every row: sorted tables, joined sets."""

import mmap
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

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


class Numbers:
    """A fixed number of 64-bit integers in a mapped file, which the system may page out."""

    def __init__(self, path: Path, length: int) -> None:
        with path.open("w+b") as file:
            file.truncate(max(8 * length, 8))
            self.mapped = mmap.mmap(file.fileno(), 0)
        self.view = memoryview(self.mapped).cast("q")

    def close(self) -> None:
        self.view.release()
        self.mapped.close()


class DisjointSets:
    """Which of the numbers 0 … length - 1 belong together; the smallest names its set.

    Union by index with path halving (Tarjan and van Leeuwen 1984), 8 bytes a number, on the disk.
    """

    def __init__(self, path: Path, length: int) -> None:
        self.numbers = Numbers(path, length)
        self.parent = self.numbers.view
        for one in range(length):
            self.parent[one] = one

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

    def close(self) -> None:
        self.numbers.close()
