"""The endpoints behind one engine: which one serves next, which ones are down, who says so."""

import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from generators.wire import EngineFault

log = logging.getLogger(__name__)

FAILURES = 3  # in a row, after which an endpoint is left alone
COOL_DOWN = 5.0  # seconds for which it is, doubled each time that it fails again
LONGEST = 60.0  # seconds
# What says nothing about an endpoint's health: it works, and only has too much to do.
NO_FAILURES = ("engine_busy",)

BreakerState = Literal["closed", "open", "half-open"]


class Breaker:
    """Keeps requests from an endpoint that fails; lets one of them try it again after a while.

    The circuit breaker of Nygard, Release It! (2007), chapter 5: closed lets all through, open
    none, half-open one, whose outcome decides.
    """

    def __init__(
        self, cool_down: float = COOL_DOWN, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.failures = 0  # in a row
        self.retry_at = 0.0  # by the clock
        self._cool_down = cool_down
        self._clock = clock
        self._rest = cool_down  # seconds of the next time that it opens
        self._probing = False

    @property
    def state(self) -> BreakerState:
        if self.failures < FAILURES:
            return "closed"
        return "open" if self._clock() < self.retry_at else "half-open"

    @property
    def wait(self) -> float:
        """Seconds until it lets a request through."""
        return max(0.0, self.retry_at - self._clock()) if self.state == "open" else 0.0

    def allows(self) -> bool:
        return self.state == "closed" or (self.state == "half-open" and not self._probing)

    def begin(self) -> bool:
        """A request goes through; True for the one that probes a half-open endpoint."""
        if self.state == "half-open":
            self._probing = True
            return True
        return False

    def release(self) -> None:
        """The probe ended without an outcome: its reader left."""
        self._probing = False

    def succeeded(self) -> None:
        self.failures, self._rest, self._probing = 0, self._cool_down, False

    def failed(self) -> None:
        self.failures += 1
        self._probing = False
        if self.failures >= FAILURES:
            self.retry_at = self._clock() + self._rest
            self._rest = min(2 * self._rest, LONGEST)

    def is_back(self) -> None:
        """There are signs of life: the next request may try."""
        self.retry_at = self._clock()


@dataclass
class Endpoint:
    """One address of an engine, and what is known of it. Used in the engine's own thread alone."""

    address: str
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    served: int = 0  # requests whose first token, or picture, came
    faults: int = 0
    last_fault: EngineFault | None = None
    busy_until: float = 0.0  # by time.monotonic
    checked_at: datetime | None = None
    check: str | None = None  # "ok", or the code of what was wrong
    milliseconds: int | None = None  # that the last check took
    says: dict[str, Any] = field(default_factory=dict)  # of itself and its model

    def failed(self, fault: EngineFault) -> None:
        self.faults += 1
        self.last_fault = fault
        log.warning("engine at %s: %s", self.address, fault.code)
        if fault.code in NO_FAILURES:
            self.busy_until = time.monotonic() + (fault.wait or 0)
        else:
            self.breaker.failed()

    def began(self) -> None:
        """The first token, or a picture, came: it works."""
        self.served += 1
        self.breaker.succeeded()

    def checked(self, outcome: str, seconds: float, says: dict[str, Any] | None = None) -> None:
        """Note what a health check found, and whether requests may be worth a try."""
        if outcome != (self.check or "ok"):
            log.warning("engine at %s: the check found %s", self.address, outcome)
        was_away = self.check == "engine_unreachable" or (
            self.last_fault is not None and self.last_fault.code == "engine_unreachable"
        )
        self.checked_at = datetime.now(UTC)
        self.check, self.milliseconds = outcome, round(1000 * seconds)
        self.says = says or self.says
        if outcome == "engine_unreachable":
            self.breaker.failed()
        elif was_away and self.breaker.state == "open":  # one that failed may list models well
            self.breaker.is_back()

    @property
    def is_down(self) -> bool:
        return self.breaker.state != "closed" or self.check == "engine_unreachable"


@dataclass(frozen=True)
class EndpointHealth:
    """How an endpoint is, for a page of the owner's; nothing secret is in it."""

    model: str  # as the picker shows it
    endpoint: str
    state: BreakerState
    check: str | None  # "ok", the code of a sentence of ui/strings.py, or None: never checked
    checked_at: datetime | None
    milliseconds: int | None  # that the check took
    in_flight: int
    served: int
    faults: int
    last_fault: str | None  # the code of a sentence
    retry_in: float  # seconds until an open one is tried again
    says: dict[str, Any]


class Pool:
    """The endpoints of one engine. Used in the engine's own thread alone."""

    def __init__(self, addresses: Sequence[str], new_breaker: Callable[[], Breaker] = Breaker):
        self.endpoints = [Endpoint(address, new_breaker()) for address in addresses]
        self._turn = 0

    def choose(self, tried: Sequence[Endpoint]) -> Endpoint:
        """The endpoint with the least to do; among equals, each in turn; untried ones first.

        Raises EngineFault when none can be asked now.
        """
        ready = self.ready()
        if not ready:
            raise self.refusal()
        self._turn += 1
        order = self.endpoints[self._turn % len(self.endpoints) :] + self.endpoints
        return min(ready, key=lambda one: (one in tried, one.in_flight, order.index(one)))

    def ready(self) -> list[Endpoint]:
        now = time.monotonic()
        return [one for one in self.endpoints if one.breaker.allows() and one.busy_until <= now]

    def refusal(self) -> EngineFault:
        """Why nobody can be asked: all are busy until a time, cannot be reached, or fail."""
        waits = [
            one.busy_until - time.monotonic() for one in self.endpoints if one.breaker.allows()
        ]
        if waits and min(waits) > 0:
            return EngineFault("engine_busy", wait=min(waits), seconds=math.ceil(min(waits)))
        faults = [one.last_fault for one in self.endpoints if one.check != "engine_unreachable"]
        last = next((fault for fault in faults if fault is not None), None)
        return last.final() if last else EngineFault("engine_unreachable")

    @asynccontextmanager
    async def serving(self, tried: list[Endpoint]) -> AsyncIterator[Endpoint]:
        """Choose an endpoint, count its request, and note how that went."""
        endpoint = self.choose(tried)
        tried.append(endpoint)
        probes = endpoint.breaker.begin()
        endpoint.in_flight += 1
        try:
            yield endpoint
        except EngineFault as fault:
            endpoint.failed(fault)
            raise
        finally:
            endpoint.in_flight -= 1
            if probes:
                endpoint.breaker.release()

    def says(self) -> dict[str, Any]:
        return {one.address: dict(one.says) for one in self.endpoints}

    def health(self, model: str) -> list[EndpointHealth]:
        return [
            EndpointHealth(
                model=model,
                endpoint=one.address,
                state=one.breaker.state,
                check=one.check,
                checked_at=one.checked_at,
                milliseconds=one.milliseconds,
                in_flight=one.in_flight,
                served=one.served,
                faults=one.faults,
                last_fault=one.last_fault.code if one.last_fault else None,
                retry_in=one.breaker.wait,
                says=dict(one.says),
            )
            for one in self.endpoints
        ]
