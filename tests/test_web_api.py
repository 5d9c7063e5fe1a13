import ast
import csv
import io
import json
import string
import threading
import uuid
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from config import ROOT
from db.tables import Comparison, Consent, FeedbackEvent, Signal, Visitor, Vote
from db.writer import Busy
from feedback.consent import TERMS_VERSION
from feedback.identity import HEADER
from tests.factories import count, drawn
from tests.web import arrive, client_of, make_app, serving
from ui.strings import ERRORS
from web import errors


@pytest.fixture
def client(database_url, tmp_path):
    with client_of(make_app(tmp_path / "data", database_url)) as client:
        yield client


@pytest.fixture
def sqlite_client(tmp_path):
    with client_of(make_app(tmp_path / "data")) as client:
        yield client


def rows(client, table):
    with client.app.state.services.database.read() as session:
        return count(session, table)


def code_of(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_a_token_is_given_and_nothing_is_stored(client):
    answer = client.post("/api/visitor")

    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"]
    assert answer.json()["token"] in cookie
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert rows(client, Visitor) == 0


def test_over_https_the_cookie_is_secure(tmp_path):
    with client_of(make_app(tmp_path), base_url="https://testserver") as client:
        assert "; Secure" in client.post("/api/visitor").headers["set-cookie"]


def test_a_forwarded_scheme_counts_behind_a_trusted_proxy_only(tmp_path):
    https = {"X-Forwarded-Proto": "https"}
    with client_of(make_app(tmp_path)) as client:
        assert "Secure" not in client.post("/api/visitor", headers=https).headers["set-cookie"]
    with client_of(make_app(tmp_path, trusted_proxies=1)) as client:
        assert "Secure" in client.post("/api/visitor", headers=https).headers["set-cookie"]


def test_the_header_or_the_cookie_says_who_asks(client):
    token = client.post("/api/visitor").json()["token"]
    consent = {"keep": True, "train": False, "language": "zh", "terms_version": TERMS_VERSION}

    by_cookie = client.post("/api/consent", json=consent).json()
    client.cookies.clear()
    by_header = client.get("/api/me", headers={HEADER: token}).json()
    stranger = client.get("/api/me").json()

    assert by_cookie == by_header
    assert by_header["consent"] == {
        "keep": True,
        "train": False,
        "terms_version": TERMS_VERSION,
        "language": "zh",
        "created_at": by_header["consent"]["created_at"],
    }
    assert stranger["consent"] is None
    assert stranger["counts"] == {
        "generations": 0,
        "feedback_events": 0,
        "signals": 0,
        "votes": 0,
    }


def test_the_terms_are_told_in_both_languages(client):
    english, chinese = (client.get(f"/api/terms?language={one}").json() for one in ("en", "zh"))

    assert english["version"] == chinese["version"] == TERMS_VERSION
    assert "erase" in english["text"] and "删除" in chinese["text"]
    assert english["sha256"] != chinese["sha256"]


def test_a_stranger_who_declines_stays_a_stranger(client):
    ann = arrive(client, agree=False)

    assert ann.agree(keep=False, train=False).json()["consent"] is None
    assert (rows(client, Visitor), rows(client, Consent)) == (0, 0)


def test_consent_can_be_withdrawn(client):
    ann = arrive(client)
    [poem] = ann.make()
    answer = ann.agree(keep=False, train=False).json()

    assert answer["consent"]["keep"] is False
    assert code_of(ann.say(poem, "thumb", 1)) == (403, "no_consent")
    assert rows(client, Consent) == 2


def test_an_answer_to_old_terms_is_refused(client):
    ann = arrive(client, agree=False)
    consent = {"keep": True, "train": True, "language": "en", "terms_version": "1999-01"}

    assert code_of(ann.request("POST", "/api/consent", json=consent)) == (409, "old_terms")


def test_what_is_acknowledged_is_in_the_database(client):
    ann = arrive(client)
    [poem] = ann.make()
    answer = ann.say(poem, "edit", "床前明月光")

    assert answer.status_code == 201
    with client.app.state.services.database.read() as session:
        event = session.get_one(FeedbackEvent, answer.json()["id"])
        assert (event.kind, event.text) == ("edit", "床前明月光")
        assert answer.json() == {
            "id": event.id,
            "key": event.key,
            "kind": "edit",
            "created_at": event.created_at.isoformat(),
        }


def test_the_same_key_is_acknowledged_again_with_the_same_receipt(client):
    ann = arrive(client)
    [poem] = ann.make()
    key = str(uuid.uuid4())
    first, second = (ann.say(poem, "stars", 4, key=key) for _ in range(2))

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert code_of(ann.say(poem, "stars", 5, key=key)) == (409, "key_reused")
    assert rows(client, FeedbackEvent) == 1


def test_a_key_of_somebody_else_tells_nothing(client):
    ann, bob = arrive(client), arrive(client)
    [poem], [song] = ann.make(), bob.make()
    key = str(uuid.uuid4())
    ann.say(poem, "thumb", 1, key=key)

    assert code_of(bob.say(song, "thumb", 1, key=key)) == (409, "key_reused")


def test_fifty_clicks_at_once_are_one_event(client):
    ann = arrive(client)
    [poem] = ann.make()
    key = str(uuid.uuid4())
    answers = []
    clicks = [
        threading.Thread(target=lambda: answers.append(ann.say(poem, "thumb", 1, key=key)))
        for _ in range(50)
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert rows(client, FeedbackEvent) == 1


def test_what_was_said_can_be_taken_back(client):
    ann = arrive(client)
    [poem] = ann.make()
    ann.say(poem, "thumb", 1)

    assert ann.say(poem, "thumb", None).status_code == 201
    assert ann.request("GET", f"/api/generations/{poem}").json()["drafts"][0]["feedback"] == {}


def test_a_draft_is_chosen_among_several(client):
    ann = arrive(client)
    first, second = ann.make(outputs=("一", "二"))

    assert ann.say(second, "choice", True).status_code == 201
    [request] = ann.request("GET", "/api/generations").json()
    assert [draft["feedback"] for draft in request["drafts"]] == [{}, {"choice": True}]


def test_drafts_are_ranked(client):
    ann = arrive(client)
    first, second = ann.draw(drawn("red"), drawn("blue"))

    assert ann.say(first, "rank", 2).status_code == ann.say(second, "rank", 1).status_code == 201
    assert code_of(ann.say(first, "rank", 3)) == (422, "rank_value")
    [request] = ann.request("GET", "/api/generations").json()
    assert [draft["feedback"] for draft in request["drafts"]] == [{"rank": 2}, {"rank": 1}]


def test_a_place_in_a_picture_is_marked(client):
    ann = arrive(client)
    [picture] = ann.draw()
    region = {"strokes": ["40:100,120 110,130", "8:0,1000"], "text": "six fingers"}

    assert ann.say(picture, "region", region).status_code == 201
    [request] = ann.request("GET", "/api/generations").json()
    assert request["drafts"][0]["feedback"] == {"region": region}


def test_a_picture_is_given_to_its_visitor_alone(client):
    ann, bob = arrive(client), arrive(client)
    [picture] = ann.draw(drawn("green"))
    [poem] = ann.make()
    answer = ann.request("GET", f"/api/media/{picture}")

    assert answer.content == drawn("green")
    assert answer.headers["content-type"] == "image/png"
    assert "private" in answer.headers["cache-control"]
    assert code_of(bob.request("GET", f"/api/media/{picture}")) == (404, "unknown_generation")
    assert code_of(client.get(f"/api/media/{picture}")) == (401, "no_visitor")
    assert code_of(ann.request("GET", f"/api/media/{poem}")) == (404, "no_picture")


def test_pictures_are_erased_with_their_visitor(client):
    ann = arrive(client)
    ann.draw(drawn("red"), drawn("blue"))
    folder = client.app.state.services.media.folder
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 2
    ann.request("DELETE", "/api/my")

    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_one_of_a_pair_is_better(client):
    ann, bob = arrive(client), arrive(client)
    left, right = ann.draw(drawn("red"), drawn("blue"))
    [other] = ann.draw(drawn("green"))

    assert ann.vote(left, right, "left").status_code == 201
    assert ann.vote(right, left, "tie").status_code == 201
    assert code_of(ann.vote(left, right, "both")) == (422, "vote_value")
    assert code_of(ann.vote(left, other, "left")) == (422, "not_a_pair")
    assert code_of(ann.vote(left, left, "left")) == (422, "not_a_pair")
    assert code_of(bob.vote(left, right, "left")) == (404, "unknown_generation")
    assert rows(client, Vote) == rows(client, Comparison) == 2


def test_the_same_vote_twice_is_one(client):
    ann = arrive(client)
    left, right = ann.draw(drawn("red"), drawn("blue"))
    key = str(uuid.uuid4())
    first, again = (ann.vote(left, right, "left", key=key) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert code_of(ann.vote(left, right, "right", key=key)) == (409, "key_reused")
    assert rows(client, Vote) == 1


def test_a_visitors_last_answer_to_each_pair_comes_with_the_request(client):
    ann = arrive(client)
    one, two, three = ann.draw(drawn("red"), drawn("blue"), drawn("green"))
    for left, right, answer in (
        (one, two, "left"),
        (two, three, "tie"),
        (two, one, "left"),  # the same pair the other way round: a change of mind
    ):
        assert ann.vote(left, right, answer).status_code == 201

    [request] = ann.request("GET", "/api/generations").json()
    assert sorted(request["votes"], key=lambda vote: vote["answer"]) == [
        {"left": two, "right": one, "answer": "left"},
        {"left": two, "right": three, "answer": "tie"},
    ]


def test_a_handle_is_good_for_its_visitor_alone(client):
    ann, bob = arrive(client), arrive(client)
    [poem] = ann.make()
    bare = poem.partition(".")[0]
    resigned = client.app.state.services.signer.handle(bare, bob.key_hash)

    for handle in (poem, bare, resigned, "x.y", poem[:-1], poem + "0"):
        assert code_of(bob.say(handle, "thumb", 1)) == (404, "unknown_generation")
        signal = {"key": str(uuid.uuid4()), "generation": handle, "kind": "copy"}
        assert bob.request("POST", "/api/signals", json=signal).status_code == 404
        assert bob.request("GET", f"/api/generations/{handle}").status_code == 404
    assert rows(client, FeedbackEvent) == rows(client, Signal) == 0


def test_nothing_is_kept_without_a_token_or_consent(client):
    ann = arrive(client)
    [poem] = ann.make()
    event = {"key": str(uuid.uuid4()), "generation": poem, "kind": "thumb", "value": 1}

    assert code_of(client.post("/api/feedback", json=event)) == (401, "no_visitor")
    forged = {HEADER: ann.token[:-1] + "x"}
    assert code_of(client.post("/api/feedback", json=event, headers=forged)) == (401, "no_visitor")
    stranger = arrive(client, agree=False)
    handle = client.app.state.services.signer.handle(poem.partition(".")[0], stranger.key_hash)
    assert code_of(stranger.say(handle, "thumb", 1)) == (403, "no_consent")


@pytest.mark.parametrize("field", ["visitor_id", "model", "created_at", "id", "weight"])
def test_a_client_cannot_set_what_the_server_sets(sqlite_client, field):
    ann = arrive(sqlite_client)
    [poem] = ann.make()
    answer = ann.say(poem, "thumb", 1, **{field: 1})

    assert code_of(answer) == (422, "invalid_request")
    assert field in answer.json()["error"]["message"]
    assert rows(sqlite_client, FeedbackEvent) == 0


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("thumb", "true", "thumb_value"),
        ("thumb", "1.0", "thumb_value"),
        ("thumb", "0", "thumb_value"),
        ("stars", "NaN", "stars_value"),
        ("stars", "Infinity", "stars_value"),
        ("stars", "-0", "stars_value"),
        ("stars", "1e0", "stars_value"),
        ("stars", "9" * 400, "stars_value"),
        ("stars", '"5"', "stars_value"),
        ("stars", '["5"]', "stars_value"),
        ("stars", '{"a": 1}', "stars_value"),
        ("rank", "1", "choice_needs_drafts"),
        ("region", '"here"', "region_value"),
        ("region", '{"strokes": [], "text": ""}', "region_value"),
        ("region", '{"strokes": ["9:5,5"], "text": "", "by": "me"}', "region_value"),
        ("region", '{"strokes": ["9:5,1001"], "text": ""}', "region_value"),
        ("region", '{"strokes": ["9:5;5"], "text": ""}', "region_value"),
        ("region", f'{{"strokes": ["9:{"5,5 " * 2600}5,5"], "text": ""}}', "region_too_long"),
        ("region", '{"strokes": ["9:5,5"], "text": 5}', "text_expected"),
        ("reasons", "[1]", "invalid_request"),
        ("reasons", "[[]]", "invalid_request"),
        ("reasons", '["because"]', "unknown_reason"),
        ("comment", '""', "empty"),
        ("comment", '"a\\u0000b"', "not_text"),
        ("comment", '"\\ud800"', "not_text"),
        ("edit", f'"{"x" * 20_001}"', "too_long"),
        ("edit", f'"{"x" * 900_000}"', "too_long"),
        ("edit", "5", "text_expected"),
        ("choice", "true", "choice_needs_drafts"),
        ("choice", "false", "choice_value"),
        ("weight", "5", "unknown_kind"),
        ("\\ud800", "5", "invalid_request"),
    ],
)
def test_bad_values_are_refused_with_a_sentence(sqlite_client, kind, value, code):
    ann = arrive(sqlite_client)
    [poem] = ann.make()
    key = uuid.uuid4()
    body = f'{{"key":"{key}","generation":"{poem}","kind":"{kind}","value":{value}}}'
    send = {"content": body, "headers": {"Content-Type": "application/json"}}
    answer = ann.request("POST", "/api/feedback", **send)

    assert code_of(answer) == (422, code)
    assert len(answer.json()["error"]["message"]) > 5
    assert rows(sqlite_client, FeedbackEvent) == 0


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", "[" * 100_000, '{"key": 1}', "\ud800".encode("utf-8", "surrogatepass")],
)
def test_what_is_no_such_json_is_refused(sqlite_client, body):
    ann = arrive(sqlite_client)
    send = {"content": body, "headers": {"Content-Type": "application/json"}}
    answer = ann.request("POST", "/api/feedback", **send)

    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["code"] == "invalid_request"


def test_a_form_of_another_site_is_no_json(sqlite_client):
    ann = arrive(sqlite_client)
    [poem] = ann.make()
    event = {"key": str(uuid.uuid4()), "generation": poem, "kind": "thumb", "value": 1}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        send = {"content": json.dumps(event), "headers": {"Content-Type": kind}}

        assert code_of(ann.request("POST", "/api/feedback", **send)) == (422, "invalid_request")


@pytest.mark.parametrize("key", ["", "1", "x" * 64, "x" * 65, 5, None])
def test_a_key_must_be_a_uuid(sqlite_client, key):
    ann = arrive(sqlite_client)
    [poem] = ann.make()

    assert ann.say(poem, "thumb", 1, key=key).status_code == 422


def test_a_signal_is_kept_once_and_is_no_feedback(client):
    ann = arrive(client)
    [poem] = ann.make()
    act = {"key": str(uuid.uuid4()), "generation": poem, "kind": "copy", "milliseconds": 900}
    for _ in range(2):
        assert ann.request("POST", "/api/signals", json=act).status_code == 204

    assert (rows(client, Signal), rows(client, FeedbackEvent)) == (1, 0)
    for wrong in ({"milliseconds": -1}, {"milliseconds": 2**31}, {"kind": "smile"}, {"x": 1}):
        act["key"] = str(uuid.uuid4())
        assert ann.request("POST", "/api/signals", json=act | wrong).status_code == 422


def test_own_requests_are_listed_newest_first_with_what_was_said(client):
    ann, bob = arrive(client), arrive(client)
    made = [ann.make(prompt=f"五绝《{number}》", outputs=("一", "二")) for number in range(3)]
    bob.make()
    ann.say(made[2][1], "stars", 5)

    pages = [ann.request("GET", "/api/generations?limit=2").json()]
    cursor = pages[0][-1]["request_id"]
    pages.append(ann.request("GET", f"/api/generations?limit=2&before={cursor}").json())
    newest = pages[0][0]

    assert [len(page) for page in pages] == [2, 1]
    assert [request["inputs"]["prompt"] for page in pages for request in page] == [
        "五绝《2》",
        "五绝《1》",
        "五绝《0》",
    ]
    assert (newest["task"], newest["model"], newest["parent"]) == ("text", "poet", None)
    assert [draft["generation"] for draft in newest["drafts"]] == made[2]
    assert [draft["feedback"] for draft in newest["drafts"]] == [{}, {"stars": 5}]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "before=" + "x" * 37])
