"""Text from an engine: the drafts of a request, as they come in."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from db.tables import TEXT_LIMIT
from generators.attempts import Attempts, Manners
from generators.base import SEEDS, InvalidRequest, Phase, Snapshot, check_prompt
from generators.endpoints import Endpoint, Pool
from generators.openai_text import Piece, TextAsk
from generators.remote_drafts import make_drafts
from generators.text import TextOptions, check_talk
from generators.wire import EngineFault, EngineLimits, EngineRefusal
from models.engines import SAMPLING, Engine, version_of


@dataclass(frozen=True)
class ToldTextOptions(TextOptions):
    """Options of which the engine is told only a part; the rest shaped nothing."""

    untold: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return without(super().as_json(), {"untold", *self.untold})


def without(values: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


class TextTransport(Protocol):
    """How a text engine is spoken to."""

    def pieces(self, endpoint: Endpoint, ask: TextAsk) -> AsyncGenerator[Piece]:
        """The parts of the answer; raises EngineFault, EngineRefusal and FieldsRefused."""

    async def check(self, endpoint: Endpoint) -> None:
        """Ask an endpoint how it is."""

    async def close(self) -> None:
        """Let go of the connections."""


@dataclass
class Draft:
    """One output, as far as it is here."""

    parts: list[str] = field(default_factory=list)
    length: int = 0  # characters
    end: str | None = None
    pieces: int = 0  # with text: what is counted where the engine does not say
    tokens: int | None = None  # as the engine says
    served: dict[str, Any] = field(default_factory=dict)  # by which endpoint, and what it said

    def take(self, piece: Piece, room: int) -> None:
        """Add what came, as long as it fits."""
        text = piece.text[: room - self.length]
        self.parts.append(text)
        self.length += len(text)
        self.pieces += bool(piece.text)
        if piece.logprob is not None:
            self.served["logprob"] = self.served.get("logprob", 0.0) + piece.logprob
            self.served["logprob_tokens"] = (
                self.served.get("logprob_tokens", 0) + piece.logprob_tokens
            )
        self.end = piece.end or self.end
        if self.length >= room:
            self.end = "length"

    def has_begun(self) -> bool:
        return bool(self.end or self.pieces)

    def text(self) -> str:
        return "".join(self.parts)

    def count(self) -> int:
        """Tokens: as the engine says; else those with a log probability; else the pieces."""
        if self.tokens is not None:
            return self.tokens
        counted: int = self.served.get("logprob_tokens", 0)
        return counted or self.pieces


class RemoteTextWork:
    """The drafts of one request."""

    def __init__(self, inputs: dict[str, Any], options: TextOptions) -> None:
        self.inputs = inputs
        self.options = options
        self.prefix: str = inputs.get("prefix", "")
        self.room = max(0, TEXT_LIMIT - len(self.prefix))  # characters of one draft
        self.drafts = [Draft() for _ in range(options.drafts)]
        self.faults: list[EngineFault | EngineRefusal] = []
        self.input_tokens = 0
        self.started_at: datetime | None = None
        self.first_token_at: datetime | None = None

    def take(self, draft: Draft, piece: Piece) -> None:
        if piece.text and self.first_token_at is None:
            self.first_token_at = datetime.now(UTC)
        draft.take(piece, self.room)

    def break_off(self, numbers: Sequence[int], fault: EngineFault | EngineRefusal) -> None:
        """End drafts that the engine did not finish; they are not kept."""
        self.faults.append(fault)
        for number in numbers:
            self.drafts[number].end = self.drafts[number].end or "error"

    def look(self, phase: Phase) -> Snapshot:
        lost = all(draft.end == "error" for draft in self.drafts)
        return Snapshot(
            phase,
            texts=[self.prefix + clean(draft.text()) for draft in self.drafts],
            tokens=[draft.count() for draft in self.drafts],
            finish_reasons=[draft.end for draft in self.drafts],
            input_tokens=self.input_tokens,
            served=[dict(draft.served) for draft in self.drafts],
            error=self.faults[0] if phase == "done" and lost else None,
        )


class RemoteText:
    """A language model that an engine serves."""

    task = "text"
    writes_poems = False

    def __init__(
        self,
        engine: Engine,
        transport: TextTransport,
        limits: EngineLimits,
        pool: Pool | None = None,
    ) -> None:
        self.name = engine.name
        self.engine = engine
        self.weights = version_of(engine)
        self.is_chat = engine.api == "chat"
        self.pool = pool or Pool(engine.endpoints)
        self.manners = Manners()
        self._transport = transport
        self._limits = limits

    def complete(self, options: TextOptions) -> TextOptions:
        """The options as the engine knows them, without what it is not told."""
        takes = self.engine.takes - self.manners.refuses
        untold = tuple(name for name in ("seed", *SAMPLING) if name not in takes)
        return ToldTextOptions(**options.as_json(), untold=untold)

    def start(self, inputs: dict[str, Any], options: TextOptions) -> RemoteTextWork:
        """inputs: {"prompt"}, or for a chat {"messages"}; perhaps {"prefix"} to go on from."""
        if "messages" not in inputs:
            check_prompt(inputs["prompt"])
        elif not self.is_chat:
            raise InvalidRequest("model_is_no_chat", model=self.name)
        else:
            check_talk(inputs["messages"])
        return RemoteTextWork(inputs, options)

    async def run(self, work: RemoteTextWork, slots: asyncio.Semaphore) -> None:
        """Write all drafts at once."""
        await make_drafts(
            work,
            work.options.drafts,
            partial(self._receive, work),
            slots,
            engine=self.engine,
            manners=self.manners,
            limits=self._limits,
        )

    def says(self) -> dict[str, Any]:
        """What each endpoint says of itself, by its address."""
        return self.pool.says()

    async def check(self) -> None:
        await asyncio.gather(*map(self._transport.check, self.pool.endpoints))

    async def close(self) -> None:
        await self._transport.close()

    async def _receive(self, work: RemoteTextWork, numbers: Sequence[int]) -> list[int]:
        """Write drafts in one request; the numbers of those that came."""
        drafts = [work.drafts[number] for number in numbers]
        seed = (work.options.seed + numbers[0]) % SEEDS
        attempts = Attempts(self.pool, self._limits, self.manners)

        def send(endpoint: Endpoint, refused: frozenset[str]) -> AsyncGenerator[Piece]:
            told = (self.engine.takes | {"max_tokens"}) - refused
            choices = 1 if "n" in refused else len(drafts)
            ask = TextAsk(work.inputs, work.options, seed, choices, told)
            return self._transport.pieces(endpoint, ask)

        async with aclosing(attempts.parts(send, has_begun)) as answer:
            async for endpoint, piece in answer:
                work.input_tokens = max(work.input_tokens, piece.input_tokens or 0)
                note(drafts, endpoint, piece)
                if piece.output_tokens is not None and len(drafts) == 1:
                    drafts[0].tokens = piece.output_tokens
                if 0 <= piece.choice < len(drafts):
                    work.take(drafts[piece.choice], piece)
                if all(draft.length >= work.room for draft in drafts):
                    break  # an engine that knows no end
        came = [number for number in numbers if work.drafts[number].has_begun()]
        for number in came:
            work.drafts[number].end = work.drafts[number].end or "end"
        return came


def has_begun(piece: Piece) -> bool:
    """Whether an output, or its end, has come: what was before it can be asked for again."""
    return bool(piece.text or piece.end)


def note(drafts: list[Draft], endpoint: Endpoint, piece: Piece) -> None:
    """Keep by whom the drafts are served, and as what."""
    known = {
        "endpoint": endpoint.address,
        "model": piece.model,
        "fingerprint": piece.fingerprint,
        "request_id": piece.request_id,
    }
    for draft in drafts:
        draft.served |= {name: value for name, value in known.items() if value}


def clean(text: str) -> str:
    """Text that can be kept: halves of a character are joined, or replaced, and so is NUL.

    JSON may send a character outside the basic plane as two escaped halves, even in two parts.
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.rstrip("\ufffd").replace("\x00", "\ufffd")
