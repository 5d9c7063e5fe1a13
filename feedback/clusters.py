"""Which texts are nearly the same: those that meet in a bucket are compared exactly."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from feedback.components import DisjointSets, shorten
from feedback.minhash import KEY, Hashed
from feedback.near_duplicates import similarity, trigrams
from feedback.scratch import Scratch, append, chunks, firsts, let_go, stored
from feedback.sketches import SKETCH, at_most

MANY = 32  # texts in a bucket; of more, each is compared with so many neighbours only
PAIRS = 1 << 16  # that are looked at at once
SORTED = 1 << 20  # hashes that are sorted at once: 8 MB
WAITING = 1 << 16  # bytes of rows
AT_ONCE = 4 << 20  # bytes of texts that are sorted in memory
TEXT = 100  # bytes that a text takes there besides its own

Texts = NDArray[np.int64]  # their numbers
ROW = Struct("=qq").pack

SCHEMA = "CREATE TABLE bucket (id INTEGER PRIMARY KEY, form BLOB NOT NULL)"
PRAGMAS = (
    "journal_mode=OFF",
    "synchronous=OFF",
    "locking_mode=EXCLUSIVE",
    "temp_store=FILE",
    "cache_size=-16000",  # KiB
)


class Clusters(Scratch):
    """Clusters of the rows that were added, each row once.

    The texts lie in temporary files in the folder, their hashes beside them. In memory are some 50
    bytes a text, and twice as many in mapped files that the system can page out.
    """

    def __init__(self, folder: Path, threshold: float = 0.85) -> None:
        """threshold: 0.5 to 1; raises ValueError. 1 means the same set of trigrams."""
        super().__init__(folder)
        self.threshold = threshold
        self.texts = Hashed(self.folder, threshold)
        self.compared = 0  # pairs
        self.rows = bytearray()  # that wait, each with its text, as 64 bits
        self.forms: BinaryIO | None = None
        self.database: sqlite3.Connection | None = None

    def close(self) -> None:
        if self.forms is not None:
            self.forms.close()
        if self.database is not None:
            self.database.close()
        super().close()

    def add(self, row: int, text: str) -> None:
        self.rows += ROW(row, self.texts.add(text))
        if len(self.rows) > WAITING:
            self.flush()

    def take(self, first_row: int, texts: Hashed, of_rows: NDArray[np.integer[Any]]) -> None:
        """Add rows from a number on, of which each has one of the texts, by its number."""
        self.flush()
        rows = first_row + np.arange(len(of_rows))
        append(self.folder / "rows", np.stack([rows, len(self.texts) + of_rows], axis=1))
        self.texts.take(texts)

    def flush(self) -> None:
        append(self.folder / "rows", np.frombuffer(self.rows, np.int64))
        self.rows.clear()
        self.texts.flush()

    def representatives(self) -> Iterator[tuple[int, int]]:
        """Each row with the smallest row of its cluster, in the order of rows.

        The same whatever the order in which the rows were added.
        """
        self.flush()
        if not len(self.texts):
            return
        self.forms = self.texts.forms.open("rb")
        self.ends = stored(self.texts.ends)
        first = firsts(stored(self.texts.keys, KEY))
        once = np.flatnonzero(first == np.arange(len(first)))
        sets = DisjointSets(self.folder / "sets", len(first))
        known = stored(self.texts.sketches, SKETCH)
        for path in self.texts.bands:
            for bucket in buckets(path, once):
                for one, other in self.pairs(bucket, sets):
                    possible = at_most(known[one], known[other]) >= self.threshold
                    self.join_similar(one[possible].tolist(), other[possible].tolist(), sets)
        let_go(known)
        parents = np.asarray(sets.parent)
        shorten(parents)
        row, text = stored(self.folder / "rows").reshape(-1, 2).T
        cluster = parents[first[text]]
        smallest = np.full(len(first), np.iinfo(np.int64).max)
        np.minimum.at(smallest, cluster, row)
        order = np.argsort(row, kind="stable")
        for chunk in chunks(len(order)):
            some = order[chunk]
            yield from zip(row[some].tolist(), smallest[cluster[some]].tolist(), strict=True)

    def pairs(self, bucket: Texts, sets: DisjointSets) -> Iterator[tuple[Texts, Texts]]:
        """What to compare of buckets of one size: each pair, or where they are many, neighbours.

        (buckets, texts) gives arrays of texts, some at a time. Neighbours are such in the order of
        their letters (the sorted neighbourhood of Hernández and Stolfo 1995), so that a crowded
        bucket costs as many comparisons as it has texts.
        """
        size = bucket.shape[1]
        if size <= MANY:
            left, right = np.triu_indices(size, 1)
            step = max(PAIRS // len(left), 1)
            for start in range(0, len(bucket), step):
                some = bucket[start : start + step]
                yield some[:, left].ravel(), some[:, right].ravel()
            return
        for ids in bucket:
            first = sets.find(int(ids[0]))
            if any(sets.find(one) != first for one in ids.tolist()):
                ordered = self.in_order(ids)
                for start in range(0, size, PAIRS // MANY):
                    some = ordered[start : start + PAIRS // MANY + MANY]
                    apart = range(1, MANY + 1)
                    yield (
                        np.concatenate([some[:-each] for each in apart]),
                        np.concatenate([some[each:] for each in apart]),
                    )

    def join_similar(self, one: list[int], other: list[int], sets: DisjointSets) -> None:
        """Join those pairs that are as similar as the threshold asks for."""
        for left, right in zip(one, other, strict=True):
            if sets.find(left) != sets.find(right):
                self.compared += 1
                if similarity(self.trigrams(left), self.trigrams(right)) >= self.threshold:
                    sets.join(left, right)

    def trigrams(self, text: int) -> frozenset[str]:
        return trigrams(self.form(text).decode("utf-8", "surrogatepass"))

    def form(self, text: int) -> bytes:
        assert self.forms is not None
        start = int(self.ends[text - 1]) if text else 0
        self.forms.seek(start)
        return self.forms.read(int(self.ends[text]) - start)

    def in_order(self, ids: Texts) -> Texts:
        """The texts by their letters; a bucket may hold more than fits into memory."""
        starts = np.where(ids > 0, self.ends[ids - 1], 0)
        if int((self.ends[ids] - starts).sum()) + TEXT * len(ids) <= AT_ONCE:
            return np.array(sorted(ids.tolist(), key=lambda one: (self.form(one), one)))
        if self.database is None:
            self.database = opened(self.folder / "bucket.db")
        self.database.execute("DELETE FROM bucket")
        rows = ((one, self.form(one)) for one in ids.tolist())
        self.database.executemany("INSERT INTO bucket VALUES (?, ?)", rows)
        ordered = self.database.execute("SELECT id FROM bucket ORDER BY form, id")
        return np.fromiter((one for (one,) in ordered), np.int64, len(ids))


def opened(path: Path) -> sqlite3.Connection:
    """A database that is not to outlive the process."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        database.execute(f"PRAGMA {pragma}")
    database.execute(SCHEMA)
    database.execute("BEGIN")  # one transaction for all: nothing is ever rolled back
    return database


def buckets(path: Path, texts: Texts) -> Iterator[Texts]:
    """Those of the texts that have the same hash in the file of a band, where there are several.

    (buckets, texts): all buckets of one size together, but for the largest.
    """
    parts = -(-len(texts) // SORTED)
    stored = np.memmap(path, np.uint64, "r")
    for part in range(parts):
        ids = np.concatenate(
            [
                some[stored[some] % np.uint64(parts) == part]
                for some in (texts[at : at + SORTED] for at in range(0, len(texts), SORTED))
            ]
        )
        hashes = stored[ids]
        order = np.argsort(hashes, kind="stable")
        ids, hashes = ids[order], hashes[order]
        starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]][: len(ids)])
        sizes = np.diff(starts, append=len(ids))
        for size in np.unique(sizes[sizes > 1]):
            yield ids[starts[sizes == size][:, None] + np.arange(size)]
