"""What an export remembers of every row between reading and writing: numbers, keys, and the row.

All of it lies in files that are written and read from front to back, some 150 bytes a row beside
the row itself; what is compared is mapped into memory and can be paged out.
"""

import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedback.minhash import Hashed

BUFFER = 1 << 18  # bytes that wait before they are written
CHUNK = 1 << 16  # numbers that are made Python's own at once

# 8 bytes by which things are found to be the same. Two that meet by chance would count as one:
# among a million rows that happens in one of 40 million exports.
KEY = np.uint64

FACTS = np.dtype(
    [
        ("same", KEY),  # see feedback.formats.candidate.Says
        ("about", KEY),
        ("prompt", KEY),
        ("row_id", KEY),  # the beginning of the row's SHA-256
        ("side", np.int8),
        ("reason", np.uint8),  # why it is held back by itself, in REASONS; 0: it is not
        ("source", np.uint8),  # in Gathered.sources
        ("label", np.int8),  # 1, 0, or -1 for none
        ("value", np.float32),
        ("version", np.int64),  # of the model, and that of the other one of a pair; else 0
        ("other_version", np.int64),
        ("personal", np.uint32),  # the kinds of personal data found, as bits
        ("characters", np.uint32),  # of the texts that its trainer reads
        ("size", np.uint32),  # of the row in its file
        ("pictures", np.uint32),  # bytes behind the row that say where its pictures are
    ]
)
# Who stands behind a row: its maker (speaks 0), and those who said something (1).
PEOPLE = np.dtype(
    [("row", np.uint32), ("visitor", np.int64), ("consent", np.int64), ("speaks", np.uint8)]
)
EVIDENCE = np.dtype([("row", np.uint32), ("entry", np.int64)])  # events; votes below zero
# Opinions that are no rows, and count for or against what rows say.
OPINIONS = np.dtype(
    [
        ("about", KEY),
        ("visitor", np.int64),
        ("side", np.int8),
        ("may_train", np.uint8),
        ("value", np.float32),
    ]
)
PROMPTS = np.dtype([("prompt", KEY), ("text", np.uint32)])  # the number of its text
# Keys by which rows are kept on one side of a split.
TIES = np.dtype([("row", np.uint32), ("key", KEY)])

CODE = {"uint8": "B", "int8": "b", "uint32": "I", "int64": "q", "uint64": "8s", "float32": "f"}


def unchanged(_some: NDArray[Any]) -> None:
    pass


def flowing(values: NDArray[Any]) -> Iterator[Any]:
    """The values as Python's own, of which there are never many."""
    for start in range(0, len(values), CHUNK):
        yield from values[start : start + CHUNK].tolist()


class Table:
    """Records of one type in a file."""

    def __init__(self, path: Path, dtype: np.dtype[np.void]) -> None:
        self.path = path
        self.dtype = dtype
        code = "".join(CODE[kind.name] for kind, *_ in (dtype.fields or {}).values())
        self.pack = struct.Struct(f"<{code}").pack
        self.waiting = bytearray()
        self.length = path.stat().st_size // dtype.itemsize if path.exists() else 0

    def add(self, *values: Any) -> None:
        """A record; a key is 8 bytes."""
        self.waiting += self.pack(*values)
        self.length += 1
        if len(self.waiting) >= BUFFER:
            self.flush()

    def flush(self) -> None:
        with self.path.open("ab") as file:
            file.write(self.waiting)
        self.waiting.clear()

    def take(self, other: "Table", change: Callable[[NDArray[Any]], None]) -> None:
        """Append the records of another, once they are changed."""
        self.flush()
        other.flush()
        with other.path.open("rb") as source, self.path.open("ab") as file:
            while len(some := np.fromfile(source, self.dtype, CHUNK)):
                change(some)
                file.write(some.tobytes())
        self.length += other.length

    def column(self, name: str) -> NDArray[Any]:
        """One field of all records."""
        self.flush()
        values = np.empty(self.length, self.dtype[name])
        with self.path.open("rb") as file:
            for start in range(0, self.length, CHUNK):
                some = np.fromfile(file, self.dtype, CHUNK)
                values[start : start + len(some)] = some[name]
        return values


