"""What an export cannot do without, each step alone: `python -m benchmarks.export_floor`.

The steps are calls of libraries in C and Rust, so they are what remains of an export if everything
that is written in Python cost nothing. Beside them stands pandas, which writes the same rows with
`read_sql` and `to_json`, and the room that it leaves: the processor time a row may cost, on all
processors of this machine together, if an export is to be three times as fast.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from sqlalchemy import Table
from sqlalchemy.orm import Session

from benchmarks.export import databases
from benchmarks.feedback import many
from benchmarks.machine import description
from benchmarks.one_export import JOINED, pandas
from benchmarks.tables import number, table
from config import BUNDLED, ROOT
from db.bulk import insert_many
from db.engine import Database
from db.tables import Export, ExportRow
from feedback.blocks import blocks
from feedback.crew import processors
from feedback.gather import BLOCK
from feedback.ledger import BATCH
from feedback.ledger import COLUMNS as LEDGER
from feedback.lengths import plain_tokenizer
from feedback.priority import step_back

FASTER = 3  # than pandas
ENTRY = ("export_id", *LEDGER)
Row = tuple[Any, ...]


def rows_of(url: str) -> list[Row]:
    """The joined rows, by the driver alone."""
    database, found = Database(url), []
    with database.read() as session:
        driver: Any = session.connection().connection.driver_connection
        cursor = driver.execute(JOINED)
        while page := cursor.fetchmany(1_000):
            found += page
    database.close()
    return found


def count_tokens(rows: list[Row]) -> None:
    """Of what was asked and what was written, with the poet's tokenizer."""
    tokenizer = plain_tokenizer(BUNDLED / "poet")
    for some in blocks(rows, BLOCK):
        tokenizer.encode_batch_fast([row[9] + row[11] for row in some])


def write_json(rows: list[Row]) -> None:
    for row in rows:
        orjson.dumps(row)


def hash_lines(lines: list[bytes]) -> None:
    for line in lines:
        hashlib.sha256(line).hexdigest()


def enter(database: Database, entries: list[Row]) -> None:
    """Into the ledger, as many in a transaction as an export enters."""
    for some in blocks(entries, BATCH):
        database.write(partial(insert, entries=some))


def insert(session: Session, *, entries: list[Row]) -> None:
    ledger = ExportRow.__table__
    assert isinstance(ledger, Table)
    insert_many(session.connection(), ledger, ENTRY, entries)


def new_export(database: Database, name: str) -> int:
    def work(session: Session) -> int:
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        export = Export(name=name, version=1, format="sft", manifest_sha256=sha256, rows=1)
        export.folder, export.manifest = "", {}
        session.add(export)
        session.flush()
        return export.id

    return database.write(work)


def cost(work: Callable[[], object], rows: int) -> float:
    """Microseconds of processor time a row, of all threads."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / rows * 1e6


def measure(size: int, runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    data = ROOT / "data"  # a disk, where the usual temporary folder may be memory
    data.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=data) as place,
        databases(Path(place), size, ("SQLite",)) as urls,
    ):
        for run in range(runs):
            for name, value in one_run(urls["SQLite"], Path(place), f"run {run}", size).items():
                found.setdefault(name, []).append(value)
    return found


def one_run(url: str, place: Path, name: str, size: int) -> dict[str, float]:
    began = time.perf_counter()
    pandas(url, place)
    pandas_takes = (time.perf_counter() - began) / size * 1e6
    rows = rows_of(url)
    lines = [orjson.dumps(row) for row in rows]
    database = Database(url)
    export = new_export(database, name)
    entries = [(export, n, n + 1, "sft", "train", "0" * 64, None) for n in range(size)]
    found = {
        "pandas": pandas_takes,
        "read the joined rows with the driver": cost(partial(rows_of, url), size),
        "count the tokens of prompt and output": cost(partial(count_tokens, rows), size),
        "write a row as JSON": cost(partial(write_json, rows), size),
        "take the SHA-256 of a row": cost(partial(hash_lines, lines), size),
        "enter a row into the ledger": cost(partial(enter, database, entries), size),
    }
    database.close()
    return found


def report(found: dict[str, list[float]], size: int) -> str:
    values = {name: median(each) for name, each in found.items()}
    pandas_takes = values.pop("pandas")
    room = pandas_takes / FASTER * processors()
    rows = [[name, number(value), f"{value / room:.0%}"] for name, value in values.items()]
    rows.append(["together", number(sum(values.values())), f"{sum(values.values()) / room:.0%}"])
    head = [
        f"SQLite, {many(size, 'event')}",
        "µs of one processor a row",
        f"of the {number(room)} µs that are there",
    ]
    said = f"pandas takes {number(pandas_takes)} µs a row; {processors()} processors."
    return f"{said}\n\n{table(head, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=200_000, help="generations, and events")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    step_back()  # as exports do
    print(description(), report(measure(asked.size, asked.runs), asked.size), sep="\n\n")


if __name__ == "__main__":
    main()
