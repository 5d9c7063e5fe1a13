"""Pictures in the OpenAI protocol: https://platform.openai.com/docs/api-reference/images."""

import base64
import binascii
from typing import Any

import httpx2

from generators.wire import (
    JSON,
    Unreadable,
    as_faults,
    check_status,
    content_type,
    fault_in,
    read_json,
)


async def pictures(
    client: httpx2.AsyncClient,
    address: str,
    body: dict[str, Any],
    headers: dict[str, str],
) -> list[bytes]:
    """The files of the pictures that an engine made; addresses of pictures are not fetched."""
    with as_faults():
        async with client.stream(
            "POST", address + "/images/generations", json=body, headers=headers
        ) as response:
            check_status(response, body.keys())
            if content_type(response) != JSON:
                raise Unreadable("no JSON")
            said = read_json(await response.aread())
        if said.get("error"):
            raise fault_in(said["error"], body.keys())
        data = said.get("data")
        if not isinstance(data, list) or not data:
            raise Unreadable("no pictures")
        return [picture_of(one) for one in data]


def picture_of(said: Any) -> bytes:
    encoded = said.get("b64_json") if isinstance(said, dict) else None
    if not isinstance(encoded, str):
        raise Unreadable("no picture, but perhaps an address of one")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise Unreadable("no base64") from problem
