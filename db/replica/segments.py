"""Segments: files of rows, compressed and closed, that are never changed once they are written."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from db.replica.targets import Missing, Target

LONGEST = 8_000_000  # bytes of a segment before compression: what a reader has to hold at once
FOLDER = "data"
NAME = re.compile(rf"{FOLDER}/(\d{{10}})-")


class Damaged(ValueError):
    """Something at the target is not what was written there."""


@dataclass(frozen=True)
class Segment:
    """What a mark says of a segment."""

    name: str
    bytes: int  # compressed
    sha256: str  # of these
    rows: dict[str, int]  # by table
    gone: dict[str, int]  # tombstones, by table


def until(seq: int, names: list[str]) -> list[str]:
    """Of these names those of segments that were written for this mark or an earlier one."""
    return [name for name in names if (found := NAME.match(name)) and int(found[1]) <= seq]


class SegmentWriter:
    """Writes lines into as many files as they need, in a folder of its own."""

    def __init__(self, folder: Path, seq: int) -> None:
        """seq: of the mark that will name the segments."""
        self.folder = folder
        self.seq = seq
        self.written: dict[Path, Segment] = {}
        self._open()

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._close()

    def _open(self) -> None:
        self.path = self.folder / f"{len(self.written):04d}"
        self.stream = pa.CompressedOutputStream(str(self.path), "zstd")
        self.size = 0
        self.rows: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()

    def _close(self) -> None:
        self.stream.close()
        if self.size:
            with self.path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            self.written[self.path] = Segment(
                f"{FOLDER}/{self.seq:010d}-{len(self.written):04d}-{sha256[:16]}.jsonl.zst",
                self.path.stat().st_size,
                sha256,
                dict(self.rows),
                dict(self.gone),
            )

    def row(self, table: str, line: bytes) -> None:
        self._add(line)
        self.rows[table] += 1

    def tombstone(self, table: str, line: bytes) -> None:
        self._add(line)
        self.gone[table] += 1

    def _add(self, line: bytes) -> None:
        if self.size + len(line) > LONGEST:
            self._close()
            self._open()
        self.stream.write(line)
        self.size += len(line)


def fetch(target: Target, segment: Segment) -> bytes:
    """The bytes of a segment; raises Damaged for one that is missing or has changed."""
    try:
        data = target.read(segment.name)
    except Missing:
        raise Damaged(f"{segment.name} is missing") from None
    found = hashlib.sha256(data).hexdigest()
    if found != segment.sha256:
        raise Damaged(
            f"{segment.name} has the SHA-256 {found} over {len(data)} bytes; its mark says "
            f"{segment.sha256} over {segment.bytes}"
        )
    return data


def lines(data: bytes) -> Iterator[dict[str, Any]]:
    """What stands in the bytes of a segment."""
    return map(json.loads, unpacked(data))


def unpacked(data: bytes) -> list[bytes]:
    whole: bytes = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    return whole.splitlines()
