"""Two whole replicas on one PostgreSQL behind nginx, minutes of mixed load, one killed half-way.

    python -m tests.reliability.soak --minutes 10

Visitors write, draw, rate, vote, read and answer the question for consent, and send again what was
not acknowledged, as the page does. At the end every acknowledged thing must be in the database,
exactly once; otherwise the exit code is 1. tests/reliability/test_replicas.py is the short form.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import select

from db.engine import Database
from db.tables import Consent, FeedbackEvent, Generation, Vote
from feedback.consent import TERMS_VERSION
from feedback.identity import HEADER, Signer
from tests.postgres_server import own_postgres, postgres_database
from tests.reliability.proxy import nginx
from tests.serving import Served, served
from ui.words import WORDS

SECRET = "the same for all replicas, and long"
AGAIN = (502, 503, 504)  # what a proxy says when a replica is gone, and a busy replica
OUTAGE = (httpx.TransportError, TimeoutError)
PATIENCE = 120  # seconds within which something must have been acknowledged


@dataclass
class Told:
    """What visitors were told was kept, and what they had to do again."""

    events: dict[str, Any] = field(default_factory=dict)  # receipts by key
    votes: set[str] = field(default_factory=set)
    outputs: dict[str, str] = field(default_factory=dict)  # visitor's token by handle
    pictures: set[str] = field(default_factory=set)
    consents: Counter[str] = field(default_factory=Counter)  # answers by token
    requests: Counter[str] = field(default_factory=Counter)  # that were answered
    again: Counter[str] = field(default_factory=Counter)
    replicas: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # of acknowledged ratings
    problems: list[str] = field(default_factory=list)


class Person(threading.Thread):
    """A visitor with a browser: cookies are kept, so the proxy knows the replica again."""

    def __init__(self, url: str, told: Told, ends: float, number: int) -> None:
        super().__init__(daemon=True)
        self.told, self.ends, self.random = told, ends, random.Random(number)
        self.client = httpx.Client(base_url=url, timeout=60)
        self.token = ""
        self.forms: dict[str, tuple[int, list[Any]]] = {}

    def run(self) -> None:
        try:
            self.visit()
        except (AssertionError, TimeoutError) as problem:
            self.told.problems.append(f"{type(problem).__name__}: {problem}")
        finally:
            self.client.close()

    def visit(self) -> None:
        self.token = self.sent("visitor", "POST", "/api/visitor").json()["token"]
        self.client.headers[HEADER] = self.token
        self.consent()
        for name in ("text", "image"):
            self.forms[name] = self.form(name)
        while time.monotonic() < self.ends:
            handles = self.generated("image" if self.random.random() < 0.1 else "text")
            for handle in handles:
                self.rate(handle, "thumb", self.random.choice((-1, 1)))
                self.rate(handle, "comment", f"{handle} {uuid.uuid4()}")
            if len(handles) > 1:
                self.vote(*handles[:2])
            self.sent("read", "GET", "/api/generations")
            self.sent("read", "GET", "/api/me")
            if self.random.random() < 0.1:
                self.consent()

    def sent(self, what: str, method: str, path: str, **body: Any) -> httpx.Response:
        """The answer; asked again while the replica is away."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                answer = self.client.request(method, path, **body)
            except OUTAGE:
                self.told.again[what] += 1
                continue
            if answer.status_code in AGAIN:
                self.told.again[what] += 1
                time.sleep(0.2)
                continue
            assert answer.is_success, f"{what}: {answer.status_code} {answer.text[:300]}"
            self.told.requests[what] += 1
            self.told.replicas[answer.headers.get("x-replica", "")] += 1
            return answer
        raise TimeoutError(f"{what} was not acknowledged in {PATIENCE} s")

    def consent(self) -> None:
        answer = {"keep": True, "train": True, "language": "en", "terms_version": TERMS_VERSION}
        self.sent("consent", "POST", "/api/consent", json=answer)
        self.told.consents[self.token] += 1

    def rate(self, handle: str, kind: str, value: object) -> None:
        key = str(uuid.uuid4())
        event = {"key": key, "generation": handle, "kind": kind, "value": value}
        began = time.monotonic()
        self.told.events[key] = self.sent("rate", "POST", "/api/feedback", json=event).json()
        self.told.seconds.append(time.monotonic() - began)

    def vote(self, left: str, right: str) -> None:
        key = str(uuid.uuid4())
        vote = {"key": key, "left": left, "right": right, "answer": "left"}
        self.sent("vote", "POST", "/api/votes", json=vote)
        self.told.votes.add(key)

    def form(self, name: str) -> tuple[int, list[Any]]:
        """Number of a function of the page, and the values that its form begins with."""
        config = self.sent("page", "GET", "/config").json()
        [function] = [one for one in config["dependencies"] if one["api_name"] == name]
        parts = {part["id"]: part for part in config["components"]}
        values = [
            2 if props.get("label") == WORDS["en"]["drafts"] else props.get("value")
            for props in (parts[one]["props"] for one in function["inputs"])
        ]
        values[0] = "五绝《静夜思》" if name == "text" else "red apple"
        return function["id"], values

    def generated(self, name: str) -> list[str]:
        """Handles of what was made and kept; begun again where it broke off."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            state = self.state(name)
            if state is None:
                self.told.again[name] += 1
                continue
            drafts = (state["request"] or {}).get("drafts", [])
            handles = [draft["generation"] for draft in drafts]
            assert state["phase"] == "done" and handles, f"{name}: {json.dumps(state)[:300]}"
            self.told.requests[name] += 1
            for handle in handles:
                self.told.outputs[handle] = self.token
                if name == "image":
                    self.told.pictures.add(handle)
            return handles
        raise TimeoutError(f"nothing was generated in {PATIENCE} s")

    def state(self, name: str) -> dict[str, Any] | None:
        """The last state of one request; None where the replica went away meanwhile."""
        index, values = self.forms[name]
        session = uuid.uuid4().hex
        body = {"data": values, "fn_index": index, "session_hash": session}
        self.sent(f"{name} begun", "POST", "/gradio_api/queue/join", json=body)
        try:
            with self.client.stream(
                "GET", f"/gradio_api/queue/data?session_hash={session}", timeout=PATIENCE
            ) as stream:
                for line in stream.iter_lines():
                    if line.startswith("data:") and "process_completed" in line:
                        output = json.loads(line[5:])["output"]
                        assert "data" in output, f"{name}: {json.dumps(output)[:300]}"
                        state: dict[str, Any] = output["data"][0]
                        return state
        except OUTAGE:
            return None
        return None


@contextmanager
def whole_replica(folder: Path, url: str, media: Path) -> Iterator[Served]:
    with served(
        folder,
        surroundings={"DATABASE_URL": url},
        media_dir=str(media),
        secret=SECRET,
        owner_token="the same owner's token",
        trusted_proxies="1",
        vae_models="",
        rate_limits="false",
        torch_threads="1",
        log_level="warning",
    ) as replica:
        yield replica


def soak(folder: Path, url: str, minutes: float, people: int) -> list[str]:
    """What went wrong; prints what was done."""
    media, told = folder / "media", Told()
    with ExitStack() as stack:
        one = stack.enter_context(whole_replica(folder / "one", url, media))
        two = stack.enter_context(whole_replica(folder / "two", url, media))
        ports = [urlsplit(replica.url).port or 0 for replica in (one, two)]
        proxy = stack.enter_context(nginx(folder / "nginx", ports))
        began = time.monotonic()
        visitors = [Person(proxy, told, began + 60 * minutes, number) for number in range(people)]
        for visitor in visitors:
            visitor.start()
        time.sleep(30 * minutes)
        os.kill(one.pid, signal.SIGKILL)
        print(f"killed one replica after {time.monotonic() - began:.0f} s", flush=True)
        for visitor in visitors:
            visitor.join(60 * minutes + 2 * PATIENCE)
        lasted = time.monotonic() - began
        problems = told.problems + lost_pictures(two.url, told)
    problems += compare(url, told)
    tell(told, lasted, people)
    return problems


def lost_pictures(url: str, told: Told) -> list[str]:
    """Pictures that the replica which lives does not show, whoever of the two drew them."""
    with httpx.Client(base_url=url) as client:
        return [
            f"a picture is gone: {handle}"
            for handle in sorted(told.pictures)
            if not client.get(
                f"/api/media/{handle}", headers={HEADER: told.outputs[handle]}
            ).content.startswith(b"\x89PNG")
        ]


def compare(url: str, told: Told) -> list[str]:
    """What the visitors were told, and what is in the database."""
    database = Database(url)
    with database.read() as session:
        events = list(session.scalars(select(FeedbackEvent.key)))
        said = list(session.execute(select(FeedbackEvent.generation_id, FeedbackEvent.text)))
        votes = list(session.scalars(select(Vote.key)))
        outputs = set(session.scalars(select(Generation.id)))
        consents = len(list(session.scalars(select(Consent.id))))
    database.close()
    signer = Signer(SECRET)
    kept = {
        signer.open_handle(handle, str(signer.key_hash(token)))
        for handle, token in told.outputs.items()
    }
    texts = [row for row in said if row.text is not None]
    checks = {
        "events lost": set(told.events) - set(events),
        "events that nobody was told of": set(events) - set(told.events),
        "events twice": [key for key, count in Counter(events).items() if count > 1],
        "comments twice": [row for row, count in Counter(texts).items() if count > 1],
        "votes lost": told.votes - set(votes),
        "votes that nobody was told of": set(votes) - told.votes,
        "votes twice": [key for key, count in Counter(votes).items() if count > 1],
        "outputs lost": kept - outputs,
        "consents lost": range(consents, told.consents.total()),
    }
    # A replica may die after the commit and before it has said so; then the visitor asks anew.
    print(f"in the database, but not told: {len(outputs - kept)} outputs")
    return [f"{len(found)} {what}" for what, found in checks.items() if found]


def tell(told: Told, lasted: float, people: int) -> None:
    print(f"{people} visitors, {lasted:.0f} s; answered requests:")
    for what, count in sorted(told.requests.items()):
        print(f"  {what:12} {count:6}  sent again {told.again[what]}")
    seconds = sorted(told.seconds)
    if seconds:
        middle, slow = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
        print(f"a rating took {1000 * middle:.0f} ms (median), {1000 * slow:.0f} ms (99 of 100)")
    print(f"by replica: {dict(told.replicas)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--people", type=int, default=8)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="genloop-soak-") as folder,
        own_postgres(durable=True) as server,
        postgres_database(server) as url,
    ):
        problems = soak(Path(folder), url, asked.minutes, asked.people)
    print(*(problems or ["nothing was lost, and nothing is there twice"]), sep="\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
