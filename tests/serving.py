"""Run the real app in a process of its own, as a visitor would find it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Served:
    url: str
    data_dir: Path
    pid: int

    @property
    def owner_token(self) -> str:
        return (self.data_dir / "owner-token").read_text().strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(
    data_dir: Path,
    *command: str,
    surroundings: Mapping[str, str] | None = None,
    **settings: str,
) -> Iterator[Served]:
    """The app on a free port of this machine; `settings` are GENLOOP_* variables in lower case.

    command: what Python runs in place of app.py; surroundings: other variables.
    """
    port = free_port()
    environment = {
        **os.environ,
        "GENLOOP_DATA_DIR": str(data_dir),
        "GENLOOP_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
        **(surroundings or {}),
        **{f"GENLOOP_{name.upper()}": value for name, value in settings.items()},
    }
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *(command or ("app.py",))],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, data_dir / "server.log")
            yield Served(f"http://127.0.0.1:{port}", data_dir, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # wait no longer for clients that stay connected
                process.wait(20)


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path, seconds: int = 120) -> None:
    for _ in range(seconds * 5):
        if process.poll() is not None:
            raise RuntimeError(f"the app ended at once:\n{log.read_text()}")
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"no answer after {seconds} s:\n{log.read_text()}")
