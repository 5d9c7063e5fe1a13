"""Spread the drafts of a request over requests to an engine, and say what became of each."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Protocol

from generators.attempts import Manners
from generators.wire import EngineFault, EngineLimits, EngineRefusal, within
from models.engines import Engine

Receive = Callable[[Sequence[int]], Awaitable[Collection[int]]]


class Drafts(Protocol):
    """The outputs of one request, numbered from 0."""

    started_at: datetime | None

    def break_off(self, numbers: Sequence[int], fault: EngineFault | EngineRefusal) -> None:
        """End those that are not finished; they are not kept."""


async def make_drafts(
    work: Drafts,
    count: int,
    receive: Receive,
    slots: asyncio.Semaphore,
    *,
    engine: Engine,
    manners: Manners,
    limits: EngineLimits,
) -> None:
    """Make all drafts at once, each request in a slot of its own.

    An engine that takes seeds gets a request for each draft, with the seed of its own that it has
    everywhere in GenLoop; one that takes none is asked for all of them in one request, and for
    those that did not come once more, each alone. What goes wrong with a request ends its drafts.

    receive: sends one request for these drafts; the numbers of those that came.
    """

    async def ask(numbers: Sequence[int]) -> list[int]:
        try:
            async with slots:
                work.started_at = work.started_at or datetime.now(UTC)
                async with within(limits.whole):
                    came = await receive(numbers)
        except (EngineFault, EngineRefusal) as fault:
            fault.details.setdefault("model", engine.name)
            work.break_off(numbers, fault)
            return []
        return [number for number in numbers if number not in came]

    async def ask_all(groups: Sequence[Sequence[int]]) -> list[int]:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(numbers)) for numbers in groups]
        return [number for one in asked for number in one.result()]

    numbers = range(count)
    if "seed" in engine.takes - manners.refuses or manners.ignores_n or "n" in manners.refuses:
        await ask_all([[number] for number in numbers])
    elif missing := await ask_all([numbers]):
        manners.ignores_n = True
        await ask_all([[number] for number in missing])
