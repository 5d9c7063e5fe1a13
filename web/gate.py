"""The gate before everything, the mounted Gradio apps included.

A Gradio app by itself believes any origin, takes bodies of any size, runs hidden functions for
anybody and leaves service routes open. So every request passes here first: blocked paths, origin,
the owner's cookie, rates, size; and every answer leaves with security headers.
"""

import re

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web import hub_login
from web.errors import Refused, refusal
from web.identity import caller_or_none, client_ip, is_own_origin
from web.limits import Limits
from web.owner import is_owner
from web.services import Services

SAFE = ("GET", "HEAD", "OPTIONS")
BODY_LIMIT = 1_000_000  # bytes
UPLOAD_LIMIT = 8_000_000  # bytes
UPLOAD = re.compile(r".*/gradio_api/upload/?")

# Routes that Gradio opens and nobody needs: monitoring, schemas and documentation pages of the
# mounted apps, its login, the proxy, the code editor, profiling, server functions of components.
BLOCKED = re.compile(
    r"(/[^/]+){0,2}/(monitoring(/.*)?|openapi\.json|docs(/.*)?|redoc|login|login_check|logout"
    r"|svelte/.*)/?"
    r"|.*/gradio_api/(startup-events|dev/.*|(undo-)?vibe-.*|profiling/.*|proxy=.*|token"
    r"|component_server|process_recording|deep_link|runs|run-history/.*)/?"
)
OWNER_DOOR = ("/owner/login", "/owner/logout", hub_login.PATH, hub_login.CALLBACK)
OPEN = ("/api/openapi.json", *OWNER_DOOR)

PUBLIC_FRAMES = "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
OWNER_FRAMES = "frame-ancestors 'none'"


class Gate:
    """Middleware around the whole app."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app = app
        self.services = services
        self.limits = Limits() if services.settings.rate_limits else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # there are no WebSockets here
            return await send({"type": "websocket.close", "code": 1008})
        request = Request(scope)
        path = route_path(scope)
        send = with_headers(send, path)
        try:
            self.let_in(request, path)
            receive = await bounded(request, receive, path)
        except Refused as refused:
            return await refuse(request, path, refused)(scope, receive, send)
        await self.app(scope, receive, send)

    def let_in(self, request: Request, path: str) -> None:
        """Raises Refused for a request that may not come in."""
        if not path.isprintable() or (BLOCKED.fullmatch(path) and path not in OPEN):
            raise Refused(404, "not_found")
        self.check_origin(request, path)
        if is_owners(path):
            if path not in OWNER_DOOR and not is_owner(request.cookies, self.services):
                raise Refused(401, "owner_only")
        elif self.limits is not None:
            caller = caller_or_none(request, self.services.signer)
            address = client_ip(request.scope, self.services.hops)
            visitor = caller.key_hash if caller else None
            self.limits.count(request.method, path, visitor, address)

    def check_origin(self, request: Request, path: str) -> None:
        """Refuse what another website makes a browser send; other clients send no Origin."""
        origin = request.headers.get("origin")
        if origin is None:
            cross = request.headers.get("sec-fetch-site") == "cross-site"
            allowed = request.method in SAFE or not cross
        elif is_own_origin(origin, request.scope, self.services.hops):
            allowed = True
        elif is_owners(path):
            allowed = False  # not even for reading, and not from the origins that visitors may use
        else:
            allowed = request.method in SAFE or origin in self.services.settings.allowed_origins
        if not allowed:
            raise Refused(403, "foreign_origin")


def route_path(scope: Scope) -> str:
    """The path that the routes see: without the prefix under which a proxy serves the app."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def is_owners(path: str) -> bool:
    return path == "/owner" or path.startswith("/owner/")


def refuse(request: Request, path: str, refused: Refused) -> Response:
    """The answer to one who is not let in; the owner's browser is shown where to log in."""
    wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if refused.code == "owner_only" and wants_page:
        return RedirectResponse(request.scope.get("root_path", "") + "/owner/login", 303)
    return refusal(request, refused)


async def bounded(request: Request, receive: Receive, path: str) -> Receive:
    """Refuse a body that is too large, before anything else reads it.

    The server holds a body to its Content-Length, so that number is enough; a body that comes in
    chunks names none and is read here, up to the limit.
    """
    limit = UPLOAD_LIMIT if UPLOAD.fullmatch(path) else BODY_LIMIT
    declared = request.headers.get("content-length")
    if declared is not None:
        if not declared.isdecimal() or int(declared) > limit:
            raise Refused(413, "too_large", limit=limit)
        return receive
    if request.method in SAFE and "transfer-encoding" not in request.headers:
        return receive
    return replayed(await read_up_to(limit, receive), receive)


async def read_up_to(limit: int, receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise Refused(413, "too_large", limit=limit)
        if not message.get("more_body", False):
            return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body first, and then what still comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def with_headers(send: Send, path: str) -> Send:
    """A send that adds the security headers and passes everything on at once."""
    frames = OWNER_FRAMES if is_owners(path) else PUBLIC_FRAMES

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
            headers.setdefault("Content-Security-Policy", frames)
            if is_owners(path) or path.startswith("/api/"):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers
