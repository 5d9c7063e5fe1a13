"""SIGTERM while eight visitors rate: the app finishes what it has begun, and ends in time."""

import os
import subprocess
import sys
import time

import pytest

from config import ROOT
from db.media import MediaStore
from db.replica.replay import replay
from tests.reliability.stage import (
    PATIENCE,
    Log,
    Server,
    Writers,
    check_nothing_is_lost,
    free_port,
    set_stage,
    stored_keys,
    wait_until_up,
)
from tests.replicas import folder_target, new_database, newest

IN_TIME = 10  # seconds; Docker and Spaces kill what takes longer


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
        took = stop_under_load(process, port, stage, log)
    finally:
        process.kill()
        process.wait(PATIENCE)

    assert took < IN_TIME
    check_nothing_is_lost(stage, log)
    # Everything is at the other place as well, and the mark says that nothing came after it.
    assert newest(target).mark.released is True
    rebuilt, _media = new_database(tmp_path / "rebuilt")
    replay(rebuilt, MediaStore(tmp_path / "media"), target)
    rebuilt.close()
    assert sorted(stored_keys(tmp_path / "rebuilt" / "app.db")) == sorted(
        stored_keys(stage.database)
    )
