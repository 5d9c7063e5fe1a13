"""Ask an engine of the OpenAI protocol how it is, and what it says of itself."""

import re
import time
from typing import Any

import httpx2

from generators.endpoints import Endpoint
from generators.wire import MOST_SAYS, EngineFault, TooMuch, Unreadable, read_json

VOLATILE = re.compile(r"request|trace|time|ratelimit|-id$")  # headers that are new each time


async def check(
    client: httpx2.AsyncClient, endpoint: Endpoint, model: str, headers: dict[str, str]
) -> None:
    """Note whether the endpoint answers, and what it says of itself and its model.

    Some engines cannot list their models; then /health beside /v1 is asked.
    """
    began = time.monotonic()
    outcome, says = "engine_unreachable", None
    try:
        response = await client.get(endpoint.address + "/models", headers=headers)
        if response.status_code in (401, 403):
            outcome = "engine_key"
        elif response.status_code == 200:
            outcome, says = "ok", self_description(response, model)
        else:
            root = endpoint.address.removesuffix("/v1")
            health = await client.get(root + "/health", headers=headers)
            outcome = "ok" if health.status_code == 200 else "engine_failed"
    except httpx2.TransportError:
        outcome = "engine_unreachable"
    except (EngineFault, TooMuch):
        outcome = "engine_answer"
    endpoint.checked(outcome, time.monotonic() - began, says)


def self_description(response: httpx2.Response, model: str) -> dict[str, Any]:
    """What an engine says of the model in its list, and its headers that name software."""
    try:
        listed = read_json(response.content).get("data")
    except Unreadable:
        return {}
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    own = next((one for one in entries if one.get("id") == model), None)
    says: dict[str, Any] = {"listed": own is not None}
    for name in ("id", "owned_by", "created", "root", "max_model_len"):
        value = (own or {}).get(name)
        if isinstance(value, int | str):
            says[name] = value[:MOST_SAYS] if isinstance(value, str) else value
    named = {
        name: value[:MOST_SAYS]
        for name, value in response.headers.items()
        if name == "server" or (name.startswith("x-") and not VOLATILE.search(name))
    }
    return {**says, "headers": dict(sorted(named.items())[:20])}
