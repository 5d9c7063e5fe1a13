"""The Text tab on an engine: the whole app before a real `transformers serve`, which is killed."""

import asyncio
import base64
import io
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from contextlib import contextmanager

import httpx
import pytest
from PIL import Image

from config import BUNDLED
from generators.engines import open_engine
from generators.png import read_parameters
from generators.text import TextOptions
from generators.wire import EngineLimits
from tests.engine_server import engine_server
from tests.serving import ROOT, free_port, served, wait_for
from tests.test_ui_text import visitor, write
from tests.tiny_models import save_text_model

pytestmark = pytest.mark.slow


@contextmanager
def transformers_serve(folder):
    """`transformers serve` on a free port, not yet ready: (address, process, its log)."""
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
    options = ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options], cwd=ROOT, env={**os.environ}, stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{port}", process, folder / "serve.log"
        finally:
            process.kill()
            process.wait(20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def chatty(folder):
    """A chat model that knows no end, so that there is time to kill who serves it."""
    model = save_text_model(folder / "chatty", chat=True, context=4096)
    for name in ("config.json", "generation_config.json"):
        config = json.loads((model / name).read_text())
        config |= {"eos_token_id": None, "do_sample": True}
        (model / name).write_text(json.dumps(config))
    return model


@pytest.fixture(scope="module")
def engine(folder):
    with transformers_serve(folder) as started:
        yield started


@pytest.fixture(scope="module")
def painter():
    """An image engine: pictures of one colour, another one each time."""
    with engine_server() as server:
        server.behave["painter"] = paints
        yield server


async def paints(asked):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (asked.body["seed"] % 256, 0, 0)).save(file, "JPEG")
    await asked.json({"data": [{"b64_json": base64.b64encode(file.getvalue()).decode()}]})


@pytest.fixture(scope="module")
def app(folder, chatty, engine, painter):
    """The app, which starts beside the engine and finds it when it is there."""
    address, process, log = engine
    models = [
        f"openai:{address}/v1#{BUNDLED / 'poet'}?api=completions&name=poet",
        f"openai:{address}/v1#{chatty}?name=chatty",
    ]
    pictures = painter.setting("painter", size="64x64", **{"with": "seed"})
    settings = {"text_models": ",".join(models), "image_models": pictures, "vae_models": ""}
    with served(folder / "data", rate_limits="false", **settings) as app:
        wait_for(f"{address}/health", process, log)
        yield app


def rows(app, query):
    with sqlite3.connect(app.data_dir / "app.db") as database:
        return database.execute(query).fetchall()


def test_a_poem_from_an_engine_is_kept_rated_and_counted_for_its_version(app, engine):
    client, headers = visitor(app)
    job = client.submit(prompt="五绝《静夜思》", drafts=2, seed=7, lock_seed=True, api_name="/text")
    states = [state for state, _seed in job]
    drafts = states[-1]["request"]["drafts"]
    event = {
        "key": str(uuid.uuid4()),
        "generation": drafts[0]["generation"],
        "kind": "thumb",
        "value": 1,
    }
    httpx.post(app.url + "/api/feedback", headers=headers, json=event).raise_for_status()

    assert states[-1]["phase"] == "done", states[-1]
    assert all("，" in draft["output"] for draft in drafts)
    assert {draft["finish_reason"] for draft in drafts} <= {"end", "length"}
    [(generation, version, tokens, sent)] = rows(
        app,
        "SELECT generations.id, model_version_id, input_tokens, served FROM generations "
        "JOIN feedback_events ON generation_id = generations.id WHERE kind = 'thumb' AND score = 1",
    )
    [(source, verified)] = rows(
        app, f"SELECT source, verified FROM model_versions WHERE id = {version}"
    )
    assert tokens == 6
    assert json.loads(sent)["endpoint"] == engine[0] + "/v1"
    assert (source, verified) == (f"openai:{engine[0]}/v1#{BUNDLED / 'poet'}", 0)


