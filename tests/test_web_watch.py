"""Every request has an id, and is counted by its route."""

import asyncio
from contextlib import suppress

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.numbers import count
from tests.web import arrive, client_of, make_app
from web.watch import HEADER, Watch


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with client_of(make_app(tmp_path_factory.mktemp("watch"))) as client:
        yield client


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory):
    with client_of(make_app(tmp_path_factory.mktemp("proxy"), trusted_proxies=1)) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/health", "/api/me", "/nowhere", "/owner/", "/monitoring", "/static/main.js"]
)
def test_every_answer_names_its_request(client, path):
    ids = {client.get(path, follow_redirects=False).headers[HEADER] for _ in range(3)}

    assert len(ids) == 3
    assert {len(one) for one in ids} == {16}


@pytest.mark.parametrize("given", ["0af7651916cd43dd8448eb211c80319c", "a.b-c_d-1"])
def test_the_id_of_a_proxy_that_is_trusted_is_kept(client, behind_a_proxy, given):
    assert behind_a_proxy.get("/health", headers={HEADER: given}).headers[HEADER] == given
    assert client.get("/health", headers={HEADER: given}).headers[HEADER] != given


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "two words here", 'a"quote"', "口令" * 9])
def test_what_is_no_id_is_not_taken_for_one(behind_a_proxy, given):
    answer = behind_a_proxy.get("/health", headers={HEADER: given.encode()})

    assert len(answer.headers[HEADER]) == 16


def test_a_bug_is_found_by_the_id_that_the_visitor_was_told(client, monkeypatch, caplog):
    ann = arrive(client)
    [poem] = ann.make()

    def fail(*_args, **_kwargs):
        raise RuntimeError("canary")

    monkeypatch.setattr("web.api.keep_event", fail)
    before = count("genloop_errors_total", place="http", code="internal")
    answer = ann.say(poem, "thumb", 1)

    request_id = answer.headers[HEADER]
    assert request_id in answer.json()["error"]["message"]
    assert any(request_id in line and "RuntimeError" in line for line in caplog.messages)
    assert count("genloop_errors_total", place="http", code="internal") == before + 1
    labels = {"method": "POST", "route": "/api/feedback", "status": 500}
    assert count("genloop_http_requests_total", **labels) >= 1


def test_a_mounted_app_counts_under_its_place():
    app, inner = FastAPI(), FastAPI()
    inner.get("/poems/{poem}")(lambda poem: poem)
    app.mount("/zh", inner)
    app.add_middleware(Watch, hops=0)
    client = TestClient(app, root_path="/behind/a/proxy")
    client.get("/behind/a/proxy/zh/poems/7")
    client.get("/behind/a/proxy/zh/nothing")

    labels = {"method": "GET", "status": 200, "route": "/zh/poems/{poem}"}
    assert count("genloop_http_requests_total", **labels) == 1
    labels = {"method": "GET", "status": 404, "route": "/zh/-"}
    assert count("genloop_http_requests_total", **labels) == 1


def test_a_visitor_who_is_gone_before_the_answer_is_no_error():
    async def cancelled(scope, receive, send):
        raise asyncio.CancelledError

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "root_path": ""}
    labels = {"method": "GET", "route": "-", "status": "gone"}
    before = count("genloop_http_requests_total", **labels)
    with suppress(asyncio.CancelledError):
        asyncio.run(Watch(cancelled, hops=0)(scope, None, None))

    assert count("genloop_http_requests_total", **labels) == before + 1
    assert count("genloop_http_open") == 0
