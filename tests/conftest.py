"""Real databases for every test: a SQLite file, and a PostgreSQL server that is started here."""

import logging
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

# Before anything imports gradio, transformers or datasets: tests look nothing up outside.
os.environ.update(
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    DO_NOT_TRACK="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",  # threads that wait for each other are slow where others work too
)
for name in [name for name in os.environ if name.startswith("GENLOOP_")] + ["DATABASE_URL"]:
    os.environ.pop(name, None)

import fsspec  # noqa: E402
import pytest  # noqa: E402
from alembic.script import ScriptDirectory  # noqa: E402
from sqlalchemy import Connection, text  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

from db.engine import Database  # noqa: E402
from db.migrate import migrate  # noqa: E402
from db.tables import Base  # noqa: E402
from tests.postgres_server import connected, own_postgres, postgres_database  # noqa: E402
from tests.s3_server import Unreliable  # noqa: E402
from tests.s3_server import s3_server as own_s3  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-screenshots",
        action="store_true",
        help="let the browser tests take the pictures of the docs anew",
    )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, without a database name."""
    # No power is cut here, and hundreds of databases come and go.
    with own_postgres(durable=False) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with postgres_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[tuple[str, Connection]]:
    """The URL of a migrated PostgreSQL database, and a connection to it.

    One test after another has it, emptied: a new one for each would take most of their time.
    """
    with postgres_database(postgres_server) as url:
        migrate_and_close(url)
        with connected(url) as connection:
            yield url, connection


def empty(connection: Connection) -> None:
    """Throw out whoever is still connected, and all rows; numbers begin at 1 again."""
    connection.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "test.db"
    migrate_and_close(f"sqlite:///{path}")
    return path


def migrate_and_close(url: str) -> None:
    database = Database(url)
    migrate(database)
    database.close()


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A folder of a test's own like tmp_path, in memory where that is possible.

    For tests that write much and in which no power is cut: syncing files is most of their time.
    """
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="genloop-test-", dir=where) as folder:
        yield Path(folder)


HEAD = ScriptDirectory(str(Path(__file__).parents[1] / "db" / "migrations")).get_current_head()
BOTH_KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH_KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=BOTH_KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database without rows, once of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "test.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite:///{path}"
    url: str
    url, connection = request.getfixturevalue("migrated_postgres")
    empty(connection)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database, once of each kind."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Unreliable]:
    """A server of our own that speaks S3, and fails as a test tells it to."""
    with own_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: Unreliable, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unreliable]:
    """The same server, well before and after, and known to the environment."""
    s3_server.be_well()
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    s3_server.be_well()


@pytest.fixture
def bucket(s3: Unreliable) -> str:
    """The URL of a folder in an empty bucket."""
    name = f"pictures-{uuid.uuid4()}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}/app"


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A session in which a test may write; rolled back at its end."""
    with database.sessions() as session:
        yield session


@pytest.fixture
def logging_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is one for the whole process: leave it as it was."""
    before = {one: (one.handlers[:], one.level, one.propagate) for one in every_logger()}
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    yield
    logging.captureWarnings(False)
    for one in every_logger():
        one.handlers[:], level, one.propagate = before.get(one, ([], logging.NOTSET, True))
        one.setLevel(level)


def every_logger() -> list[logging.Logger]:
    known = (logging.root, *logging.root.manager.loggerDict.values())
    return [one for one in known if isinstance(one, logging.Logger)]
