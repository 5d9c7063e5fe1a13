"""What the routes and pages are given to work with; made once, in create_app."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import Metric

from config import Settings
from db.engine import Database
from db.media import MediaStore
from db.replica.replicator import Replicator
from feedback.identity import Signer
from web.tracing import Tracing


@dataclass(frozen=True)
class Services:
    """The parts that one running app shares."""

    settings: Settings
    database: Database
    media: MediaStore
    signer: Signer
    owner_token: str
    hops: int  # proxies in front whose X-Forwarded-* headers are believed
    replicator: Replicator | None = None
    tracing: Tracing = field(default_factory=Tracing)
    # What else is measured when somebody asks for the metrics.
    looks: list[Callable[[], Iterator[Metric]]] = field(default_factory=list)


def trusted_hops(settings: Settings) -> int:
    """How many proxies to believe: as set, and at least the one that stands before every Space."""
    return max(settings.trusted_proxies, 1 if on_space() else 0)


def on_space() -> bool:
    """Whether this runs on Hugging Face Spaces, which sets SPACE_ID for its containers."""
    return bool(os.environ.get("SPACE_ID"))
