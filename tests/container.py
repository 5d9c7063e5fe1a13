"""The running half of the Dockerfile without Docker: bubblewrap makes the same surroundings.

A root of its own that nothing can be written to, the files that .dockerignore lets in, what the
Dockerfile sets, user 1000 without any privilege, /data and a /tmp in memory. What it cannot show is
the building half: the packages are those of the tests.
"""

import compileall
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.space_files import needed
from tests.serving import ROOT, Served, free_port, wait_for

USER = 1000
CAN_CONTAIN = (
    sys.platform == "linux" and os.geteuid() == 0 and all(map(shutil.which, ("bwrap", "setpriv")))
)


def instruction(name: str) -> str:
    """What the Dockerfile's last instruction of this name says."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)[-1].strip()


def variables() -> dict[str, str]:
    return dict(word.split("=", 1) for word in instruction("ENV").split())


def image(folder: Path) -> Path:
    """The files of /app, compiled as the Dockerfile does it."""
    for name in needed(ROOT):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    compileall.compile_dir(folder, quiet=1)
    return folder


def shut_in(app: Path, data: Path, port: int, command: list[str]) -> list[str]:
    """The command, as it would run in the container."""
    venv, python = Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()
    binds = [("/usr", "/usr"), ("/etc", "/etc"), (str(python), str(python))]
    binds += [(str(venv), str(venv)), (str(app), "/app")]
    # Where /lib is a link into /usr, it must be one here, too.
    links = [name for name in ("lib", "lib64", "bin", "sbin") if Path("/", name).is_symlink()]
    above = sorted({str(up) for _, inside in binds for up in Path(inside).parents} - {"/"})
    above += ["/home", "/home/genloop"]
    given = variables() | {
        "PATH": f"{venv}/bin:/usr/bin:/bin",
        "HOME": "/home/genloop",
        "GENLOOP_HOST": "127.0.0.1",  # the machine's own network: nobody else is to come in
        "GENLOOP_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
        "GENLOOP_RATE_LIMITS": "false",
        "GENLOOP_TORCH_THREADS": "1",
    }
    return [
        "bwrap",
        "--clearenv",
        *(word for name, value in given.items() for word in ("--setenv", name, value)),
        # First, for what is bound may lie below it.
        *("--perms", "1777", "--tmpfs", "/tmp"),
        *(word for folder in above for word in ("--perms", "0755", "--dir", folder)),
        *(word for outside, inside in binds for word in ("--ro-bind", outside, inside)),
        *(word for link in links for word in ("--symlink", f"usr/{link}", f"/{link}")),
        *("--bind", str(data), "/data"),
        *("--proc", "/proc", "--dev", "/dev", "--unshare-pid"),
        *("--remount-ro", "/", "--chdir", "/app", "--die-with-parent"),
        *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
        *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
        *command,
    ]


@contextmanager
def contained(folder: Path) -> Iterator[Served]:
    """The app in its container."""
    app, data = image(folder / "app"), folder / "data"
    data.mkdir()
    os.chown(data, USER, USER)
    for parent in (app, *app.parents):  # user 1000 must be able to pass on the way there
        if parent.stat().st_uid == os.geteuid() and parent.is_relative_to(folder):
            parent.chmod(0o755)
    port, log = free_port(), folder / "server.log"
    command = ["python", "app.py"]
    assert instruction("CMD") == '["python", "app.py"]'
    with log.open("w") as file:
        process = subprocess.Popen(shut_in(app, data, port, command), stdout=file, stderr=file)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield Served(f"http://127.0.0.1:{port}", data, process.pid)
    finally:
        process.terminate()
        process.wait(20)
