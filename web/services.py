"""What the routes and pages are given to work with; made once, in create_app."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import Metric

from config import Settings
from db.engine import Database
from db.media import Media
from db.replica.replicator import Replicator
from feedback.identity import Signer
from web.hub_login import HubLogin
from web.tracing import Tracing


@dataclass(frozen=True)
class Services:
    """The parts that one running app shares."""

    settings: Settings
    database: Database
    media: Media
    signer: Signer
    owner_token: str
    hops: int  # proxies in front whose X-Forwarded-* headers are believed
    replicator: Replicator | None = None
    tracing: Tracing = field(default_factory=Tracing)
    hub_login: HubLogin | None = None  # on a Space that was given an OAuth client
    # What else is measured when somebody asks for the metrics.
    looks: list[Callable[[], Iterator[Metric]]] = field(default_factory=list)


def trusted_hops(settings: Settings) -> int:
    """How many proxies to believe: as set, and at least the one that stands before every Space."""
    return max(settings.trusted_proxies, 1 if on_space() else 0)


def on_space() -> bool:
    """Whether this runs on Hugging Face Spaces, which sets SPACE_ID for its containers."""
    return bool(os.environ.get("SPACE_ID"))


def on_zero_gpu() -> bool:
    """Whether this is a Space whose GPU is lent for each call."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def hub_login(settings: Settings) -> HubLogin | None:
    """The owners' way in by an account of the Hub; None everywhere but on a Space that offers it.

    Elsewhere anybody could set these variables of a Space, and none would mean anything.
    """
    told = {
        name: os.environ.get(name, "")
        for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OPENID_PROVIDER_URL", "SPACE_HOST")
    }
    if not on_space() or not all(told.values()):
        return None
    return HubLogin(
        client_id=told["OAUTH_CLIENT_ID"],
        client_secret=told["OAUTH_CLIENT_SECRET"],
        provider=told["OPENID_PROVIDER_URL"].rstrip("/"),
        host=told["SPACE_HOST"].partition(",")[0],
        owners=settings.owners,
        creator=os.environ.get("SPACE_CREATOR_USER_ID", ""),
    )
