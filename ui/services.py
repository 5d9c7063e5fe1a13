"""What the pages are given to work with."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from db.engine import Database
from db.media import Media
from db.replica.replicator import Replicator
from feedback.answer import Queue
from feedback.export_jobs import ExportJobs
from feedback.identity import Signer, token_in
from feedback.schedule import Schedule
from generators.base import InvalidRequest
from generators.batching import Ticket
from generators.text import TextQueue
from ui.latent_models import LatentModels

Chosen = TypeVar("Chosen", bound=Queue)


@dataclass(frozen=True)
class Services:
    """Made once in app.py; the tickets are those of requests under way, by the page's session."""

    database: Database
    media: Media
    signer: Signer
    queues: dict[str, TextQueue]
    image_queues: dict[str, Queue] = field(default_factory=dict)
    latents: LatentModels | None = None
    visitor_training: bool = True
    exports: ExportJobs | None = None
    automatic: Schedule = Schedule("export")  # when the app exports by itself
    replicator: Replicator | None = None
    tickets: dict[str, Ticket] = field(default_factory=dict)

    def stop_all(self) -> None:
        """End every request after the step under way; what is there is kept."""
        for ticket in list(self.tickets.values()):
            ticket.stop()

    def queue(self, model: object) -> TextQueue:
        """The queue of a text model; raises InvalidRequest for a name that is not offered."""
        return named(self.queues, model)

    def image_queue(self, model: object) -> Queue:
        """The same of an image model; None is the first of them."""
        if model is None and self.image_queues:
            return next(iter(self.image_queues.values()))
        return named(self.image_queues, model)

    def key_hash(self, request: Any) -> str | None:
        """Who asks, from the header or cookie of a Gradio request; None for a stranger."""
        return self.signer.key_hash(token_in(dict(request.headers), dict(request.cookies)))

    def handles(self, ids: list[str | None], key_hash: str | None) -> list[str | None]:
        """The ids as this visitor may hold them; None stays None."""
        if not key_hash:
            return []
        return [one and self.signer.handle(one, key_hash) for one in ids]


def named(queues: dict[str, Chosen], model: object) -> Chosen:
    if not isinstance(model, str) or model not in queues:
        raise InvalidRequest("unknown_model", model=str(model)[:60])
    return queues[model]
