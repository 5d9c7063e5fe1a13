"""The files that hold a dataset's rows: lines of JSON, tables in Parquet, or CSV; in shards."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import orjson

from feedback.dataset_folder import NewFile, make_private
from feedback.events_csv import BOM, cell
from feedback.formats.format import Schema
from feedback.plan import Config, FileType
from feedback.spec import Flavour

Columns = dict[str, Any]

# A row group closes when it is this long: so much of a table is in memory at once.
GROUP_BYTES = 8 << 20
GROUP_ROWS = 5_000
BUFFER = 1 << 16  # characters of a CSV that wait


class RowFile(Protocol):
    """Takes rows as JSON objects, and the bytes that stand for others in their columns."""

    def add(self, line: bytes, within: dict[str, bytes]) -> None: ...

    def close(self) -> None:
        """Write what is waiting."""


class JsonLines:
    """One JSON object a line (UTF-8)."""

    def __init__(self, file: NewFile) -> None:
        self.file = file

    def add(self, line: bytes, _within: dict[str, bytes]) -> None:
        self.file.write(line + b"\n")

    def close(self) -> None:
        pass


class ParquetTable:
    """A Parquet file (zstd). A picture is a struct of bytes and path, as `datasets` decodes it."""

    def __init__(self, file: NewFile, schema: Schema) -> None:
        self.schema = schema
        self.file = file
        self.waiting: list[Columns] = []
        self.bytes = 0  # of what is waiting
        self.writer: Any = None

    def add(self, line: bytes, within: dict[str, bytes]) -> None:
        row = orjson.loads(line)
        for name, content in within.items():
            self.bytes += len(content)
            picture = self.schema[name] == "image"
            row[name] = {"bytes": content, "path": f"{row[name]}.png"} if picture else content
        self.bytes += len(line)
        self.waiting.append(row)
        if self.bytes >= GROUP_BYTES or len(self.waiting) >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        # Imported where it is needed: it takes its time, and no other export needs it.
        import pyarrow
        from pyarrow import parquet

        if self.writer is None:
            self.writer = parquet.ParquetWriter(
                self.file, arrow_schema(self.schema), compression="zstd", write_statistics=False
            )
        self.writer.write_table(pyarrow.Table.from_pylist(self.waiting, self.writer.schema))
        self.waiting.clear()
        self.bytes = 0

    def close(self) -> None:
        if self.waiting:
            self.flush()
        if self.writer is not None:
            self.writer.close()


class CsvTable:
    """Cells of one flavour (RFC 4180, UTF-8)."""

    def __init__(
        self, file: NewFile, schema: Schema, flavour: Flavour = "lossless", bom: bool = False
    ) -> None:
        self.file = file
        self.columns = list(schema)
        self.flavour = flavour
        self.buffer = io.StringIO(newline="")
        self.writer = csv.writer(self.buffer)
        self.writer.writerow(self.columns)
        if bom:
            file.write(BOM)

    def add(self, line: bytes, _within: dict[str, bytes]) -> None:
        row = orjson.loads(line)
        self.writer.writerow([cell(row[name], self.flavour) for name in self.columns])
        if self.buffer.tell() >= BUFFER:
            self.flush()

    def flush(self) -> None:
        self.file.write(self.buffer.getvalue().encode())
        self.buffer.seek(0)
        self.buffer.truncate()

    def close(self) -> None:
        self.flush()


def opener(config: Config) -> Callable[[NewFile], RowFile]:
    """What begins a file of the config's rows."""
    if config.files == "parquet":
        return lambda file: ParquetTable(file, config.schema)
    if config.files == "csv":
        recipe = config.recipe
        return lambda file: CsvTable(file, config.schema, recipe.flavour, recipe.bom)
    return JsonLines


class Shards:
    """The rows of one split, in as many files as it takes.

    A single file is named `train.jsonl`, of three the second is `train-00001-of-00003.jsonl`. A
    file begins anew when its rows have reached `limit` bytes of JSON, pictures included.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        files: FileType,
        begin: Callable[[NewFile], RowFile],
        limit: int,
    ) -> None:
        self.folder, self.stem, self.files = folder, stem, files
        self.begin, self.limit = begin, limit
        self.done: list[tuple[NewFile, int]] = []  # with the number of rows
        self.file: NewFile | None = None
        self.rows: RowFile
        self.bytes = self.count = 0

    def add(self, line: bytes, within: dict[str, bytes] | None = None) -> None:
        within = within or {}
        if self.file is None:
            make_private(self.folder)
            name = f"{self.stem}-{len(self.done):05}.{self.files}"
            self.file, self.bytes, self.count = NewFile(self.folder / name), 0, 0
            self.rows = self.begin(self.file)
        self.rows.add(line, within)
        self.bytes += len(line) + sum(map(len, within.values()))
        self.count += 1
        if self.bytes >= self.limit:
            self.end()

    def add_lines(self, lines: bytes) -> int:
        """Add rows that need nothing in their columns, each with a newline behind; how many."""
        count = lines.count(b"\n")
        there_is_room = self.file is not None and self.bytes + len(lines) < self.limit
        if self.file is not None and there_is_room and isinstance(self.rows, JsonLines):
            self.file.write(lines)
            self.bytes += len(lines) - count
            self.count += count
            return count
        for line in lines.split(b"\n")[:-1]:
            self.add(line)
        return count

    def end(self) -> None:
        if self.file is not None:
            self.rows.close()
            self.file.close()
            self.done.append((self.file, self.count))
            self.file = None

    def close(self) -> list[tuple[NewFile, int]]:
        """Finish the files under their names; each with its number of rows."""
        self.end()
        for number, (file, _) in enumerate(self.done):
            of = f"-{number:05}-of-{len(self.done):05}" if len(self.done) > 1 else ""
            file.rename(f"{self.stem}{of}.{self.files}")
        return self.done


def arrow_schema(schema: Schema) -> Any:
    """The schema in Arrow's terms; pictures are told to `datasets` in its metadata."""
    import pyarrow

    fields = [pyarrow.field(name, arrow_type(kind)) for name, kind in schema.items()]
    pictures = {name: {"_type": "Image"} for name, kind in schema.items() if kind == "image"}
    if not pictures:
        return pyarrow.schema(fields)
    features = {name: pictures.get(name) or feature(kind) for name, kind in schema.items()}
    info = orjson.dumps({"info": {"features": features}})
    return pyarrow.schema(fields, metadata={"huggingface": info})


def arrow_type(kind: str) -> Any:
    """The type that is spelled as Arrow prints it: string, list<double>, struct<a: string>, …"""
    import pyarrow

    simple = {
        "string": pyarrow.string(),
        "binary": pyarrow.binary(),
        "bool": pyarrow.bool_(),
        "double": pyarrow.float64(),
        "int64": pyarrow.int64(),
        "image": pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
    }
    if kind in simple:
        return simple[kind]
    outer, _, inner = kind.removesuffix(">").partition("<")
    if outer == "list":
        return pyarrow.list_(arrow_type(inner))
    parts = (
        (part.split(": ", 1) for part in inner.split(", "))
        if "<" not in inner
        else [inner.split(": ", 1)]
    )
    return pyarrow.struct([(name, arrow_type(part)) for name, part in parts])


def feature(kind: str) -> dict[str, Any]:
    """The type as `datasets` names it, for tables with pictures."""
    if kind == "list<double>":
        return {"feature": {"dtype": "float64", "_type": "Value"}, "_type": "List"}
    dtype = {"double": "float64"}.get(kind, kind)
    return {"dtype": dtype, "_type": "Value"}
