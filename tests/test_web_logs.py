"""What the log says, and what it never says, whatever goes wrong."""

import inspect
import json
import logging
import re
import sys
import threading
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import torch

from feedback.identity import HEADER
from feedback.measures import REQUEST_ID
from generators.batching import ModelQueue
from generators.text import load_text_generator
from models.device import Placement
from tests.tiny_models import save_text_model
from tests.web import OWNER_TOKEN, Person, arrive, make_app, serving
from ui.mount import mount_pages
from ui.quiet import PRINTING
from ui.services import Services
from web import logs
from web.logs import Lines
from web.watch import HEADER as REQUEST_HEADER

CANARY = "canary 金丝雀"
ADDRESS = "203.0.113.77"


def record(name="web.x", level=logging.INFO, message="said %s", *values, **more):
    made = logging.LogRecord(name, level, "/x/site-packages/lib/file.py", 7, message, values, None)
    vars(made).update(more)
    return made


def raised():
    try:
        raise ValueError(CANARY)
    except ValueError:
        return sys.exc_info()


# One line


def test_a_line_for_programs_is_one_object_with_its_fields():
    token = REQUEST_ID.set("0123456789abcdef")
    line = Lines(as_json=True, whole=False).format(record("web.x", 20, "said %s", "雪\n", took=0.5))
    REQUEST_ID.reset(token)

    assert line.isascii() and "\n" not in line
    read = json.loads(line)
    assert read.pop("at").endswith("Z")
    assert read == {
        "level": "info",
        "logger": "web.x",
        "message": "said 雪\n",
        "took": 0.5,
        "request_id": "0123456789abcdef",
    }


def test_a_line_for_people_is_one_line_whatever_is_in_it():
    line = Lines(as_json=False, whole=False).format(
        record("web.x", 20, "%s", "a\r\n2026-01-01T00:00:00.000Z error web: forged")
    )

    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "said",
    [
        record("diffusers.x", 30, f"truncated: {CANARY}"),
        record("asyncio", 40, "exception was never retrieved %s", CANARY),
        record("py.warnings", 30, "%s", f"/x/file.py:3: UserWarning: {CANARY}\n  source"),
        record("web.x", 40, "it failed", exc_info=raised()),
    ],
    ids=["text", "value", "warning", "exception"],
)
def test_what_others_say_is_shown_at_debug_alone(as_json, said):
    discreet = Lines(as_json=as_json, whole=False).format(said)
    whole = Lines(as_json=as_json, whole=True).format(said)

    assert "canary" not in discreet
    assert "canary" in whole
    assert "file.py:" in discreet or "ValueError at " in discreet


def test_a_thread_that_dies_is_told_without_its_words(logging_restored, capfd):
    def die():
        raise RuntimeError(CANARY)

    logs.set_up("info", "json")
    thread = threading.Thread(target=die, name="a thread")
    thread.start()
    thread.join()
    warnings.warn(CANARY, UserWarning, stacklevel=1)

    said = capfd.readouterr().err
    assert "a thread" in said and "RuntimeError at test_web_logs.py" in said
    assert "UserWarning" in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (
            "debug",
            ["web.x debug", "web.x info", "web.x error", "lib debug", "lib info", "lib error"],
        ),
        ("info", ["web.x info", "web.x error", "lib error"]),
        ("error", ["web.x error", "lib error"]),
    ],
)
def test_the_level_is_for_our_own_lines_first(logging_restored, capfd, level, expected):
    logs.set_up(level, "json")
    for name in ("web.x", "lib"):
        for said in ("debug", "info", "error"):
            logging.getLogger(name).log(getattr(logging, said.upper()), "a line")

    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    found = [f"{line['logger']} {line['level']}" for line in lines]
    assert [one for one in found if one in expected] == expected
    assert not [one for one in found if one.startswith(("web.x", "lib")) and one not in expected]


@pytest.mark.parametrize("module", PRINTING, ids=lambda module: module.__name__)
def test_what_stands_for_gradios_traceback_can_all_that_gradio_asks_of_it(module):
    source = inspect.getsource(module)

    assert set(re.findall(r"\btraceback\.(\w+)", source)) == {"print_exc"}
    assert "from traceback" not in source


# The whole app


