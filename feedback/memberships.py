"""Which rows have which keys, on the disk: what groups of rows are made from.

A key says what it is before a colon: "visitor:7", or b"prompt:" and 16 bytes. A row is a number
from 0 up; the smaller, the older.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from feedback.scratch import CHUNK, Integers, Scratch, append, chunks, in_order, records, stored


def as_bytes(key: bytes | str) -> bytes:
    return key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key


def hashed(key: bytes | str) -> int:
    """64 bits with a sign. Two keys that meet there count as one."""
    return int.from_bytes(blake2b(as_bytes(key), digest_size=8).digest(), "big", signed=True)


def kind_of(key: bytes | str) -> str:
    """What stands before the colon."""
    if isinstance(key, str):
        return key.partition(":")[0] if ":" in key else ""
    kind, colon, _ = key.partition(b":")
    return kind.decode("ascii", "replace") if colon else ""


class Memberships(Scratch):
    """Rows and their keys, each pair once; the order in which they come makes no difference."""

    def __init__(self, folder: Path, kinds: Sequence[str] = ()) -> None:
        super().__init__(folder)
        self.number_of = {kind: number for number, kind in enumerate(kinds)}
        self.new: list[int] = []
        self.waiting: list[tuple[int, int, int]] = []

    def join(self, row: int, keys: Iterable[bytes | str]) -> None:
        """Tie a row to keys, and to those that it was tied to before."""
        self.new.append(row)
        for key in keys:
            kind = self.number_of.setdefault(kind_of(key), len(self.number_of))
            self.waiting.append((hashed(key), row, kind))
        if len(self.new) + len(self.waiting) > CHUNK:
            self.flush()

    def flush(self) -> None:
        append(self.folder / "new", np.array(self.new, np.int64))
        append(self.folder / "joined", np.array(self.waiting, np.int64).reshape(-1, 3))
        self.new, self.waiting = [], []

    def sort(self) -> None:
        """Bring rows and keys into their order; from then on each is called by its place in it.

        self.rows: the rows. self.keys, self.kinds: the hash and the kind of each key.
        self.members: how many rows a key has. self.first: the oldest of them.
        """
        self.flush()
        for name in ("rows", "keys", "kinds", "members", "first", "memberships"):
            (self.folder / name).unlink(missing_ok=True)
        rows = stored(self.folder / "new")
        rows.sort()
        for chunk in chunks(len(rows)):
            some, before = rows[chunk], rows[chunk.start - 1] if chunk.start else -1
            append(self.folder / "rows", some[np.diff(some, prepend=before) > 0])
        self.rows = stored(self.folder / "rows")
        count = 0  # of keys
        for part in in_order(self.folder / "joined", 3):
            hashes, places, kinds = part[:, 0], np.searchsorted(self.rows, part[:, 1]), part[:, 2]
            start = np.flatnonzero(np.diff(hashes, prepend=~hashes[0]))  # where a key begins
            members = np.diff(start, append=len(part))
            keys = np.repeat(np.arange(count, count + len(start)), members)
            append(self.folder / "memberships", np.stack([keys, places], axis=1))
            append(self.folder / "keys", hashes[start])
            append(self.folder / "kinds", kinds[start].astype(np.int32))
            append(self.folder / "members", members.astype(np.int32))
            append(self.folder / "first", places[start])
            count += len(start)
        self.keys, self.first = stored(self.folder / "keys"), stored(self.folder / "first")
        self.kinds = stored(self.folder / "kinds", np.int32)
        self.members = stored(self.folder / "members", np.int32)

    def memberships(self) -> Iterator[Integers]:
        """Keys and rows that belong together, (2, some): by their places, in the order of keys."""
        for some in records(self.folder / "memberships", 2):
            yield some.T
