"""SIGTERM while eight visitors rate: the app finishes what it has begun, and ends in time."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from config import ROOT
from db.media import MediaStore
from db.replica.replay import replay
from feedback.identity import HEADER, Signer, kept_secret
from generators.text import MAX_NEW_TOKENS
from tests.reliability.stage import (
    PATIENCE,
    Log,
    Server,
    Stage,
    Writers,
    check_nothing_is_lost,
    free_port,
    set_stage,
    stored_keys,
    wait_until_up,
)
from tests.replicas import folder_target, new_database, newest, wait_until

IN_TIME = 10  # seconds; Docker and Spaces kill what takes longer
REQUESTS, DRAFTS = 8, 4  # of one visitor, so that texts are being written at the end


def stop_under_load(process: subprocess.Popen, port: int, stage, log: Log) -> float:
    """Seconds from SIGTERM to the end of the process."""
    writers = Writers(port, stage, log)
    writers.wait_for(100)
    process.terminate()
    began = time.monotonic()
    process.wait(PATIENCE)
    took = time.monotonic() - began
    writers.join()
    return took


def test_sigterm_under_load_loses_nothing_and_ends_in_time(tmp_path):
    stage, log = set_stage(tmp_path / "data"), Log()
    with Server(stage) as server:
        took = stop_under_load(server.process, server.port, stage, log)

    assert took < IN_TIME
    assert not (stage.folder / "app.db-wal").exists(), "the log was not written back"
    check_nothing_is_lost(stage, log)


@dataclass
class Page:
    """A visitor's browser, which shows the page and waits for long texts."""

    port: int
    token: str
    threads: list[threading.Thread] = field(default_factory=list)
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # of each request

    def __enter__(self) -> "Page":
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={HEADER: self.token}, timeout=PATIENCE
        )
        config = self.http.get("/config").json()
        self.press = next(one["id"] for one in config["dependencies"] if one["api_name"] == "text")
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self.threads:
            thread.join(PATIENCE)
        self.http.close()

    def listen(self, path: str) -> None:
        """Read what the server streams, until that is over."""
        told = self.messages.setdefault(path, [])

        def read() -> None:
            with suppress(httpx.TransportError), self.http.stream("GET", path) as stream:
                for line in stream.iter_lines():
                    if line.startswith("data: {"):
                        told.append(json.loads(line[6:]))

        thread = threading.Thread(target=read)
        thread.start()
        self.threads.append(thread)

    def write(self) -> None:
        session = uuid.uuid4().hex
        inputs = ["The moon", "poet", 0.9, 0.9, 0, 1, MAX_NEW_TOKENS, DRAFTS, 0, False, None]
        ask = {"data": inputs, "fn_index": self.press, "session_hash": session}
        self.http.post("/gradio_api/queue/join", json=ask).raise_for_status()
        self.listen(f"/gradio_api/queue/data?session_hash={session}")

    def sees_a_text(self) -> bool:
        return any('"running"' in json.dumps(told) for told in self.messages.values())

    def kept(self) -> list[str]:
        """Handles of the texts that the page was shown at the end; an empty one is not kept."""
        messages = [message for told in self.messages.values() for message in told]
        ends = [one for one in messages if one["msg"] == "process_completed" and one["success"]]
        states = [end["output"]["data"][0] for end in ends]
        shown = [state["request"]["drafts"] for state in states if state["phase"] == "done"]
        return [draft["generation"] for drafts in shown for draft in drafts if draft["output"]]


def stored_handles(stage: Stage) -> list[str]:
    """Handles of the texts that the database has."""
    signer = Signer(kept_secret(stage.folder / "secret"))
    key_hash = signer.key_hash(stage.token)
    with closing(sqlite3.connect(stage.database)) as connection:
        ids = connection.execute("SELECT id FROM generations").fetchall()
    return [signer.handle(one, key_hash) for (one,) in ids]


@pytest.mark.slow
def test_sigterm_ends_the_whole_app_with_pages_and_models_in_time(tmp_path):
    stage, log, port = set_stage(tmp_path / "data"), Log(), free_port()
    target = folder_target(tmp_path / "target")
    environment = {
        **os.environ,
        "GENLOOP_DATA_DIR": str(stage.folder),
        "GENLOOP_PORT": str(port),
        "GENLOOP_RATE_LIMITS": "false",
        "GENLOOP_REPLICA": target.url,
        "GENLOOP_REPLICA_SECONDS": "600",
        "GENLOOP_REPLICA_EVENTS": "1000000",
    }
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment)
    try:
        wait_until_up(port, process, 90)
        with Page(port, stage.token) as page:
            page.listen(f"/gradio_api/heartbeat/{uuid.uuid4().hex}")  # by which a page is open
            for _ in range(REQUESTS):
                page.write()
            wait_until(page.sees_a_text)
            took = stop_under_load(process, port, stage, log)
    finally:
        process.kill()
        process.wait(PATIENCE)

    assert took < IN_TIME
    check_nothing_is_lost(stage, log)
    assert page.kept(), "no page was told of a text that was under way"
    assert set(page.kept()) <= set(stored_handles(stage))
    # Everything is at the other place as well, and the mark says that nothing came after it.
    assert newest(target).mark.released is True
    rebuilt, _media = new_database(tmp_path / "rebuilt")
    replay(rebuilt, MediaStore(tmp_path / "media"), target)
    rebuilt.close()
    assert sorted(stored_keys(tmp_path / "rebuilt" / "app.db")) == sorted(
        stored_keys(stage.database)
    )


STUCK = """
import time, app
from generators.batching import ModelQueue
app.open_queues = lambda *_: {"stuck": ModelQueue("stuck", lambda: time.sleep(600), 8, task="text")}
app.main()
"""


@pytest.mark.slow
def test_a_model_that_loads_for_ever_does_not_hold_up_the_end(tmp_path):
    port = free_port()
    environment = {
        **os.environ,
        "GENLOOP_DATA_DIR": str(tmp_path),
        "GENLOOP_PORT": str(port),
        "GENLOOP_IMAGE_MODELS": "",
        "GENLOOP_VAE_MODELS": "",
    }
    process = subprocess.Popen([sys.executable, "-c", STUCK], cwd=ROOT, env=environment)
    try:
        wait_until_up(port, process, 90)
        process.send_signal(signal.SIGINT)  # after SIGTERM, Python would not even wait for threads
        began = time.monotonic()
        process.wait(PATIENCE)
        took = time.monotonic() - began
    finally:
        process.kill()
        process.wait(PATIENCE)

    assert took < IN_TIME
    assert process.returncode == 0
    assert not (tmp_path / "app.db-wal").exists(), "the log was not written back"
