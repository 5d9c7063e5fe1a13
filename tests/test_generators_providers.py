"""Inference Providers: the Hub's own client, pointed at a server of the tests."""

import asyncio
import base64
import io
from contextlib import contextmanager

import pytest
from huggingface_hub import constants
from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference._providers import CONVERSATIONAL_AUTO_ROUTER
from huggingface_hub.inference._providers._common import HARDCODED_MODEL_INFERENCE_MAPPING
from PIL import Image
from pydantic import SecretStr

from generators.engines import open_engine
from generators.image import ImageOptions
from generators.text import TextOptions
from generators.wire import EngineLimits
from models.engines import BadEngine
from tests.engine_server import WORDS, engine_server, well

HASTY = EngineLimits(connect=2, first=0.5, silence=0.5, pause=0.01)
ALL = "".join(WORDS)


@pytest.fixture(scope="module")
def server():
    """A server that stands in for the router and for a provider."""
    with engine_server() as server:
        root = server.url.removesuffix("/v1")
        mapping = {"task": "text-to-image", "status": "live", "providerId": "painter"}
        painter = InferenceProviderMapping(
            provider="together", hf_model_id="org/painter", **mapping
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CONVERSATIONAL_AUTO_ROUTER, "base_url", root)
            patch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", f"{root}/{{provider}}")
            known = HARDCODED_MODEL_INFERENCE_MAPPING["together"]
            patch.setitem(known, "org/painter", painter)
            yield server


@contextmanager
def opened(task, entry, key="hf_canary", limits=None):
    limits = limits or EngineLimits(pause=0.01)
    queue = open_engine(task, limits, 8, lambda name: SecretStr(key), entry)
    queue.start()
    assert queue.wait_until_loaded(20) == "ready"
    yield queue
    queue.close()


def ask(queue, inputs, options):
    async def follow():
        ticket = queue.submit(inputs, options)
        return [snapshot async for snapshot in ticket.follow(queue.ahead)][-1]

    return asyncio.run(follow())


def write(model, limits=None, inputs=None, **options):
    with opened("text", f"hf-inference:auto#{model}", limits=limits) as queue:
        return ask(queue, inputs or {"prompt": "hi"}, TextOptions(**options))


def test_a_chat_is_streamed_with_its_options_and_the_key(server):
    server.behave["org/well"] = well
    done = write("org/well", drafts=2, seed=4, top_k=5, repetition_penalty=1.1)

    first, second = server.of("org/well")
    assert done.texts == [f"{ALL} 4", f"{ALL} 5"]
    assert (done.tokens, done.input_tokens) == ([6, 6], 7)
    assert first.path == "/v1/chat/completions"
    assert first.headers["authorization"] == "Bearer hf_canary"
    assert {first.body["seed"], second.body["seed"]} == {4, 5}
    assert (first.body["top_k"], first.body["repetition_penalty"]) == (5, 1.1)
    assert first.body["stream_options"] == {"include_usage": True}
    assert done.served[0] == {"endpoint": "auto", "model": "org/well"}


def says(status, said="", **headers):
    async def behave(asked):
        await asked.begin(status, **headers)
        await asked.send(said)

    return behave


def sends(*parts, content_type="text/event-stream"):
    async def behave(asked):
        await asked.begin(content_type=content_type)
        for part in parts:
            await asked.send(part)

    return behave


async def silent(asked):
    await asked.until_left()


async def torn(asked):
    await asked.stream()
    asked.reset()


async def never_ending_line(asked):
    await asked.stream()
    await asked.send("data: ")
    while not asked.left.is_set():
        await asked.send("x" * 65536)


CONTEXT = '{"error": {"message": "maximum context length is 4096 tokens"}}'
FAULTS = {
    "key": (says(401, "no"), "engine_key"),
    "unpaid": (says(402, "no"), "engine_unpaid"),
    "unknown": (says(404, "no"), "engine_unknown_model"),
    "busy": (says(429, retry_after="60"), "engine_busy"),
    "failing": (says(500, "x" * 100_000), "engine_failed"),
    "context": (says(400, CONTEXT, content_type="application/json"), "engine_too_long"),
    "silent": (silent, "engine_slow"),
    "torn": (torn, "engine_broken"),
    "half": (sends('data: {"choices": [{"ind'), "engine_answer"),
    "empty": (sends("data: [DONE]\n\n"), "engine_broken"),
    "garbage": (sends("data: {]\n\n"), "engine_answer"),
    "list": (sends("data: [1]\n\n"), "engine_answer"),
    "error": (sends('data: {"error": "boom"}\n\n'), "engine_broken"),
    "page": (sends("<html>", content_type="text/html"), "engine_broken"),
    "line": (never_ending_line, "engine_answer"),
    "moved": (says(307, location="http://127.0.0.1:9/"), "engine_broken"),
}


