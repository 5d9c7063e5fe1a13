"""What the routes and pages are given to work with; made once, in create_app."""

import os
from dataclasses import dataclass

from config import Settings
from db.engine import Database
from db.media import MediaStore
from feedback.identity import Signer


@dataclass(frozen=True)
class Services:
    """The parts that one running app shares."""

    settings: Settings
    database: Database
    media: MediaStore
    signer: Signer
    owner_token: str
    hops: int  # proxies in front whose X-Forwarded-* headers are believed


def trusted_hops(settings: Settings) -> int:
    """How many proxies to believe: as set, and at least the one that stands before every Space."""
    return max(settings.trusted_proxies, 1 if on_space() else 0)


def on_space() -> bool:
    """Whether this runs on Hugging Face Spaces, which sets SPACE_ID for its containers."""
    return bool(os.environ.get("SPACE_ID"))


def on_zero_gpu() -> bool:
    """Whether this is a Space whose GPU is lent for each call."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
