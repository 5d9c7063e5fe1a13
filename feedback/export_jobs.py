"""What the owner's Export page has under way: one order at a time, in a process of its own.

An export keeps a processor busy; in the app's own process it would slow down every visitor.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from db.tables import now
from feedback.commands import CHILD

Order = dict[str, Any]  # {"action": export, preview, clean or push, ...}: see export_worker.py
COMPLAINT = 400  # characters of what a process that broke said last


class JobRunning(RuntimeError):
    """Another order is under way."""


@dataclass
class Job:
    """One order, how far it is, and what came of it."""

    order: Order
    started_at: datetime = field(default_factory=now)
    ended_at: datetime | None = None
    stage: str = ""
    config: str = ""
    rows: int = 0
    of: int | None = None
    done: dict[str, Any] | None = None  # what came of it
    problem: str | None = None  # why nothing did
    cancelled: bool = False

    @property
    def running(self) -> bool:
        return self.ended_at is None


class ExportJobs:
    """Carries out the owner's orders on the database at a URL."""

    def __init__(self, database_url: str, data_dir: Path) -> None:
        # By the environment, for a URL may hold a password, and arguments can be seen by anybody.
        self.settings = {"DATABASE_URL": database_url, "GENLOOP_DATA_DIR": str(data_dir.resolve())}
        self.last: Job | None = None
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def start(self, order: Order) -> Job:
        """Begin to carry out an order; raises JobRunning."""
        with self._lock:
            if self.last is not None and self.last.running:
                raise JobRunning(self.last.order["action"])
            job = self.last = Job(order)
            self._thread = threading.Thread(target=self._carry_out, args=(job,), name="export")
            self._thread.start()
        return job

    def cancel(self) -> None:
        """Ask what is under way to stop; nothing of it is left."""
        with self._lock:
            if self.last is not None and self.last.running:
                self.last.cancelled = True
                if self._process is not None:
                    self._process.terminate()

    def close(self) -> None:
        """Stop what is under way, and wait for its end."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(2)
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def wait(self) -> Job | None:
        """Until what is under way has ended; for tests."""
        if self._thread is not None:
            self._thread.join()
        return self.last

    def _carry_out(self, job: Job) -> None:
        with (
            tempfile.TemporaryFile("w+") as complained,
            tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as order,
        ):
            json.dump(job.order, order, ensure_ascii=False)
            order.flush()
            process = subprocess.Popen(
                [sys.executable, str(CHILD), "feedback.export_worker", order.name],
                env={**os.environ, **self.settings},
                stdin=subprocess.PIPE,  # held open: who reads its end knows that this app is gone
                stdout=subprocess.PIPE,
                stderr=complained,
                text=True,
                encoding="utf-8",
            )
            with self._lock:
                self._process = process
                if job.cancelled:  # before there was a process
                    process.terminate()
            assert process.stdout is not None and process.stdin is not None
            follow(process.stdout, job)
            code = process.wait()
            process.stdin.close()
            with self._lock:
                self._process = None
            if job.done is None and job.problem is None:
                complained.seek(0)
                last = complained.read().strip()[-COMPLAINT:]
                job.problem = "" if job.cancelled else f"it ended with {code}: {last}"
            job.cancelled = job.cancelled and job.done is None
            job.ended_at = now()


def follow(lines: Iterable[str], job: Job) -> None:
    """Note what the process prints."""
    for line in lines:
        said = json.loads(line)
        if "stage" in said:
            job.stage, job.config = said["stage"], said["config"]
            job.rows, job.of = said["done"], said["total"]
        elif "problem" in said:
            job.problem, job.cancelled = said["problem"], said["cancelled"]
        else:
            job.done = said["done"]
