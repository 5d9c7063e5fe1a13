"""A database with one visitor and her outputs, the server on it, and writers who rate them."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from config import ROOT
from db.engine import Database, sqlite_module
from db.migrate import migrate
from feedback.identity import HEADER, Signer, kept_secret
from tests.factories import make_generations, make_visitor

WRITERS = 8
PATIENCE = 30  # seconds; whatever takes longer has failed
Answer = tuple[int, dict[str, Any]]


@dataclass
class Stage:
    """A data folder whose database holds outputs of one visitor."""

    folder: Path
    token: str
    handles: list[str]
    settings: dict[str, Any] = field(default_factory=dict)  # of the server, besides the folder

    @property
    def database(self) -> Path:
        return self.folder / "app.db"


def set_stage(folder: Path, outputs: int = 40) -> Stage:
    folder.mkdir(exist_ok=True)
    signer = Signer(kept_secret(folder / "secret"))
    kept_secret(folder / "owner-token")
    token = signer.new_token()
    key_hash = signer.key_hash(token)
    assert key_hash is not None
    database = Database(f"sqlite:///{folder / 'app.db'}")
    migrate(database)

    def make(session: Any) -> list[str]:
        ann = make_visitor(session, key_hash)
        return [make_generations(session, ann)[0] for _ in range(outputs)]

    made = database.write(make)
    database.close()
    return Stage(folder, token, [signer.handle(one, key_hash) for one in made])


class Client:
    """One visitor's keep-alive connection."""

    def __init__(self, port: int, token: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.headers = {HEADER: token, "Content-Type": "application/json"}

    def post(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        self.connection.request("POST", path, json.dumps(body or {}), self.headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def request_line(stage: Stage, port: int, careless: bool) -> str:
    settings = {"data_dir": str(stage.folder), **stage.settings}
    return json.dumps({"port": port, "settings": settings, "careless": careless})


class Server:
    """The app on a stage, in a process of its own."""

    def __init__(
        self, stage: Stage, *, careless: bool = False, environment: dict[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.reliability.server"),
                request_line(stage, self.port, careless),
            ],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        wait_until_up(self.port, self.process)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)


class Kennel:
    """Servers that start at once, one after another: forks of one that has all its imports."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.child: int | None = None

    def start(self, stage: Stage) -> tuple[int, int]:
        """Port and process id of a new server."""
        port = free_port()
        self._say(request_line(stage, port, careless=False))
        self.child = int(self._hear())
        wait_until_up(port)
        return port, self.child

    def kill(self, pid: int, how: signal.Signals) -> int:
        """The exit status of the server that was started last."""
        os.kill(pid, how)
        self.child = None
        return int(self._hear())

    def close(self) -> None:
        if self.child is not None:  # a test has failed
            os.kill(self.child, signal.SIGKILL)
        self.process.kill()
        self.process.wait(PATIENCE)

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def wait_until_up(
    port: int, process: subprocess.Popen[Any] | None = None, seconds: float = PATIENCE
) -> None:
    """Until somebody listens; raises TimeoutError, or ChildProcessError for one that has ended."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if process is not None and process.poll() is not None:
            raise ChildProcessError(f"the server ended with {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"no server on port {port} after {seconds} s")


@dataclass
class Log:
    """What the writers know: what they sent, and what was acknowledged."""

    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)  # key -> receipt
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def in_doubt(self) -> list[str]:
        """Keys that were sent and never answered with a receipt."""
        return [key for key in self.sent if key not in self.acknowledged]


class Writers:
    """Threads that rate outputs one after another until the server goes away."""

    def __init__(self, port: int, stage: Stage, log: Log, writers: int = WRITERS) -> None:
        self.stage, self.log, self.port = stage, log, port
        self.threads = [threading.Thread(target=self._write) for _ in range(writers)]
        for thread in self.threads:
            thread.start()

    def wait_for(self, receipts: int) -> None:
        """Until so many more events were acknowledged: soon on a quiet machine, never for long."""
        wanted = len(self.log.acknowledged) + receipts
        ends = time.monotonic() + PATIENCE
        while len(self.log.acknowledged) < wanted and time.monotonic() < ends:
            time.sleep(0.005)
        assert len(self.log.acknowledged) >= wanted, f"no {receipts} receipts in {PATIENCE} s"

    def join(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self.threads), "a writer hangs"

    def _write(self) -> None:
        client = Client(self.port, self.stage.token)
        # The server was killed: what was under way is in doubt.
        with suppress(OSError, HTTPException):
            while True:
                say(client, event(random.choice(self.stage.handles)), self.log)
        client.connection.close()


def event(handle: str, **changed: Any) -> dict[str, Any]:
    """A new thing to say of the output."""
    kind, value = random.choice([("thumb", 1), ("stars", 3), ("comment", "好诗")])
    return {
        "key": str(uuid.uuid4()),
        "generation": handle,
        "kind": kind,
        "value": value,
        **changed,
    }


def say(client: Client, body: dict[str, Any], log: Log) -> int:
    """Send one event and log what came of it."""
    log.sent[body["key"]] = body
    status, receipt = client.post("/api/feedback", body)
    log.statuses[status] += 1
    if status in (200, 201):
        log.acknowledged[body["key"]] = receipt
    return status


def stored_keys(database: Path) -> list[str]:
    """The key of every event, from a database that is whole."""
    connection = sqlite_module().connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return [key for (key,) in connection.execute("SELECT key FROM feedback_events")]
    finally:
        connection.close()


def check_nothing_is_lost(stage: Stage, log: Log) -> None:
    """Every acknowledged event is there exactly once, and nothing that nobody sent."""
    kept = Counter(stored_keys(stage.database))
    lost = [key for key in log.acknowledged if kept[key] != 1]
    assert not lost, f"{len(lost)} of {len(log.acknowledged)} acknowledged events are not there"
    assert set(kept.values()) <= {1}
    assert kept.keys() <= log.sent.keys()
