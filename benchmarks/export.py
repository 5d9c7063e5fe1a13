"""A million judged generations as datasets, against pandas: `python -m benchmarks.export`.

One database of each kind holds as many events as generations. In turn, each in a process of its
own, GenLoop exports them in a format and pandas writes the joined rows with `read_sql` and
`to_json`. Meanwhile a writer rates on, to see whether exporting gets in its way.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
from sqlalchemy import Connection, create_engine, insert, text

from benchmarks.feedback import many
from benchmarks.machine import description
from benchmarks.processes import Worker, environment
from benchmarks.tables import number, table, times
from config import ROOT
from db.engine import Database
from db.migrate import migrate
from db.tables import Consent, FeedbackEvent, Generation, ModelVersion, Visitor
from tests.postgres_server import own_postgres, postgres_database

FORMATS = ("sft", "dpo", "kto", "prompts", "rewards", "rubric", "events")
DATABASES = ("SQLite", "PostgreSQL")
PEER = "pandas"
LOOK = 0.02  # seconds between two looks at the memory
EACH = 20  # generations of a visitor: as many as the cap lets through
CHUNK = 20_000  # rows of an INSERT
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SYLLABLES = [first + vowel + last for first in "bdfgklmn" for vowel in "aeio" for last in "nrst"]
KINDS = ("thumb", "edit", "thumb", "reasons", "stars")  # in turn


@dataclass(frozen=True)
class Turn:
    """One export: what it took, and how long the writer waited beside it."""

    seconds: float
    rows: int  # that were read and tried
    peak: float  # MB of memory at most, above a bare interpreter
    waits: list[float]  # seconds until each rating was on the disk


def fill(connection: Connection, size: int) -> None:
    """As many events as generations, of `size / EACH` visitors; every prompt and text differs."""
    people = size // EACH
    terms = {"terms_version": "2026-11", "terms_sha256": "0" * 64, "language": "en"}
    insert_all(
        connection,
        Visitor,
        ({"id": n, "key_hash": f"{n:064x}", "created_at": BEGAN} for n in range(1, people + 1)),
    )
    insert_all(
        connection,
        Consent,
        (
            {"id": n, "visitor_id": n, **terms, "keep": True, "train": True, "created_at": BEGAN}
            for n in range(1, people + 1)
        ),
    )
    version = {"id": 1, "task": "text", "name": "poet", "source": "models/bundled/poet"}
    insert_all(connection, ModelVersion, [{**version, "weights_sha256": "0" * 64, "state": "live"}])
    insert_all(connection, Generation, (generation(n) for n in range(size)))
    insert_all(connection, FeedbackEvent, (event(n) for n in range(size)))
    if connection.dialect.name == "postgresql":  # whose counter does not know these ids
        ask = "SELECT setval(pg_get_serial_sequence('feedback_events', 'id'), max(id))"
        connection.execute(text(f"{ask} FROM feedback_events"))


def words(n: int, seed: int, count: int) -> str:
    """Made-up words that depend on the numbers: texts that resemble each other are looked at long,
    and so are digits, which may be somebody's.
    """
    state, found = n * 2_654_435_761 + seed, []
    for _ in range(count):
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        found.append(SYLLABLES[state >> 57] + SYLLABLES[(state >> 50) % 128])
    return " ".join(found)


def name_of(n: int) -> str:
    return f"00000000-0000-7000-8000-{n:012x}"


def generation(n: int) -> dict[str, Any]:
    person, moment = n // EACH + 1, BEGAN + timedelta(seconds=n)
    return {
        "id": name_of(n),
        "request_id": name_of(n),
        "draft": 0,
        "task": "text",
        "model_version_id": 1,
        "visitor_id": person,
        "consent_id": person,
        "inputs": {"prompt": f"Write a poem about {words(n, 1, 8)}."},
        "options": {"seed": n, "temperature": 1.0},
        "output_text": "\n".join(words(n, line, 8) for line in range(2, 6)),
        "status": "complete",
        "finish_reason": "end",
        "input_tokens": 12,
        "output_tokens": 40,
        "queued_at": moment,
        "started_at": moment,
        "first_token_at": moment,
        "finished_at": moment,
    }


def event(n: int) -> dict[str, Any]:
    kind, person = KINDS[n % len(KINDS)], n // EACH + 1
    all_said: dict[str, dict[str, Any]] = {
        "thumb": {"score": 1 if n % 3 else -1},
        "stars": {"score": n % 5 + 1},
        "edit": {"text": "\n".join(words(n, line, 8) for line in range(6, 10))},
        "reasons": {"items": ["beautiful"] if n % 2 else ["repetitive"]},
    }
    return {
        "id": n + 1,
        "key": name_of(n),
        "generation_id": name_of(n),
        "visitor_id": person,
        "consent_id": person,
        "kind": kind,
        "score": None,
        "text": None,
        "items": None,
        "retracted": False,
        "created_at": BEGAN + timedelta(seconds=n),
        **all_said[kind],
    }


def insert_all(connection: Connection, entity: type[Any], rows: Any) -> None:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            connection.execute(insert(entity), chunk)
            connection.commit()
            chunk = []
    if chunk:
        connection.execute(insert(entity), chunk)
        connection.commit()


@contextmanager
def databases(folder: Path, size: int, kinds: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The URL of a filled database of each kind."""
    with ExitStack() as stack:
        urls: dict[str, str] = {}
        if "SQLite" in kinds:
            urls["SQLite"] = f"sqlite:///{folder / 'app.db'}"
        if "PostgreSQL" in kinds:
            server = stack.enter_context(own_postgres(durable=True))
            urls["PostgreSQL"] = stack.enter_context(postgres_database(server))
        for url in urls.values():
            database = Database(url)
            migrate(database)
            database.close()
            engine = create_engine(url)
            with engine.connect() as connection:
                fill(connection, size)
                connection.exec_driver_sql("ANALYZE")
                connection.commit()
            engine.dispose()
        yield urls


