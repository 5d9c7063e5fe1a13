"""The owner logs in with an account of the Hub, whose part a small server plays."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web import client_of, make_app
from web import hub_login

ANN = {"sub": "id-of-ann", "preferred_username": "Ann"}
BOB = {"sub": "id-of-bob", "preferred_username": "bob"}


class Provider:
    """Gives codes to browsers, and for a code tells who it is of, once and to our client alone."""

    def __init__(self):
        self.codes = {}
        self.status = 200
        self.url = ""

    def approve(self, location, account):
        """What the Hub does when the account agrees: the query with which the browser returns."""
        asked = {name: value for name, [value] in parse_qs(urlsplit(location).query).items()}
        assert asked["redirect_uri"] == "https://ann-loop.hf.space/owner/hub/callback"
        code = f"code-{len(self.codes)}"
        self.codes[code] = (account, asked["code_challenge"])
        return {"code": code, "state": asked["state"]}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        client = base64.b64decode(self.headers["Authorization"].split()[1])
        account, challenge = self.provider.codes.pop(form["code"][0], (None, None))
        digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        known = base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge
        if client != b"client:secret" or not known:
            return self.answer(400, {})
        self.answer(self.provider.status, {"access_token": account["sub"]})

    def do_GET(self):
        bearer = self.headers["Authorization"].removeprefix("Bearer ")
        self.answer(200, next(one for one in (ANN, BOB) if one["sub"] == bearer))

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


@pytest.fixture
def provider():
    provider = Provider()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Bound", (Handler,), {"provider": provider})
    )
    provider.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield provider
    server.shutdown()
    server.server_close()


@pytest.fixture
def space(monkeypatch, provider):
    """The variables of a Space that Ann created."""
    for name, value in {
        "SPACE_ID": "ann/loop",
        "SPACE_HOST": "ann-loop.hf.space,loop.example",
        "SPACE_CREATOR_USER_ID": ANN["sub"],
        "OAUTH_CLIENT_ID": "client",
        "OAUTH_CLIENT_SECRET": "secret",
        "OPENID_PROVIDER_URL": provider.url,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def browser(tmp_path, space):
    with client_of(make_app(tmp_path / "data"), follow_redirects=False) as browser:
        yield browser


def leave(browser):
    """Set out for the Hub; the address that the browser is sent to."""
    answer = browser.get("/owner/hub")
    assert answer.status_code == 303
    assert "SameSite=lax" in answer.headers["set-cookie"]
    return answer.headers["location"]


def come_back(browser, query):
    return browser.get("/owner/hub/callback", params=query)


def is_in(browser):
    return browser.get("/owner/api/events.csv").status_code == 200


def test_who_created_the_space_comes_in(browser, provider):
    assert 'href="/owner/hub"' in browser.get("/owner/login").text
    answer = come_back(browser, provider.approve(leave(browser), ANN))

    assert answer.status_code == 200
    assert "url=/owner/" in answer.text  # no redirect: the strict cookie would stay behind
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert is_in(browser)


def test_another_account_does_not(browser, provider):
    answer = come_back(browser, provider.approve(leave(browser), BOB))

    assert answer.status_code == 403
    assert "bob" in answer.text
    assert not is_in(browser)


def test_named_owners_come_in_and_nobody_else(tmp_path, space, provider):
    with client_of(
        make_app(tmp_path / "data", owners="carl,BOB"), follow_redirects=False
    ) as browser:
        assert come_back(browser, provider.approve(leave(browser), ANN)).status_code == 403
        assert come_back(browser, provider.approve(leave(browser), BOB)).status_code == 200
        assert is_in(browser)


def test_a_login_that_another_browser_began_is_refused(browser, provider):
    query = provider.approve(leave(browser), ANN)
    browser.cookies.clear()

    assert come_back(browser, query).status_code == 401  # as where a page of evil's sends her
    leave(browser)
    assert come_back(browser, query).status_code == 401
    assert not is_in(browser)


@pytest.mark.parametrize("broken", [{"code": ""}, {"state": "x"}, {"code": "of nobody"}])
def test_what_the_hub_did_not_send_is_refused(browser, provider, broken):
    query = provider.approve(leave(browser), ANN)

    assert come_back(browser, query | broken).status_code == 401


def test_a_code_is_good_once_and_not_for_long(browser, provider, monkeypatch):
    query = provider.approve(leave(browser), ANN)
    assert come_back(browser, query).status_code == 200
    assert come_back(browser, query).status_code == 401

    query = provider.approve(leave(browser), ANN)
    now = hub_login.time.time()
    monkeypatch.setattr(hub_login.time, "time", lambda: now + 601)
    assert come_back(browser, query).status_code == 401


def test_a_hub_in_trouble_lets_nobody_in(browser, provider):
    provider.status = 500

    assert come_back(browser, provider.approve(leave(browser), ANN)).status_code == 401


def test_outside_of_a_space_there_is_no_such_door(tmp_path, space, monkeypatch):
    monkeypatch.delenv("SPACE_ID")
    with client_of(make_app(tmp_path / "data"), follow_redirects=False) as browser:
        assert browser.get("/owner/hub").status_code == 404
        assert browser.get("/owner/hub/callback?code=x&state=y").status_code == 404
        assert "/owner/hub" not in browser.get("/owner/login").text


@pytest.mark.parametrize("missing", ["OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"])
def test_a_space_without_a_client_of_its_own_has_the_token_alone(
    tmp_path, space, monkeypatch, missing
):
    monkeypatch.delenv(missing)
    with client_of(make_app(tmp_path / "data"), follow_redirects=False) as browser:
        assert browser.get("/owner/hub").status_code == 404
