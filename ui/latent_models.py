"""The latent models of the VAE tab: those of the settings, and those that visitors trained."""

import hashlib
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from feedback.answer import Queue
from generators.base import InvalidRequest
from generators.batching import ModelQueue
from generators.latent import LatentGenerator, load_latent_generator
from models.device import Placement
from models.jobs import Job, Jobs
from models.registry import ModelUnavailable, download, parse_source, short_name

TRAINED = "trained-"  # and a job's id: what its model is called
MOST_LOADED = 8  # of the models that visitors trained; each has a thread


class Uploads:
    """Pictures that visitors sent, in memory for as long as their request runs."""

    def __init__(self) -> None:
        self._held: dict[str, list[bytes]] = {}

    @contextmanager
    def held(self, data: bytes) -> Iterator[str]:
        """The picture's SHA-256, by which it can be read meanwhile."""
        name = hashlib.sha256(data).hexdigest()
        same = self._held.setdefault(name, [])
        same.append(data)
        try:
            yield name
        finally:
            same.pop()
            if not same:
                self._held.pop(name, None)

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError for one that is not here any more."""
        same = self._held.get(name)
        if not same:
            raise FileNotFoundError(name)
        return same[0]


class LatentModels:
    """Queues by the name in the picker; a trained model is loaded when it is first used."""

    def __init__(
        self, sources: Sequence[str], placement: Placement, max_waiting: int, jobs: Jobs
    ) -> None:
        self.jobs = jobs
        self.uploads = Uploads()
        self._placement, self._max_waiting = placement, max_waiting
        self.offered: dict[str, Queue] = {}
        self._trained: dict[str, Queue] = {}  # that which was used last is last
        for source in sources:
            name = short_name(source)
            if name in self.offered:
                name = source
            load = partial(load_offered, source, placement, name, self.uploads)
            self.offered[name] = ModelQueue(name, load, max_waiting, task="vae")

    def queues(self) -> list[Queue]:
        """All that are there now."""
        return [*self.offered.values(), *list(self._trained.values())]

    def queue(self, name: object, owners: Collection[str]) -> Queue:
        """The queue of a model that this visitor may use; raises InvalidRequest for another."""
        if isinstance(name, str) and name in self.offered:
            return self.offered[name]
        if isinstance(name, str) and name.startswith(TRAINED):
            job = self.owned(name.removeprefix(TRAINED), owners)
            if job is not None and job.state in ("done", "stopped"):
                return self._queue_of(name, job)
        raise InvalidRequest("unknown_model", model=str(name)[:60])

    def owned(self, id: object, owners: Collection[str]) -> Job | None:
        """The visitor's job of this id."""
        try:
            job = self.jobs.job(str(id))
        except KeyError:
            return None
        return job if job.owner in owners else None

    def _queue_of(self, name: str, job: Job) -> Queue:
        queue = self._trained.pop(name, None)
        if queue is None:
            folder = self.jobs.model_folder(job.id)
            assert folder is not None, "only asked for whole models"
            load = partial(load_latent_generator, folder, self._placement, name, self.uploads.read)
            queue = ModelQueue(name, load, self._max_waiting, task="vae", family="trained")
            queue.start()
        self._trained[name] = queue
        while len(self._trained) > MOST_LOADED:
            self.forget(next(iter(self._trained)))
        return queue

    def forget(self, name: str) -> None:
        """Let go of a trained model; requests under way end first, and nobody waits for them."""
        queue = self._trained.pop(name, None)
        if queue is not None:
            threading.Thread(target=queue.close).start()

    def close(self) -> None:
        for queue in self._trained.values():
            queue.close()


def load_offered(source: str, placement: Placement, name: str, uploads: Uploads) -> LatentGenerator:
    """Find and load a model that the settings name; raises ModelUnavailable."""
    found = parse_source(source)
    folder = Path(found.source) if found.revision is None else download(found)
    if not (folder / "config.json").is_file():
        raise ModelUnavailable("model_missing", model=found.name)
    return load_latent_generator(folder, placement, name, uploads.read)
