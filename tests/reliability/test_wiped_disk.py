"""The disk is gone with the machine: what was copied is back, once, and the loss was announced."""

import json
import shutil
import signal
import time
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from db.engine import Database
from db.tables import FeedbackEvent
from tests.exporting import data_file, exported
from tests.reliability.stage import (
    PATIENCE,
    Client,
    Kennel,
    Log,
    Writers,
    check_nothing_is_lost,
    event,
    say,
    set_stage,
    stored_keys,
)


@pytest.fixture(scope="module")  # its imports take most of the time
def kennel():
    kennel = Kennel()
    yield kennel
    kennel.close()


@pytest.fixture
def stage(tmp_path):
    """A data folder whose copy is at `target`, and whose secrets are known elsewhere too."""
    stage = set_stage(tmp_path / "data")
    (tmp_path / "target").mkdir()
    stage.settings = {
        "replica": str(tmp_path / "target"),
        "replica_seconds": 0.2,
        "secret": (stage.folder / "secret").read_text(),
        "owner_token": "the owner's token for tests",
    }
    return stage


def health(port: int) -> dict:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/health")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["replica"]


def wait_until_safe(port: int, since: datetime) -> None:
    """Until everything that was acknowledged before is said to be safe."""
    ends = time.monotonic() + PATIENCE
    while True:
        safe_at = health(port).get("safe_at")
        if safe_at and datetime.fromisoformat(safe_at) > since:
            return
        assert time.monotonic() < ends, "it does not become safe"
        time.sleep(0.01)


def export_bytes(database: Path, folder: Path, until: int | None = None) -> bytes:
    """The bytes of the exported events; `until` is the number of the last one to count."""
    opened = Database(f"sqlite:///{database}")
    if until is not None:
        later = delete(FeedbackEvent).where(FeedbackEvent.id > until)
        opened.write(lambda session: session.execute(later).close())
    exported(opened, folder, "events")
    opened.close()
    return data_file(folder).read_bytes()


def last_event(database: Path) -> int:
    opened = Database(f"sqlite:///{database}")
    with opened.read() as session:
        last = session.scalar(select(func.max(FeedbackEvent.id)))
    opened.close()
    return int(last or 0)


def test_what_was_copied_is_back_after_the_disk_is_gone(kennel, stage, tmp_path):
    log = Log()
    port, pid = kennel.start(stage)
    writers = Writers(port, stage, log)
    writers.wait_for(150)
    before = set(log.acknowledged)
    wait_until_safe(port, datetime.now(UTC))
    assert kennel.kill(pid, signal.SIGKILL) == -signal.SIGKILL
    writers.join()
    check_nothing_is_lost(stage, log)
    former = tmp_path / "former"
    stage.folder.rename(former)  # another machine, with an empty disk

    port, pid = kennel.start(stage)
    kennel.kill(pid, signal.SIGTERM)
    back = stored_keys(stage.database)
    assert len(back) == len(set(back))
    assert before <= set(back) <= set(log.sent)
    # What came back is the past as it was: the first events, in every column of the export.
    until = last_event(stage.database)
    assert export_bytes(stage.database, tmp_path / "a") == export_bytes(
        former / "app.db", tmp_path / "b", until
    )


def test_the_loss_is_what_was_announced(kennel, stage, tmp_path):
    """The place of the copy is away for a while, and then the machine is gone."""
    log, client = Log(), None
    port, pid = kennel.start(stage)
    client = Client(port, stage.token)
    safe = [event(stage.handles[0]) for _ in range(5)]
    for body in safe:
        assert say(client, body, log) == 201
    wait_until_safe(port, datetime.now(UTC))
    assert health(port)["unsafe_events"] == 0

    (tmp_path / "target").rename(tmp_path / "away")
    lost = [event(stage.handles[1]) for _ in range(7)]
    for body in lost:
        assert say(client, body, log) == 201
    announced = health(port)
    assert announced["unsafe_events"] == len(lost)
    assert announced["oldest_seconds"] > 0
    kennel.kill(pid, signal.SIGKILL)
    shutil.rmtree(stage.folder)
    (tmp_path / "away").rename(tmp_path / "target")

    port, pid = kennel.start(stage)
    client = Client(port, stage.token)
    assert sorted(stored_keys(stage.database)) == sorted(body["key"] for body in safe)
    # The page sends again what it holds; it is kept once, under a number that nobody has had.
    highest = max(receipt["id"] for receipt in log.acknowledged.values())
    for body in [*lost, *safe]:
        assert say(client, body, log) in (200, 201)
    numbers = [log.acknowledged[body["key"]]["id"] for body in lost]
    assert min(numbers) > highest
    check_nothing_is_lost(stage, log)
    kennel.kill(pid, signal.SIGTERM)
