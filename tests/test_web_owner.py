import csv
import io
import json
import re
import stat
import zipfile

import pytest

from feedback.browse import GENERATION_COLUMNS
from feedback.events_csv import COLUMNS
from tests.exporting import exported, fill
from tests.web import OWNER_TOKEN, arrive, client_of, make_app
from web import limits, owner


@pytest.fixture
def client(database_url, tmp_path):
    with client_of(make_app(tmp_path / "data", database_url)) as client:
        yield client


@pytest.fixture
def stranger(tmp_path):
    """A client of a SQLite app, behind one trusted proxy."""
    with client_of(make_app(tmp_path / "data", trusted_proxies=1)) as client:
        yield client


def log_in(client, token=OWNER_TOKEN, address="9.9.9.9"):
    forwarded = {"X-Forwarded-For": address}
    return client.post(
        "/owner/login", data={"token": token}, headers=forwarded, follow_redirects=False
    )


def test_the_right_token_opens_the_area_for_half_a_day(stranger):
    answer = log_in(stranger)

    assert (answer.status_code, answer.headers["location"]) == (303, "/owner/")
    cookie = set(answer.headers["set-cookie"].split("; "))
    assert {"HttpOnly", "SameSite=strict", "Path=/owner", "Max-Age=43200"} <= cookie
    assert "Secure" not in cookie
    assert stranger.get("/owner/api/events.csv").status_code == 200


def test_over_https_the_cookie_is_secure(stranger):
    https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"}
    answer = stranger.post(
        "/owner/login", data={"token": OWNER_TOKEN}, headers=https, follow_redirects=False
    )

    assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "x", OWNER_TOKEN[:-1], OWNER_TOKEN + "x", "口令" * 400])
def test_a_wrong_token_opens_nothing(stranger, token):
    answer = log_in(stranger, token)

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert stranger.get("/owner/api/events.csv").status_code == 401


def test_guessing_is_stopped_even_for_the_right_guess(stranger):
    codes = [log_in(stranger, f"guess {n}").status_code for n in range(6)]

    assert codes == [401] * 5 + [429]
    late = log_in(stranger)
    assert late.status_code == 429
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert log_in(stranger, address="8.8.8.8").status_code == 303


def test_who_knows_the_token_may_log_in_as_often_as_they_like(stranger):
    assert {log_in(stranger).status_code for _ in range(30)} == {303}


def test_guessing_from_many_addresses_is_stopped_too(stranger, monkeypatch):
    monkeypatch.setattr(limits, "LOGIN_IN_ALL", tuple(limits.parse_many("20/hour")))
    codes = [log_in(stranger, "guess", address=f"9.9.{n}.9").status_code for n in range(21)]

    assert codes == [401] * 20 + [429]


def test_without_a_cookie_a_browser_is_led_to_the_login_and_a_program_is_told(stranger):
    page = stranger.get("/owner/", headers={"Accept": "text/html"}, follow_redirects=False)
    program = stranger.get("/owner/api/events.csv")

    assert (page.status_code, page.headers["location"]) == (303, "/owner/login")
    assert (program.status_code, program.json()["error"]["code"]) == (401, "owner_only")


def test_a_cookie_ends_and_cannot_be_prolonged(stranger, monkeypatch):
    log_in(stranger)
    cookie = stranger.cookies["genloop_owner"]
    until, rest = cookie.split(".", 1)

    def get(value):
        stranger.cookies.clear()
        return stranger.get("/owner/api/events.csv", headers={"Cookie": f"genloop_owner={value}"})

    assert get(cookie).status_code == 200
    for forged in (f"{int(until) + 1}.{rest}", "", ".", "..", "x" + cookie, cookie[:-1]):
        assert get(forged).status_code == 401
    monkeypatch.setattr(owner.time, "time", lambda: int(until) + 1)
    assert get(cookie).status_code == 401


def test_a_new_token_makes_old_cookies_worthless(tmp_path):
    with client_of(make_app(tmp_path, secret="s" * 32)) as before:
        log_in(before)
        cookie = {"Cookie": f"genloop_owner={before.cookies['genloop_owner']}"}
    with client_of(make_app(tmp_path, secret="s" * 32)) as same:
        assert same.get("/owner/api/events.csv", headers=cookie).status_code == 200
    with client_of(make_app(tmp_path, secret="s" * 32, owner_token="another" * 3)) as after:
        assert after.get("/owner/api/events.csv", headers=cookie).status_code == 401


def test_logging_out_forgets_the_cookie(stranger):
    log_in(stranger)
    answer = stranger.post("/owner/logout", follow_redirects=False)

    assert answer.status_code == 303
    assert "genloop_owner" not in stranger.cookies
    assert stranger.get("/owner/api/events.csv").status_code == 401


