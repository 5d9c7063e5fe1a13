import asyncio
import threading
import time
from contextlib import aclosing

import pytest

from generators.base import InvalidRequest, Snapshot
from generators.batching import ModelQueue, QueueFull
from models.registry import ModelUnavailable


class EchoWork:
    def __init__(self, text):
        self.text, self.done = text, 0

    def look(self, phase):
        end = "end" if self.done == len(self.text) else None
        return Snapshot(phase, texts=[self.text[: self.done]], finish_reasons=[end])


class EchoGenerator:
    """Says its prompt letter by letter; `gate` holds it back, "!" breaks it."""

    task = "text"
    name = "echo"

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.running = 0
        self.most_running = 0
        self.steps = 0

    def start(self, inputs, options):
        if not inputs["prompt"]:
            raise InvalidRequest("empty")
        return EchoWork(inputs["prompt"])

    def run(self, work):
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for letter in work.text:
                self.gate.wait(5)
                if letter == "!":
                    raise TypeError("a bug in a model")
                time.sleep(0.001)
                work.done += 1
                self.steps += 1
                yield
        finally:
            self.running -= 1


@pytest.fixture
def echo():
    return EchoGenerator()


@pytest.fixture
def queue(echo):
    queue = ModelQueue("echo", lambda: echo, max_waiting=3)
    queue.start()
    assert queue.wait_until_loaded(5) == "ready"
    yield queue
    echo.gate.set()
    queue.close()


async def last(queue, prompt):
    snapshots = [one async for one in queue.submit({"prompt": prompt}, None).follow(queue.ahead)]
    return snapshots[-1]


def test_a_request_is_followed_to_its_end(queue):
    done = asyncio.run(last(queue, "snow"))

    assert (done.phase, done.texts, done.finish_reasons) == ("done", ["snow"], ["end"])


def test_requests_of_one_model_never_run_side_by_side(queue, echo):
    async def three():
        return await asyncio.gather(*(last(queue, word) for word in ("one", "two", "six")))

    assert [done.texts for done in asyncio.run(three())] == [["one"], ["two"], ["six"]]
    assert echo.most_running == 1


def test_the_place_in_the_queue_is_told(queue, echo):
    echo.gate.clear()
    first, second, third = (queue.submit({"prompt": "snow"}, None) for _ in range(3))

    assert [queue.ahead(ticket) for ticket in (first, second, third)] == [0, 1, 2]


def test_a_full_queue_refuses_newcomers_at_once(queue, echo):
    echo.gate.clear()
    for _ in range(3):
        queue.submit({"prompt": "snow"}, None)

    with pytest.raises(QueueFull):
        queue.submit({"prompt": "snow"}, None)


def test_stop_ends_the_work_and_keeps_what_is_there(queue, echo):
    async def stop_early():
        ticket = queue.submit({"prompt": "x" * 10_000}, None)
        async with aclosing(ticket.follow(queue.ahead)) as states:
            async for snapshot in states:
                if snapshot.texts and len(snapshot.texts[0]) > 3:
                    ticket.stop()
        return snapshot

    done = asyncio.run(stop_early())
    assert done.phase == "done"
    assert 3 < len(done.texts[0]) < 10_000


def test_who_stops_waiting_has_nothing_and_takes_up_no_time(queue, echo):
    async def stop_waiting():
        ticket = queue.submit({"prompt": "second"}, None)
        ticket.stop()
        return [snapshot async for snapshot in ticket.follow(queue.ahead)][-1]

    echo.gate.clear()
    queue.submit({"prompt": "first"}, None)
    done = asyncio.run(stop_waiting())
    echo.gate.set()
    assert asyncio.run(last(queue, "third")).texts == ["third"]

    assert (done.phase, done.error.code, done.texts) == ("done", "stopped_early", [])
    assert echo.steps == len("first" + "third")


def test_a_request_is_stopped_while_its_model_loads(echo):
    slow = threading.Event()

    def load():
        slow.wait(5)
        return echo

    async def stop_waiting():
        ticket = queue.submit({"prompt": "snow"}, None)
        ticket.stop()
        return [snapshot async for snapshot in ticket.follow(queue.ahead)][-1]

    queue = ModelQueue("slow", load, max_waiting=3)
    queue.start()
    done = asyncio.run(stop_waiting())
    slow.set()
    queue.close()

    assert (done.error.code, echo.steps) == ("stopped_early", 0)


def test_work_that_nobody_follows_any_more_is_dropped(queue, echo):
    async def leave():
        async with aclosing(
            queue.submit({"prompt": "x" * 10_000}, None).follow(queue.ahead)
        ) as states:
            async for snapshot in states:
                if snapshot.phase == "running":
                    return

    asyncio.run(leave())
    assert asyncio.run(last(queue, "next")).texts == ["next"]
    assert echo.steps < 10_000


def test_a_request_that_cannot_be_served_says_why(queue):
    done = asyncio.run(last(queue, ""))

    assert (done.phase, done.error.code) == ("done", "empty")


def test_a_model_that_breaks_ends_that_request_alone(queue):
    broken = asyncio.run(last(queue, "ab!"))

    assert (broken.phase, broken.failed) == ("done", True)
    assert asyncio.run(last(queue, "next")).texts == ["next"]


def test_requests_made_while_the_model_loads_wait_for_it(echo):
    loading = threading.Event()

    def load():
        loading.wait(5)
        return echo

    queue = ModelQueue("echo", load, 3)
    queue.start()
    ticket = queue.submit({"prompt": "snow"}, None)
    assert queue.state == "loading"
    loading.set()

    async def follow():
        return [one async for one in ticket.follow(queue.ahead)][-1]

    assert asyncio.run(follow()).texts == ["snow"]
    queue.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelUnavailable("model_missing", model="x"), "model_missing"),
        (AttributeError("a bug"), "model_unreadable"),
    ],
)
def test_a_model_that_cannot_be_loaded_refuses_requests_with_the_reason(error, code):
    def load():
        raise error

    queue = ModelQueue("broken", load, 3)
    queue.start()
    assert queue.wait_until_loaded(5) == "failed"

    with pytest.raises(ModelUnavailable) as problem:
        queue.submit({"prompt": "snow"}, None)
    assert problem.value.code == code
    queue.close()
