"""What the machine is like: Python and its packages, the disk, the port, the clock."""

import errno
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from config import ROOT
from db.engine import SAFE_SQLITE, sqlite_module
from db.mounts import MOUNTS, file_system, network_disk
from web.doctor.findings import Finding, Surroundings, fail, ok, warn

PYTHON = ((3, 11), (3, 13))  # from the first, below the second
LITTLE, HARDLY = 2 * 10**9, 2 * 10**8  # bytes of free space
SLOW_SYNC = 0.05  # seconds; every acknowledged event waits for one
MEMORY = ("tmpfs", "ramfs")  # file systems that a restart empties
TICK = 0.1  # seconds over which two clocks are compared
SKEW = 0.05  # seconds that they may differ by
YEAR = 2026  # of this program; no right clock says less


def versions(at: Surroundings) -> Iterator[Finding]:
    """Python, and whether the packages are those that this version was tested with."""
    here = sys.version_info[:2]
    if not PYTHON[0] <= here < PYTHON[1]:
        yield fail("python_other", version=".".join(map(str, here)))
    count = 0
    for wanted in requirements():
        count += 1
        try:
            installed = version(wanted.name)
        except PackageNotFoundError:
            yield fail("package_missing", name=wanted.name, wanted=str(wanted.specifier))
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            yield warn(
                "package_other", name=wanted.name, version=installed, wanted=str(wanted.specifier)
            )
    yield ok("versions_ok", python=sys.version.split()[0], count=count)


def requirements(file: Path = ROOT / "requirements.txt") -> Iterator[Requirement]:
    """What the file asks for on this machine."""
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text and not text.startswith("-"):
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate():
                yield wanted


def sqlite(at: Surroundings) -> Iterator[Finding]:
    """Whether the SQLite that is used is free of a known fault."""
    if not at.settings.database.startswith("sqlite"):
        return
    module = sqlite_module()
    told = {"version": module.sqlite_version, "wanted": ".".join(map(str, SAFE_SQLITE))}
    safe = module.sqlite_version_info >= SAFE_SQLITE
    yield ok("sqlite_ok", **told) if safe else warn("sqlite_old", **told)


def disk(at: Surroundings) -> Iterator[Finding]:
    """Whether the data folder can be written to, safely and for a while."""
    folder = at.settings.data_dir.resolve()
    place = next(one for one in (folder, *folder.parents) if one.exists())
    if not place.is_dir():
        yield fail("disk_no_folder", path=place)
        return
    on_sqlite = at.settings.database.startswith("sqlite")
    if on_sqlite and (kind := network_disk(place)):
        yield fail("disk_network", path=place, kind=kind)
    elif MOUNTS.exists() and (kind := file_system(place, MOUNTS.read_text("utf-8"))) in MEMORY:
        yield warn("disk_memory", path=place, kind=kind)
    free = shutil.disk_usage(place).free
    if free < LITTLE:
        size = f"{free / 1e6:.0f} MB"
        yield (fail if free < HARDLY else warn)("disk_little", path=place, free=size)
    try:
        took = seconds_of_sync(place)
    except OSError as problem:
        yield fail("disk_unwritable", path=place, reason=problem.strerror)
        return
    told = {"free": f"{free / 1e9:.1f} GB", "sync": f"{took * 1000:.1f}"}
    yield warn("disk_slow", **told) if took > SLOW_SYNC else ok("disk_ok", **told)


def seconds_of_sync(folder: Path, tries: int = 7) -> float:
    """The median time of a small write that is safely on the disk; raises OSError."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(tries):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def port(at: Surroundings) -> Iterator[Finding]:
    """Whether the app can listen where it should."""
    host, number = at.settings.host, at.settings.port
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(address)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            own = is_genloop(host, number)
            yield (ok if own else fail)("port_ours" if own else "port_taken", port=number)
        else:
            reason = problem.strerror or type(problem).__name__
            yield fail("port_refused", host=host, port=number, reason=reason)
    else:
        yield ok("port_free", host=host, port=number)


def is_genloop(host: str, number: int) -> bool:
    """Whether a GenLoop answers there already."""
    near = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{near}:{number}/health", timeout=3) as answer:
            return b'"status":"ok"' in answer.read(1000)
    except (OSError, ValueError):
        return False


def clock(at: Surroundings) -> Iterator[Finding]:
    """Whether the clock goes, at the pace of the one that is never set, and is not in the past."""
    before = seconds_apart()
    time.sleep(TICK)
    skew = abs(seconds_apart() - before)
    if not time.get_clock_info("monotonic").monotonic:
        yield warn("clock_unsteady")
    if time.gmtime().tm_year < YEAR:
        yield fail("clock_past", now=time.strftime("%Y-%m-%d", time.gmtime()))
    elif skew > SKEW:
        yield warn("clock_jumps", seconds=round(skew, 3))
    else:
        yield ok("clock_ok", now=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def seconds_apart(tries: int = 5) -> float:
    """How far the clock is from the steady one; of several looks the one that took the least."""
    looks = [(time.monotonic(), time.time(), time.monotonic()) for _ in range(tries)]
    before, now, after = min(looks, key=lambda look: look[2] - look[0])
    return now - (before + after) / 2
