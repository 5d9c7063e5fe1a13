"""Several replicas on one PostgreSQL: nothing is lost or counted twice, whoever of them dies."""

import io
import json
import subprocess
import sys
import tarfile
import uuid

import httpx
import pytest
from sqlalchemy import select, text

from config import ROOT
from db.engine import Database
from db.tables import FeedbackEvent
from feedback.consent import TERMS_VERSION
from feedback.identity import HEADER
from tests.conftest import HEAD
from tests.postgres_server import postgres_database
from tests.reliability.proxy import NGINX, nginx
from tests.reliability.replicas import Load, grown, outputs, replica, under_load

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
needs_nginx = pytest.mark.skipif(NGINX is None, reason="needs nginx")

# A version with the first schema, 0001.
FORMER = "4cb8a5b91ff5"


@pytest.fixture(scope="module")
def database_url(postgres_server):
    with postgres_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def visitor(database_url):
    return outputs(database_url)


@pytest.fixture(scope="module")
def both(database_url, visitor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    with replica(folder / "a", database_url) as a, replica(folder / "b", database_url) as b:
        yield [a, b]


@pytest.fixture(scope="module")
def proxy(both, tmp_path_factory):
    ports = [one.port for one in both]
    with nginx(tmp_path_factory.mktemp("proxy") / "nginx", ports) as url:
        yield url


def kept(database_url):
    database = Database(database_url)
    with database.read() as session:
        rows = session.execute(select(FeedbackEvent.key, FeedbackEvent.id)).all()
    database.close()
    return [key for key, _ in rows]


def test_a_visitor_of_one_replica_is_known_to_the_other(both):
    a, b = (httpx.Client(base_url=one.url) for one in both)
    token = a.post("/api/visitor").json()["token"]
    answer = {"keep": True, "train": True, "language": "en", "terms_version": TERMS_VERSION}
    headers = {HEADER: token}

    assert a.post("/api/consent", json=answer, headers=headers).status_code == 200
    told = b.get("/api/me", headers=headers).json()["consent"]
    assert (told["keep"], told["train"]) == (True, True)


def test_the_same_key_at_both_replicas_is_one_event_and_one_receipt(both, visitor, database_url):
    token, handles = visitor
    event = {"key": str(uuid.uuid4()), "generation": handles[0], "kind": "thumb", "value": 1}
    receipts = [
        httpx.post(one.url + "/api/feedback", json=event, headers={HEADER: token}).json()
        for one in (*both, *both)
    ]

    assert receipts[0]["key"] == event["key"]
    assert all(receipt == receipts[0] for receipt in receipts)
    assert kept(database_url).count(event["key"]) == 1


@needs_nginx
def test_a_browser_stays_at_its_replica_and_others_go_to_both(proxy):
    seen = set()
    for _ in range(20):
        with httpx.Client(base_url=proxy) as browser:
            visits = [browser.get("/health") for _ in range(4)]
        assert [("set-cookie" in one.headers) for one in visits] == [True, False, False, False]
        [place] = {one.headers["x-replica"] for one in visits}
        seen.add(place)
    assert len(seen) == 2


@needs_nginx
def test_a_page_that_a_proxy_serves_is_no_foreign_site(proxy):
    with httpx.Client(base_url=proxy, headers={"Origin": proxy}) as page:
        assert page.post("/api/visitor").status_code == 201
    with httpx.Client(base_url=proxy, headers={"Origin": "https://evil.example"}) as page:
        assert page.post("/api/visitor").status_code == 403


@needs_nginx
def test_a_killed_replica_loses_nothing_and_doubles_nothing(both, proxy, visitor, database_url):
    before = set(kept(database_url))
    with under_load(Load(proxy, *visitor), people=12) as load:
        grown(load, 60, replicas=2)
        both[0].kill()
        grown(load, 60)

    after = [key for key in kept(database_url) if key not in before]
    assert len(after) == len(set(after))
    assert set(load.acknowledged) <= set(after)
    # What was written when the replica died, and acknowledged by nobody, was sent again.
    assert set(after) == set(load.acknowledged)
    assert load.again > 0


def test_an_old_replica_serves_on_while_a_new_one_brings_the_new_schema(postgres_server, tmp_path):
    packed = subprocess.run(["git", "archive", FORMER], cwd=ROOT, capture_output=True)
    if packed.returncode != 0:
        pytest.skip("this clone has no history")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(tmp_path / "former", filter="data")

    with (
        postgres_database(postgres_server) as url,
        replica(tmp_path / "old", url, tmp_path / "former") as old,
    ):
        assert revision(url) == "0001"
        token, handles = written_by(tmp_path / "former", url)
        with under_load(Load(old.url, token, handles), people=2) as at_old:
            grown(at_old, 20)
            with replica(tmp_path / "new", url) as new:
                assert revision(url) == HEAD != "0001"
                with under_load(Load(new.url, token, handles), people=2) as at_new:
                    grown(at_old, 20)
                    grown(at_new, 20)
        after = kept(url)

    assert len(after) == len(set(after))
    assert set(after) == {*at_old.acknowledged, *at_new.acknowledged}
    assert (at_old.again, at_new.again) == (0, 0)


def revision(url):
    database = Database(url)
    with database.read() as session:
        found = session.scalar(text("SELECT version_num FROM alembic_version"))
    database.close()
    return found


def written_by(code, url):
    """A visitor and outputs, made by the former version: ours would migrate."""
    script = (
        "import json, sys; from tests.reliability.replicas import outputs; "
        "print(json.dumps(outputs(sys.argv[1])))"
    )
    (code / "tests" / "reliability" / "replicas.py").write_bytes(
        (ROOT / "tests" / "reliability" / "replicas.py").read_bytes()
    )
    made = subprocess.run(
        [sys.executable, "-c", script, url], cwd=code, capture_output=True, text=True, check=True
    )
    token, handles = json.loads(made.stdout)
    return token, handles
