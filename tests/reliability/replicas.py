"""Replicas of the app on one PostgreSQL, and visitors who keep them busy."""

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from config import ROOT
from db.engine import Database
from db.migrate import migrate
from feedback.identity import HEADER, Signer
from tests.factories import make_generations, make_visitor
from tests.serving import free_port, wait_for

SECRET = "the same for all replicas, and long"
OWNER_TOKEN = "the same owner's token for all"


@dataclass
class Replica:
    """The app without pages and models, in a process of its own."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@contextmanager
def replica(folder: Path, database_url: str, code: Path = ROOT) -> Iterator[Replica]:
    """One more replica, of this version of the app or of the one in another folder."""
    folder.mkdir()
    port = free_port()
    settings = {
        "data_dir": str(folder),
        "DATABASE_URL": database_url,
        "secret": SECRET,
        "owner_token": OWNER_TOKEN,
        "trusted_proxies": 1,
    }
    line = json.dumps({"port": port, "careless": False, "settings": settings})
    command = [sys.executable, "-m", "tests.reliability.server", line]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=code, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
            yield Replica(port, process)
        finally:
            process.terminate()
            process.wait(20)


def outputs(database_url: str, count: int = 20) -> tuple[str, list[str]]:
    """The token of a visitor of a migrated database, and handles of outputs of hers."""
    signer = Signer(SECRET)
    token = signer.new_token()
    key_hash = signer.key_hash(token)
    assert key_hash is not None
    database = Database(database_url)
    migrate(database)

    def make(session: Any) -> list[str]:
        ann = make_visitor(session, key_hash)
        return [make_generations(session, ann)[0] for _ in range(count)]

    made = database.write(make)
    database.close()
    return token, [signer.handle(one, key_hash) for one in made]


@dataclass
class Load:
    """Visitors who rate without pause, and send again what was not acknowledged, like the page."""

    url: str
    token: str
    handles: list[str]
    acknowledged: dict[str, Any] = field(default_factory=dict)  # receipts by key
    again: int = 0  # how often something had to be sent again
    replicas: set[str] = field(default_factory=set)
    ended: bool = False

    def person(self, number: int) -> None:
        with httpx.Client(base_url=self.url, headers={HEADER: self.token}, timeout=10) as client:
            while not self.ended:
                handle = self.handles[number % len(self.handles)]
                event = {
                    "key": str(uuid.uuid4()),
                    "generation": handle,
                    "kind": "comment",
                    "value": f"{number} {time.time_ns()}",
                }
                self.deliver(client, event)

    def deliver(self, client: httpx.Client, event: dict[str, Any]) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                answer = client.post("/api/feedback", json=event)
            except httpx.TransportError:
                self.again += 1
                continue
            if answer.status_code in (200, 201):
                self.acknowledged[event["key"]] = answer.json()
                self.replicas.add(answer.headers.get("x-replica", ""))
                return
            assert answer.status_code in (502, 503, 504), answer.text
            self.again += 1
            time.sleep(0.05)
        raise AssertionError("not acknowledged in a minute")


@contextmanager
def under_load(load: Load, people: int = 6) -> Iterator[Load]:
    threads = [threading.Thread(target=load.person, args=(one,)) for one in range(people)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.ended = True
        for thread in threads:
            thread.join(90)


def grown(load: Load, by: int, replicas: int = 1, seconds: int = 60) -> None:
    """Wait until so many more are acknowledged, by so many replicas at least."""
    wanted, until = len(load.acknowledged) + by, time.monotonic() + seconds
    while len(load.acknowledged) < wanted or len(load.replicas) < replicas:
        assert time.monotonic() < until, f"only {len(load.acknowledged)} of {wanted}"
        time.sleep(0.02)
