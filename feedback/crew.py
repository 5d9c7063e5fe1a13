"""Who reads the rows of an export: this process, or several, which read a part each.

The rows are the same whoever reads them: parts follow each other as the generations do, and nothing
that looks at two rows happens before they are together again (see gather.py).
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from config import ROOT
from db.engine import Database
from db.media_elsewhere import open_media
from feedback.formats.pictures import Pictures
from feedback.formats.reader import WHOLE
from feedback.plan import Config, plan
from feedback.reading import Found, Reading, token_counts
from feedback.redact import SAMPLES, Sample
from feedback.snapshot import moment
from feedback.spec import as_json, from_json
from feedback.watch import Progress, Watch

WORKER = ("-m", "feedback.crew_worker")
SNAPSHOT = re.compile("[0-9A-F-]+")
MANY = 20_000  # events from which on it pays to start processes


class WorkerGone(RuntimeError):
    """Whoever read a part of the rows could not go on."""


class Crew(Protocol):
    """Reads the rows of one export after another; `begin` comes first, within a snapshot."""

    def begin(self, database: Database, session: Session) -> None:
        """See the same moment as the session, which has not asked anything yet."""

    def gather(
        self, reading: Reading, config: Config, folder: Path, watch: Watch
    ) -> tuple[Found, list[Sample]]:
        """The rows of a config, in files of the folder, and some of the personal data in them."""

    def close(self) -> None:
        """Let everybody go, wherever the work stands."""


class Alone:
    """Everything is read in this process."""

    def begin(self, database: Database, session: Session) -> None:
        pass

    def gather(
        self, reading: Reading, config: Config, folder: Path, watch: Watch
    ) -> tuple[Found, list[Sample]]:
        return reading.gather(config, WHOLE, folder, watch)

    def close(self) -> None:
        pass


class Processes:
    """So many processes on this machine, of which this one reads the first part."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.workers: list[Worker] = []
        self.said: queue.Queue[tuple[Worker, dict[str, Any] | None]] = queue.Queue()
        self.briefed = False

    def begin(self, database: Database, session: Session) -> None:
        for _ in range(self.number - 1):
            self.workers.append(Worker(database, self.said))
        self.everybody_says("ready")
        if not database.is_sqlite:
            self.tell({"snapshot": exported(session)})
            self.everybody_says("begun")
            return
        # While this transaction holds the right to write, nobody changes what is to be seen.
        with database.sessions() as still:
            still.execute(select(1))
            moment(session)  # with its first question a session begins to see one moment
            self.tell({"snapshot": None})
            self.everybody_says("begun")
            still.rollback()

    def gather(
        self, reading: Reading, config: Config, folder: Path, watch: Watch
    ) -> tuple[Found, list[Sample]]:
        if not self.briefed:
            self.tell(briefing(reading))
            self.briefed = True
        folder.mkdir()
        first, *others = reading.parts(config, self.number)
        mine, *places = (folder / str(number) for number in range(len(others) + 1))
        told: dict[Worker, dict[str, Any]] = {}
        for worker, part, place in zip(self.workers, others, places, strict=False):
            worker.tell({"config": config.number, "part": part, "folder": str(place)})

        def hear() -> None:
            worker, said = self.next()
            if "done" in said:
                told[worker] = said["done"]
            else:
                watch.step(said["rows"])

        def and_hear(now: Progress) -> None:
            watch.step(now.done - counted[0])
            counted[0] = now.done
            while not self.said.empty():
                hear()

        counted = [0]
        found, samples = reading.gather(config, first, mine, Watch(and_hear))
        while len(told) < len(others):
            hear()
        in_order = (told[worker] for worker in self.workers if worker in told)
        return together(reading, config, found, samples, zip(places, in_order, strict=True))

    def tell(self, line: dict[str, Any]) -> None:
        for worker in self.workers:
            worker.tell(line)

    def everybody_says(self, word: str) -> None:
        for _ in self.workers:
            _, said = self.next()
            assert said == {word: True}, said

    def next(self) -> "tuple[Worker, dict[str, Any]]":
        worker, said = self.said.get()
        if said is None:
            raise worker.gone()
        if "problem" in said:
            raise WorkerGone(said["problem"])
        return worker, said

    def close(self) -> None:
        for worker in self.workers:
            worker.end()
        self.workers, self.briefed = [], False


