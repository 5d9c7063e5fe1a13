"""GenLoop starts here: settings -> database -> models -> pages -> server."""

import gc
import os
import sys

# Before gradio and transformers are imported: nothing is looked up outside unless a setting names
# a model of the Hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  (before gradio and CUDA, whose places it takes)

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import gradio as gr
import torch
import uvicorn
from fastapi import FastAPI

import ui.services
from config import BUNDLED, Settings
from db.engine import Database, UnsafeDatabase
from db.migrate import NewerDatabase
from feedback.answer import Queue
from feedback.scheduled_export import export_schedule, scheduled_export
from feedback.scheduler import Scheduler
from generators.engines import open_engine
from generators.image import open_image_queues
from generators.lent import CPU, Lender
from generators.text import open_queues
from generators.wire import EngineLimits
from models.device import placement
from models.engines import BadEngine
from models.jobs import Jobs
from ui.latent_models import LatentModels
from ui.mount import mount_pages
from web.app import create_app
from web.language import LanguageDoor
from web.services import on_space, on_zero_gpu
from web.space import UnfitForSpace, check_space
from web.zerogpu import begin, lent_gpu


def make_app(settings: Settings, lender: Lender | None = None) -> FastAPI:
    """The whole app: routes, gate and pages over one database; models load in the background.

    Those for which the lender has a GPU load before this returns, so call it in the main thread.
    """
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    where = placement(settings.device, settings.dtype)
    limits = EngineLimits(
        connect=settings.engine_connect_seconds,
        first=settings.engine_first_seconds,
        silence=settings.engine_silence_seconds,
        at_once=settings.engine_at_once,
    )
    engine = (limits, settings.max_waiting, settings.secret_in)
    queues = open_queues(
        settings.text_models,
        where,
        settings.max_waiting,
        partial(open_engine, "text", *engine),
        lender,
    )
    image_queues = open_image_queues(
        settings.image_models,
        where,
        settings.max_waiting,
        settings.image_adapters,
        settings.image_memory,
        partial(open_engine, "image", *engine),
        lender,
    )
    if lender is not None:
        begin([*queues.values(), *image_queues.values()], settings.port)
    jobs = Jobs(settings.data_dir / "jobs", remembered=BUNDLED / "vae")
    latents = LatentModels(
        settings.vae_models, where if lender is None else CPU, settings.max_waiting, jobs
    )

    def mount(app: FastAPI, services: Any) -> None:
        pages = ui.services.Services(
            services.database,
            services.media,
            services.signer,
            queues,
            image_queues,
            latents,
            settings.visitor_training,
        )
        mount_pages(app, pages, settings.data_dir)

    app = create_app(settings, mount)
    app.add_middleware(LanguageDoor)
    scheduler = export_scheduler(settings, app.state.services.database)
    with_models(
        app,
        [*queues.values(), *image_queues.values(), *latents.offered.values()],
        latents,
        scheduler,
    )
    return app


def export_scheduler(settings: Settings, database: Database) -> Scheduler | None:
    """What exports by itself, if the owner wants that."""
    schedule = export_schedule(settings)
    if not schedule.every_hours and not schedule.every_labels:
        return None
    return Scheduler(database, schedule, scheduled_export(settings))


def with_models(
    app: FastAPI, queues: Sequence[Queue], latents: LatentModels, scheduler: Scheduler | None
) -> None:
    """Load the models once the app is up, and let them end before it lets go of its database."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with inner(app) as state:
            for queue in queues:
                queue.start()
            # What was made until now stays: a full collection over the half million objects of
            # the imports would stop everybody for a third of a second.
            gc.collect()
            gc.freeze()
            if scheduler is not None:
                scheduler.start()
            yield state
            if scheduler is not None:
                scheduler.close()
            for queue in queues:
                queue.close()
            latents.close()

    app.router.lifespan_context = lifespan


def main() -> None:
    settings = Settings()
    try:
        if on_space():
            check_space(settings, zero_gpu=on_zero_gpu())
        app = make_app(settings, lent_gpu(gr.Error, BUNDLED) if on_zero_gpu() else None)
    except (UnsafeDatabase, NewerDatabase, BadEngine, UnfitForSpace) as problem:
        sys.exit(str(problem))
    print(f"GenLoop on http://{settings.host}:{settings.port}", flush=True)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the gate decides whom to believe (web/identity.py)
        timeout_graceful_shutdown=8,
    )


if __name__ == "__main__":
    main()