def test_odd_pages_are_refused(sqlite_client, query):
    ann = arrive(sqlite_client)

    assert ann.request("GET", f"/api/generations?{query}").status_code == 422


def test_a_stranger_has_no_generations(client):
    ann = arrive(client, agree=False)

    assert ann.request("GET", "/api/generations").json() == []


def test_a_visitor_downloads_what_she_said_and_nobody_elses(client):
    ann, bob = arrive(client), arrive(client)
    [poem], [song] = ann.make(prompt="=1+1"), bob.make()
    ann.say(poem, "comment", "=cmd()")
    bob.say(song, "comment", "bob's")

    raw = ann.request("GET", "/api/my/feedback.csv").content
    sheet = ann.request("GET", "/api/my/feedback.csv?flavour=spreadsheet&bom=true").content

    [row] = csv.DictReader(io.StringIO(raw.decode()))
    assert (row["text"], row["prompt"]) == ("=cmd()", "=1+1")
    [row] = csv.DictReader(io.StringIO(sheet.decode("utf-8-sig")))
    assert (row["text"], row["prompt"]) == ("'=cmd()", "'=1+1")
    assert sheet.startswith(b"\xef\xbb\xbf")


def test_a_long_history_is_downloaded_whole(sqlite_client):
    ann = arrive(sqlite_client)
    [poem] = ann.make()
    database = sqlite_client.app.state.services.database
    with database.sessions.begin() as session:
        visitor = session.query(Visitor).one().id
        session.add_all(
            FeedbackEvent(
                key=str(uuid.uuid4()),
                generation_id=poem.partition(".")[0],
                visitor_id=visitor,
                consent_id=1,
                kind="stars",
                score=number % 5 + 1,
            )
            for number in range(1_203)
        )

    events = ann.request("GET", "/api/my/feedback.csv").text.splitlines()
    data = ann.request("GET", "/api/my/data.json").json()

    assert len(events) == 1 + 1_203
    assert [row["id"] for row in data["feedback_events"]] == list(range(1, 1_204))


