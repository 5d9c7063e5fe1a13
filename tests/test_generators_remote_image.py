"""Pictures from engines that behave, and from engines that do not."""

import asyncio
import base64
import io
from contextlib import contextmanager

import pytest
from PIL import Image

from generators.base import InvalidRequest
from generators.engines import open_engine
from generators.image import ImageOptions
from generators.png import read_parameters
from generators.wire import EngineLimits
from tests.engine_server import engine_server

LIMITS = EngineLimits(pause=0.01)


def drawn(colour, size=(64, 64), format="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, format)
    return file.getvalue()


def encoded(data):
    return {"b64_json": base64.b64encode(data).decode()}


async def paints(asked):
    """A red picture of the size that is asked for, as many as are; in JPEG, as some do."""
    width, height = map(int, asked.body["size"].split("x"))
    pictures = [encoded(drawn("red", (width, height), "JPEG"))] * asked.body.get("n", 1)
    await asked.json({"created": 1, "data": pictures})


@pytest.fixture(scope="module")
def server():
    with engine_server() as server:
        yield server


@contextmanager
def opened(entry):
    queue = open_engine("image", LIMITS, 8, lambda name: None, entry)
    queue.start()
    assert queue.wait_until_loaded(20) == "ready"
    yield queue
    queue.close()


def draw(queue, inputs=None, **options):
    complete = queue.model.complete(ImageOptions(**options))

    async def follow():
        ticket = queue.submit(inputs or {"prompt": "red apple"}, complete)
        return [snapshot async for snapshot in ticket.follow(queue.ahead)][-1]

    return asyncio.run(follow())


def drawing(server, model, behave, inputs=None, setting=None, **options):
    server.behave[model] = behave
    with opened(server.setting(model, **{"size": "64x64", **(setting or {})})) as queue:
        return draw(queue, inputs, **options)


def test_a_picture_becomes_a_png_that_says_how_it_was_made(server):
    done = drawing(server, "plain", paints)

    [asked] = server.of("plain")
    [image] = done.images
    said = read_parameters(image)
    assert asked.path == "/v1/images/generations"
    assert asked.body == {
        "model": "plain",
        "prompt": "red apple",
        "size": "64x64",
        "response_format": "b64_json",
    }
    with Image.open(io.BytesIO(image)) as picture:
        assert (picture.format, picture.size) == ("PNG", (64, 64))
        assert "Model: plain" in picture.info["parameters"]
        assert "Seed" not in picture.info["parameters"]
    assert (said["width"], said["height"], said["model"]) == (64, 64, "plain")
    assert not {"seed", "steps", "guidance", "scheduler", "weights_sha256"} & said.keys()
    assert (done.finish_reasons, done.step, done.steps) == (["end"], 1, 1)
    assert done.served == [{"endpoint": server.url}]


def test_an_engine_is_told_what_its_setting_says_that_it_takes(server):
    setting = {"with": "seed negative_prompt", "steps": "28", "guidance": "3.5"}
    inputs = {"prompt": "red apple", "negative_prompt": "worm"}
    done = drawing(server, "rich", paints, inputs, setting, steps=28, guidance=7, seed=5, drafts=2)

    first, second = server.of("rich")
    assert {first.body["seed"], second.body["seed"]} == {5, 6}
    assert first.body["num_inference_steps"] == 28
    assert first.body["guidance_scale"] == 7
    assert first.body["negative_prompt"] == "worm"
    assert [read_parameters(image)["seed"] for image in done.images] == [5, 6]
    assert read_parameters(done.images[0])["steps"] == 28


def test_pictures_without_seeds_come_in_one_request(server):
    done = drawing(server, "many", paints, drafts=3)

    assert [asked.body.get("n") for asked in server.of("many")] == [3]
    assert all(done.images)


def test_an_engine_that_ignores_n_is_asked_once_a_picture(server):
    async def one(asked):
        await asked.json({"data": [encoded(drawn("red"))]})

    done = drawing(server, "one", one, drafts=3)

    assert [asked.body.get("n") for asked in server.of("one")] == [3, None, None]
    assert all(done.images)


def test_a_field_that_the_engine_does_not_know_is_left_out(server):
    async def newer(asked):
        if "response_format" in asked.body:
            error = {"message": "Unknown parameter: 'response_format'."}
            await asked.json({"error": error}, 400)
        else:
            await paints(asked)

    assert drawing(server, "newer", newer).finish_reasons == ["end"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"steps": 30}, "engine_option"),
        ({"guidance": 2}, "engine_option"),
        ({"scheduler": "Euler"}, "scheduler_for_model"),
        ({"adapters": {"pencil": 1}}, "unknown_adapter"),
        ({"width": 100}, "size_for_model"),
        ({"width": 4096}, "size_for_model"),
    ],
)
def test_options_that_the_engine_is_not_told_cannot_be_changed(server, options, code):
    with (
        opened(server.setting("plain", size="64x64")) as queue,
        pytest.raises(InvalidRequest) as no,
    ):
        queue.model.complete(ImageOptions(**options))

    assert no.value.code == code


