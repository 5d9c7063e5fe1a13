"""Room on the disk for what an export has to remember of every row: numbers in mapped files."""

import math
import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

Integers = NDArray[np.integer[Any]]

CHUNK = 1 << 16  # numbers that are handled at once
SORTED = 1 << 18  # records that are sorted at once


class Scratch:
    """A temporary folder inside of another, gone at the end of a `with`.

    A killed process leaves it behind, and it may hold texts of visitors: the folder around it
    should be one that is tidied up.
    """

    def __init__(self, folder: Path) -> None:
        self.temporary = tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder)
        self.folder = Path(self.temporary.name)

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
        self.temporary.cleanup()


def numbers(path: Path, length: int, kind: DTypeLike = np.int64) -> Integers:
    """Zeros in a mapped file, which the system can page out."""
    path.unlink(missing_ok=True)  # who still maps the former file of that name may go on
    mapped = np.memmap(path, kind, "w+", shape=(max(length, 1),))
    return mapped[:length].view(np.ndarray)  # which gives single numbers faster


def append(path: Path, array: NDArray[Any]) -> None:
    with path.open("ab") as file:
        file.write(array.tobytes())


def stored(path: Path, kind: DTypeLike = np.int64) -> NDArray[Any]:
    """What was appended to a file, mapped."""
    if not path.exists() or not path.stat().st_size:
        return np.zeros(0, kind)
    return np.memmap(path, kind, "r+").view(np.ndarray)


def let_go(*arrays: object) -> None:
    """Let those that are mapped files count as memory of this process no longer, where that exists.

    What is in them stays: it is read again from the system's cache, or the disk.
    """
    for array in arrays if hasattr(mmap, "MADV_DONTNEED") else ():
        while isinstance(array, np.ndarray):
            array = array.base
        if isinstance(array, mmap.mmap):
            array.madvise(mmap.MADV_DONTNEED)


def firsts(keys: NDArray[np.uint64], kind: DTypeLike = np.int64) -> Integers:
    """For each key the place of the first that is the same."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(keys)])
    found = np.empty(len(keys), kind)
    found[order] = np.repeat(order[starts], np.diff(starts, append=len(keys)))
    return found


def records(path: Path, columns: int, length: int = CHUNK) -> Iterator[Integers]:
    """What was appended to a file, so many records at once, and not in memory longer than that."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while len(some := np.fromfile(file, np.int64, length * columns)):
            yield some.reshape(-1, columns)


def chunks(length: int) -> Iterator[slice]:
    for start in range(0, length, CHUNK):
        yield slice(start, min(start + CHUNK, length))


def in_order(path: Path, columns: int) -> Iterator[Integers]:
    """The records of a file by their columns, each once, in parts of some SORTED records.

    (records, columns) a part. The first column is a hash, so that parts come out about even.
    """
    size = path.stat().st_size if path.exists() else 0
    parts = math.ceil(size / (8 * columns * SORTED))
    for number in range(parts):
        chosen = []
        for some in records(path, columns):
            part = (some[:, 0].astype(float) + 2.0**63) / 2.0**64 * parts
            chosen.append(some[np.minimum(part.astype(np.int64), parts - 1) == number])
        found = np.concatenate(chosen)
        if not len(found):  # where few keys have many rows
            continue
        found = found[np.lexsort(found.T[::-1])]
        new = np.ones(len(found), dtype=bool)
        new[1:] = (found[1:] != found[:-1]).any(axis=1)
        yield found[new]