def test_everything_about_a_visitor_is_in_one_file(client):
    ann, bob = arrive(client), arrive(client)
    [poem] = ann.make(prompt="ann's")
    bob.make(prompt="bob's")
    ann.say(poem, "edit", "better")
    answer = ann.request("GET", "/api/my/data.json")

    assert "attachment" in answer.headers["content-disposition"]
    data = answer.json()
    assert [row["inputs"] for row in data["generations"]] == [{"prompt": "ann's"}]
    assert [row["model"] for row in data["generations"]] == ["poet"]
    assert [row["text"] for row in data["feedback_events"]] == ["better"]
    assert [row["keep"] for row in data["consents"]] == [True]
    assert data["signals"] == data["comparisons"] == data["votes"] == []


def test_a_stranger_downloads_an_empty_file(client):
    ann = arrive(client, agree=False)

    data = ann.request("GET", "/api/my/data.json").json()

    assert data and not any(data.values())
    assert len(ann.request("GET", "/api/my/feedback.csv").text.splitlines()) == 1


def test_erasing_clears_the_cookie_and_all_that_was_kept(client):
    ann = arrive(client)
    [poem] = ann.make()
    ann.say(poem, "thumb", 1)
    answer = ann.request("DELETE", "/api/my")

    assert answer.status_code == 204
    assert 'genloop_visitor=""' in answer.headers["set-cookie"]
    assert ann.request("GET", "/api/generations").json() == []
    assert ann.request("GET", "/api/me").json()["consent"] is None
    assert code_of(ann.say(poem, "thumb", 1)) == (403, "no_consent")


