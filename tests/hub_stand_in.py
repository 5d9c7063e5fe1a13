"""A server that speaks as much of the Hugging Face Hub's HTTP API as GenLoop needs, and can fail.

The paths and answers are those that huggingface_hub asks for and reads: repositories, refs, trees,
preupload, git-LFS batches and uploads, commits as NDJSON, tags, files, and the end of a history;
tests/hub_spaces.py adds Spaces and buckets.
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
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

LARGE = 1_000  # bytes from which on a file goes to LFS here; the real Hub also looks at names


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Commit:
    oid: str
    message: str
    files: dict[str, bytes]


@dataclass
class Repository:
    private: bool
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    large: dict[str, str] = field(default_factory=dict)  # paths that ever were, by SHA-256
    made: int = 0  # commits, with those that are gone

    def at(self, revision: str) -> Commit:
        revision = self.tags.get(unquote(revision), unquote(revision))
        if revision == "main":
            return self.commits[-1]
        [found] = [commit for commit in self.commits if commit.oid == revision]
        return found

    def add(self, message: str, files: dict[str, bytes]) -> Commit:
        oid = hashlib.sha1(f"{self.made} {message}".encode()).hexdigest()
        self.made += 1
        self.commits.append(Commit(oid, message, files))
        return self.commits[-1]


@dataclass
class Fault:
    """What happens to the next request of this kind: an answer, or none.

    "drop" closes the connection before anything is done, "lose" after it was done.
    """

    method: str
    path: str  # a regular expression
    how: "int | str | Answer"
    after: int = 0  # requests of this kind that go well before


class Hub:
    """The state of the server, for tests to look at and to break."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.repositories: dict[str, Repository] = {}  # datasets by name, spaces/ before a Space
        self.changes: list[str] = []  # what was done, in words and in order
        self.large: dict[str, bytes] = {}
        self.large_from = LARGE
        self.routes = ROUTES
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []
        self.before_commit: Callable[[Repository], object] | None = None  # called once
        self.url = ""
        self.lock = threading.Lock()

    def fault(self, method: str, path: str) -> "int | str | Answer | None":
        with self.lock:
            self.asked.append((method, path))
            for fault in self.faults:
                if fault.method == method and re.search(fault.path, path):
                    if fault.after:
                        fault.after -= 1
                        return None
                    self.faults.remove(fault)
                    return fault.how
        return None


class Answer(Exception):
    def __init__(self, status: int, body: Any, code: str = "") -> None:
        self.status, self.body, self.code = status, body, code