def crew_of(database: Database, processes: int) -> Crew:
    """So many processes; for 0 as many as the machine has processors, where that pays."""
    if not processes:
        with database.read() as session:
            many = moment(session).events >= MANY
        processes = processors() if many else 1
    return Processes(processes) if processes > 1 else Alone()


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker:
    """A process of feedback/crew_worker.py, which is told and says objects of JSON, one a line."""

    def __init__(
        self, database: Database, said: "queue.Queue[tuple[Worker, dict[str, Any] | None]]"
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *WORKER],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        # Not among its arguments, which anybody can see: the URL may hold a password.
        url = database.url.render_as_string(hide_password=False)
        self.tell({"database": url, "folder": str(Path.cwd())})
        self.thread = threading.Thread(target=self.listen, args=(said,), daemon=True)
        self.thread.start()

    def listen(self, said: "queue.Queue[tuple[Worker, dict[str, Any] | None]]") -> None:
        for line in open_pipe(self.process.stdout):
            said.put((self, json.loads(line)))
        said.put((self, None))

    def tell(self, line: dict[str, Any]) -> None:
        """Raises WorkerGone."""
        pipe = open_pipe(self.process.stdin)
        try:
            pipe.write(json.dumps(line) + "\n")
            pipe.flush()
        except BrokenPipeError:
            raise self.gone() from None

    def gone(self) -> WorkerGone:
        code = self.process.wait()
        return WorkerGone(f"a process that read a part of the rows has ended with {code}")

    def end(self) -> None:
        self.process.kill()  # it only reads, and its files go with their folder
        self.process.wait()
        self.thread.join()
        open_pipe(self.process.stdout).close()
        with suppress(BrokenPipeError):  # what it has not been told any more
            open_pipe(self.process.stdin).close()


def open_pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def exported(session: Session) -> str:
    """The name by which other sessions of PostgreSQL see what this one sees, while it lasts."""
    name: str = session.scalars(select(func.pg_export_snapshot())).one()
    return name


def briefing(reading: Reading) -> dict[str, Any]:
    """What a worker has to know before it reads."""
    store = reading.pictures.store
    return {
        "spec": as_json(reading.spec),
        "media": store and store.place,
        "to_write": reading.to_write,
    }


def see(session: Session, name: str | None) -> None:
    """See what another session does: by the name of its snapshot, or else what there is now."""
    if name is not None:
        # A parameter is not possible here.
        if not SNAPSHOT.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a snapshot")
        session.execute(text(f"SET TRANSACTION SNAPSHOT '{name}'"))
    moment(session)


def reading_of(session: Session, brief: dict[str, Any]) -> Reading:
    """What a worker reads with."""
    spec = from_json(brief["spec"])
    pictures = Pictures(brief["media"] and open_media(brief["media"]))
    counts = token_counts(session, spec.lint, plan(spec))
    return Reading(session, spec, pictures, counts, brief["to_write"])


def told_of(found: Found, samples: list[Sample]) -> dict[str, Any]:
    """What a worker says of the rows that it leaves in a folder."""
    found.flush()
    return {"found": found.told(), "samples": samples}


def together(
    reading: Reading,
    config: Config,
    found: Found,
    samples: list[Sample],
    others: Iterable[tuple[Path, dict[str, Any]]],
) -> tuple[Found, list[Sample]]:
    """The rows of the first part and then of the others, of which nothing else is left."""
    for folder, told in others:
        part = reading.place_for(config, folder, told["found"])
        samples = samples + [Sample(*sample) for sample in told["samples"]]
        found.take(part)  # type: ignore[arg-type]  # both are of the same config
        part.remove()
    return found, list(first_of_each_kind(samples))


def first_of_each_kind(samples: list[Sample]) -> Iterator[Sample]:
    seen: dict[str, int] = {}
    for sample in samples:
        seen[sample.kind] = seen.get(sample.kind, 0) + 1
        if seen[sample.kind] <= SAMPLES:
            yield sample
