"""What cannot work on a Hugging Face Space is said at the start, not when it first fails."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from sqlalchemy import make_url

from config import Settings

OPEN_PORTS = (80, 443, 8080)  # a Space reaches no others outside itself
DEFAULT_PORTS = {"http": 80, "https": 443}
LOCAL = ("localhost", "127.0.0.1", "::1")
POSTGRESQL = 5432


class UnfitForSpace(RuntimeError):
    """The settings ask for what a Space does not allow."""


def check_space(settings: Settings, *, zero_gpu: bool) -> None:
    """Raise UnfitForSpace for an address that a Space cannot reach, and what ZeroGPU cannot do."""
    for name, host, port in addresses(settings):
        if port not in OPEN_PORTS and host not in LOCAL:
            raise UnfitForSpace(
                f"{name} names port {port} of {host}, and a Space reaches only ports 80, 443 and "
                "8080 outside. Name a server that listens on one of these (many PostgreSQL "
                "providers do on 443), or leave DATABASE_URL empty and let GENLOOP_REPLICA keep a "
                "copy (docs/spaces.md)"
            )
    if zero_gpu and any(way.endswith("offload") for way in settings.image_memory):
        raise UnfitForSpace(
            "GENLOOP_IMAGE_MEMORY moves models between memory and a GPU, and on ZeroGPU they must "
            "stay on it: leave model_cpu_offload and sequential_cpu_offload out"
        )


def addresses(settings: Settings) -> Iterator[tuple[str, str, int]]:
    """Which setting names which host and port."""
    database = make_url(settings.database)
    if database.get_backend_name() != "sqlite" and database.host:
        yield "DATABASE_URL", database.host, database.port or POSTGRESQL
    for name in ("text_models", "image_models"):
        for entry in getattr(settings, name):
            for url in re.findall(r"https?://[^\s#|]+", entry):
                parts = urlsplit(url)
                port = parts.port or DEFAULT_PORTS[parts.scheme]
                yield f"GENLOOP_{name.upper()}", parts.hostname or "", port
