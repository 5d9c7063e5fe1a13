"""Marks: the numbered list of what was copied. A segment counts once a mark names it.

Each mark holds the hash of the one before it, so nothing in between can be lost or changed without
being noticed. A mark that is a *base* holds the whole database; what is before it is not needed.
"""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from db.replica.segments import Damaged, Segment
from db.replica.targets import Missing, Target

FORMAT = 1
FOLDER = "log"
NAME = re.compile(rf"{FOLDER}/(\d{{10}})\.json")
READERS = 8  # files that are fetched at the same time


class NewerReplica(RuntimeError):
    """A later version of GenLoop wrote there; this one would not understand it."""


@dataclass(frozen=True)
class Mark:
    """One step of the copy: from the database as of the mark before to that as of this one."""

    seq: int
    base: bool  # the segments hold everything, not only what changed
    copy_id: str  # the database that it is a copy of
    released: bool  # its app has ended in order, so nothing was committed after this
    at: str  # ISO 8601: everything committed before this moment is in it
    schema: str  # the database's migration
    looks_every: (
        float  # seconds, in which whoever wrote this sees that somebody else wants to go on
    )
    key_check: str  # by which another secret for visitors' tokens is noticed
    previous: str  # SHA-256 of the mark before, or empty
    base_seq: int  # of the last base, this one included
    base_bytes: int  # of its segments, compressed
    later_marks: int  # since that base
    later_bytes: int
    erases: bool  # segments since that base hold rows that are gone
    serials: dict[str, int]  # the last number that each table gave away
    missing_media: tuple[str, ...]  # hashes of pictures that were named and not there to copy
    segments: tuple[Segment, ...]
    format: int = FORMAT

    @property
    def name(self) -> str:
        return name_of(self.seq)

    def content(self) -> bytes:
        """Two lines: the mark, and the SHA-256 of the first line, by which a torn file is known."""
        line = json.dumps(asdict(self), sort_keys=True).encode()
        return b"%b\n%b\n" % (line, hashlib.sha256(line).hexdigest().encode())


@dataclass(frozen=True)
class Written:
    """A mark as it stands at the target."""

    mark: Mark
    sha256: str  # of its bytes, by which the next one names it


def name_of(seq: int) -> str:
    return f"{FOLDER}/{seq:010d}.json"


def parse(name: str, content: bytes) -> Written:
    """Raises Damaged or NewerReplica."""
    line, _, rest = content.partition(b"\n")
    if hashlib.sha256(line).hexdigest().encode() != rest.strip():
        raise Damaged(f"{name} is not as it was written")
    try:
        found: dict[str, Any] = json.loads(line)
        if found["format"] > FORMAT:
            raise NewerReplica(
                f"{name} is of format {found['format']}, this version of GenLoop reads {FORMAT}: "
                "install the newer version that wrote it"
            )
        found["segments"] = tuple(Segment(**segment) for segment in found["segments"])
        found["missing_media"] = tuple(found["missing_media"])
        mark = Mark(**found)
    except (ValueError, KeyError, TypeError) as problem:
        raise Damaged(f"{name} cannot be read as a mark: {problem!r}") from problem
    if mark.name != name:
        raise Damaged(f"{name} says that it is {mark.name}")
    return Written(mark, hashlib.sha256(content).hexdigest())


def read(target: Target, seq: int) -> Written:
    """A mark; raises Missing, Damaged or NewerReplica."""
    return parse(name_of(seq), target.read(name_of(seq)))


def numbers(names: list[str]) -> list[int]:
    """The numbers of the marks among these names, ascending."""
    return sorted(int(found[1]) for name in names if (found := NAME.fullmatch(name)))


def last(target: Target) -> Written | None:
    """The newest mark; None for a target that nobody has written to."""
    found = numbers(target.names(FOLDER))
    return read(target, found[-1]) if found else None


def since_base(target: Target, until: int | None = None) -> list[Written]:
    """The marks from the last base to the newest, without a gap; raises Damaged.

    until: take that mark for the newest. Empty for a target that nobody has written to.
    """
    try:
        newest = last(target) if until is None else read(target, until)
    except Missing:
        raise Damaged(f"{name_of(until or 0)} is missing") from None
    if newest is None:
        return []
    with ThreadPoolExecutor(READERS) as readers:
        earlier = range(newest.mark.base_seq, newest.mark.seq)
        try:
            found = [*readers.map(partial(read, target), earlier), newest]
        except Missing as problem:
            raise Damaged(f"there is a gap: {problem} is missing") from None
    for before, after in pairwise(found):
        if after.mark.previous != before.sha256:
            raise Damaged(f"{before.mark.name} is not the mark that {after.mark.name} follows")
    if not found[0].mark.base:
        raise Damaged(f"{found[0].mark.name} should hold the whole database and does not")
    return found


def readable(target: Target, damages: list[str]) -> list[Written]:
    """What can be read of the marks since the last base; `damages` gets a sentence for the rest."""
    found: list[Written] = []
    newest_first = numbers(target.names(FOLDER))[::-1]
    for seq in newest_first:
        if found and seq < found[-1].mark.base_seq:
            break
        try:
            written = read(target, seq)
        except (Damaged, Missing) as problem:
            damages.append(f"{problem}: what it brought is left out")
            continue
        if found and seq < found[-1].mark.seq - 1:
            damages.append(f"there is a gap between {written.mark.name} and {found[-1].mark.name}")
        found.append(written)
    if found and not found[-1].mark.base:
        damages.append("the last mark that held the whole database is not there")
    return found[::-1]
