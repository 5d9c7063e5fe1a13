"""Requests on a lent GPU, without processes: tests/test_web_zerogpu.py has those."""

import contextvars
import threading
import time
from dataclasses import dataclass

import pytest
import torch

from generators.base import InvalidRequest, Snapshot
from generators.batching import ModelQueue
from generators.lent import AT_LEAST, AT_MOST, FIRST_GUESS, Lender, LentQueue, open_queue
from models.device import Placement
from models.registry import ModelUnavailable

WHO = contextvars.ContextVar("WHO", default="nobody")


class Refusal(Exception):
    def __init__(self, title, message=""):
        self.title, self.message = title, message


class GPU:
    """Runs the work at once, notes who asked, and refuses when it is told to."""

    def __init__(self):
        self.problem = None
        self.asked = []

    def __call__(self, *, duration):
        def wrapped(work):
            def lent(name, inputs, options):
                self.asked.append((WHO.get(), duration(name, inputs, options)))
                if self.problem:
                    raise self.problem
                yield from work(name, inputs, options)

            return lent

        return wrapped


@dataclass
class Options:
    max_new_tokens: int = 5


class CountWork:
    def __init__(self):
        self.count = 0

    def look(self, phase):
        end = "end" if phase == "done" else None
        return Snapshot(phase, texts=[str(self.count)], tokens=[self.count], finish_reasons=[end])


class Counter:
    """Counts until it has as many tokens as it was asked for; waits at each for its gate."""

    task = name = "counter"

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.closed = False

    def complete(self, options):
        return options

    def start(self, inputs, options):
        if not inputs["prompt"]:
            raise InvalidRequest("empty")
        self.wanted = options.max_new_tokens
        return CountWork()

    def run(self, work):
        try:
            for _ in range(self.wanted):
                work.count += 1
                yield
                self.begun.set()
                self.gate.wait(10)
        finally:
            self.closed = True


@pytest.fixture
def gpu():
    return GPU()


@pytest.fixture
def counter():
    return Counter()


@pytest.fixture
def queue(gpu, counter):
    queue = LentQueue("counter", lambda: counter, 4, Lender(gpu, Refusal))
    queue.load()
    yield queue
    counter.gate.set()
    queue.close()


def served(queue, prompt="go", **options):
    ticket = queue.submit({"prompt": prompt}, Options(**options))
    return ended(ticket)


def ended(ticket, seconds=10):
    until = time.monotonic() + seconds
    while ticket.snapshot.phase != "done" and time.monotonic() < until:
        time.sleep(0.005)
    return ticket.snapshot


def test_a_request_ends_with_all_of_its_work(queue):
    assert served(queue).texts == ["5"]


def test_the_gpu_is_asked_for_on_behalf_of_who_asks(queue, gpu):
    token = WHO.set("ann")
    served(queue)
    WHO.reset(token)
    served(queue)

    assert [who for who, _ in gpu.asked] == ["ann", "nobody"]


def test_how_long_is_guessed_from_what_was_needed_before(queue, gpu):
    served(queue)
    queue._lender.learn("counter", Options(100), 20.0)
    for tokens in (10, 100, 1000):
        served(queue, max_new_tokens=tokens)

    assert [seconds for _, seconds in gpu.asked] == [FIRST_GUESS, AT_LEAST, 24, AT_MOST]


def test_stop_keeps_what_is_there_and_lets_the_gpu_go(queue, counter):
    counter.gate.clear()
    ticket = queue.submit({"prompt": "go"}, Options(100))
    counter.begun.wait(10)
    while ticket.started_at is None:
        time.sleep(0.005)
    ticket.stop()
    counter.gate.set()

    snapshot = ended(ticket)
    assert 1 <= snapshot.tokens[0] < 100
    assert snapshot.finish_reasons == [None]
    assert served(queue).texts == ["5"]
    assert counter.closed


@pytest.mark.parametrize(
    ("title", "code"),
    [("ZeroGPU quota exceeded", "gpu_quota"), ("ZeroGPU queue timeout", "gpu_busy")],
)
def test_a_refusal_is_told_and_the_next_request_is_served(queue, gpu, title, code):
    gpu.problem = Refusal(title, "come back tomorrow")
    refused = served(queue)
    gpu.problem = None

    assert refused.error.code == code
    assert refused.error.details == ({"said": "come back tomorrow"} if code == "gpu_quota" else {})
    assert served(queue).texts == ["5"]


def test_a_broken_process_fails_its_request_alone(queue, gpu):
    gpu.problem = Refusal("ZeroGPU worker error")
    broken = served(queue)
    gpu.problem = None

    assert broken.failed and broken.error is None
    assert served(queue).texts == ["5"]


def test_bad_input_is_refused_where_the_model_is(queue):
    assert served(queue, prompt="").error.code == "empty"


def test_a_model_that_cannot_be_loaded_says_so(gpu):
    def load():
        raise ModelUnavailable("model_missing", model="counter")

    queue = LentQueue("counter", load, 4, Lender(gpu, Refusal))
    queue.load()

    assert queue.state == "failed"
    with pytest.raises(ModelUnavailable, match="model_missing"):
        queue.submit({"prompt": "go"}, Options())


def test_only_what_is_worth_a_lent_gpu_gets_one(gpu):
    places = []

    def opened(source, lender):
        def load(placement):
            places.append(placement.device.type)
            return Counter()

        gpu_place = Placement(torch.device("cuda"), torch.bfloat16)
        queue = open_queue(source, source, load, gpu_place, 4, lender)
        queue.load() if isinstance(queue, LentQueue) else queue.start()
        queue.wait_until_loaded(10)
        queue.close()
        return queue

    lender = Lender(gpu, Refusal, lambda source: source == "large")
    kinds = [type(opened("large", lender)), type(opened("small", lender)), type(opened("x", None))]

    assert kinds == [LentQueue, ModelQueue, ModelQueue]
    assert places == ["cuda", "cpu", "cuda"]
