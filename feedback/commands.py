"""Commands as steps of a job: each runs in a process of its own, which can be stopped at any time.

An export keeps a processor busy for minutes. In a thread it would slow down every visitor, and
nobody could stop it. A process can be killed, and an export that is killed leaves nothing behind.
"""

import subprocess
import sys
import tempfile
from typing import IO

from config import ROOT
from feedback.scheduler import Stopped, Turn

CHILD = ROOT / "feedback" / "child.py"
LOOK = 0.05  # seconds between two looks at the process and at the stop
GRACE = 0.5  # seconds from asking a process to end to ending it


class CommandFailed(RuntimeError):
    """A command ended with an error; what it said last is the message."""


def run(turn: Turn, module: str, *arguments: str) -> str:
    """Run `python -m module arguments`; the last lines that it printed, as one.

    Raises CommandFailed, or Stopped when the turn ended first.
    """
    command = [sys.executable, str(CHILD), module, *arguments]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=complained)
        try:
            code = wait(process, turn)
        finally:
            end(process)
        if code != 0:
            raise CommandFailed(f"{module} ended with {code}: {last_lines(complained, 1)}")
        return last_lines(said, 3)


def wait(process: "subprocess.Popen[bytes]", turn: Turn) -> int:
    while not turn.stop.is_set():
        try:
            return process.wait(LOOK)
        except subprocess.TimeoutExpired:
            continue
    raise Stopped


def end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin is not None:
        process.stdin.close()


def last_lines(file: IO[bytes], most: int) -> str:
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return " ".join(line.strip() for line in lines[-most:])
