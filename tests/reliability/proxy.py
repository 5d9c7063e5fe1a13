"""The nginx of deploy/nginx.conf, on ports of its own, before replicas of the app."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from config import ROOT
from tests.serving import free_port, wait_for

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WRITTEN = ("7861", "7862")  # ports of the two replicas in the file
LISTENS = "8080"


@contextmanager
def nginx(folder: Path, replicas: Sequence[int]) -> Iterator[str]:
    """The address of the proxy before two ports; answers also say which of them they come from."""
    assert NGINX is not None
    folder.mkdir()
    port = free_port()
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for written, here in zip((*WRITTEN, LISTENS), (*replicas, port), strict=True):
        assert text.count(f"127.0.0.1:{written}") == 1
        text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{here}")
    told = "add_header X-Replica $upstream_addr always;"
    text = text.replace("add_header Set-Cookie", f"{told}\n            add_header Set-Cookie")
    paths = [
        f"{name}_temp_path {folder}/{name};"
        for name in ("proxy", "client_body", "fastcgi", "uwsgi", "scgi")
    ]
    text = text.replace("http {", "http {\n" + "\n".join(["access_log off;", *paths]))
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    rest = f"daemon off; pid {folder}/pid; error_log {folder}/error.log;"
    process = subprocess.Popen(
        [NGINX, "-p", folder, "-c", folder / "nginx.conf", "-g", rest], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, folder / "error.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
