"""GenLoop starts here: settings -> database -> models -> pages -> server."""

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
import time

# Before gradio and transformers are imported: nothing is looked up outside unless a setting names
# a model of the Hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  (before gradio and CUDA, whose places it takes)

if __name__ == "__main__" and sys.argv[1:]:  # `python app.py doctor`, or a question for --help
    # Before the imports below: they take long, and may be what is broken.
    try:
        from web.doctor.main import run
    except ModuleNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed: run make install, and .venv/bin/python app.py")
    run()

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Any

import gradio as gr
import torch
import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

import ui.services
from config import BUNDLED, Settings
from db.engine import Database, UnsafeDatabase
from db.migrate import NewerDatabase
from db.replica.boot import NO_START
from db.replica.targets import TargetDown
from feedback.answer import Queue
from feedback.export_jobs import ExportJobs
from feedback.scheduled_export import export_schedule, scheduled_export
from feedback.scheduler import Scheduler
from generators.image import open_image_queues
from generators.lent import CPU, Lender
from generators.text import open_queues
from models.device import placement
from models.engines import BadEngine
from models.jobs import Jobs
from ui.latent_models import LatentModels
from ui.mount import let_go, mount_pages
from web import logs
from web.app import create_app
from web.engines import engines_of
from web.language import LanguageDoor
from web.metrics import look_at_models
from web.services import Services, on_space, on_zero_gpu
from web.space import UnfitForSpace, check_space
from web.tracing import NoTracing
from web.zerogpu import begin, lent_gpu

# Ten seconds are what Docker and Spaces give. Seconds after the signal to end: until then a model
# may go on with a request, and until then requests may go on at all. CLOSE: after that, for a step
# of a model. The last copy (db/replica/replicator.py) may take 4 more, the last traces half a one.
WRITE_ON, GRACE, CLOSE = 2.5, 4, 0.7


def make_app(settings: Settings, lender: Lender | None = None) -> FastAPI:
    """The whole app: routes, gate and pages over one database; models load in the background.

    Those for which the lender has a GPU load before this returns, so call it in the main thread.
    """
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    where = placement(settings.device, settings.dtype)
    queues = open_queues(
        settings.text_models,
        where,
        settings.max_waiting,
        engines_of(settings, "text"),
        lender,
    )
    image_queues = open_image_queues(
        settings.image_models,
        where,
        settings.max_waiting,
        settings.image_adapters,
        settings.image_memory,
        engines_of(settings, "image"),
        lender,
    )
    if lender is not None:
        begin([*queues.values(), *image_queues.values()], settings.port)
    jobs = Jobs(settings.data_dir / "jobs", remembered=BUNDLED / "vae")
    latents = LatentModels(
        settings.vae_models, where if lender is None else CPU, settings.max_waiting, jobs
    )

    exports = ExportJobs(settings.database, settings.data_dir)

    def mount(app: FastAPI, services: Services) -> None:
        pages = ui.services.Services(
            services.database,
            services.media,
            services.signer,
            queues,
            image_queues,
            latents,
            settings.visitor_training,
            exports,
            export_schedule(settings),
            replicator=services.replicator,
        )
        app.state.pages = pages
        mount_pages(app, pages, settings.data_dir)
        app.add_middleware(LanguageDoor)
        services.looks.append(look_at_models(every_queue, jobs))

    def every_queue() -> list[Queue]:
        return [*queues.values(), *image_queues.values(), *latents.queues()]

    app = create_app(settings, mount)
    scheduler = export_scheduler(settings, app.state.services.database)
    with_models(
        app,
        [*queues.values(), *image_queues.values(), *latents.offered.values()],
        latents,
        exports,
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
    app: FastAPI,
    queues: Sequence[Queue],
    latents: LatentModels,
    exports: ExportJobs,
    scheduler: Scheduler | None,
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
            closing = [queue.close for queue in queues] + [latents.close]
            if scheduler is not None:
                closing.append(scheduler.close)
            closing.append(exports.close)
            app.state.idle = close_all(closing, CLOSE)

    app.state.idle = True
    app.router.lifespan_context = lifespan


def close_all(closing: Sequence[Callable[[], None]], seconds: float) -> bool:
    """Close everything at once; whether it was done in time."""
    threads = [threading.Thread(target=close, daemon=True) for close in closing]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def main() -> None:
    settings = Settings()
    logs.set_up(settings.log_level, settings.log_format)
    try:
        if on_space():
            check_space(settings, zero_gpu=on_zero_gpu())
        app = make_app(settings, lent_gpu(gr.Error, BUNDLED) if on_zero_gpu() else None)
    except (
        UnsafeDatabase,
        NewerDatabase,
        BadEngine,
        NoTracing,
        UnfitForSpace,
        TargetDown,
        *NO_START,
    ) as problem:
        sys.exit(str(problem))
    print(f"GenLoop on http://{settings.host}:{settings.port}", flush=True)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,  # web/logs.py has set it up
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the gate decides whom to believe (web/identity.py)
        timeout_graceful_shutdown=GRACE,
    )
    server = Server(config, app)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)
    if not app.state.idle:  # a model that loads or takes a long step; Python would wait for it
        logging.getLogger("genloop").warning("the app ends while a model is at work")
        os._exit(0)  # everything that is kept is in the closed database


class Server(uvicorn.Server):
    """Told to end, it is gone within ten seconds, and keeps what visitors have by then.

    What is not yet safe is copied at once, not only after the last visitor. Open pages are let go;
    requests to models may go on for a while, then they are stopped, as by their visitors.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self.app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        services: Services = self.app.state.services
        if services.replicator is not None:
            services.replicator.hurry()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        let_go(self.app)
        asyncio.get_running_loop().call_later(WRITE_ON, self.app.state.pages.stop_all)
        await super().shutdown(sockets)


if __name__ == "__main__":
    main()
