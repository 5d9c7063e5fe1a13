"""The owner's door: a token, a login page, a signed cookie for half a day, and downloads."""

import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from pydantic import AwareDatetime
from sqlalchemy.orm import Session

from config import Settings
from db.engine import Database
from feedback.browse import Filter
from feedback.dataset_zip import folder_of, zipped
from feedback.events_csv import csv_chunks
from feedback.history import NoVersion
from feedback.identity import kept_secret
from feedback.ledger import NoExport
from feedback.spec import Flavour
from ui.strings import OWNER_LOGIN, error_sentence, preferred_language
from web import hub_login
from web.downloads import (
    CSV,
    NDJSON,
    download,
    events,
    generations,
    generations_csv,
    json_lines,
)
from web.errors import Refused
from web.hub_login import HubLogin, HubLoginFailed, NotAnOwner
from web.identity import client_ip, is_https
from web.limits import Limits
from web.questions import asked
from web.services import Services
from web.watch import CODE

COOKIE = "genloop_owner"
HALF_A_DAY = 12 * 3600  # seconds
TOKEN_LIMIT = 500  # characters of a guess that are looked at

PAGE = Path(__file__).with_name("owner_login.html").read_text(encoding="utf-8")
# A page that goes on by itself: from this site, so that the owner's strict cookie goes along, which
# it does not where another site has sent the browser.
ARRIVED = '<!doctype html><meta http-equiv="refresh" content="0;url=/owner/"><title>GenLoop</title>'
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def token(settings: Settings) -> str:
    """The owner's token: as set, or the kept one, which is shown once, when it is made."""
    if given := settings.owner_token.get_secret_value():
        return given
    path = settings.data_dir / "owner-token"
    first_time = not path.exists()
    kept = kept_secret(path)
    if first_time:
        print(f"The owner's area is at /owner. Its token, shown only now: {kept}", flush=True)
    return kept


def new_cookie(services: Services) -> str:
    """A ticket for half a day; a new owner's token makes all older ones worthless."""
    text = f"{int(time.time()) + HALF_A_DAY}.{secrets.token_hex(8)}"
    return f"{text}.{signature(text, services)}"


def signature(text: str, services: Services) -> str:
    digest = hashlib.sha256(services.owner_token.encode()).hexdigest()
    return services.signer.sign("owner", f"{text}:{digest}")


def is_owner(cookies: Mapping[str, str], services: Services) -> bool:
    """Whether the cookie was given at a login that is still good."""
    text, _, signed = cookies.get(COOKIE, "").rpartition(".")
    if not hmac.compare_digest(signed.encode(), signature(text, services).encode()):
        return False
    return int(text.partition(".")[0]) > time.time()


def owner_only(request: Request) -> None:
    """A second lock behind the gate, for every route of the owner's."""
    if not is_owner(request.cookies, request.app.state.services):
        raise Refused(401, "owner_only")


def page(request: Request, status: int = 200, code: str = "", **details: object) -> HTMLResponse:
    """The login page in the browser's language, with what went wrong."""
    language = preferred_language(request.headers.get("accept-language"))
    words = {name: html.escape(word) for name, word in OWNER_LOGIN[language].items()}
    message = error_sentence(code, language, **details) if code else ""
    if code:
        request.scope[CODE] = code
    body = PAGE.replace("{{ hub_login }}", hub_link(request, words["hub_login"]))
    for name, word in {**words, "language": language, "message": html.escape(message)}.items():
        body = body.replace(f"{{{{ {name} }}}}", word)
    headers = {"Content-Security-Policy": PAGE_POLICY, "Content-Language": language}
    return HTMLResponse(body, status, headers)


def hub_link(request: Request, words: str) -> str:
    """The way in by an account of the Hub, where there is one."""
    services: Services = request.app.state.services
    return f'<p><a href="{hub_login.PATH}">{words}</a></p>' if services.hub_login else ""


