"""Whether the models of the settings can be used: weights found, safe and whole; engines in reach.

Nothing is downloaded: of a model of the Hub only what is on this machine is looked at.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from db.tables import ModelVersion
from generators.endpoints import EndpointHealth
from generators.latent import LatentModel
from generators.remote import RemoteQueue
from models.device import Placement, placement
from models.engines import BadEngine, Task, is_engine
from models.pipelines import fetch_adapter, fetch_pipeline, parse_adapter
from models.registry import ModelUnavailable, Source, Weights, fetch, parse_source, short_name
from web.doctor.findings import Finding, Surroundings, fail, ok, warn
from web.doctor.storage import opened
from web.engines import engines_of

Check = Callable[[Source], Weights]


class NotHere(LookupError):
    """The weights of a model of the Hub are not on this machine yet."""


def models(at: Surroundings) -> Iterator[Finding]:
    """The device, and the weights that each setting names."""
    given = at.settings
    try:
        where = placement(given.device, given.dtype)
    except RuntimeError as problem:
        yield fail("device_none", device=given.device, reason=str(problem).splitlines()[0])
        return
    yield ok("device_ok", device=where.device, dtype=str(where.dtype).removeprefix("torch."))
    for name, entries, check in (
        ("GENLOOP_TEXT_MODELS", given.text_models, lambda one: fetch(one, where)),
        (
            "GENLOOP_IMAGE_MODELS",
            given.image_models,
            lambda one: fetch_pipeline(one, where, given.image_memory),
        ),
        ("GENLOOP_VAE_MODELS", given.vae_models, lambda one: latent(one, where)),
        ("GENLOOP_IMAGE_ADAPTERS", given.image_adapters, fetch_adapter),
    ):
        for entry in entries:
            if not is_engine(entry):
                yield from of_entry(at, name, entry, check)


def latent(source: Source, where: Placement) -> Weights:
    """These are small enough to be loaded: only that shows that they can be."""
    folder = Path(source.source)
    if not (folder / "config.json").is_file():
        raise ModelUnavailable("model_missing", model=source.name)
    return LatentModel(folder, where, source.name).weights


def of_entry(at: Surroundings, setting: str, entry: str, check: Check) -> Iterator[Finding]:
    is_adapter = setting == "GENLOOP_IMAGE_ADAPTERS"
    try:
        source = parse_adapter(entry)[0] if is_adapter else parse_source(entry)
        weights = check(on_this_machine(source))
        for file in sorted(weights.folder.rglob("*.safetensors")):
            with safe_open(file, "pt"):  # raises unless the header fits the file's length
                pass
    except NotHere:
        yield warn("model_not_here", model=short_name(entry), setting=setting)
    except SafetensorError as problem:
        yield fail("model_torn", model=short_name(entry), file=file.name, reason=problem)
    except ModelUnavailable as problem:
        yield fail("model_unusable", setting=setting, problem=problem)
    except (OSError, ValueError):  # a description of it that cannot be read
        unreadable = ModelUnavailable("model_unreadable", model=short_name(entry))
        yield fail("model_unusable", setting=setting, problem=unreadable)
    else:
        yield from of_hash(at, source, weights)


def on_this_machine(source: Source) -> Source:
    """The same as a folder; raises NotHere for a model of the Hub that was not fetched yet."""
    if source.revision is None:
        return source
    try:
        folder = snapshot_download(source.source, revision=source.revision, local_files_only=True)
    except LocalEntryNotFoundError as problem:
        raise NotHere(source.source) from problem
    return Source(source.name, folder)


def of_hash(at: Surroundings, source: Source, weights: Weights) -> Iterator[Finding]:
    """The hash, and whether other weights of that name and place have made outputs before."""
    told = {"model": source.name, "sha256": weights.sha256[:12]}
    if source.revision is None and weights.sha256 not in (kept := kept_hashes(at, source)) and kept:
        yield warn("model_changed", **told)
    else:
        yield ok("model_ok", **told)


def kept_hashes(at: Surroundings, source: Source) -> list[str]:
    """The hashes that the database has of a folder's weights."""
    query = select(ModelVersion.weights_sha256).where(ModelVersion.source == source.source)
    try:
        with opened(at.settings.database) as connection:
            return list(connection.scalars(query))
    except DBAPIError:
        return []  # there is no database yet, or its own check says why


def engines(at: Surroundings) -> Iterator[Finding]:
    """Each endpoint of each engine, as it answers now."""
    given: tuple[tuple[Task, tuple[str, ...]], ...] = (
        ("text", at.settings.text_models),
        ("image", at.settings.image_models),
    )
    count = 0
    for task, entries in given:
        for entry in filter(is_engine, entries):
            count += 1
            try:
                queue = engines_of(at.settings, task)(entry)
            except BadEngine as problem:
                yield fail("engine_bad", reason=problem)
                continue
            assert queue is not None, "an entry that names an engine"
            yield from of_engine(queue)
    if not count:
        yield ok("engines_none")


def of_engine(queue: RemoteQueue[Any]) -> Iterator[Finding]:
    async def ask() -> None:
        await queue.model.check()
        await queue.model.close()

    asyncio.run(ask())
    found = queue.health()
    queue.close()
    for health in found:
        yield of_endpoint(health)


def of_endpoint(health: EndpointHealth) -> Finding:
    told: dict[str, object] = {"model": health.model, "endpoint": health.endpoint}
    if health.check is None:
        return ok("engine_unasked", **told)
    if health.check != "ok":
        return fail(health.check, **told)  # engine_unreachable, _key, _failed, _answer
    if health.says.get("listed") is False:
        return warn("engine_unlisted", **told)
    return ok("engine_ok", **told, milliseconds=health.milliseconds)
