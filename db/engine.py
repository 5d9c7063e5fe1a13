"""Open the database that a URL names, with the settings under which an acknowledged row stays.

SQLite: one writer connection and several readers, WAL with synchronous=FULL, every write
transaction BEGIN IMMEDIATE. PostgreSQL: a pool, and the same calls.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from anyio import to_thread
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool

from db.mounts import network_disk
from db.writer import BATCH, Writer

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

# SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when two connections commit and
# checkpoint at the same time (https://sqlite.org/wal.html#walresetbug).
SAFE_SQLITE = (3, 51, 3)

PRAGMAS = (
    "synchronous=FULL",  # fsync before a commit returns: an acknowledged row survives a power cut
    "foreign_keys=ON",
    "busy_timeout=5000",  # milliseconds
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "mmap_size=0",
    "secure_delete=ON",  # what a visitor erases is overwritten, not only unlinked
    "temp_store=MEMORY",
    "journal_size_limit=67108864",
    "cache_size=-16000",  # KiB
)

POSTGRES_OPTIONS = (
    "-c statement_timeout=15000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=30000 "
    "-c timezone=UTC"
)
# Serialization failure, deadlock, a key that another transaction has just taken, or a row that it
# has just erased: the transaction was rolled back whole, so the work can run again and see what is
# there now.
RETRIED = ("40001", "40P01", "23505", "23503")


class UnsafeDatabase(RuntimeError):
    """The database cannot promise that an acknowledged row stays."""


class Database:
    """Both doors to one database: `read()` for questions, `write(work)` for everything else."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.write_engine, self.read_engine = open_sqlite(url)
        else:
            self.write_engine, self.read_engine = open_postgresql(url)
        self.sessions = sessionmaker(self.write_engine, expire_on_commit=False)
        self.readers = sessionmaker(self.read_engine, expire_on_commit=False)
        self.writer = Writer(self.sessions, batch=BATCH) if self.is_sqlite else None

    def write(self, work: Callable[[Session], Answer], *, though_paused: bool = False) -> Answer:
        """Run `work` in a transaction and return its answer once it is committed and synced.

        `work` may be run more than once, each time after a rollback; it must keep its effects
        inside the session. What it raises is raised here, and nothing of it is kept.
        """
        if self.writer is not None:
            return self.writer.submit(work, though_paused=though_paused).result()
        return self._write_with_retry(work)

    async def awrite(self, work: Callable[[Session], Answer]) -> Answer:
        """Like write, for coroutines: it waits without holding a thread where it can."""
        if self.writer is not None:
            return await asyncio.wrap_future(self.writer.submit(work))
        return await to_thread.run_sync(self._write_with_retry, work)

    def _write_with_retry(self, work: Callable[[Session], Answer], tries: int = 3) -> Answer:
        for left in reversed(range(tries)):
            try:
                with self.sessions.begin() as session:
                    return work(session)
            except DBAPIError as error:
                if not left or getattr(error.orig, "sqlstate", None) not in RETRIED:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for questions. On SQLite it sees one snapshot and cannot write."""
        with self.readers() as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session whose questions are all answered as of one moment, however long they take."""
        with self.read() as session:
            if not self.is_sqlite:  # which always reads a snapshot, and has no time limits
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                session.execute(text("SET LOCAL statement_timeout = 0"))
                session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield session

    def close(self) -> None:
        """Finish what is being written, then let go of the files."""
        if self.writer is not None:
            self.writer.close()
        if self.is_sqlite:
            with self.write_engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA optimize")
                connection.rollback()
            checkpoint = self.write_engine.raw_connection()
            checkpoint.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            checkpoint.close()
        self.read_engine.dispose()
        self.write_engine.dispose()


def sqlite_module() -> ModuleType:
    """Python's own sqlite3 where it is recent enough, else the newer SQLite of pysqlite3.

    Where neither is safe (pysqlite3 has wheels for Linux alone), one process with its one writing
    connection does not meet the fault; that is said in the log.
    """
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return sqlite3
    try:
        import pysqlite3
    except ImportError:
        log.warning(
            "SQLite %s is older than 3.51.3: let only one process use this database at a time",
            sqlite3.sqlite_version,
        )
        return sqlite3
    module: ModuleType = pysqlite3.dbapi2
    return module


def open_sqlite(url: str) -> tuple[Engine, Engine]:
    """A writing engine of exactly one connection, and a reading one."""
    refuse_network_disk(make_url(url).database)
    module = sqlite_module()
    shared: dict[str, Any] = {
        "module": module,
        "poolclass": QueuePool,
        "pool_timeout": 5,
        "connect_args": {"timeout": 5.0},
        "hide_parameters": True,  # what visitors wrote stays out of errors and logs
    }
    write = create_engine(url, pool_size=1, max_overflow=0, **shared)
    read = create_engine(url, pool_size=8, max_overflow=8, **shared)
    for engine in (write, read):
        event.listen(engine, "connect", prepare_sqlite)
    event.listen(write, "begin", begin_immediate)
    event.listen(read, "connect", refuse_writes)
    event.listen(read, "begin", begin_deferred)
    try:
        with write.connect() as connection:  # makes the file a WAL database before readers come
            # Rolled back at once; it is a write, so it fails on a file that is read-only.
            connection.exec_driver_sql("PRAGMA user_version=0")
    except DBAPIError as error:
        raise UnsafeDatabase(
            f"{write.url.database} cannot be used as the database ({error.orig}) and was left as "
            "it is; it must be a SQLite file that GenLoop made, in a folder that it may write to"
        ) from error
    return write, read


def refuse_network_disk(database: str | None) -> None:
    """Raise UnsafeDatabase where the file would lie on a disk that others can write to as well."""
    if database in (None, "", ":memory:") or str(database).startswith("file:"):
        return
    kind = network_disk(Path(str(database)))
    if kind is not None:
        raise UnsafeDatabase(
            f"{database} would lie on a network, bucket or shared mount ({kind}), where SQLite "
            "loses data; put GENLOOP_DATA_DIR on a local disk and let GENLOOP_REPLICA name this "
            "place instead (docs/durability.md), or use PostgreSQL"
        )


def prepare_sqlite(connection: Any, _record: object) -> None:
    """Set up a new connection, and check that the file can keep what it promises."""
    connection.isolation_level = None  # SQLAlchemy says BEGIN and COMMIT, not the driver
    [mode] = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise UnsafeDatabase(
            f"the database stays in journal mode {mode!r} instead of WAL: it lies on a network or "
            "bucket mount, which loses data; put GENLOOP_DATA_DIR on a local disk or use PostgreSQL"
        )
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    [synchronous] = connection.execute("PRAGMA synchronous").fetchone()
    if synchronous != 2:
        raise UnsafeDatabase(f"SQLite refused synchronous=FULL (it is at {synchronous})")


def refuse_writes(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")


def begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once with "database is locked"
    # when another has written in between; busy_timeout does not apply to it.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def open_postgresql(url: str) -> tuple[Engine, Engine]:
    """A writing engine, and a reading one over the same pool."""
    write = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=5,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "options": POSTGRES_OPTIONS},
    )
    read = write.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return write, read
