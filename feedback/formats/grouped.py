"""Put what belongs together next to each other, of millions: by a key of 8 bytes each.

Not by the database's own sorting: builds of SQLite may keep what they sort in memory whatever they
are told, and each part of an export would have everything sorted anew.
"""

import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedback.scratch import firsts, let_go

BUFFER = 1 << 18  # bytes that wait before they are written
CHUNK = 1 << 12  # members that are read back at once

MEMBER = np.dtype([("key", np.uint64), ("id", "S36"), ("wanted", np.uint8)])
PACK = Struct("<8s36sB").pack


class Member(NamedTuple):
    """Something with an id, the words by which it belongs to others, and whether it is wanted."""

    common: str
    id: str
    wanted: bool


def grouped(
    members: Iterable[Member], folder: Path | None, first: str | None, before: str | None
) -> Iterator[tuple[int, str]]:
    """The ids of those that are wanted, each behind the number of its group.

    Groups come in the order of their first members, wanted or not, and members in theirs, which is
    that of their ids. first, before: only groups whose first id is not below the one, and below the
    other. They lie in a temporary file, in the folder if there is one; in memory are some 30 bytes
    a member.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        waiting = bytearray()
        for common, one, wanted in members:
            key = blake2b(common.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            waiting += PACK(key, one.encode(), wanted)
            if len(waiting) >= BUFFER:
                file.write(waiting)
                waiting.clear()
        file.write(waiting)
        file.flush()
        if not file.tell():
            return
        stored = np.memmap(file, MEMBER, "r")
        group = firsts(np.concatenate(list(keys_of(stored))), np.uint32)
        order = np.argsort(group, kind="stable")
        ends = place_of(stored, first or ""), place_of(stored, before) if before else len(stored)
        mine = slice(*(bisect_left(order, end, key=group.__getitem__) for end in ends))
        for start in range(mine.start, mine.stop, CHUNK):
            places = order[start : min(start + CHUNK, mine.stop)]
            some = stored[places]
            wanted_ones = some["wanted"] == 1
            ids = some["id"][wanted_ones].tolist()
            for number, one in zip(group[places[wanted_ones]].tolist(), ids, strict=True):
                yield number, one.decode()
            let_go(stored)


def keys_of(stored: NDArray[np.void]) -> Iterator[NDArray[np.uint64]]:
    for start in range(0, len(stored), CHUNK):
        yield stored["key"][start : start + CHUNK].copy()
        let_go(stored)


def place_of(stored: NDArray[np.void], one: str) -> int:
    """Where an id stands or would stand; ids are those of RFC 9562 in small letters, which every
    database orders as their bytes.
    """
    return bisect_left(range(len(stored)), one.encode(), key=lambda place: stored[place]["id"])