class Payload:
    """Bytes of different lengths, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.waiting = bytearray()

    def add(self, data: bytes) -> None:
        self.waiting += data
        if len(self.waiting) >= BUFFER:
            self.flush()

    def flush(self) -> None:
        with self.path.open("ab") as file:
            file.write(self.waiting)
        self.waiting.clear()

    def take(self, other: "Payload") -> None:
        self.flush()
        other.flush()
        with other.path.open("rb") as source, self.path.open("ab") as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def whole_lines(self, at_once: int = BUFFER) -> Iterator[bytes]:
        """What there is, where all of it is lines: some of them at a time, about so many bytes."""
        self.flush()
        rest = b""
        with self.path.open("rb") as file:
            while read := file.read(at_once):
                some = rest + read
                ended = some.rfind(b"\n") + 1
                rest = some[ended:]
                if ended:
                    yield some[:ended]
        assert not rest, "the last line has no end"

    def pieces(self, lengths: Iterator[int]) -> Iterator[bytes]:
        self.flush()
        with self.path.open("rb", buffering=BUFFER) as file:
            for length in lengths:
                yield file.read(length)


class Prompts:
    """The texts of prompts by their keys, each once or a few times, hashed to be compared."""

    REMEMBERED = 20_000

    def __init__(self, folder: Path, near: float) -> None:
        self.keys = Table(folder / "prompts", PROMPTS)
        self.texts = Hashed(folder, near, "prompt ")
        self.seen: set[bytes] = set()

    def add(self, prompt: bytes, text: str) -> None:
        if prompt in self.seen:
            return
        if len(self.seen) == self.REMEMBERED:
            self.seen.clear()
        self.seen.add(prompt)
        self.keys.add(prompt, self.texts.add(text))

    def flush(self) -> None:
        self.keys.flush()
        self.texts.flush()

    def take(self, other: "Prompts") -> None:
        texts = len(self.texts)

        def renumber(some: NDArray[Any]) -> None:
            some["text"] += texts

        self.keys.take(other.keys, renumber)
        self.texts.take(other.texts)


class Gathered:
    """The rows that one config asks for, in their order; in a folder, where they may be already.

    told: what was told of those that are there. near: how similar prompts of one cluster are, where
    that is asked for.
    """

    def __init__(
        self, folder: Path, told: dict[str, Any] | None = None, near: float | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.facts = Table(folder / "facts", FACTS)
        self.people = Table(folder / "people", PEOPLE)
        self.evidence = Table(folder / "evidence", EVIDENCE)
        self.opinions = Table(folder / "opinions", OPINIONS)
        self.ties = Table(folder / "ties", TIES)
        self.prompts = None if near is None else Prompts(folder, near)
        self.rows = Payload(folder / "rows")
        told = told or {"sources": [], "left_out": 0}
        self.sources: list[str] = list(told["sources"])
        self.left_out: int = told["left_out"]  # that the selection did not ask for

    def told(self) -> dict[str, Any]:
        """What there is to know of it besides its files."""
        return {"sources": self.sources, "left_out": self.left_out}

    def flush(self) -> None:
        """See that all of it is in the folder."""
        files = (self.facts, self.people, self.evidence, self.opinions, self.ties, self.rows)
        for file in files:
            file.flush()
        if self.prompts is not None:
            self.prompts.flush()

    def take(self, other: "Gathered") -> None:
        """Append the rows of another."""
        rows, codes = (
            len(self),
            np.array([self.source_code(each) for each in other.sources], np.uint8),
        )

        def renumber(some: NDArray[Any]) -> None:
            some["row"] += rows

        def rename(some: NDArray[Any]) -> None:
            some["source"] = codes[some["source"]]

        self.facts.take(other.facts, rename)
        for mine, theirs in (
            (self.people, other.people),
            (self.evidence, other.evidence),
            (self.ties, other.ties),
        ):
            mine.take(theirs, renumber)
        self.opinions.take(other.opinions, unchanged)
        if self.prompts is not None and other.prompts is not None:
            self.prompts.take(other.prompts)
        self.rows.take(other.rows)
        self.left_out += other.left_out

    def remove(self) -> None:
        """Leave nothing of it on the disk."""
        shutil.rmtree(self.folder)

    def __len__(self) -> int:
        return self.facts.length

    def payload(self) -> Iterator[tuple[bytes, bytes]]:
        """Each row, and where the bytes are that it wants."""
        columns = (self.facts.column(name) for name in ("size", "pictures"))
        sizes = zip(*map(flowing, columns), strict=True)
        pieces = self.rows.pieces(length for pair in sizes for length in pair)
        return zip(pieces, pieces, strict=True)

    def source_code(self, source: str) -> int:
        if source not in self.sources:
            self.sources.append(source)
        return self.sources.index(source)