def test_reproduce_sends_the_request_again_and_promises_nothing(app):
    client, _ = visitor(app)
    first = write(client, "五绝《雪》", temperature=0)["request"]["drafts"][0]
    compared = client.predict(first["generation"], api_name="/reproduce")

    assert compared["same"] is True  # the likeliest tokens, one request alone
    assert "does not promise" in compared["message"]


def test_an_option_that_the_engine_does_not_take_is_named(app):
    english, _ = visitor(app)
    chinese, _ = visitor(app, language="zh")

    assert "does not take the option Top-k" in write(english, top_k=5)["message"]
    assert "不接受选项 Top-k" in write(chinese, top_k=5)["message"]


def test_a_chat_goes_on_from_turn_to_turn(app):
    client, _ = visitor(app)
    write(client, "hello", model="chatty")
    state = write(client, "and you?", model="chatty")

    assert [one["role"] for one in state["request"]["messages"]] == ["user", "assistant", "user"]
    assert state["request"]["drafts"][0]["tokens"] == 16


def test_stop_leaves_the_engine_free(app, engine, chatty):
    queue = open_engine(
        "text", EngineLimits(), 8, lambda name: None, f"openai:{engine[0]}/v1#{chatty}"
    )

    async def stopped_and_next():
        ticket = queue.submit({"prompt": "hi"}, TextOptions(max_new_tokens=1024, drafts=4))
        async for snapshot in ticket.follow(queue.ahead):
            if any(snapshot.texts):
                ticket.stop()
        following = queue.submit({"prompt": "hi"}, TextOptions(max_new_tokens=4))
        return snapshot, [one async for one in following.follow(queue.ahead)][-1]

    queue.start()
    stopped, done = asyncio.run(stopped_and_next())
    queue.close()

    assert stopped.error is None and any(stopped.texts)
    assert None in stopped.finish_reasons
    assert done.finish_reasons == ["length"]


def test_pictures_of_an_engine_are_kept_with_what_it_was_told(app, painter):
    client, headers = visitor(app)
    *_, state = client.submit(prompt="red apple", drafts=2, seed=5, api_name="/image")
    first, second = state["request"]["drafts"]
    address = f"{app.url}/api/media/{second['generation']}"
    file = httpx.get(address, headers=headers).raise_for_status()
    *_, again = client.submit(first["generation"], api_name="/retry_image")
    compared = client.predict(first["generation"], api_name="/reproduce_image")
    refused = client.predict(prompt="red apple", steps=99, api_name="/image")

    assert state["phase"] == "done", state
    assert state["request"]["options"] == {"width": 64, "height": 64, "seed": 5, "drafts": 2}
    assert again["request"]["options"].keys() == state["request"]["options"].keys()
    assert read_parameters(file.content)["seed"] == 6
    assert compared["same"] is True and "does not promise" in compared["message"]
    assert "does not take the option Steps" in refused["message"]
    [(verified, served)] = rows(
        app,
        "SELECT DISTINCT verified, served FROM generations JOIN model_versions "
        "ON model_version_id = model_versions.id WHERE generations.task = 'image'",
    )
    assert (verified, json.loads(served)) == (0, {"endpoint": painter.url})


def test_an_engine_that_is_killed_in_the_middle_is_told_and_nothing_is_kept(app, engine):
    client, headers = visitor(app)
    job = client.submit(prompt="hi", model="chatty", max_new_tokens=1024, api_name="/text")
    for state, _seed in job:
        if state["phase"] == "running" and state["request"]["drafts"][0]["output"]:
            engine[1].kill()
    after = write(client, "again", model="chatty")

    assert (state["phase"], state["code"]) == ("error", "engine_broken")
    assert after["code"] == "engine_unreachable"
    assert "chatty cannot be reached" in after["message"]
    assert httpx.get(app.url + "/api/generations", headers=headers).json() == []
