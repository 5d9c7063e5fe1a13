"""Hugging Face Inference Providers, through huggingface_hub's client, within our bounds."""

import asyncio
import binascii
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import httpx2
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from huggingface_hub.errors import (
    HfHubHTTPError,
    InferenceTimeoutError,
    RepositoryNotFoundError,
    TextGenerationError,
)
from PIL.Image import DecompressionBombError
from pydantic import SecretStr

from generators.endpoints import Endpoint
from generators.openai_text import Piece, TextAsk, note_end, pieces_of, talk_of, text_fields
from generators.remote_image import ImageAsk, told_fields
from generators.wire import (
    MOST_BYTES,
    EngineFault,
    EngineLimits,
    EngineRefusal,
    Unreadable,
    as_faults,
    new_client,
    refusal,
    retry_after,
    timeouts,
)
from models.engines import BadEngine, Engine

# What the client has no argument of its own for, and passes on as it is.
EXTRA = ("top_k", "repetition_penalty", "max_completion_tokens")
# How the client says that an answer was not what it expected.
ODD = (TypeError, KeyError, IndexError, AttributeError, RecursionError, DecompressionBombError)

Result = TypeVar("Result")

BOUNDS: ContextVar[tuple[EngineLimits, int]] = ContextVar("BOUNDS")


def bounded_client() -> httpx2.AsyncClient:
    """What AsyncInferenceClient speaks through; only this module uses the Hub's async client."""
    return new_client(*BOUNDS.get((EngineLimits(), MOST_BYTES["image"])))


class ProviderEngine:
    """Speaks to one provider. A client lasts for one request: it keeps every stream it opened."""

    def __init__(self, engine: Engine, key: SecretStr, limits: EngineLimits) -> None:
        """Raises BadEngine for a key that is none of the Hub's."""
        if not key.get_secret_value().startswith("hf_"):
            raise BadEngine(
                f"{engine.model}: Inference Providers take a token of the Hub (hf_…); with a key "
                "of a provider's own, write openai:ADDRESS#MODEL"
            )
        self._engine = engine
        self._key = key
        self._limits = limits
        set_async_client_factory(bounded_client)

    def _client(self, provider: str) -> AsyncInferenceClient:
        BOUNDS.set((self._limits, MOST_BYTES[self._engine.task]))
        name: Any = provider
        timeout: Any = timeouts(self._limits)  # handed on to httpx2, which takes four for one
        return AsyncInferenceClient(
            provider=name, api_key=self._key.get_secret_value(), timeout=timeout
        )

    async def pieces(self, endpoint: Endpoint, ask: TextAsk) -> AsyncGenerator[Piece]:
        """Through the Hub's router, which takes the provider's name behind the model's."""
        if ask.inputs.get("prefix"):
            raise EngineRefusal("engine_no_continue")
        provider = endpoint.address
        model = self._engine.model + ("" if provider == "auto" else f":{provider}")
        fields = text_fields(ask, endpoint, chat=True)
        extra = {name: fields.pop(name) for name in EXTRA if name in fields}
        sent = [*fields, *extra]
        unended: set[int] = {0}
        with as_faults(), as_hub_faults(sent):
            async with self._client("auto") as client:
                stream: AsyncIterator[Any] = await client.chat_completion(
                    talk_of(ask.inputs), model=model, extra_body=extra, **fields
                )
                async for chunk in stream:
                    for piece in pieces_of(chunk, sent):
                        note_end(piece, unended)
                        yield piece
                if unended:
                    raise EngineFault("engine_broken", again=True)

    async def pictures(self, endpoint: Endpoint, ask: ImageAsk) -> AsyncGenerator[list[bytes]]:
        told = told_fields(ask)
        with as_faults(), as_hub_faults(told):
            data = await apart(partial(self._picture, endpoint.address, ask, told))
        yield [data]

    async def _picture(self, provider: str, ask: ImageAsk, told: dict[str, Any]) -> bytes:
        async with self._client(provider) as client:
            image = await client.text_to_image(
                ask.prompt,
                model=self._engine.model,
                width=ask.options.width,
                height=ask.options.height,
                **told,
            )
        # Pillow has read no more than the header; generators/uploads.py looks at it first.
        image.fp.seek(0)
        data: bytes = image.fp.read()
        return data

    async def check(self, endpoint: Endpoint) -> None:
        """Providers have no health to ask for; requests alone tell."""

    async def close(self) -> None:
        """Each request has closed its own client."""


async def apart(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run it in a thread of its own; cancelled here, it is cancelled there.

    Before its first picture the client asks the Hub what the provider calls the model, and blocks.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(work())
    outcome: Future[Result] = Future()
    outcome.set_running_or_notify_cancel()  # from here on the thread alone decides how it ends

    def live() -> None:
        try:
            outcome.set_result(loop.run_until_complete(task))
        except BaseException as error:  # passed on to who waits
            outcome.set_exception(error)
        finally:
            loop.close()

    threading.Thread(target=live, name="picture of a provider", daemon=True).start()
    try:
        return await asyncio.wrap_future(outcome)
    except asyncio.CancelledError:
        with suppress(RuntimeError):  # it has ended meanwhile
            loop.call_soon_threadsafe(task.cancel)
        raise


@contextmanager
def as_hub_faults(sent: Collection[str]) -> Iterator[None]:
    """Turn what the Hub's client raises into what a visitor is told; see generators/wire.py."""
    try:
        yield
    except (EngineFault, EngineRefusal, Unreadable):
        raise
    except RepositoryNotFoundError as problem:
        raise EngineFault("engine_unknown_model", elsewhere=True) from problem
    except HfHubHTTPError as problem:
        response = problem.response
        raise refusal(response.status_code, response.text, sent, retry_after(response)) from problem
    except InferenceTimeoutError as problem:
        unreachable = isinstance(problem.__cause__, httpx2.ConnectTimeout)
        code = "engine_unreachable" if unreachable else "engine_slow"
        raise EngineFault(code, again=unreachable) from problem
    except TextGenerationError as problem:
        raise EngineFault("engine_broken", again=True) from problem
    except (json.JSONDecodeError, binascii.Error, *ODD) as problem:
        raise Unreadable("not as the client expected") from problem
    except ValueError as problem:  # the provider, or its list of models, does not have it
        raise EngineFault("engine_unknown_model", elsewhere=True) from problem
    except OSError as problem:  # no picture, or the Hub is out of bounds (HF_HUB_OFFLINE)
        raise EngineFault("engine_answer", again=True) from problem