@dataclass
class File:
    """An answer that is not JSON."""

    data: bytes
    headers: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self.handle_one("GET")

    def do_GET(self) -> None:
        self.handle_one("GET")

    def do_POST(self) -> None:
        self.handle_one("POST")

    def do_PUT(self) -> None:
        self.handle_one("PUT")

    def log_message(self, *_: Any) -> None:
        pass

    def handle_one(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        how = self.hub.fault(method, path)
        if how == "drop":
            self.close_connection = True
            return
        if isinstance(how, int):
            return self.answer(how, b"<html>something is wrong</html>", {"Retry-After": "0"})
        headers = {}
        try:
            if isinstance(how, Answer):
                raise how
            with self.hub.lock:
                status, answer = self.route(method, path, body)
        except Answer as early:
            status, answer = early.status, early.body
            headers = {"X-Error-Code": early.code, "X-Error-Message": answer["error"]}
        if how == "lose":
            self.close_connection = True
            return
        if isinstance(answer, File):
            self.answer(status, answer.data, answer.headers)
        else:
            self.answer(status, json.dumps(answer).encode(), headers)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def route(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        signed = path.startswith("/lfs/")  # those addresses are secrets themselves
        if not signed and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return 401, {"error": "Invalid username or password."}
        for pattern, work in self.hub.routes.items():
            wanted, _, shape = pattern.partition(" ")
            if wanted == method and (found := re.fullmatch(shape, path)):
                return 200, work(self.hub, body, *found.groups())
        return 404, {"error": f"no such path: {method} {path}"}


def repository(hub: Hub, name: str, kind: str = "datasets") -> Repository:
    key = name if kind == "datasets" else f"{kind}/{name}"
    if key not in hub.repositories:
        raise Answer(404, {"error": "Repository not found"}, "RepoNotFound")
    return hub.repositories[key]


def create(hub: Hub, body: bytes) -> Any:
    asked = json.loads(body)
    name, kind = f"{asked['organization']}/{asked['name']}", f"{asked['type']}s"
    key = name if kind == "datasets" else f"{kind}/{name}"
    if key in hub.repositories:
        url = f"{hub.url}/{kind}/{name}"
        raise Answer(409, {"error": f"You already created this {asked['type']} repo", "url": url})
    made = Repository(private=asked.get("visibility") == "private")
    made.add("initial commit", {".gitattributes": b"*.parquet filter=lfs\n"})
    hub.repositories[key] = made
    hub.changes.append(f"create the {asked.get('visibility')} {asked['type']} {name}")
    return {"url": f"{hub.url}/{kind}/{name}", "id": name}


def info(hub: Hub, _: bytes, kind: str, name: str) -> Any:
    found = repository(hub, name, kind)
    return {"id": name, "private": found.private, "sha": found.at("main").oid}


def refs(hub: Hub, _: bytes, name: str) -> Any:
    found = repository(hub, name)
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": found.at("main").oid}
    tags = [
        {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid}
        for tag, oid in found.tags.items()
    ]
    return {"branches": [main], "converts": [], "tags": tags}


def tree(hub: Hub, _: bytes, kind: str, name: str, revision: str, folder: str | None) -> Any:
    files = {
        path: data
        for path, data in repository(hub, name, kind).at(revision).files.items()
        if folder is None or path.startswith(f"{folder}/")
    }
    if folder is not None and not files:
        raise Answer(404, {"error": "no such folder"}, "EntryNotFound")
    entries = []
    for path, data in files.items():
        entry = {"type": "file", "path": path, "size": len(data), "oid": git_hash(data)}
        if len(data) >= hub.large_from:
            sha256 = hashlib.sha256(data).hexdigest()
            pointer = b"version https://git-lfs.github.com/spec/v1\n"
            entry["oid"] = git_hash(pointer)
            entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": len(pointer)}
        entries.append(entry)
    folders = {path.rpartition("/")[0] for path in files}
    return entries + [{"type": "directory", "path": one, "oid": "0" * 40} for one in folders if one]


def preupload(hub: Hub, body: bytes, kind: str, name: str, revision: str) -> Any:
    there = repository(hub, name, kind).at(revision).files
    return {
        "files": [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= hub.large_from else "regular",
                "shouldIgnore": False,
                "oid": git_hash(there[file["path"]]) if file["path"] in there else None,
            }
            for file in json.loads(body)["files"]
        ]
    }


def batch(hub: Hub, body: bytes, kind: str, name: str) -> Any:
    repository(hub, name, kind)
    objects = []
    for wanted in json.loads(body)["objects"]:
        entry = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hub.large:
            entry["actions"] = {
                "upload": {"href": f"{hub.url}/lfs/{wanted['oid']}"},
                "verify": {"href": f"{hub.url}/{kind}/{name}.git/info/lfs/verify"},
            }
        objects.append(entry)
    return {"transfer": "basic", "objects": objects}


def store(hub: Hub, body: bytes, oid: str) -> Any:
    if hashlib.sha256(body).hexdigest() != oid:
        raise Answer(400, {"error": "not the content of that hash"})
    hub.large[oid] = body
    return {}


def verify(hub: Hub, body: bytes, _kind: str, _name: str) -> Any:
    asked = json.loads(body)
    if len(hub.large.get(asked["oid"], b"")) != asked["size"]:
        raise Answer(422, {"error": "not uploaded"})
    return {}


def commit(hub: Hub, body: bytes, kind: str, name: str, revision: str) -> Any:
    found = repository(hub, name, kind)
    if hub.before_commit is not None:
        interfere, hub.before_commit = hub.before_commit, None
        interfere(found)
    lines = [json.loads(line) for line in body.splitlines()]
    header = lines[0]["value"]
    if header.get("parentCommit", found.at(revision).oid) != found.at(revision).oid:
        raise Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
    files = dict(found.at(revision).files)
    for line in lines[1:]:
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            files[value["path"]] = hub.large[value["oid"]]
            found.large[value["oid"]] = value["path"]
        else:
            assert line["key"] == "deletedFile"
            del files[value["path"]]
    made = found.add(header["summary"], files)
    hub.changes.append(f"commit {header['summary']}")
    return {"commitUrl": f"{hub.url}/{kind}/{name}/commit/{made.oid}", "commitOid": made.oid}


def tag(hub: Hub, body: bytes, name: str, revision: str) -> Any:
    found, wanted = repository(hub, name), json.loads(body)["tag"]
    if wanted in found.tags:
        raise Answer(409, {"error": "Tag already exists"})
    found.tags[wanted] = found.at(revision).oid
    return {}


def resolve(hub: Hub, _: bytes, name: str, revision: str, path: str) -> Any:
    found = repository(hub, name).at(revision)
    if path not in found.files:
        raise Answer(404, {"error": "no such file"}, "EntryNotFound")
    data = found.files[path]
    return File(data, {"ETag": f'"{git_hash(data)}"', "X-Repo-Commit": found.oid})


def squash(hub: Hub, body: bytes, name: str, revision: str) -> Any:
    found = repository(hub, name)
    files = found.at(revision).files
    found.commits.clear()
    found.add(json.loads(body)["message"], files)
    return {}


def large_files(hub: Hub, _: bytes, name: str) -> Any:
    return [
        {
            "fileOid": oid,
            "filename": path,
            "oid": oid,
            "pushedAt": "2026-01-01T00:00:00.000Z",
            "ref": "main",
            "size": len(hub.large[oid]),
        }
        for oid, path in repository(hub, name).large.items()
    ]


def delete_large_files(hub: Hub, body: bytes, name: str) -> Any:
    for oid in json.loads(body)["deletions"]["sha"]:
        del repository(hub, name).large[oid], hub.large[oid]
    return {}


NAME = r"([\w.-]+/[\w.-]+)"
REPOSITORY = f"(datasets|spaces)/{NAME}"
ROUTES: dict[str, Callable[..., Any]] = {
    "POST /api/repos/create": create,
    "POST /api/validate-yaml": lambda hub, body: {},
    f"GET /api/{REPOSITORY}": info,
    f"GET /api/datasets/{NAME}/refs": refs,
    f"GET /api/{REPOSITORY}/tree/([^/]+)(?:/(.+))?": tree,
    f"POST /api/{REPOSITORY}/preupload/([^/]+)": preupload,
    f"POST /{REPOSITORY}.git/info/lfs/objects/batch": batch,
    f"POST /{REPOSITORY}.git/info/lfs/verify": verify,
    "PUT /lfs/([0-9a-f]{64})": store,
    f"POST /api/{REPOSITORY}/commit/([^/]+)": commit,
    f"POST /api/datasets/{NAME}/tag/([^/]+)": tag,
    f"GET /datasets/{NAME}/resolve/([^/]+)/(.+)": resolve,
    f"POST /api/datasets/{NAME}/super-squash/([^/]+)": squash,
    f"GET /api/datasets/{NAME}/lfs-files": large_files,
    f"POST /api/datasets/{NAME}/lfs-files/batch": delete_large_files,
}


Kind = TypeVar("Kind", bound=Hub)


@contextmanager
def hub_stand_in(token: str, kind: type[Kind] = Hub) -> Iterator[Kind]:
    hub = kind(token)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