def test_messages_come_in_the_language_of_the_visitor(sqlite_client):
    for wish, language in (("zh-CN,zh;q=0.9,en;q=0.5", "zh"), ("de, en;q=0.5", "en")):
        answer = sqlite_client.delete("/api/my", headers={"Accept-Language": wish})

        assert answer.json()["error"]["message"] == ERRORS[language]["no_visitor"]
        assert answer.headers["content-language"] == language


def test_a_full_disk_is_told_keeps_nothing_half_and_heals(sqlite_client):
    ann = arrive(sqlite_client)
    [poem] = ann.make()
    engine = sqlite_client.app.state.services.database.write_engine

    def allow(pages):
        with engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    allow(pages)
    kept = 0
    while (answer := ann.say(poem, "edit", "字" * 5_000)).status_code == 201:
        kept += 1
    assert code_of(answer) == (503, "storage")
    assert answer.headers["retry-after"] == "5"
    assert rows(sqlite_client, FeedbackEvent) == kept

    allow(1_000_000)
    assert ann.say(poem, "edit", "字" * 5_000).status_code == 201
    assert rows(sqlite_client, FeedbackEvent) == kept + 1
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


@pytest.mark.parametrize(
    ("problem", "code"), [(Busy("2000 writes are waiting"), "busy"), ("locked", "storage")]
)
def test_a_store_that_cannot_write_says_so_at_once(sqlite_client, monkeypatch, problem, code):
    if isinstance(problem, str):
        problem = OperationalError("INSERT", {}, Exception(problem))
    ann = arrive(sqlite_client)
    [poem] = ann.make()

    def refuse(_work):
        raise problem

    monkeypatch.setattr(sqlite_client.app.state.services.database.writer, "submit", refuse)
    answer = ann.say(poem, "thumb", 1)

    assert code_of(answer) == (503, code)
    assert int(answer.headers["retry-after"]) > 0