def measure(
    size: int, runs: int, formats: tuple[str, ...], kinds: tuple[str, ...]
) -> dict[tuple[str, str], list[Turn]]:
    """The turns of each contestant on each kind of database; "" is the writer alone."""
    turns: dict[tuple[str, str], list[Turn]] = defaultdict(list)
    data = ROOT / "data"  # a disk, where the usual temporary folder may be memory
    data.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=data) as place,
        databases(Path(place), size, kinds) as urls,
    ):
        for run in range(runs):
            for kind, url in urls.items():
                for name in ("", *formats, PEER):
                    folder = Path(place) / f"{kind}-{name}-{run}"
                    turns[kind, name].append(turn(url, name, folder))
                    shutil.rmtree(folder)
    return turns


def turn(url: str, name: str, folder: Path) -> Turn:
    """One contestant beside a writer; without a name only the writer, for ten seconds."""
    folder.mkdir()
    with Worker("rater") as rater:
        rater.ask(start=url)
        if not name:
            time.sleep(10)
            said: dict[str, Any] = {"seconds": 10.0, "rows": 0, "peak": 0.0}
        else:
            said = contestant(url, name, folder)
        waits = rater.ask(stop=True)["waits"]
    return Turn(said["seconds"], said["rows"], said["peak"], waits)


def contestant(url: str, name: str, folder: Path) -> dict[str, Any]:
    """What the contestant says, and the memory that it and its helpers needed at most together."""
    command = [sys.executable, "-m", "benchmarks.one_export", url, name, str(folder)]
    peak = 0
    with tempfile.TemporaryFile("w+") as told:
        process = psutil.Popen(command, env=environment({}), cwd=ROOT, stdout=told)
        while process.poll() is None:
            peak = max(peak, memory(process))
            time.sleep(LOOK)
        if process.returncode:
            raise RuntimeError(f"{name} ended with {process.returncode}")
        told.seek(0)
        said: dict[str, Any] = json.loads(told.read().splitlines()[-1])
    return said | {"peak": (peak - bare()) / 2**20}


def memory(process: psutil.Process) -> int:
    """Bytes that it and its children have in memory (PSS: what they share counts once)."""
    found = 0
    with suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                found += one.memory_full_info().pss
    return found


@cache
def bare() -> int:
    """Bytes that an interpreter has in memory which has done nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        time.sleep(0.5)
        return int(psutil.Process(process.pid).memory_full_info().pss)


def p99(turns: list[Turn]) -> float:
    waits = [wait for turn in turns for wait in turn.waits]
    return quantiles(waits, n=100)[98]


def report(turns: dict[tuple[str, str], list[Turn]], size: int) -> str:
    """The tables in Markdown, ratios first."""
    parts = [many(size, "generation") + " and as many events."]
    for kind in dict.fromkeys(kind for kind, _ in turns):
        names = [name for each, name in turns if each == kind and name]

        def seconds(name: str, kind: str = kind) -> float:
            return median(turn.seconds for turn in turns[kind, name])

        def row(name: str, kind: str = kind) -> list[str]:
            ours = turns[kind, name]
            return [
                name,
                times(seconds(PEER) / seconds(name)),
                number(size / seconds(name)),
                number(median(turn.rows for turn in ours) / seconds(name)),
                f"{number(seconds(name))} s",
                f"{number(max(turn.peak for turn in ours))} MB",
                times(p99(ours) / p99(turns[kind, ""])),
                f"{number(1000 * p99(ours))} ms",
            ]

        head = [
            kind,
            "events read/s against pandas",
            "events read/s",
            "rows tried/s",
            "whole export",
            "peak memory",
            "writer's p99 against alone",
            "writer's p99",
        ]
        parts.append(table(head, [row(name) for name in names]))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=1_000_000, help="generations, and events")
    parser.add_argument("--runs", type=int, default=3, help="runs of each case")
    parser.add_argument("--formats", nargs="*", default=FORMATS)
    parser.add_argument("--databases", nargs="*", default=DATABASES, choices=DATABASES)
    asked = parser.parse_args()
    turns = measure(asked.size, asked.runs, tuple(asked.formats), tuple(asked.databases))
    print(description(), report(turns, asked.size), sep="\n\n")


if __name__ == "__main__":
    main()
