"""kill -9 while eight visitors rate: what was acknowledged is there, exactly once."""

import json
import random
import signal
from collections import Counter

import pytest

from db.engine import Database
from tests.exporting import exported
from tests.reliability.stage import (
    Client,
    Kennel,
    Log,
    Writers,
    check_nothing_is_lost,
    say,
    set_stage,
)

ROUNDS = 20


@pytest.fixture
def kennel():
    kennel = Kennel()
    yield kennel
    kennel.close()


@pytest.mark.slow
def test_every_acknowledged_event_survives_kill_9(kennel, tmp_path):
    stage, log = set_stage(tmp_path / "data"), Log()

    for _ in range(ROUNDS):
        port, pid = kennel.start(stage)
        check_nothing_is_lost(stage, log)
        writers = Writers(port, stage, log)
        writers.wait_for(random.randint(1, 80))
        assert kennel.kill(pid, signal.SIGKILL) == -signal.SIGKILL
        writers.join()
    port, pid = kennel.start(stage)
    check_nothing_is_lost(stage, log)

    # What was under way when the server died can be sent again, and is kept once.
    client = Client(port, stage.token)
    for key in log.in_doubt:
        assert say(client, log.sent[key], log) in (200, 201)
    check_nothing_is_lost(stage, log)
    assert not log.in_doubt
    kennel.kill(pid, signal.SIGTERM)
    assert exported_keys(stage, tmp_path) == Counter(log.acknowledged.keys())


def exported_keys(stage, folder) -> Counter:
    database = Database(f"sqlite:///{stage.database}")
    exported(database, folder / "export", "events")
    database.close()
    lines = (folder / "export" / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    return Counter(json.loads(line)["event_key"] for line in lines)
