"""Keep what was generated: one row an output, with all that is needed to make it again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.ids import uuid7
from db.tables import Generation, ModelVersion
from feedback.consent import Permission
from feedback.rate import owned


@dataclass(frozen=True)
class Times:
    """When a request came, when its model began, gave a first token, and was done."""

    queued: datetime
    started: datetime
    first_token: datetime | None
    finished: datetime


@dataclass(frozen=True)
class Output:
    """One draft as the model left it: a text, a picture, a vector, or two of them."""

    text: str | None
    status: str  # complete, stopped, failed
    finish_reason: str  # end, length, stop, error
    tokens: int | None = None
    media_sha256: str | None = None  # of a picture that is in the media store already
    latent: dict[str, Any] | None = None
    served: dict[str, Any] | None = None  # by an engine: the endpoint, and what it said


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    task: str
    version_id: int
    inputs: dict[str, Any]
    options: dict[str, Any]
    input_tokens: int | None
    parent_id: str | None = None
    relation: str | None = None  # retry, continue or turn
    request_id: str = field(default_factory=uuid7)


def record(
    session: Session,
    permission: Permission,
    request: Request,
    outputs: Sequence[Output | None],
    times: Times,
) -> list[str]:
    """Keep all drafts of a request, or none; their ids, in the drafts' order.

    A draft that came to nothing is None: it is not kept, and the others keep their numbers.

    Raises UnknownGeneration when the parent is not this visitor's.
    """
    if request.parent_id is not None:
        owned(session, permission.visitor_id, request.parent_id)
    rows = [
        Generation(
            id=uuid7(),
            request_id=request.request_id,
            draft=draft,
            task=request.task,
            model_version_id=request.version_id,
            visitor_id=permission.visitor_id,
            consent_id=permission.consent_id,
            parent_id=request.parent_id,
            relation=request.relation,
            inputs=request.inputs,
            options=request.options,
            output_text=output.text,
            media_sha256=output.media_sha256,
            latent=output.latent,
            served=output.served,
            status=output.status,
            finish_reason=output.finish_reason,
            input_tokens=request.input_tokens,
            output_tokens=output.tokens,
            queued_at=times.queued,
            started_at=times.started,
            first_token_at=times.first_token,
            finished_at=times.finished,
        )
        for draft, output in enumerate(outputs)
        if output is not None
    ]
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def register_version(
    session: Session,
    *,
    task: str,
    name: str,
    source: str,
    revision: str | None,
    sha256: str,
    verified: bool = True,
    says: dict[str, Any] | None = None,
) -> int:
    """The id of the model version with these weights; it is added when it is new.

    verified: False where an engine has the weights and the hash is one of names. says: what the
    engine says of itself, kept with a new version.
    """
    found = session.scalar(
        select(ModelVersion.id).where(
            ModelVersion.task == task,
            ModelVersion.name == name,
            ModelVersion.weights_sha256 == sha256,
        )
    )
    if found is not None:
        return found
    version = ModelVersion(
        task=task,
        name=name,
        source=source,
        revision=revision,
        weights_sha256=sha256,
        verified=verified,
        says=says,
    )
    session.add(version)
    session.flush()
    return version.id