def test_an_unexpected_error_gives_a_reference_and_no_secrets(sqlite_client, monkeypatch, caplog):
    ann = arrive(sqlite_client)
    [poem] = ann.make()

    def fail(*_args, **_kwargs):
        raise RuntimeError("canary prompt")

    monkeypatch.setattr("web.api.keep_event", fail)
    answer = ann.say(poem, "edit", "canary edit")

    assert code_of(answer) == (500, "internal")
    reference = answer.json()["error"]["message"].split()[-1].strip(".")
    [line] = [one for one in caplog.messages if reference in one]
    assert "RuntimeError" in line
    assert "canary" not in line and ann.token not in line and "canary" not in answer.text


def test_the_server_does_not_log_what_was_sent(tmp_path, monkeypatch, capfd):
    def fail(*_args, **_kwargs):
        raise RuntimeError("canary prompt")

    app = make_app(tmp_path)
    with serving(app) as address, httpx.Client(base_url=address) as client:
        client.app = app
        ann = arrive(client)
        [poem] = ann.make()
        monkeypatch.setattr("web.api.keep_event", fail)
        answer = ann.say(poem, "edit", "canary edit")

    assert code_of(answer) == (500, "internal")
    out, err = capfd.readouterr()
    assert "canary" not in out + err and ann.token not in out + err