@dataclass
class Visit:
    """A visitor of the real server with its pages."""

    http: httpx.Client
    person: Person
    fail: Callable[[str], None]  # lets a function of the app raise the canary

    def press(self, *data: Any) -> tuple[str, list[dict[str, Any]]]:
        """Write a text as the page does: the id of the request, and what comes of it."""
        session = uuid.uuid4().hex
        config = self.http.get("/config").json()
        index = next(one["id"] for one in config["dependencies"] if one["api_name"] == "text")
        body = {"data": [*data], "fn_index": index, "session_hash": session}
        headers = {HEADER: self.person.token}
        joined = self.http.post("/gradio_api/queue/join", json=body, headers=headers)
        messages = []
        with self.http.stream(
            "GET", f"/gradio_api/queue/data?session_hash={session}", headers=headers
        ) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    messages.append(json.loads(line[5:]))
                if "process_completed" in line or "unexpected_error" in line:
                    break
        return joined.headers[REQUEST_HEADER], messages


def sliders(prompt, model="tiny", temperature=0.9):
    return prompt, model, temperature, 0.9, 0, 1, 40, 1, 7, True, None


@pytest.fixture
def visit(tmp_path, monkeypatch):
    folder = save_text_model(tmp_path / "tiny")
    cpu = Placement(torch.device("cpu"), torch.float32)
    queue = ModelQueue("tiny", lambda: load_text_generator(str(folder), cpu), 8, task="text")

    def mount(app, services):
        pages = Services(services.database, services.media, services.signer, {"tiny": queue})
        mount_pages(app, pages, tmp_path / "data")

    def fail(name):
        def raise_canary(*_args, **_kwargs):
            raise RuntimeError(CANARY)

        monkeypatch.setattr(name, raise_canary)

    app = make_app(tmp_path / "data", mount=mount, trusted_proxies=1)
    queue.start()
    assert queue.wait_until_loaded(60) == "ready"
    address = {"X-Forwarded-For": ADDRESS, "User-Agent": CANARY.encode()}
    with serving(app) as url, httpx.Client(base_url=url, headers=address, timeout=60) as http:
        http.app = app
        yield Visit(http, arrive(http), fail)
    queue.close()


def test_no_prompt_output_token_or_address_is_ever_logged(visit, logging_restored, capfd):
    capfd.readouterr()  # libraries may have said something while the model was made
    logs.set_up("info", "json")
    secrets = [CANARY, ADDRESS, OWNER_TOKEN, visit.person.token]
    request_id, messages = visit.press(*sliders(CANARY))
    shown = messages[-1]["output"]["data"][0]["request"]["drafts"][0]
    assert len(shown["output"]) > 10  # what is shorter may stand in a log by chance
    secrets += [shown["output"], shown["generation"]]
    say = visit.person.say
    say(shown["generation"], "edit", CANARY)
    say(shown["generation"], CANARY, CANARY)
    visit.person.request("GET", f"/api/media/{shown['generation']}?{CANARY}")
    visit.http.post("/owner/login", data={"token": CANARY}, follow_redirects=False)
    visit.http.post("/owner/login", data={"token": OWNER_TOKEN}, follow_redirects=False)
    visit.http.get("/owner/api/generations.jsonl", params={"text": CANARY}).raise_for_status()
    visit.http.get("/metrics", headers={"Authorization": f"Bearer {OWNER_TOKEN}"})

    # What goes wrong: values that no component takes, and bugs in each place that sees the words.
    refused = visit.press(*sliders(CANARY, model=CANARY))[1][-1]
    assert refused["success"] is False
    visit.fail("generators.text.TextGenerator.run")
    visit.press(*sliders(CANARY))
    visit.fail("ui.text_desk.TextDesk.inputs_for")
    broken = visit.press(*sliders(CANARY))[1][-1]
    assert broken["success"] is False
    visit.fail("web.api.keep_event")
    assert say(shown["generation"], "edit", CANARY).status_code == 500

    out, err = capfd.readouterr()
    for secret in secrets:
        assert secret not in out + err
        assert json.dumps(secret)[1:-1] not in out + err
    lines = [json.loads(line) for line in err.splitlines()]  # and nothing but lines of the log
    generations = [line for line in lines if line["message"] == "generation"]
    assert [line["outcome"] for line in generations] == ["complete", "failed"]
    assert generations[0]["request_id"] == request_id
    told = [line["message"] for line in lines if line["level"] == "error"]
    assert [text.count("RuntimeError at ") for text in told] == [1, 1, 1]
