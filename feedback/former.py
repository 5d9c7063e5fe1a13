"""An earlier version of a dataset that a new one goes on from: its rows and its files, read back.

Files whose rows all stay are taken over byte for byte. A file that loses rows is written anew
without them; the others of its rows keep their bytes, or in Parquet their values.
"""

import csv
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from feedback.dataset_folder import NewFile, make_private
from feedback.ledger import ASSIGNED, Behind, data_rows, origin_path, read_manifest
from feedback.splits import Split
from feedback.whole_export import ExportFile, check, read_whole

CHUNK = 1 << 20  # bytes that are copied at once

Ids = NDArray[np.uint64]
Keep = Callable[[str], bool]  # whether the row of a SHA-256 stays
Taken = tuple[NewFile, int]  # with the number of its rows


@dataclass(frozen=True)
class Former:
    """A finished export in its folder."""

    folder: Path
    manifest: dict[str, Any]
    sha256: str  # of the manifest

    @property
    def label(self) -> str:
        return f"{self.manifest['name']}@{self.manifest['version']}"

    def config(self, name: str) -> dict[str, Any]:
        [found] = [config for config in self.manifest["configs"] if config["name"] == name]
        return dict(found)

    def files(self, name: str, split: str) -> list[Path]:
        files = self.config(name)["splits"].get(split, [])
        return [self.folder / file["path"] for file in files]

    def rows(self, name: str, split: str) -> Iterator[Behind]:
        """The events behind each row, and its SHA-256, in the order of the files."""
        config = self.config(name)
        for path in self.files(name, split):
            yield from data_rows(path, config)

    def ids(self, name: str) -> dict[str, Ids]:
        """What the rows of each split are known by, in 8 bytes each, sorted."""
        return {
            split: np.unique(
                np.fromiter((row_id(sha256) for _, sha256 in self.rows(name, split)), np.uint64)
            )
            for split in self.config(name)["splits"]
        }

    def assignments(self) -> Iterator[tuple[str, Split]]:
        """On which side every key was."""
        path = self.folder / ASSIGNED
        if path.exists():
            with path.open("rb") as lines:
                for line in lines:
                    entry = orjson.loads(line)
                    yield entry["key"], entry["split"]


def row_id(sha256: str) -> int:
    """The first 8 bytes, as numpy reads them."""
    return int.from_bytes(bytes.fromhex(sha256[:16]), sys.byteorder)


def read_former(folder: Path) -> Former:
    """The export in the folder, whose files are checked; raises NoExport or DamagedExport."""
    whole = read_whole(folder)
    _, manifest = read_manifest(folder)
    for name, entry in manifest["for_the_owner"].items():
        check(folder, ExportFile(name, entry["bytes"], entry["sha256"]))
    return Former(folder, manifest, whole.manifest.sha256)


def kept_by(ids: Ids) -> Keep:
    """Whether a row is among these, which are sorted."""
    known = array("Q", ids.tobytes())

    def keep(sha256: str) -> bool:
        place = bisect_left(known, row_id(sha256))
        return place < len(known) and known[place] == row_id(sha256)

    return keep


def take_over(path: Path, place: Path, config: dict[str, Any], keep: Keep) -> Taken | None:
    """Write a file of rows without those that do not stay; None where none stays."""
    stays = [keep(sha256) for _, sha256 in data_rows(path, config)]
    if not any(stays):
        return None
    make_private(place.parent)
    file = NewFile(place)
    if all(stays):
        copy(path, file)
    else:
        FILTERS[path.suffix](path, file, iter(stays))
    file.close()
    return file, sum(stays)


def copy(path: Path, file: NewFile) -> None:
    with path.open("rb") as content:
        while data := content.read(CHUNK):
            file.write(data)


def filter_lines(path: Path, file: NewFile, stays: Iterator[bool]) -> None:
    with path.open("rb") as lines:
        for line, stay in zip(lines, stays, strict=True):
            if stay:
                file.write(line)


def filter_cells(path: Path, file: NewFile, stays: Iterator[bool]) -> None:
    """Rows of a CSV, as they stand: a cell may hold line breaks."""
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as content:
        taken: list[str] = []

        def lines() -> Iterator[str]:
            for line in content:
                taken.append(line)
                yield line

        rows = csv.reader(lines())
        next(rows)
        file.write("".join(taken).encode())
        taken.clear()
        for _, stay in zip(rows, stays, strict=True):
            if stay:
                file.write("".join(taken).encode())
            taken.clear()


def filter_table(path: Path, file: NewFile, stays: Iterator[bool]) -> None:
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as source:
        schema = source.schema_arrow
        with parquet.ParquetWriter(
            file, schema, compression="zstd", write_statistics=False
        ) as writer:
            for number in range(source.num_row_groups):
                group = source.read_row_group(number, use_threads=False)
                mask = [next(stays) for _ in range(group.num_rows)]
                writer.write_table(group.filter(pyarrow.array(mask)))


FILTERS = {".jsonl": filter_lines, ".csv": filter_cells, ".parquet": filter_table}


def lines_of(path: Path, config: dict[str, Any], keep: Keep) -> Iterator[tuple[bytes, bytes]]:
    """The rows of a file of JSON lines that stay, and where they are from if that stands beside."""
    beside = origin_path(path) if config["shape"] == "openai" else path
    with path.open("rb") as lines, beside.open("rb") as origins:
        rows = zip(lines, origins, data_rows(path, config), strict=True)
        for line, origin, (_, sha256) in rows:
            if keep(sha256):
                yield line.rstrip(b"\n"), origin.rstrip(b"\n")


def named_files(line: bytes) -> Iterator[str]:
    """The files that a row of a list of pictures names, with their captions."""
    row = orjson.loads(line)
    for name, value in row.items():
        if name.endswith("file_name"):
            yield value
            if name != "file_name":  # in the folders of sd-scripts
                yield value.removesuffix(".png") + ".txt"
