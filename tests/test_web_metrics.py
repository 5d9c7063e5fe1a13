"""What Prometheus reads: for those who may, of few labels, and right."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from prometheus_client.openmetrics import parser as openmetrics

from config import ROOT
from db.tables import ScheduledRun
from generators.batching import ModelQueue, Ticket
from generators.engines import open_engine
from generators.wire import EngineLimits
from models.jobs import Jobs
from tests.numbers import series, value
from tests.replicas import wait_until
from tests.web import OWNER_TOKEN, arrive, client_of, make_app
from ui.strings import ERRORS
from web.metrics import look_at_models, of_queues

TOKEN = "a metrics token for tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with client_of(make_app(tmp_path_factory.mktemp("metrics"), metrics_token=TOKEN)) as client:
        yield client


def read(client):
    answer = client.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    return series(answer.text)


def samples(families, name):
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


# Who may


@pytest.mark.parametrize(
    "header", ["", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", "Bearer 口令"]
)
def test_the_numbers_are_shut_to_strangers(client, header):
    headers = {"Authorization": header.encode()} if header else {}
    answer = client.get("/metrics", headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "metrics_token")
    assert "genloop_" not in answer.text


def test_each_door_has_its_own_key(client):
    assert client.get("/owner/metrics", headers=BEARER).status_code == 401
    client.post("/owner/login", data={"token": OWNER_TOKEN}, follow_redirects=False)

    assert "genloop_http_requests_total" in client.get("/owner/metrics").text
    assert client.get("/metrics").status_code == 401
    client.cookies.clear()


def test_without_a_token_in_the_settings_there_is_nothing_at_the_usual_place(tmp_path):
    with client_of(make_app(tmp_path)) as client:
        assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_guessing_is_slowed_down(tmp_path):
    with client_of(make_app(tmp_path, metrics_token=TOKEN, rate_limits=True)) as client:
        codes = [client.get("/metrics").status_code for _ in range(61)]

    assert codes == [401] * 60 + [429]


def test_both_formats_can_be_read(client):
    answer = client.get("/metrics", headers=BEARER | {"Accept": "application/openmetrics-text"})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics.text_string_to_metric_families(answer.text)}
    assert {"genloop_http_requests", "genloop_disk_free_bytes", "process_open_fds"} <= names
    assert "openmetrics" not in client.get("/metrics", headers=BEARER).headers["content-type"]


# What is counted


def test_what_visitors_do_is_counted_once(client):
    before = read(client)
    ann = arrive(client)
    [poem] = ann.make()
    key = str(uuid.uuid4())
    for _ in range(3):
        assert ann.say(poem, "thumb", 1, key=key).status_code in (200, 201)
    signal = {"key": str(uuid.uuid4()), "generation": poem, "kind": "copy"}
    for _ in range(2):
        assert ann.request("POST", "/api/signals", json=signal).status_code == 204
    ann.say(poem, "thumb", 7)
    client.get("/nowhere")
    after = read(client)

    def more(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    posts = {"method": "POST", "route": "/api/feedback"}
    assert more("genloop_feedback_total", kind="thumb") == 1
    assert more("genloop_signals_total", kind="copy") == 1
    assert more("genloop_consents_total", keep="true", train="true") == 1
    assert more("genloop_http_requests_total", **posts, status=201) == 1
    assert more("genloop_http_requests_total", **posts, status=200) == 2
    assert more("genloop_http_requests_total", **posts, status=422) == 1
    assert more("genloop_http_seconds_count", **posts) == 4
    assert more("genloop_errors_total", place="http", code="thumb_value") == 1
    assert more("genloop_errors_total", place="http", code="not_found") == 1


def test_labels_are_few_and_name_nobody(client):
    def visit(number):
        ann = arrive(client)
        [poem] = ann.make()
        ann.request("GET", f"/api/media/{poem}")
        client.get(f"/canary/{number}?canary=1")
        client.request(f"CANARY{number}", "/api/me")
        ann.say("canary", "thumb", 1)
        return ann, poem

    visit(0)
    before = read(client)
    ann, poem = visit(1)
    text = client.get("/metrics", headers=BEARER).text

    assert series(text).keys() == before.keys()
    assert "canary" not in text.lower() and ann.token not in text and poem not in text


# How things stand


def test_what_is_not_yet_copied_is_told(tmp_path):
    (tmp_path / "target").mkdir()
    app = make_app(
        tmp_path / "data",
        metrics_token=TOKEN,
        replica=str(tmp_path / "target"),
        replica_seconds=600,
        replica_events=10**6,
    )
    with client_of(app) as client:
        ann = arrive(client)
        [poem] = ann.make()
        wait_until(lambda: value(read(client), "genloop_copied_until_seconds"))
        ann.say(poem, "thumb", 1)
        ann.say(poem, "stars", 5)
        waiting = read(client)
        app.state.services.replicator.hurry()
        wait_until(lambda: not value(read(client), "genloop_unsafe_rows"))

    assert value(waiting, "genloop_unsafe_events") == 2
    assert value(waiting, "genloop_unsafe_rows") >= 2
    assert value(waiting, "genloop_unsafe_oldest_seconds") > 0
    assert value(waiting, "genloop_copy_state", state="copying") == 1
    assert value(waiting, "genloop_copy_state", state="stuck") == 0


def test_the_store_is_told(client):
    found = read(client)

    assert value(found, "genloop_disk_free_bytes") > 0
    assert value(found, "genloop_writer_ready") == 1
    assert value(found, "genloop_writes_waiting") == 0
    assert value(found, "genloop_sqlite_bytes", file="database") > 0


def test_the_last_run_of_a_scheduled_job_is_told(client):
    began = datetime.now(UTC) - timedelta(hours=1)

    def work(session):
        for number, state in enumerate(("finished", "failed")):
            session.add(
                ScheduledRun(
                    job="export",
                    holder="a process",
                    fence=number,
                    state=state,
                    last_event_id=0,
                    last_vote_id=0,
                    started_at=began,
                    finished_at=began,
                )
            )

    client.app.state.services.database.write(work)
    found = read(client)

    assert value(found, "genloop_scheduled_state", job="export", state="failed") == 1
    assert value(found, "genloop_scheduled_state", job="export", state="finished") == 0
    assert value(found, "genloop_scheduled_began_seconds", job="export") == began.timestamp()


def test_a_queue_tells_how_many_wait_and_how_long():
    queues = [
        ModelQueue(name, lambda: None, 8, task="vae", family="trained") for name in ("a", "b")
    ]
    for queue in (*queues, queues[0]):
        queue._thread.submit(lambda: None)  # nothing is loaded yet
        queue._waiting.append(queue_ticket(seconds=5))
    families = list(of_queues(queues))

    assert samples(families, "genloop_queue_length") == {("vae", "trained"): 3}
    assert 5 <= samples(families, "genloop_queue_oldest_seconds")["vae", "trained"] < 60
    states = samples(families, "genloop_model_state")
    assert states["vae", "trained", "loading"] == 2
    assert states["vae", "trained", "failed"] == 0


def queue_ticket(seconds):
    ticket = Ticket({}, None)
    ticket.queued_at -= timedelta(seconds=seconds)
    return ticket


def test_an_engine_and_a_training_are_told(tmp_path):
    entry = "openai:http://127.0.0.1:1/v1#poet"
    engine = open_engine("text", EngineLimits(), 8, lambda _: None, entry)
    [endpoint] = engine.model.pool.endpoints
    folder = tmp_path / "0000000000001"
    folder.mkdir()
    job = {"owner": "ann", "name": "canary", "created_at": 1.0, "settings": TRAINING}
    (folder / "job.json").write_text(json.dumps(job))
    look = look_at_models(lambda: [engine], Jobs(tmp_path, tmp_path))
    unknown = samples(look(), "genloop_engine_up")
    endpoint.checked("engine_unreachable", 0.25)
    families = list(look())
    engine.close()

    where = ("poet", "http://127.0.0.1:1/v1")
    assert unknown == {where: 1}
    assert samples(families, "genloop_engine_up") == {where: 0}
    assert samples(families, "genloop_engine_check_seconds") == {where: 0.25}
    assert samples(families, "genloop_jobs")[("interrupted",)] == 1
    assert sum(samples(families, "genloop_jobs").values()) == 1


def test_the_guide_has_every_number_and_no_other():
    guide = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    code = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("web/metrics.py", "web/watch.py", "feedback/measures.py")
    )
    made = set(re.findall(r'"(genloop_\w+)"', code)) - {"genloop_engine_"}
    counters = {name for name in made if re.search(rf'Counter\(\s*"{name}"', code)}
    engines = re.findall(r'^ +\("(\w+)", "', code[code.index("def of_engines") :], re.MULTILINE)
    named = {f"{name}_total" if name in counters else name for name in made}
    named |= {f"genloop_engine_{name}" for name in engines}

    assert len(engines) == 5
    assert set(re.findall(r"^\| `(genloop_\w+)` ", guide, re.MULTILINE)) == named
    [alarms] = [yaml.safe_load(block) for block in blocks(guide) if "groups:" in block]
    for rule in alarms["groups"][0]["rules"]:
        for name in re.findall(r"genloop_\w+", rule["expr"]):
            assert name.removesuffix("_bucket") in named, rule
        for code in re.findall(r'code=~"([\w|]+)"', rule["expr"]):
            assert set(code.split("|")) <= ERRORS["en"].keys()


def blocks(page):
    return re.findall(r"^```yaml\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


TRAINING = {
    "kind": "vectors",
    "data": "normal",
    "latent_size": 2,
    "epochs": 1,
    "batch": 8,
    "rate": 0.001,
}
