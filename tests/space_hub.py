"""A server that speaks as much of the Hub's HTTP API as deploying a Space needs."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Space:
    private: bool
    sdk: str
    hardware: str
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class Hub:
    token: str
    url: str = ""
    spaces: dict[str, Space] = field(default_factory=dict)
    stores: dict[str, bool] = field(default_factory=dict)  # buckets and datasets: private or not
    changes: list[str] = field(default_factory=list)  # what was done, in the order it came
    broken: str = ""  # the kind of change that fails


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.serve("GET")

    def do_POST(self) -> None:
        self.serve("POST")

    def do_PUT(self) -> None:
        self.serve("PUT")

    def serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        headers: dict[str, str] = {}
        try:
            if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
                raise Refused(401, "", "Invalid username or password.")
            status, answer = 200, self.route(method, path, body)
        except Refused as refused:
            status, answer = refused.status, {"error": refused.message}
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
        data = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def changed(self, what: str) -> None:
        if self.hub.broken and self.hub.broken in what:
            raise Refused(402, "", "Subscribe to PRO to do this.")
        self.hub.changes.append(what)

    def route(self, method: str, path: str, body: bytes) -> Any:
        asked = json.loads(body) if body and "commit" not in path else {}
        if path == "/api/repos/create":
            return self.create(asked)
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if found := re.fullmatch(r"/api/(buckets|datasets)/([\w.-]+/[\w.-]+)", path):
            return self.store(method, found[1], found[2], asked)
        found = re.fullmatch(r"/api/spaces/([\w.-]+/[\w.-]+)(?:/(.*))?", path)
        assert found is not None, path
        name, rest = found[1], found[2] or ""
        if name not in self.hub.spaces:
            raise Refused(404, "RepoNotFound", "Repository not found")
        space = self.hub.spaces[name]
        if method == "GET":
            return self.tell(name, space, rest)
        if rest == "settings":
            space.private = asked["visibility"] == "private"
            self.changed(f"make {name} {asked['visibility']}")
            return {}
        if rest == "hardware":
            self.changed(f"move {name} from {space.hardware} to {asked['flavor']}")
            space.hardware = asked["flavor"]
            return runtime(space)
        if rest in ("secrets", "variables"):
            self.changed(f"{rest[:-1]} {asked['key']}")
            kept = space.secrets if rest == "secrets" else space.variables
            kept[asked["key"]] = asked["value"]
            return {name: {"value": value} for name, value in space.variables.items()}
        if rest == "preupload/main":
            modes = [{"path": file["path"], "uploadMode": "regular"} for file in asked["files"]]
            return {"files": [{**mode, "shouldIgnore": False} for mode in modes]}
        assert rest == "commit/main", rest
        return self.commit(name, space, body)

    def create(self, asked: dict[str, Any]) -> Any:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["type"] == "dataset":
            self.hub.stores[f"datasets/{name}"] = asked["visibility"] == "private"
            self.changed(f"create the {asked['visibility']} dataset repository {name}")
        else:
            self.changed(f"create the {asked['visibility']} {asked['sdk']} Space {name}")
            private = asked["visibility"] == "private"
            self.hub.spaces[name] = Space(private, asked["sdk"], asked["hardware"])
        return {"url": f"{self.hub.url}/{name}", "id": name}

    def store(self, method: str, kind: str, name: str, asked: dict[str, Any]) -> Any:
        place = f"{kind}/{name}"
        if method == "POST":
            self.changed(f"create the {asked['visibility']} bucket {name}")
            self.hub.stores[place] = asked["visibility"] == "private"
            return {"url": f"{self.hub.url}/{place}"}
        if place not in self.hub.stores:
            raise Refused(404, "RepoNotFound", "Repository not found")
        private, made = self.hub.stores[place], "2026-11-01T00:00:00.000Z"
        return {"id": name, "private": private, "createdAt": made, "size": 0, "totalFiles": 0}

    def tell(self, name: str, space: Space, rest: str) -> Any:
        if rest == "":
            return {"id": name, "private": space.private, "sdk": space.sdk}
        if rest == "runtime":
            return runtime(space)
        if rest == "secrets":
            return {one: {"updatedAt": "2026-11-01T00:00:00.000Z"} for one in space.secrets}
        if rest == "variables":
            return {one: {"value": value} for one, value in space.variables.items()}
        assert rest == "tree/main", rest
        return [
            {"type": "file", "path": path, "size": len(data), "oid": "0" * 40}
            for path, data in space.files.items()
        ]

    def commit(self, name: str, space: Space, body: bytes) -> Any:
        header, *lines = [json.loads(line) for line in body.splitlines()]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                space.files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert line["key"] == "deletedFile", line["key"]
                del space.files[value["path"]]
        self.changed(f"commit {header['value']['summary']}")
        return {"commitUrl": f"{self.hub.url}/spaces/{name}/commit/1", "commitOid": "1" * 40}


def runtime(space: Space) -> Any:
    hardware = {"current": None, "requested": space.hardware}
    return {"stage": "BUILDING", "hardware": hardware, "gcTimeout": None}


@contextmanager
def space_hub(token: str) -> Iterator[Hub]:
    hub = Hub(token)
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
