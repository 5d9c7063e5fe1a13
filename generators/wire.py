"""What an engine sends over HTTP, within bounds, and what its refusals mean to a visitor."""

import asyncio
import json
import math
import re
import ssl
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx2

from generators.base import InvalidRequest
from models.registry import ModelUnavailable

MOST_BYTES = {"text": 16_000_000, "image": 160_000_000}  # of one answer; four pictures and more
MOST_ERROR_BYTES = 64_000  # of a refusal; the rest is not read
MOST_SAYS = 200  # characters of one thing that an engine says of itself
JSON = "application/json"
TOO_LONG = re.compile(
    r"context.{0,20}(length|size|window)|maximum model length|too (long|large)|"
    r"must be <= \d+|exceeds? the .{0,40}(length|tokens)",
    re.IGNORECASE | re.DOTALL,
)
NO_MODEL = re.compile(
    r"model.{0,200}(not found|does ?n[o']t exist|not exist|not supported|unknown)|pinned to|"
    r"unknown model",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class EngineLimits:
    """How long an engine may take, and how much it is asked at once."""

    connect: float = 5  # seconds
    first: float = 120  # seconds until the first token, or until a picture
    silence: float = 60  # seconds between two tokens
    whole: float = 900  # seconds of one answer
    pause: float = 0.25  # seconds before a second try; doubled before each further one
    at_once: int = 16  # requests to one engine, all its endpoints together


class EngineFault(ModelUnavailable):
    """An engine did not do what it was asked.

    `again`: another try may bring it; `elsewhere`: one at another endpoint may. `wait`: seconds
    after which, where the engine says so.
    """

    def __init__(
        self,
        code: str,
        *,
        again: bool = False,
        elsewhere: bool = False,
        wait: float | None = None,
        **details: object,
    ) -> None:
        super().__init__(code, **details)
        self.again = again
        self.elsewhere = again or elsewhere
        self.wait = wait

    def final(self) -> "EngineFault":
        """The same, where no other try is worth it."""
        fault = EngineFault(self.code)
        fault.details = dict(self.details)
        return fault


class EngineRefusal(InvalidRequest):
    """An engine cannot serve this request, whoever is asked; the model's name is added later."""


class FieldsRefused(RuntimeError):
    """The engine does not know some fields that it can do without; ask again without them."""

    def __init__(self, fields: set[str]) -> None:
        super().__init__(", ".join(sorted(fields)))
        self.fields = fields


class TooMuch(RuntimeError):
    """The answer has more bytes than any answer needs."""


class Bounded(httpx2.AsyncByteStream):
    """The bytes of an answer, up to a limit; then TooMuch, or, of a refusal, silently its end."""

    def __init__(self, stream: httpx2.AsyncByteStream, limit: int, cut: bool) -> None:
        self.stream, self.limit, self.cut = stream, limit, cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self.limit
        async for part in self.stream:
            yield part[:left]
            left -= len(part)
            if left < 0 and self.cut:
                return
            if left < 0:
                raise TooMuch(f"more than {self.limit} bytes")

    async def aclose(self) -> None:
        await self.stream.aclose()


@cache
def tls() -> ssl.SSLContext:
    """Made once: reading the machine's certificates takes longer than a request."""
    return httpx2.create_ssl_context()


def new_client(limits: EngineLimits, most_bytes: int) -> httpx2.AsyncClient:
    """A client that follows no redirect, takes nothing compressed and reads no more than allowed.

    What is compressed could unpack to any size. An engine's own refusal (4xx, 5xx) is read at once.
    """

    async def bound(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        limit = MOST_ERROR_BYTES if response.status_code >= 400 else most_bytes
        response.stream = Bounded(response.stream, limit, cut=response.status_code >= 400)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise EngineFault("engine_answer", again=True)
        if response.status_code >= 400:
            await response.aread()

    return httpx2.AsyncClient(
        verify=tls(),
        follow_redirects=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "genloop"},
        timeout=timeouts(limits),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
        event_hooks={"response": [bound]},
    )


def timeouts(limits: EngineLimits) -> httpx2.Timeout:
    """A silent connection ends with these; a dripping one with `within`."""
    return httpx2.Timeout(max(limits.first, limits.silence), connect=limits.connect)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raise the fault of a slow engine when what is done takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as problem:
        raise EngineFault("engine_slow") from problem


@contextmanager
def as_faults() -> Iterator[None]:
    """Turn what goes wrong on the wire into the fault that a visitor is told."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as problem:
        raise EngineFault("engine_unreachable", again=True) from problem
    except httpx2.TimeoutException as problem:
        raise EngineFault("engine_slow") from problem
    except (httpx2.SSEError, httpx2.DecodingError, TooMuch, Unreadable) as problem:
        raise EngineFault("engine_answer", again=True) from problem
    except (httpx2.TransportError, httpx2.StreamError) as problem:
        raise EngineFault("engine_broken", again=True) from problem


# What is read


class Unreadable(ValueError):
    """What came is not JSON of the shape that was expected."""


def read_json(text: str | bytes) -> dict[str, Any]:
    """A JSON object; raises Unreadable."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise Unreadable("no JSON") from problem
    if not isinstance(value, dict):
        raise Unreadable("no JSON object")
    return value


def brief(text: Any) -> str | None:
    return text[:MOST_SAYS] if isinstance(text, str) and text else None


def content_type(response: httpx2.Response) -> str:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def check_status(response: httpx2.Response, sent: Collection[str]) -> None:
    """Raise what a refusal means; `sent` are the names of the fields that were in the request."""
    if 300 <= response.status_code < 400:
        raise EngineFault("engine_answer", again=True)
    if response.status_code >= 400:
        raise refusal(response.status_code, response.text, sent, retry_after(response))


# Fields that an engine can do without, and those that a visitor set, by the option's name.
SPARED = {"stream_options", "logprobs", "seed", "max_tokens", "n", "response_format"}
CHOSEN = {
    "top_k": "top_k",
    "repetition_penalty": "repetition_penalty",
    "repeat_penalty": "repetition_penalty",
    "top_p": "top_p",
    "temperature": "temperature",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "negative_prompt": "negative_prompt",
    "size": "size",
}


def refusal(status: int, said: str, sent: Collection[str], wait: float | None = None) -> Exception:
    """What a refusal means: a fault of the engine, a mistake in the request, or fields too many.

    Engines agree on status codes, not on words, so what they say is searched, and never shown or
    logged: it may quote a prompt.
    """
    if status in (429, 503):
        return EngineFault("engine_busy", again=True, wait=wait, seconds=math.ceil(wait or 30))
    if status in (401, 403):
        return EngineFault("engine_key", elsewhere=True)
    if status == 402:
        return EngineFault("engine_unpaid", elsewhere=True)
    if status == 404:
        return EngineFault("engine_unknown_model", elsewhere=True)
    if status == 408 or status >= 500:
        return EngineFault("engine_failed", again=True, status=status)
    if status == 413 or TOO_LONG.search(said):
        return EngineRefusal("engine_too_long")
    if "continue_final_message" in sent and "continue_final_message" in said:
        return EngineRefusal("engine_no_continue")
    named = {name for name in sent if re.search(rf"\b{name}\b", said)}
    if chosen := sorted(CHOSEN[name] for name in named & CHOSEN.keys()):
        return EngineRefusal("engine_option", option=chosen[0])
    if named & SPARED:
        return FieldsRefused(named & SPARED)
    if NO_MODEL.search(said):
        return EngineFault("engine_unknown_model", elsewhere=True)
    return EngineRefusal("engine_refused", status=status)


def fault_in(error: Any, sent: Collection[str]) -> Exception:
    """What an error inside a stream means; some engines send refusals so, with a code."""
    said = error if isinstance(error, dict) else {}
    status = said.get("code")
    if type(status) is int and 400 <= status < 600:
        return refusal(status, str(said.get("message", "")), sent)
    return EngineFault("engine_broken", again=True)


def retry_after(response: httpx2.Response) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    text: str = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
