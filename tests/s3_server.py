"""A server that speaks S3 (moto's), behind something that fails as it is told."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

# What a client finds in its environment; the address comes to it.
KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
CODES = {403: "AccessDenied", 503: "SlowDown"}


class Unreliable:
    """A WSGI app in front of another that answers some requests with errors, or not at all."""

    url = ""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.faults: list[tuple[str, str, Any]] = []  # method, part of the path, status or "drop"
        self.broken: tuple[str, str] | None = None  # method, part of the path: never works
        self.forbidden: set[str] = set()  # methods that the key may not use
        self.away = False
        self.seen: list[tuple[str, str]] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.seen.append((method, path))
        for fault in list(self.faults):  # each is used once
            if fault[0] == method and fault[1] in path:
                self.faults.remove(fault)
                return self.fail(environ, start_response, fault[2])
        if self.away:
            return self.fail(environ, start_response, 500)
        if self.broken and self.broken[0] == method and self.broken[1] in path:
            return self.fail(environ, start_response, 503)
        if method in self.forbidden:
            return self.fail(environ, start_response, 403)
        return self.app(environ, start_response)

    @property
    def environment(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def be_well(self) -> None:
        self.faults.clear()
        self.forbidden.clear()
        self.seen.clear()
        self.broken, self.away = None, False

    @staticmethod
    def fail(environ: Any, start_response: Any, how: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if how == "drop":
            environ["werkzeug.socket"].shutdown(2)
        code = CODES.get(how, "InternalError")
        body = f"<Error><Code>{code}</Code><Message>Please reduce your rate</Message></Error>"
        start_response(f"{how} Oh", [("Content-Type", "application/xml")])
        return [body.encode()]


def forget_s3fs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the packages of requirements-s3.txt are not installed."""
    monkeypatch.delitem(sys.modules["fsspec.registry"].__dict__["_registry"], "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)


@contextmanager
def s3_server() -> Iterator[Unreliable]:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    front = Unreliable(DomainDispatcherApplication(create_backend_app))
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, front, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    front.url = f"http://127.0.0.1:{server.server_port}"
    yield front
    server.shutdown()
    thread.join()