def test_what_shaped_nothing_is_not_kept_as_an_option(server):
    with opened(server.setting("plain", size="64x32")) as queue:
        complete = queue.model.complete(ImageOptions(seed=3))
        kept = queue.model.complete(complete).as_json()  # twice is as once

    assert kept == {"width": 64, "height": 32, "drafts": 1}
    assert ImageOptions(**kept).width == 64


def test_a_negative_prompt_is_refused_where_the_engine_takes_none(server):
    done = drawing(server, "plain2", paints, {"prompt": "apple", "negative_prompt": "worm"})

    assert done.error.code == "no_negative_prompt"


def test_the_picture_says_its_real_size_when_the_engine_chose_another(server):
    async def stubborn(asked):
        await asked.json({"data": [encoded(drawn("red", (48, 80)))]})

    said = read_parameters(drawing(server, "stubborn", stubborn).images[0])

    assert (said["width"], said["height"]) == (48, 80)


# Answers that are none


def bomb():
    """A PNG of a few bytes whose header promises 40,000 by 40,000 pixels."""
    data = bytearray(drawn("red"))
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    return bytes(data)


def answering(said):
    async def behave(asked):
        await asked.json(said)

    return behave


async def page(asked):
    await asked.begin(content_type="text/html")
    await asked.send("<html>")


async def half(asked):
    await asked.begin(content_type="application/json", content_length="5000")
    await asked.send('{"data": [')


ODD = {
    "bomb": (answering({"data": [encoded(bomb())]}), "engine_answer"),
    "text": (answering({"data": [encoded(b"hello")]}), "engine_answer"),
    "svg": (answering({"data": [encoded(b"<svg xmlns='x'/>")]}), "engine_answer"),
    "cut": (answering({"data": [encoded(drawn("red")[:60])]}), "engine_answer"),
    "no-base64": (answering({"data": [{"b64_json": "?!"}]}), "engine_answer"),
    "nothing": (answering({"data": []}), "engine_answer"),
    "list": (answering([]), "engine_answer"),
    "error": (answering({"error": {"message": "boom"}}), "engine_broken"),
    "page": (page, "engine_answer"),
    "half": (half, "engine_broken"),
}


@pytest.mark.parametrize("model", ODD)
def test_an_answer_that_is_no_picture_is_refused(server, model):
    behave, code = ODD[model]
    done = drawing(server, model, behave)

    assert done.error.code == code
    assert done.images == [None]


def test_an_address_in_place_of_a_picture_is_not_fetched(server):
    with engine_server() as other:
        done = drawing(server, "away", answering({"data": [{"url": f"{other.url}/x.png"}]}))

        assert done.error.code == "engine_answer"
        assert other.asked == []


def test_the_other_pictures_are_kept_when_one_fails(server):
    async def partly(asked):
        await (page if asked.body["seed"] == 1 else paints)(asked)

    done = drawing(server, "partly", partly, setting={"with": "seed"}, drafts=3)

    assert done.error is None
    assert done.finish_reasons == ["end", "error", "end"]
    assert [image is not None for image in done.images] == [True, False, True]
