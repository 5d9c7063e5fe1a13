"""The scheduler: a job runs when it is due, in one process at a time, and stops when it must."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from config import ROOT
from db.lease import in_force
from db.tables import ScheduledRun
from feedback.commands import CommandFailed, run
from feedback.schedule import Schedule, state
from feedback.scheduler import Scheduler, Stopped, Turn

ALWAYS = Schedule("export", every_hours=1e-9)
ONCE = Schedule("export", every_hours=1)
SOON = 20  # seconds until a busy machine has done a small thing

# Runs a job that is always due, and notes when it began and ended, until standard input ends.
REPLICA = """
import sys, time
from db.engine import Database
from feedback.schedule import Schedule
from feedback.scheduler import Scheduler

def job(turn):
    began = time.monotonic_ns()
    time.sleep(0.02)
    print(turn.fence, began, time.monotonic_ns(), flush=True)
    return "done"

database = Database(sys.argv[1])
scheduler = Scheduler(database, Schedule("export", every_hours=1e-9), job, tick=0.005, lifetime=3)
scheduler.start()
sys.stdin.read()
scheduler.close()
database.close()
"""


@pytest.fixture
def scheduled(database):
    """Start a scheduler that is closed at the end."""
    started = []

    def start(schedule, job, **options):
        scheduler = Scheduler(database, schedule, job, tick=0.01, **options)
        scheduler.start()
        started.append(scheduler)
        return scheduler

    yield start
    for scheduler in started:
        scheduler.close()


def wait_for(condition):
    for _ in range(SOON * 100):
        if answer := condition():
            return answer
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def seen(database, schedule=ONCE):
    with database.read() as session:
        return state(session, schedule)


def test_what_is_due_runs_once_and_its_result_is_kept(database, scheduled):
    turns = []
    scheduled(ONCE, lambda turn: turns.append(turn.fence) or "12 rows")
    now = wait_for(lambda: (one := seen(database)).last and one)

    assert (now.last.state, now.last.result, now.due) == ("finished", "12 rows", False)
    time.sleep(0.1)  # ten ticks
    assert turns == [1]


def test_a_job_that_fails_is_told_and_the_scheduler_lives_on(database, scheduled):
    def job(turn):
        raise OSError("no space left on device")

    scheduler = scheduled(ONCE, job)
    now = wait_for(lambda: (one := seen(database)).last and one)

    assert now.error == "OSError: no space left on device"
    assert not now.due
    assert scheduler.thread.is_alive()


def test_at_the_end_the_job_is_stopped_within_a_second(database, scheduled):
    begun = threading.Event()

    def job(turn):
        begun.set()
        assert turn.stop.wait(SOON)
        raise Stopped

    scheduler = scheduled(ONCE, job)
    assert begun.wait(SOON)
    scheduler.close()
    scheduler.thread.join(SOON)

    assert seen(database).last.state == "stopped"
    with database.read() as session:
        assert in_force(session, ONCE.lease) is None  # the next one need not wait


def test_a_job_that_does_not_listen_holds_nobody_up_and_keeps_its_lease(database, scheduled):
    begun, free = threading.Event(), threading.Event()

    def job(turn):
        begun.set()
        free.wait(SOON)
        return "late"

    scheduler = scheduled(ONCE, job)
    assert begun.wait(SOON)
    scheduler.close()
    with database.read() as session:
        assert in_force(session, ONCE.lease).holder == scheduler.name
    free.set()
    scheduler.thread.join(SOON)


def test_a_job_that_lost_its_lease_is_asked_to_stop(database, scheduled):
    begun, asked = threading.Event(), threading.Event()

    def job(turn):
        begun.set()
        assert turn.stop.wait(SOON)
        asked.set()
        raise Stopped

    scheduled(ONCE, job, lifetime=0.5)
    assert begun.wait(SOON)

    def overtake(session):
        in_force(session, ONCE.lease).fence += 1

    database.write(overtake)
    assert asked.wait(SOON)


def test_two_processes_never_run_it_at_once_and_a_killed_one_is_followed_by_the_other(database):
    url = database.url.render_as_string(hide_password=False)
    replicas = [
        subprocess.Popen(
            [sys.executable, "-c", REPLICA, url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    first, second = replicas
    lines = [one.stdout.readline() for one in replicas for _ in range(4)]
    first.kill()
    lines += first.communicate()[0].splitlines()
    last = max(int(line.split()[0]) for line in lines)
    while int(lines[-1].split()[0]) <= last:
        lines.append(second.stdout.readline())
    lines += second.communicate()[0].splitlines()
    runs = sorted(tuple(map(int, line.split())) for line in lines if len(line.split()) == 3)

    for (fence, _, ended), (next_fence, began, _) in zip(runs, runs[1:], strict=False):
        assert fence < next_fence
        assert ended <= began
    with database.read() as session:
        kept = session.query(ScheduledRun).all()
    assert {run.state for run in kept} <= {"finished", "interrupted", "stopped"}
    assert len({run.holder for run in kept}) == 2
    assert len(kept) >= len(runs)


# Commands


def test_a_command_runs_in_a_process_of_its_own_and_its_last_lines_are_the_answer():
    assert run(Turn(1), "calendar", "2026", "11").endswith(" 30")


def test_a_command_that_fails_says_why():
    with pytest.raises(CommandFailed, match="calendar ended with 2: .*month"):
        run(Turn(1), "calendar", "2026", "no month")


def test_a_command_is_ended_when_the_turn_is_over():
    turn = Turn(1)
    turn.stop.set()

    with pytest.raises(Stopped):
        run(turn, "http.server", "0", "--bind", "127.0.0.1")


def test_a_command_ends_with_its_parent(tmp_path):
    """Killed, the parent can tell nobody; its command must not go on beside the next one's."""
    module = tmp_path / "endless.py"
    module.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    script = f"""
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, {str(ROOT / "feedback" / "child.py")!r}, "endless"], stdin=subprocess.PIPE,
    env={{**__import__("os").environ, "PYTHONPATH": {str(tmp_path)!r}}},
)
child.wait()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    wait_for(lambda: not alive(child))
    parent.stdout.close()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"