def test_another_site_cannot_log_the_owner_in_or_out(stranger):
    for path in ("/owner/login", "/owner/logout"):
        answer = stranger.post(path, headers={"Origin": "https://evil.example"})

        assert answer.status_code == 403


@pytest.mark.parametrize(("wish", "word"), [("en", "Log in"), ("zh-CN", "登录")])
def test_the_login_page_needs_nothing_from_elsewhere(stranger, wish, word):
    answer = stranger.get("/owner/login", headers={"Accept-Language": wish})

    assert word in answer.text
    assert "{{" not in answer.text
    assert f'<html lang="{wish[:2]}">' in answer.text
    assert not re.search(r"https?://|<script|<link|@import|url\(", answer.text)
    assert "width=device-width" in answer.text and "prefers-color-scheme: dark" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_the_login_page_says_what_went_wrong_in_both_languages(stranger):
    for wish, word in (("en", "not the owner"), ("zh", "口令不对")):
        answer = stranger.post(
            "/owner/login", data={"token": "<b>"}, headers={"Accept-Language": wish}
        )

        assert word in answer.text
        assert "<b>" not in answer.text


def test_a_token_is_made_printed_once_and_kept_to_ourselves(tmp_path, capsys):
    with client_of(make_app(tmp_path, owner_token="")) as client:
        made = client.app.state.services.owner_token
        printed = capsys.readouterr().out
    with client_of(make_app(tmp_path, owner_token="")) as client:
        again = client.app.state.services.owner_token
        printed_again = capsys.readouterr().out

    assert len(made) >= 32 and made == again
    assert made in printed and made not in printed_again
    for name in ("owner-token", "secret"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_token_of_the_settings_is_not_written_down(tmp_path, capsys):
    with client_of(make_app(tmp_path)):
        assert not (tmp_path / "owner-token").exists()
        assert OWNER_TOKEN not in capsys.readouterr().out


def test_the_owner_downloads_feedback_and_generations(client):
    ann = arrive(client)
    [poem] = ann.make(prompt="=1+1", outputs=("@床前",))
    ann.say(poem, "stars", 5)
    ann.say(poem, "comment", "=cmd()")
    client.post("/owner/login", data={"token": OWNER_TOKEN}, follow_redirects=False)

    def table(path):
        return list(csv.DictReader(io.StringIO(client.get(path).content.decode("utf-8-sig"))))

    def lines(path):
        return [json.loads(line) for line in client.get(path).text.splitlines()]

    raw, sheet = table("/owner/api/events.csv"), table("/owner/api/events.csv?flavour=spreadsheet")
    assert [row["text"] for row in raw] == ["", "=cmd()"]
    assert [row["text"] for row in sheet] == ["", "'=cmd()"]
    assert [row["kind"] for row in table("/owner/api/events.csv?kind=stars")] == ["stars"]
    assert table("/owner/api/events.csv?since=2999-01-01T00:00:00Z") == []
    assert [tuple(row) for row in lines("/owner/api/events.jsonl")] == [COLUMNS] * 2

    [made] = table("/owner/api/generations.csv")
    [guarded] = table("/owner/api/generations.csv?flavour=spreadsheet&bom=true")
    [line] = lines("/owner/api/generations.jsonl?text=1%2B1")
    assert tuple(made) == tuple(line) == GENERATION_COLUMNS
    assert (made["prompt"], made["output"], made["model"]) == ("=1+1", "@床前", "poet")
    assert (guarded["prompt"], guarded["output"]) == ("'=1+1", "'@床前")
    assert lines("/owner/api/generations.jsonl?task=image") == []


@pytest.mark.parametrize(
    "query", ["flavour=excel", "since=2026-01-01T00:00:00", "version_id=x", "bom=perhaps"]
)
def test_odd_filters_are_refused(stranger, query):
    log_in(stranger)

    assert stranger.get(f"/owner/api/events.csv?{query}").status_code == 422


def test_the_owners_routes_are_not_in_the_public_description(stranger):
    assert "owner" not in stranger.get("/api/openapi.json").text


def test_the_owner_downloads_a_dataset_as_a_zip(client, tmp_path):
    services = client.app.state.services
    fill(services.database)
    folder = tmp_path / "out"
    exported(services.database, folder, "sft", name="诗")
    path = "/owner/api/exports/诗@1.zip"
    assert client.get(path).status_code == 401
    client.post("/owner/login", data={"token": OWNER_TOKEN}, follow_redirects=False)

    answer = client.get(path)

    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("诗@1/manifest.json"))
    assert manifest["name"] == "诗"
    for name in ("诗@2", "none@1", "..%2f..%2fsecret", "x"):
        missing = client.get(f"/owner/api/exports/{name}.zip")
        assert missing.status_code == 404
    (folder / "manifest.json").unlink()
    assert client.get(path).status_code == 404