def door() -> APIRouter:
    """Login and logout, open to everybody."""
    routes = APIRouter(include_in_schema=False)
    limits = Limits()

    @routes.get("/owner/login")
    async def login_page(request: Request) -> Response:
        return page(request)

    @routes.post("/owner/login")
    async def login(request: Request, token: Annotated[str, Form()] = "") -> Response:
        services: Services = request.app.state.services
        address = client_ip(request.scope, services.hops)
        try:
            limits.may_log_in(address)
        except Refused as refused:
            response = page(request, refused.status, refused.code, **refused.details)
            response.headers["Retry-After"] = str(refused.retry_after)
            return response
        guess = token.strip()[:TOKEN_LIMIT].encode("utf-8", "replace")
        if not hmac.compare_digest(guess, services.owner_token.encode()):
            limits.count_login(address)
            return page(request, 401, "wrong_token")
        return welcome(request)

    @routes.post("/owner/logout")
    async def logout(request: Request) -> Response:
        response = RedirectResponse("/owner/login", 303)
        response.delete_cookie(COOKIE, path="/owner", httponly=True, samesite="strict")
        return response

    @routes.get(hub_login.PATH)
    async def to_the_hub(request: Request) -> Response:
        services: Services = request.app.state.services
        address, cookie = offered(services).begin(services.signer)
        response = RedirectResponse(address, 303)
        response.set_cookie(
            hub_login.COOKIE,
            cookie,
            max_age=hub_login.TEN_MINUTES,
            path=hub_login.PATH,
            httponly=True,
            samesite="lax",  # it must come along when the Hub sends the browser back
            secure=is_https(request.scope, services.hops),
        )
        return response

    @routes.get(hub_login.CALLBACK)
    async def from_the_hub(request: Request, code: str = "", state: str = "") -> Response:
        services: Services = request.app.state.services
        login = offered(services)
        try:
            limits.count_login(client_ip(request.scope, services.hops))
            cookie = request.cookies.get(hub_login.COOKIE, "")
            await login.finish(code, state, cookie, services.signer)
        except Refused as refused:
            return page(request, refused.status, refused.code, **refused.details)
        except HubLoginFailed:
            return page(request, 401, "hub_login_failed")
        except NotAnOwner as stranger:
            return page(request, 403, "not_an_owner", account=str(stranger)[:60])
        return let_in(HTMLResponse(ARRIVED, headers={"Cache-Control": "no-store"}), request)

    return routes


def offered(services: Services) -> HubLogin:
    if services.hub_login is None:
        raise Refused(404, "not_found")
    return services.hub_login


def welcome(request: Request) -> Response:
    return let_in(RedirectResponse("/owner/", 303), request)


def let_in(response: Response, request: Request) -> Response:
    """Let the browser keep a ticket for half a day."""
    services: Services = request.app.state.services
    response.set_cookie(
        COOKIE,
        new_cookie(services),
        max_age=HALF_A_DAY,
        path="/owner",
        httponly=True,
        samesite="strict",
        secure=is_https(request.scope, services.hops),
    )
    return response


rooms = APIRouter(prefix="/owner", include_in_schema=False, dependencies=[Depends(owner_only)])


@rooms.get("")
async def with_slash() -> Response:
    """The pages are mounted at /owner/."""
    return RedirectResponse("/owner/", 303)


@dataclass(frozen=True)
class EventFilter:
    """Which events; since and until are moments with a zone, until is excluded."""

    training_only: bool = False
    kind: str | None = None
    version_id: int | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


@dataclass(frozen=True)
class GenerationFilter:
    """Which generations; the same moments, for their end."""

    task: str | None = None
    version_id: int | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    text: Annotated[str | None, Query(max_length=200)] = None


def database_of(request: Request) -> Database:
    services: Services = request.app.state.services
    return services.database


Store = Annotated[Database, Depends(database_of)]
Events = Annotated[EventFilter, Depends()]
Generations = Annotated[GenerationFilter, Depends()]


@rooms.get("/api/events.csv")
async def events_csv(
    store: Store, wanted: Events, flavour: Flavour = "lossless", bom: bool = False
) -> StreamingResponse:
    rows = events(store, **vars(wanted))
    return download(csv_chunks(rows, flavour, bom), CSV, f"genloop-events-{flavour}.csv")


@rooms.get("/api/events.jsonl")
async def events_jsonl(store: Store, wanted: Events) -> StreamingResponse:
    return download(json_lines(events(store, **vars(wanted))), NDJSON, "genloop-events.jsonl")


@rooms.get("/api/generations.csv")
async def generations_as_csv(
    store: Store, wanted: Generations, flavour: Flavour = "lossless", bom: bool = False
) -> StreamingResponse:
    rows = generations(store, Filter(**vars(wanted)))
    return download(generations_csv(rows, flavour, bom), CSV, f"genloop-generations-{flavour}.csv")


@rooms.get("/api/generations.jsonl")
async def generations_jsonl(store: Store, wanted: Generations) -> StreamingResponse:
    rows = generations(store, Filter(**vars(wanted)))
    return download(json_lines(rows), NDJSON, "genloop-generations.jsonl")


@rooms.get("/api/exports/{label}.zip")
async def export_as_zip(store: Store, label: str) -> StreamingResponse:
    """A finished export, all its files in one."""

    def question(session: Session) -> Path:
        return folder_of(session, label)

    try:
        folder = await asked(store, question)
    except (NoExport, NoVersion) as problem:
        raise Refused(404, "no_export", label=label[:200]) from problem
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(label)}.zip"}
    return StreamingResponse(zipped(folder, label), media_type="application/zip", headers=headers)
