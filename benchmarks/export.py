"""A million judged generations as datasets, against pandas: `python -m benchmarks.export`.

With `--task image` or `--task vae` they are pictures, all different, and samples of a latent space.
One database of each kind holds as many events as generations. In turn, each in a process of its
own, GenLoop exports them in a format and pandas writes the joined rows with `read_sql` and
`to_json`. Meanwhile a writer rates on, to see whether exporting gets in its way.
"""

import argparse
import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
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

FORMATS = {
    "text": ("sft", "sft@4096", "dpo", "kto", "prompts", "rewards", "rubric", "events"),
    "image": ("captions", "image-preferences", "kohya", "events"),
    "vae": ("vae-samples", "vae-pairs", "events"),
}
DATABASES = ("SQLite", "PostgreSQL")
PEER = "pandas"
LOOK = 0.02  # seconds between two looks at the memory
EACH = 20  # generations of a visitor: as many as the cap lets through
CHUNK = 20_000  # rows of an INSERT
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SYLLABLES = [first + vowel + last for first in "bdfgklmn" for vowel in "aeio" for last in "nrst"]
KINDS = {  # in turn
    "text": ("thumb", "edit", "thumb", "reasons", "stars"),
    "image": ("thumb", "rank", "rank", "edit", "stars"),
    "vae": ("thumb", "rank", "rank", "stars", "reasons"),
}
DRAFTS = {"text": 1, "image": 5, "vae": 5}  # of a request
SIDE = 64  # pixels of a picture


@dataclass(frozen=True)
class Turn:
    """One export: what it took, and how long the writer waited beside it."""

    seconds: float
    rows: int  # that were read and tried
    peak: float  # MB of memory at most, above a bare interpreter
    waits: list[float]  # seconds until each rating was on the disk


def fill(connection: Connection, size: int, task: str = "text", media: Path | None = None) -> None:
    """As many events as generations, of `size / EACH` visitors; every prompt and text differs.

    media: the folder in which pictures are put.
    """
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
    name = {"text": "poet", "image": "painter", "vae": "vae"}[task]
    version = {"id": 1, "task": task, "name": name, "source": f"models/bundled/{name}"}
    insert_all(connection, ModelVersion, [{**version, "weights_sha256": "0" * 64, "state": "live"}])
    insert_all(connection, Generation, (generation(n, task, media) for n in range(size)))
    insert_all(connection, FeedbackEvent, (event(n, task) for n in range(size)))
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


def generation(n: int, task: str = "text", media: Path | None = None) -> dict[str, Any]:
    person, moment = n // EACH + 1, BEGAN + timedelta(seconds=n)
    draft = n % DRAFTS[task]
    prompt = {"prompt": f"Write a poem about {words(n - draft, 1, 8)}."}
    text = "\n".join(words(n, line, 8) for line in range(2, 6)) if task == "text" else None
    return {
        "id": name_of(n),
        "request_id": name_of(n - draft),
        "draft": draft,
        "task": task,
        "model_version_id": 1,
        "visitor_id": person,
        "consent_id": person,
        "inputs": {"action": "sample"} if task == "vae" else prompt,
        "options": {"seed": n, "temperature": 1.0},
        "output_text": text,
        "media_sha256": put(picture(n), media) if media is not None else None,
        "latent": {"z": [n / 7, -n / 9, 0.5, 1.0, 0.25, -1.5]} if task == "vae" else None,
        "status": "complete",
        "finish_reason": "end",
        "input_tokens": 12,
        "output_tokens": 40,
        "queued_at": moment,
        "started_at": moment,
        "first_token_at": moment,
        "finished_at": moment,
    }


def picture(n: int) -> bytes:
    """A PNG of SIDE x SIDE pixels in stripes, which depends on the number; about 300 bytes."""
    row = b"\0" + b"".join((n * (place + 1)).to_bytes(8, "little")[:3] for place in range(SIDE))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(row * SIDE, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def put(data: bytes, media: Path) -> str:
    """Where a MediaStore would put it, but not as safely, which takes a hundred times as long."""
    sha256 = hashlib.sha256(data).hexdigest()
    folder = media / sha256[:2]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256).write_bytes(data)
    return sha256


def event(n: int, task: str = "text") -> dict[str, Any]:
    kind, person = KINDS[task][n % len(KINDS[task])], n // EACH + 1
    all_said: dict[str, dict[str, Any]] = {
        "thumb": {"score": 1 if n % 3 else -1},
        "stars": {"score": n % 5 + 1},
        "rank": {"score": n % 5},  # 1 and 2, as they come in turn
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
def databases(
    folder: Path, size: int, kinds: tuple[str, ...], task: str = "text"
) -> Iterator[dict[str, str]]:
    """The URL of a filled database of each kind; pictures are in `media` of the folder."""
    media = folder / "media" if task != "text" else None
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
                fill(connection, size, task, media)
                connection.exec_driver_sql("ANALYZE")
                connection.commit()
            engine.dispose()
        yield urls


def measure(
    size: int, runs: int, formats: tuple[str, ...], kinds: tuple[str, ...], task: str
) -> dict[tuple[str, str], list[Turn]]:
    """The turns of each contestant on each kind of database; "" is the writer alone."""
    turns: dict[tuple[str, str], list[Turn]] = defaultdict(list)
    data = ROOT / "data"  # a disk, where the usual temporary folder may be memory
    data.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=data) as place,
        databases(Path(place), size, kinds, task) as urls,
    ):
        for run in range(runs):
            for kind, url in urls.items():
                for name in ("", *formats, PEER):
                    folder = Path(place) / f"{kind}-{name}-{run}"
                    turns[kind, name].append(turn(url, name, folder, Path(place) / "media"))
                    shutil.rmtree(folder)
    return turns


def turn(url: str, name: str, folder: Path, media: Path) -> Turn:
    """One contestant beside a writer; without a name only the writer, for ten seconds."""
    folder.mkdir()
    with Worker("rater") as rater:
        rater.ask(start=url)
        if not name:
            time.sleep(10)
            said: dict[str, Any] = {"seconds": 10.0, "rows": 0, "peak": 0.0}
        else:
            said = contestant(url, name, folder, media)
        waits = rater.ask(stop=True)["waits"]
    return Turn(said["seconds"], said["rows"], said["peak"], waits)


def contestant(url: str, name: str, folder: Path, media: Path) -> dict[str, Any]:
    """What the contestant says, and the memory that it and its helpers needed at most together."""
    command = [sys.executable, "-m", "benchmarks.one_export", url, name, str(folder), str(media)]
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
    parser.add_argument("--task", default="text", choices=FORMATS)
    parser.add_argument("--formats", nargs="*", help="else all of the task")
    parser.add_argument("--databases", nargs="*", default=DATABASES, choices=DATABASES)
    asked = parser.parse_args()
    formats = tuple(asked.formats or FORMATS[asked.task])
    turns = measure(asked.size, asked.runs, formats, tuple(asked.databases), asked.task)
    print(description(), report(turns, asked.size), sep="\n\n")


if __name__ == "__main__":
    main()
