"""Every request to a model is counted once, by how it ended."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
import torch
from prometheus_client import REGISTRY

from feedback import measures
from feedback.answer import Ask, answer
from feedback.measures import REQUEST_ID, seconds
from generators.batching import ModelQueue, QueueFull
from generators.text import TextOptions, load_text_generator
from models.device import Placement
from models.registry import ModelUnavailable
from tests.factories import make_visitor
from tests.numbers import count
from tests.test_feedback_answer import NO_MEDIA
from tests.tiny_models import save_text_model

NAME = "counted"
LABELS = {"task": "text", "model": NAME}
OUTCOMES = ("complete", "stopped", "left", "refused", "failed")


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    folder = save_text_model(tmp_path_factory.mktemp("models") / "tiny")
    cpu = Placement(torch.device("cpu"), torch.float32)
    queue = ModelQueue(NAME, lambda: load_text_generator(str(folder), cpu), 8, task="text")
    queue.start()
    assert queue.wait_until_loaded(60) == "ready"
    yield queue
    queue.close()


@pytest.fixture
def more():
    """How much a number has grown since the test began."""
    before = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
    }
    return lambda name, **labels: (
        count(name, **labels)
        - before.get((name, *sorted((key, str(one)) for key, one in labels.items())), 0)
    )


def ask(prompt="snow", length=12):
    return Ask({"prompt": prompt}, TextOptions(max_new_tokens=length, seed=3, drafts=2), "ann")


async def follow(database, queue, asked, tickets=None):
    states = answer(database, NO_MEDIA, queue, asked, {} if tickets is None else tickets, "page")
    return [state async for state in states][-1]


def ended(more):
    counts = {one: more("genloop_generations_total", **LABELS, outcome=one) for one in OUTCOMES}
    return {one: number for one, number in counts.items() if number}


def test_a_finished_request_is_counted_with_its_times_and_tokens(database, queue, more):
    done = asyncio.run(follow(database, queue, ask()))

    assert ended(more) == {"complete": 1}
    tokens = {"read": done.snapshot.input_tokens, "wrote": sum(done.snapshot.tokens)}
    assert tokens["read"] and tokens["wrote"]
    for way, number in tokens.items():
        assert more("genloop_tokens_total", model=NAME, way=way) == number
    for name in ("wait", "first"):
        assert more(f"genloop_generation_{name}_seconds_count", **LABELS) == 1
    assert more("genloop_generation_seconds_count", **LABELS) == 1


def test_a_request_that_was_stopped_is_no_error(database, queue, more):
    async def stop():
        tickets = {}
        request = asyncio.create_task(follow(database, queue, ask(length=400), tickets))
        await asyncio.sleep(0)  # now it is queued
        tickets["page"].stop()
        await request

    asyncio.run(stop())
    assert ended(more) == {"stopped": 1}


def test_a_request_that_makes_no_sense_is_refused_and_takes_no_time(database, queue, more):
    asyncio.run(follow(database, queue, ask(prompt="")))

    assert ended(more) == {"refused": 1}
    assert more("genloop_tokens_total", model=NAME, way="wrote") == 0


def test_a_full_queue_and_who_leaves_it_are_counted(database, more):
    loaded = threading.Event()

    def load():
        loaded.wait(30)
        raise ModelUnavailable("model_missing", model=NAME)

    slow = ModelQueue(NAME, load, 1, task="text")
    slow.start()

    async def two():
        first = asyncio.create_task(follow(database, slow, ask()))
        await asyncio.sleep(0)  # now it waits for the model
        with pytest.raises(QueueFull):
            await follow(database, slow, ask())
        first.cancel()
        await asyncio.wait({first})

    asyncio.run(two())
    loaded.set()
    slow.close()
    assert ended(more) == {"refused": 1, "left": 1}


def test_a_model_that_fails_or_is_not_there_is_counted(database, queue, more, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("canary")

    monkeypatch.setattr(queue.model, "run", fail)
    asyncio.run(follow(database, queue, ask()))
    assert ended(more) == {"failed": 1}

    def missing():
        raise ModelUnavailable("model_missing", model=NAME)

    absent = ModelQueue(NAME, missing, 8, task="text")
    absent.start()
    assert absent.wait_until_loaded(60) == "failed"
    with pytest.raises(ModelUnavailable):
        asyncio.run(follow(database, absent, ask()))
    absent.close()
    assert ended(more) == {"failed": 2}


def test_what_is_logged_names_the_visitors_request_and_no_word(database, queue, caplog):
    database.write(lambda session: make_visitor(session, "ann"))
    caplog.set_level("INFO", measures.__name__)
    token = REQUEST_ID.set("0123456789abcdef")
    asyncio.run(follow(database, queue, ask(prompt="canary")))
    REQUEST_ID.reset(token)

    [line] = caplog.records
    told = {name: vars(line)[name] for name in ("task", "model", "outcome")}
    assert told == {**LABELS, "outcome": "complete"}
    assert "canary" not in str(vars(line))


def test_a_clock_that_was_set_back_gives_no_negative_times():
    early = datetime.now(UTC)
    late = early + timedelta(seconds=1.5)

    assert seconds(late, early) == 0
    assert seconds(early, late) == 1.5
