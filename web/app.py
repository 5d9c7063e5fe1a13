"""The web app: the parts are made here, once, and handed to the routes and pages."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from config import Settings
from db.engine import Database
from db.media import MediaStore
from db.migrate import migrate
from feedback.identity import HEADER, Signer, kept_secret
from web import api, errors, health, owner
from web.files import STATIC, OwnFiles
from web.gate import Gate
from web.services import Services, hub_login, trusted_hops

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
    app.include_router(owner.door())
    app.include_router(owner.rooms)
    app.router.routes.append(OwnFiles("/static", STATIC))
    if mount is not None:  # last: a page mounted at "/" takes every path that is left
        mount(app, services)
    return app


def make_services(settings: Settings) -> Services:
    """Open the data folder and the database, and bring its tables up to date."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    secret = settings.secret.get_secret_value() or kept_secret(settings.data_dir / "secret")
    database = Database(settings.database)
    migrate(database)
    return Services(
        settings=settings,
        database=database,
        media=MediaStore(settings.media),
        signer=Signer(secret),
        owner_token=owner.token(settings),
        hops=trusted_hops(settings),
        hub_login=hub_login(settings),
    )


def closing(services: Services) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        services.database.close()

    return lifespan
