"""A server that speaks as much of the Hub's HTTP API as a copy in a dataset repository needs.

Every file is a regular one; the ways of LFS and Xet are those of huggingface_hub itself.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


def oid(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


@dataclass
class Repository:
    private: bool = True
    files: dict[str, bytes] = field(default_factory=dict)
    head: str = oid("first")
    history: list[dict[str, bytes]] = field(default_factory=list)  # what older commits hold


@dataclass
class SmallHub:
    """What the server holds, for tests to look at and to break."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    private: bool = True  # what becomes of new repositories
    before_commit: Callable[[Repository], None] | None = None  # called once
    commits: int = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: SmallHub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer("GET")

    def do_GET(self) -> None:
        self.answer("GET")

    def do_POST(self) -> None:
        self.answer("POST")

    def answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        status, answer, headers = 404, b"{}", {"X-Error-Code": "EntryNotFound"}
        for pattern, work in ROUTES.items():
            wanted, _, shape = pattern.partition(" ")
            if method == wanted and (found := re.fullmatch(shape, path)):
                status, given, headers = work(self.hub, body, *found.groups())
                answer = given if isinstance(given, bytes) else json.dumps(given).encode()
                break
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)


Answer = tuple[int, Any, dict[str, str]]


def create(hub: SmallHub, body: bytes) -> Answer:
    asked = json.loads(body)
    name = f"{asked['organization']}/{asked['name']}"
    if name in hub.repositories:
        return 409, {"error": "exists", "url": name}, {}
    hub.repositories[name] = Repository(hub.private)
    return 200, {"url": f"{hub.url}/datasets/{name}", "id": name}, {}


def info(hub: SmallHub, _: bytes, name: str) -> Answer:
    found = hub.repositories[name]
    return 200, {"id": name, "private": found.private, "sha": found.head}, {}


def tree(hub: SmallHub, _: bytes, name: str, _revision: str, folder: str) -> Answer:
    files = hub.repositories[name].files
    found = [path for path in files if path.startswith(f"{folder}/")]
    if not found:
        return 404, {"error": "no such folder"}, {"X-Error-Code": "EntryNotFound"}
    entries = [
        {"type": "file", "path": path, "size": len(files[path]), "oid": oid(path)} for path in found
    ]
    return 200, [*entries, {"type": "directory", "path": folder, "oid": "0" * 40}], {}


def preupload(hub: SmallHub, body: bytes, _name: str, _revision: str) -> Answer:
    files = [
        {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
        for file in json.loads(body)["files"]
    ]
    return 200, {"files": files}, {}


def commit(hub: SmallHub, body: bytes, name: str, _revision: str) -> Answer:
    found = hub.repositories[name]
    if hub.before_commit is not None:
        interfere, hub.before_commit = hub.before_commit, None
        interfere(found)
    header, *lines = map(json.loads, body.splitlines())
    if header["value"]["parentCommit"] != found.head:
        return 412, {"error": "A commit has happened since."}, {}
    found.history.append(dict(found.files))
    for line in lines:
        value = line["value"]
        if line["key"] == "file":
            found.files[value["path"]] = base64.b64decode(value["content"])
        else:
            del found.files[value["path"]]
    hub.commits += 1
    found.head = oid(f"commit {hub.commits}")
    return 200, {"commitUrl": f"{hub.url}/{name}/commit/{found.head}", "commitOid": found.head}, {}


def squash(hub: SmallHub, _: bytes, name: str) -> Answer:
    hub.repositories[name].history.clear()
    return 200, {}, {}


def resolve(hub: SmallHub, _: bytes, name: str, _revision: str, path: str) -> Answer:
    found = hub.repositories[name]
    if path not in found.files:
        return 404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"}
    data = found.files[path]
    return 200, data, {"ETag": f'"{oid(data.hex())}"', "X-Repo-Commit": found.head}


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: dict[str, Callable[..., Answer]] = {
    "POST /api/repos/create": create,
    f"GET /api/datasets/{NAME}": info,
    f"GET /api/datasets/{NAME}/tree/([^/]+)/(.+)": tree,
    f"POST /api/datasets/{NAME}/preupload/([^/]+)": preupload,
    f"POST /api/datasets/{NAME}/commit/([^/]+)": commit,
    f"POST /api/datasets/{NAME}/super-squash/main": squash,
    f"GET /api/datasets/{NAME}/lfs-files": lambda *_: (200, [], {}),
    f"GET /datasets/{NAME}/resolve/([^/]+)/(.+)": resolve,
}


@contextmanager
def small_hub() -> Iterator[SmallHub]:
    hub = SmallHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()
