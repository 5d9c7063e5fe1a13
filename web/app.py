"""The web app: the parts are made here, once, and handed to the routes and pages."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from config import Settings
from db.engine import Database
from db.media import Media
from db.media_elsewhere import open_media, refuse_inside_copy
from db.migrate import migrate
from db.replica.boot import open_replicator
from db.replica.replicator import Replicator
from feedback.identity import HEADER, Signer, kept_secret
from web import api, errors, health, metrics, owner
from web.files import STATIC, OwnFiles
from web.gate import Gate
from web.services import Services, hub_login, trusted_hops
from web.tracing import open_tracing
from web.watch import Watch

logger = logging.getLogger("genloop.web")

Mount = Callable[[FastAPI, Services], None]


def create_app(settings: Settings, mount: Mount | None = None) -> FastAPI:
    """The whole app; `mount` hangs the Gradio pages into it."""
    services = make_services(settings)
    app = FastAPI(
        title="GenLoop",
        description="Generate, say what you think of it, and see what is kept of you.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # the interactive pages would load scripts from another server
        redoc_url=None,
        telemetry=services.tracing.config(),
        lifespan=closing(services),
    )
    app.state.services = services
    errors.install(app)
    # The gate stands inside CORS, so that the pages of allowed origins can read its refusals.
    app.add_middleware(Gate, services=services)
    # Gradio leaves CORS to its parent where the parent has this middleware, even without origins.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Content-Type", HEADER],
        allow_credentials=True,
    )
    app.include_router(api.router)
    app.include_router(health.router)
    app.include_router(metrics.doors)
    app.include_router(owner.door())
    app.include_router(owner.rooms)
    app.router.routes.append(OwnFiles("/static", STATIC))
    if mount is not None:  # last: a page mounted at "/" takes every path that is left
        mount(app, services)
    app.add_middleware(Watch, hops=services.hops)  # the last one is the outermost
    return app


def make_services(settings: Settings) -> Services:
    """Open the data folder and the database, and bring its tables up to date."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    secret = settings.secret.get_secret_value() or kept_secret(settings.data_dir / "secret")
    database = Database(settings.database)
    migrate(database)
    media = open_media(settings.media)
    refuse_inside_copy(media, settings.replica)
    replicator = replicate(settings, database, media, secret)
    return Services(
        settings=settings,
        database=database,
        media=media,
        signer=Signer(secret),
        owner_token=owner.token(settings),
        hops=trusted_hops(settings),
        replicator=replicator,
        tracing=open_tracing(settings.traces_endpoint, "genloop"),
        hub_login=hub_login(settings),
    )


def replicate(
    settings: Settings, database: Database, media: Media, secret: str
) -> Replicator | None:
    """Rebuild an empty database from its copy, if it has one, and begin to copy."""
    if settings.replica and not settings.secret.get_secret_value():
        logger.warning(
            "GENLOOP_SECRET is not set: the secret in %s is not copied, and without it visitors "
            "are strangers to what is rebuilt; keep it elsewhere too, and set it there",
            settings.data_dir / "secret",
        )
    return open_replicator(
        database,
        media,
        settings.replica,
        token=settings.hub_token.get_secret_value(),
        secret=secret,
        spool=settings.data_dir / "replica-spool",
        seconds=settings.replica_seconds,
        events=settings.replica_events,
    )


def closing(services: Services) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        if services.replicator is not None:
            services.replicator.stop()
        services.database.close()
        services.tracing.close()

    return lifespan
