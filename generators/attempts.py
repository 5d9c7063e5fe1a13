"""Ask an engine until something comes: again after a fault, elsewhere where there is elsewhere."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from generators.endpoints import Endpoint, Pool
from generators.wire import EngineFault, EngineLimits, FieldsRefused, within

TRIES = 4
PATIENCE = 10.0  # seconds that a busy engine is waited for, if it names a time

Part = TypeVar("Part")
# Sends a request to an endpoint, without some fields, and gives the parts of the answer.
Send = Callable[[Endpoint, frozenset[str]], AsyncGenerator[Part]]


@dataclass
class Manners:
    """What was learned of an engine by asking it; its endpoints are taken to be alike."""

    refuses: frozenset[str] = frozenset()  # fields that it does not know
    ignores_n: bool = False  # it sends one output, however many are asked for


@dataclass(frozen=True)
class Begun(Generic[Part]):
    """An answer whose first part has come."""

    endpoint: Endpoint
    parts: list[Part]  # that have come
    rest: AsyncGenerator[Part]
    open: AsyncExitStack  # closes the connection


@dataclass
class Attempts:
    """The tries of one request."""

    pool: Pool
    limits: EngineLimits
    manners: Manners
    tried: list[Endpoint] = field(default_factory=list)
    without: frozenset[str] = frozenset()  # fields that this request was refused for

    async def parts(
        self, send: Send[Part], counts: Callable[[Part], bool]
    ) -> AsyncGenerator[tuple[Endpoint, Part]]:
        """The parts of the answer, with the endpoint that sends them.

        As long as no part has come that `counts`, a fault leads to another try; after it, it is
        raised, for what was shown cannot be taken back. Raises EngineFault and EngineRefusal.
        """
        retrying = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=self._pause,
            retry=retry_if_exception(self._is_worth_a_try),
            reraise=True,
        )
        begun: Begun[Part] = await retrying(self._begin, send, counts)
        async with begun.open:
            for part in begun.parts:
                yield begun.endpoint, part
            while True:
                async with within(self.limits.silence):
                    next_part = await anext(begun.rest, None)
                if next_part is None:
                    return
                yield begun.endpoint, next_part

    async def _begin(self, send: Send[Part], counts: Callable[[Part], bool]) -> Begun[Part]:
        """One try; fields that the engine can do without are left out until it agrees."""
        while True:
            try:
                begun = await self._open(send, counts)
            except FieldsRefused as refused:
                self.without |= refused.fields
            else:
                # Only now: a refusal whose words merely mention a field teaches nothing.
                self.manners.refuses |= self.without
                return begun

    async def _open(self, send: Send[Part], counts: Callable[[Part], bool]) -> Begun[Part]:
        async with AsyncExitStack() as stack:
            endpoint = await stack.enter_async_context(self.pool.serving(self.tried))
            without = self.manners.refuses | self.without
            rest = await stack.enter_async_context(aclosing(send(endpoint, without)))
            parts: list[Part] = []
            async with within(self.limits.first):
                async for part in rest:
                    parts.append(part)
                    if counts(part):
                        break
                else:
                    raise EngineFault("engine_broken", again=True)  # it ended with nothing
            endpoint.began()
            return Begun(endpoint, parts, rest, stack.pop_all())

    def _is_worth_a_try(self, error: BaseException) -> bool:
        if not isinstance(error, EngineFault):
            return False
        if error.elsewhere and self._has_elsewhere():
            return True
        return error.again and (error.wait or 0) <= PATIENCE

    def _has_elsewhere(self) -> bool:
        return any(endpoint not in self.tried for endpoint in self.pool.ready())

    def _pause(self, state: RetryCallState) -> float:
        """Seconds; none where another endpoint can be asked at once."""
        if self._has_elsewhere():
            return 0
        fault = state.outcome.exception() if state.outcome else None
        wait = fault.wait if isinstance(fault, EngineFault) else None
        first = self.limits.pause
        usual = wait_exponential_jitter(multiplier=first, max=8 * first, jitter=first)
        return max(usual(state), wait or 0)
