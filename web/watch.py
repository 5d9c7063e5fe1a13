"""The outermost layer: gives each request an id, and counts and logs how it went.

A request is named by its route, never by its path: paths hold the ids of visitors' outputs.
"""

import logging
import re
import secrets
import sys
import time

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback.measures import ERRORS, IN_SCOPE, REQUEST_ID

log = logging.getLogger(__name__)

HEADER = "X-Request-ID"
GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")  # an id that a proxy may give
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})  # of which we have routes
CODE = "genloop.error"  # where web/errors.py notes the code of its answer, in the scope
LEVELS = ((500, logging.WARNING), (400, logging.INFO), (0, logging.DEBUG))  # by the status
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("genloop_http_requests", "HTTP requests", ["method", "route", "status"])
TOOK = Histogram(
    "genloop_http_seconds",
    "From an HTTP request to the beginning of its answer; a stream may go on for long after that",
    ["method", "route"],
    buckets=SECONDS,
)
OPEN = Gauge("genloop_http_open", "HTTP requests that are being answered, open streams among them")


class Watch:
    """Middleware around all others."""

    def __init__(self, app: ASGIApp, hops: int) -> None:
        """hops: proxies in front; with one, the id that it gave is kept."""
        self.app = app
        self.hops = hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = id_of(scope, self.hops)
        REQUEST_ID.set(request_id)  # each request runs in a context of its own
        root = scope.get("root_path", "")  # under which a proxy serves the app
        status, began, took = 0, time.perf_counter(), 0.0

        async def noting(message: Message) -> None:
            nonlocal status, took
            if message["type"] == "http.response.start":
                status, took = message["status"], time.perf_counter() - began
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        OPEN.inc()
        try:
            await self.app(scope, receive, noting)
        finally:
            OPEN.dec()
            if isinstance(sys.exception(), Exception):  # answered outside of us, by web/errors.py
                status, took = status or 500, took or time.perf_counter() - began
                scope.setdefault(CODE, "internal")
            note(scope, route_of(scope, root), status, took)


def id_of(scope: Scope, hops: int) -> str:
    """A new id, or the one that a proxy in front has given; it also stands in the scope."""
    given = Headers(scope=scope).get(HEADER, "") if hops else ""
    request_id = given if GIVEN.fullmatch(given) else secrets.token_hex(8)
    scope[IN_SCOPE] = request_id
    return request_id


def note(scope: Scope, route: str, status: int, took: float) -> None:
    """status: 0 where the client was gone before an answer began."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    code = scope.get(CODE, "")
    REQUESTS.labels(method, route, str(status or "gone")).inc()
    if status:
        TOOK.labels(method, route).observe(took)
    if code:
        ERRORS.labels("http", code).inc()
    level = next(level for least, level in LEVELS if status >= least)
    if log.isEnabledFor(level):
        fields = {"method": method, "route": route, "status": status, "seconds": round(took, 4)}
        log.log(level, "request", extra=fields | ({"code": code} if code else {}))


def route_of(scope: Scope, root: str) -> str:
    """The pattern of the path, behind the place of a mounted app.

    "-" stands where no route was found, or none was looked for.
    """
    mounted = scope.get("root_path", "").removeprefix(root).rstrip("/")
    path = getattr(scope.get("route"), "path", None)
    return f"{mounted}{path}" if path else f"{mounted}/-" if mounted else "-"
