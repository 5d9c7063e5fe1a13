"""Whether the app is alive and whether it can keep what visitors say; nothing secret is told."""

from datetime import datetime
from typing import Annotated, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends
from pydantic import BaseModel
from sqlalchemy import text

from db.replica.safety import safety
from web.api import Error, services_of
from web.errors import Refused
from web.questions import asked
from web.services import Services

router = APIRouter(tags=["health"], responses={503: {"model": Error}})

Given = Annotated[Services, Depends(services_of)]


class Copied(BaseModel):
    """How much of what visitors left would be lost with this machine."""

    state: str
    unsafe_events: int  # feedback and votes
    unsafe_rows: int
    oldest_seconds: float | None  # since the oldest of these was said
    safe_at: datetime | None  # everything that was acknowledged before is at the other place


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    replica: Copied | None = None


@router.get("/health", response_model_exclude_none=True)
async def health(services: Given) -> Health:
    """The database answers a question; how much is not yet copied, where GENLOOP_REPLICA is set."""
    await asked(services.database, lambda session: session.scalar(text("SELECT 1")))
    if services.replicator is None:
        return Health()
    found = await anyio.to_thread.run_sync(safety, services.database, services.replicator)
    return Health(
        replica=Copied(
            state=found.state,
            unsafe_events=found.events,
            unsafe_rows=found.rows,
            oldest_seconds=found.oldest_seconds,
            safe_at=found.safe_at,
        )
    )


@router.get("/ready")
async def ready(services: Given) -> dict[str, str]:
    """The database answers, and what is said can be written."""
    await asked(services.database, lambda session: session.scalar(text("SELECT 1")))
    writer = services.database.writer
    if writer is not None and (writer.closed or writer.paused or not writer.thread.is_alive()):
        raise Refused(503, "storage", retry_after=5)
    return {"status": "ready"}