def test_health_tells_no_secrets(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}


def test_a_database_that_does_not_answer_is_not_healthy(sqlite_client, monkeypatch):
    def fail(*_args):
        raise OperationalError("SELECT 1", {}, Exception("canary"))

    monkeypatch.setattr("web.health.asked", fail)
    answer = sqlite_client.get("/health")

    assert code_of(answer) == (503, "storage")
    assert "canary" not in answer.text


def test_the_api_describes_itself(sqlite_client):
    described = sqlite_client.get("/api/openapi.json").json()
    routes = {(method, path) for path, methods in described["paths"].items() for method in methods}

    assert {
        ("post", "/api/visitor"),
        ("get", "/api/me"),
        ("get", "/api/terms"),
        ("post", "/api/consent"),
        ("post", "/api/feedback"),
        ("post", "/api/signals"),
        ("post", "/api/votes"),
        ("get", "/api/media/{handle}"),
        ("get", "/api/generations"),
        ("get", "/api/generations/{handle}"),
        ("get", "/api/my/feedback.csv"),
        ("get", "/api/my/data.json"),
        ("delete", "/api/my"),
        ("get", "/health"),
        ("get", "/ready"),
    } == routes
    for methods in described["paths"].values():
        for route in methods.values():
            assert route["description"] and route["tags"]


def fields(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_error_has_a_sentence_in_both_languages_with_the_same_places():
    english, chinese = ERRORS["en"], ERRORS["zh"]

    assert english.keys() == chinese.keys()
    for code in english:
        assert fields(english[code]) == fields(chinese[code]), code
    for _, code, _ in errors.ANSWERS.values():
        assert code in english


CODED = {
    "InvalidFeedback": 0,
    "TextProblem": 0,
    "InvalidRequest": 0,
    "ModelUnavailable": 0,
    "EngineFault": 0,
    "EngineRefusal": 0,
    "Refused": 1,
}
GIVEN_LATER = {"EngineFault": {"model"}, "EngineRefusal": {"model"}}


def raised_codes(path: Path):
    """(code, names of details) of each exception with a code that a file raises."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        place = CODED.get(name)
        if place is None or len(node.args) <= place:
            continue
        code = node.args[place]
        if isinstance(code, ast.Constant) and isinstance(code.value, str):
            details = {word.arg for word in node.keywords} - {"retry_after"}
            yield code.value, details | GIVEN_LATER.get(name, set())


def test_every_code_that_is_raised_has_a_sentence_that_fits():
    folders = ("db", "models", "generators", "feedback", "ui", "web")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = [(path, *raised) for path in files for raised in raised_codes(path)]

    assert len(found) > 10
    for path, code, details in found:
        assert code in ERRORS["en"], f"{path}: {code}"
        assert fields(ERRORS["en"][code]) <= details, f"{path}: {code}"
