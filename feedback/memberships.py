"""Which rows have which keys, on the disk: what groups of rows are made from.

A key says what it is before a colon: "visitor:7", or b"prompt:" and 16 bytes. A row is a number
from 0 up; the smaller, the older.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np

from feedback.scratch import CHUNK, OnScratch, chunks, numbers

BATCH = 10_000  # memberships that are handled at once

SCHEMA = """
CREATE TABLE rows (row INTEGER PRIMARY KEY);
CREATE TABLE joined (key INTEGER, row INTEGER, kind INTEGER);
CREATE TABLE members (key INTEGER, row INTEGER, kind INTEGER, PRIMARY KEY (key, row))
    WITHOUT ROWID;
CREATE TABLE pinned (key INTEGER PRIMARY KEY, side INTEGER);
CREATE TABLE sided (key INTEGER PRIMARY KEY, side INTEGER);
"""


def as_bytes(key: bytes | str) -> bytes:
    return key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key


def hashed(key: bytes | str) -> int:
    """64 bits with a sign, as SQLite keeps them. Two keys that meet there count as one."""
    return int.from_bytes(blake2b(as_bytes(key), digest_size=8).digest(), "big", signed=True)


def kind_of(key: bytes | str) -> str:
    """What stands before the colon."""
    kind, colon, _ = as_bytes(key).partition(b":")
    return kind.decode("ascii", "replace") if colon else ""


class Memberships(OnScratch):
    """Rows and their keys, each pair once; the order in which they come makes no difference."""

    def __init__(self, folder: Path, kinds: Sequence[str] = ()) -> None:
        super().__init__(folder, SCHEMA)
        self.kinds = {kind: number for number, kind in enumerate(kinds)}
        self.new: list[tuple[int]] = []
        self.waiting: list[tuple[int, int, int]] = []

    def join(self, row: int, keys: Iterable[bytes | str]) -> None:
        """Tie a row to keys, and to those that it was tied to before."""
        self.new.append((row,))
        for key in keys:
            kind = self.kinds.setdefault(kind_of(key), len(self.kinds))
            self.waiting.append((hashed(key), row, kind))
        if len(self.new) + len(self.waiting) > BATCH:
            self.flush()

    def flush(self) -> None:
        database = self.scratch.database
        database.executemany("INSERT OR IGNORE INTO rows VALUES (?)", self.new)
        database.executemany("INSERT INTO joined VALUES (?, ?, ?)", self.waiting)
        self.new, self.waiting = [], []

    def sort(self) -> None:
        """Bring what was joined into the order of keys, and the rows into theirs."""
        self.flush()
        database = self.scratch.database
        database.execute("INSERT OR IGNORE INTO members SELECT * FROM joined ORDER BY key, row")
        database.execute("DELETE FROM joined")
        (count,) = database.execute("SELECT count(*) FROM rows").fetchone()
        self.rows = numbers(self.scratch.folder / "rows", count)
        rows = database.execute("SELECT row FROM rows ORDER BY row")
        for chunk in chunks(count):
            self.rows[chunk] = np.fromiter((row for (row,) in islice(rows, CHUNK)), np.int64)

    def places(self, question: str) -> Iterator[tuple[int, ...]]:
        """What a question for a key, a row and more finds; the row by its place among all."""
        found = self.scratch.database.execute(question)
        while batch := found.fetchmany(BATCH):
            keys, rows, *others = zip(*batch, strict=True)
            yield from zip(keys, np.searchsorted(self.rows, rows).tolist(), *others, strict=True)