@pytest.mark.parametrize("model", FAULTS)
def test_what_went_wrong_is_told(server, model):
    server.behave[f"org/{model}"], code = FAULTS[model]
    done = write(f"org/{model}", limits=HASTY if model == "silent" else None)

    assert done.error.code == code
    assert done.texts == [""]


def test_stop_closes_the_connection(server):
    async def endless(asked):
        await asked.stream()
        await asked.token("snow")
        await asked.until_left()

    async def stop(queue):
        ticket = queue.submit({"prompt": "hi"}, TextOptions())
        async for snapshot in ticket.follow(queue.ahead):
            if snapshot.texts == ["snow"]:
                ticket.stop()
        return snapshot

    server.behave["org/endless"] = endless
    with opened("text", "hf-inference:auto#org/endless") as queue:
        done = asyncio.run(stop(queue))
        assert server.of("org/endless")[0].left.wait(10)

    assert (done.texts, done.error) == (["snow"], None)


def test_a_text_cannot_be_gone_on_from(server):
    inputs = {"messages": [{"role": "user", "content": "hi"}], "prefix": "It"}

    assert write("org/well", inputs=inputs).error.code == "engine_no_continue"


def test_a_provider_is_named_to_the_router(server):
    server.behave["org/well:together"] = well
    with opened("text", "hf-inference:together#org/well") as queue:
        done = ask(queue, {"prompt": "hi"}, TextOptions(seed=1))

    assert done.texts == [f"{ALL} 1"]


def test_without_a_key_the_app_does_not_start():
    with pytest.raises(BadEngine, match="GENLOOP_TEXT_MODELS: .*HF_TOKEN is not set"):
        open_engine("text", EngineLimits(), 8, lambda name: None, "hf-inference:auto#org/well")


def test_a_key_of_a_providers_own_is_refused_with_advice():
    with (
        pytest.raises(BadEngine, match="write openai:ADDRESS#MODEL"),
        opened("text", "hf-inference:auto#org/well", key="sk-canary"),
    ):
        pass


# Pictures


def draw(setting="", **options):
    with opened("image", f"hf-inference:together#org/painter?size=64x64{setting}") as queue:
        complete = queue.model.complete(ImageOptions(**options))
        return ask(queue, {"prompt": "red apple"}, complete)


def test_a_picture_is_drawn_by_a_provider(server):
    async def paints(asked):
        file = io.BytesIO()
        Image.new("RGB", (asked.body["width"], asked.body["height"]), "red").save(file, "WEBP")
        data = base64.b64encode(file.getvalue()).decode()
        await asked.json({"data": [{"b64_json": data}]})

    server.behave["painter"] = paints
    done = draw("&with=seed&steps=9", seed=7, steps=9, drafts=2)

    first, second = server.of("painter")
    assert first.path == "/together/v1/images/generations"
    assert first.headers["authorization"] == "Bearer hf_canary"
    assert {first.body["seed"], second.body["seed"]} == {7, 8}
    assert first.body["steps"] == 9 and "guidance_scale" not in first.body
    with Image.open(io.BytesIO(done.images[1])) as picture:
        assert (picture.format, picture.size) == ("PNG", (64, 64))


def test_stop_closes_the_connection_of_a_picture(server):
    async def stop(queue):
        options = queue.model.complete(ImageOptions())
        ticket = queue.submit({"prompt": "red apple"}, options)
        states = []
        async for snapshot in ticket.follow(queue.ahead):
            states.append(snapshot)
            if server.of("painter"):
                ticket.stop()
        return states[-1]

    server.asked.clear()
    server.behave["painter"] = silent
    with opened("image", "hf-inference:together#org/painter?size=64x64") as queue:
        done = asyncio.run(stop(queue))
        assert server.of("painter")[0].left.wait(10)

    assert done.error.code == "stopped_early"


@pytest.mark.parametrize(
    "said",
    [
        {"data": [{"url": "http://127.0.0.1:9/x.png"}]},
        {"data": []},
        {"data": [{"b64_json": "?"}]},
        {"data": [{"b64_json": base64.b64encode(b"no picture").decode()}]},
        [],
    ],
)
def test_an_answer_that_is_no_picture_is_refused(server, said):
    async def odd(asked):
        await asked.json(said)

    server.behave["painter"] = odd

    assert draw().error.code == "engine_answer"
