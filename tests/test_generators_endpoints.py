import asyncio

import pytest

from generators.endpoints import FAILURES, LONGEST, Breaker, Pool
from generators.wire import EngineFault


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(cool_down=5, clock=clock)


def trip(breaker):
    for _ in range(FAILURES):
        breaker.failed()


def test_a_few_failures_do_not_open_it_and_a_success_forgets_them(breaker):
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    breaker.failed()

    assert breaker.state == "closed" and breaker.allows()


def test_it_opens_cools_down_and_lets_one_request_probe(breaker, clock):
    trip(breaker)
    opened = (breaker.state, breaker.allows(), breaker.wait)
    clock.seconds += 5
    first = (breaker.state, breaker.allows(), breaker.begin())
    second = breaker.allows()

    assert opened == ("open", False, 5)
    assert first == ("half-open", True, True)
    assert second is False


def test_a_probe_that_succeeds_closes_it(breaker, clock):
    trip(breaker)
    clock.seconds += 5
    breaker.begin()
    breaker.succeeded()

    assert (breaker.state, breaker.begin(), breaker.failures) == ("closed", False, 0)


def test_a_probe_that_fails_opens_it_for_twice_as_long(breaker, clock):
    trip(breaker)
    waits = []
    for _ in range(6):
        clock.seconds += breaker.wait
        breaker.begin()
        breaker.failed()
        waits.append(breaker.wait)

    assert waits == [10, 20, 40, LONGEST, LONGEST, LONGEST]


def test_a_probe_without_outcome_makes_room_for_another(breaker, clock):
    trip(breaker)
    clock.seconds += 5
    breaker.begin()
    breaker.release()

    assert breaker.allows()


def test_signs_of_life_end_the_wait_but_prove_nothing(breaker):
    trip(breaker)
    breaker.is_back()

    assert (breaker.state, breaker.wait) == ("half-open", 0)


# Choosing


def chosen(pool, times, tried=()):
    return [pool.choose(list(tried)).address for _ in range(times)]


def test_equals_take_turns():
    pool = Pool(["a", "b", "c"])

    assert sorted(chosen(pool, 3)) == ["a", "b", "c"]


def test_who_has_less_to_do_comes_first_and_who_was_tried_last():
    pool = Pool(["a", "b"])
    a, _ = pool.endpoints
    a.in_flight = 3

    assert set(chosen(pool, 4)) == {"b"}
    assert set(chosen(pool, 4, tried=[pool.endpoints[1]])) == {"a"}


def serve(pool, fault=None):
    async def one():
        tried = []
        async with pool.serving(tried) as endpoint:
            assert endpoint.in_flight == 1
            if fault is not None:
                raise fault
            endpoint.began()
        return endpoint

    return asyncio.run(one())


def test_requests_and_faults_are_counted():
    pool = Pool(["a"])
    serve(pool)
    with pytest.raises(EngineFault):
        serve(pool, EngineFault("engine_failed", status=500))
    [health] = pool.health("m")

    assert (health.served, health.faults, health.in_flight) == (1, 1, 0)
    assert (health.model, health.last_fault) == ("m", "engine_failed")


def test_a_busy_endpoint_is_not_ill_but_left_alone_for_the_time_it_names():
    pool = Pool(["a", "b"])
    for _ in range(FAILURES + 1):
        pool.endpoints[0].failed(EngineFault("engine_busy", wait=60, seconds=60))

    assert set(chosen(pool, 3)) == {"b"}
    assert pool.endpoints[0].breaker.state == "closed"


def test_when_nobody_can_be_asked_the_reason_is_told():
    pool = Pool(["a"])
    for _ in range(FAILURES):
        pool.endpoints[0].failed(EngineFault("engine_key"))

    with pytest.raises(EngineFault) as ill:
        pool.choose([])
    pool.endpoints[0].checked("engine_unreachable", 0.1)
    with pytest.raises(EngineFault) as away:
        pool.choose([])

    assert (ill.value.code, ill.value.again) == ("engine_key", False)
    assert away.value.code == "engine_unreachable"


def test_a_check_keeps_what_the_endpoint_said_before():
    [endpoint] = Pool(["a"]).endpoints
    endpoint.checked("ok", 0.01, {"id": "m"})
    endpoint.checked("engine_unreachable", 5)

    assert (endpoint.check, endpoint.milliseconds, endpoint.says) == (
        "engine_unreachable",
        5000,
        {"id": "m"},
    )
    assert endpoint.is_down
