"""An engine that speaks the OpenAI protocol: one client for its endpoints, and the key."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic import SecretStr

from generators import openai_check, openai_image, openai_text
from generators.endpoints import Endpoint
from generators.openai_text import Piece, TextAsk
from generators.remote_image import ImageAsk, told_fields
from generators.wire import MOST_BYTES, EngineLimits, new_client
from models.engines import Engine


class OpenAIEngine:
    """Speaks to the endpoints of one engine. The key stands in a header and nowhere else."""

    def __init__(self, engine: Engine, key: SecretStr | None, limits: EngineLimits) -> None:
        self._engine = engine
        self._key = key
        self._client = new_client(limits, MOST_BYTES[engine.task])

    def _headers(self) -> dict[str, str]:
        if self._key is None:
            return {}
        return {"Authorization": f"Bearer {self._key.get_secret_value()}"}

    async def pieces(self, endpoint: Endpoint, ask: TextAsk) -> AsyncGenerator[Piece]:
        path, body = openai_text.text_request(self._engine, ask, endpoint)
        pieces = openai_text.text_pieces(
            self._client, endpoint.address, path, body, self._headers()
        )
        async with aclosing(pieces) as stream:
            async for piece in stream:
                yield piece

    async def pictures(self, endpoint: Endpoint, ask: ImageAsk) -> AsyncGenerator[list[bytes]]:
        body = picture_request(self._engine.model, ask)
        yield await openai_image.pictures(self._client, endpoint.address, body, self._headers())

    async def check(self, endpoint: Endpoint) -> None:
        await openai_check.check(self._client, endpoint, self._engine.model, self._headers())

    async def close(self) -> None:
        await self._client.aclose()


def picture_request(model: str, ask: ImageAsk) -> dict[str, Any]:
    """The body of /v1/images/generations, with the fields that vLLM-Omni and SGLang add."""
    size = f"{ask.options.width}x{ask.options.height}"
    body = {"model": model, "prompt": ask.prompt, "size": size, **told_fields(ask)}
    if "response_format" in ask.told:
        body["response_format"] = "b64_json"
    if ask.choices > 1:
        body["n"] = ask.choices
    return body
