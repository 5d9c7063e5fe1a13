"""What is kept: the secrets, the database, and its copy. Nothing is changed here."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import Connection, NullPool, create_engine, func, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from config import ROOT, Settings
from db.engine import open_postgresql, sqlite_module
from db.migrate import scripts
from db.replica import journal, marks, state
from db.replica.folder_target import FolderTarget
from db.replica.keys import kept, key_check
from db.replica.marks import NewerReplica
from db.replica.segments import Damaged
from db.replica.targets import Target, TargetDown, UnusableTarget, open_target
from db.tables import FeedbackEvent, Generation
from web.doctor.findings import Finding, Surroundings, fail, ok, open_to_others, warn

SECRETS = ("secret", "owner-token")  # files of the data folder
SHORT = 16  # characters; what is shorter can be guessed
AHEAD = 60  # seconds that a row may be from the future
APART, FAR = 2, 60  # seconds between two clocks: strange, and wrong
# What a PostgreSQL must not be told, for then it may forget what it has said that it keeps.
FORGETS = ("fsync", "full_page_writes", "synchronous_commit")
OPEN_PORTS = (80, 443, 8080)  # that a Space can reach
LATE = 60  # seconds and more that rows wait for their copy before something must be wrong


# Secrets


def secrets(at: Surroundings) -> Iterator[Finding]:
    """Whether nobody else can read them, and whether they are long enough."""
    given, quiet = at.settings, True
    folder = given.data_dir
    for name in SECRETS:
        path = folder / name
        if path.is_file():
            for finding in of_secret(path):
                quiet = False
                yield finding
    if folder.is_dir() and os.name == "posix" and folder.stat().st_mode & stat.S_IWOTH:
        quiet = False
        yield fail("secrets_folder", path=folder)
    file = ROOT / ".env"
    if file.is_file() and holds_secrets(file) and open_to_others(file.stat().st_mode):
        quiet = False
        yield warn("secrets_env", path=file)
    secret = given.secret.get_secret_value()
    if 0 < len(secret) < 2 * SHORT:
        quiet = False
        yield warn("secrets_short", count=len(secret))
    if not secret and (at.on_space or given.replica):
        quiet = False
        yield warn("secrets_lost")
    if quiet:
        yield ok("secrets_ok" if (folder / "secret").is_file() else "secrets_new")


def of_secret(path: Path) -> Iterator[Finding]:
    mode = path.stat().st_mode
    if open_to_others(mode):
        yield fail("secrets_open", path=path, mode=oct(stat.S_IMODE(mode))[2:])
    try:
        length = len(path.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError):
        length = 0
    if length < SHORT:
        yield fail("secrets_broken", path=path)


def holds_secrets(file: Path) -> bool:
    """Whether a line that is in force sets one of the secret settings."""
    secret = [
        f"GENLOOP_{name}=".upper()
        for name, entry in Settings.model_fields.items()
        if entry.annotation is SecretStr
    ]
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip().startswith((*secret, "DATABASE_URL=")) for line in lines)


# The database


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """A connection that writes nothing; raises DBAPIError."""
    if make_url(url).get_backend_name() == "sqlite":
        path = Path(make_url(url).database or "").resolve()
        module = sqlite_module()
        engine = create_engine(
            "sqlite://",
            module=module,
            creator=lambda: module.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5),
            poolclass=NullPool,
        )
    else:
        engine, _ = open_postgresql(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def database(at: Surroundings) -> Iterator[Finding]:
    """Whether it is there, whole, and of a schema that this version knows."""
    url = make_url(at.settings.database)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        if not path.exists():
            yield ok("database_new", path=path)
            return
        if not os.access(path, os.W_OK):
            yield fail("database_unwritable", path=path)
    elif at.on_space and (url.port or 5432) not in OPEN_PORTS:
        yield warn("database_port", port=url.port or 5432)
    try:
        with opened(at.settings.database) as connection:
            if connection.dialect.name == "sqlite":
                yield from of_sqlite(connection)
            else:
                yield from of_postgresql(connection)
            yield from of_schema(connection)
    except DBAPIError as problem:
        named = url.database if url.get_backend_name() == "sqlite" else url.host
        reason = str(problem.orig).strip().splitlines()[0]
        yield fail("database_unusable", name=named, reason=reason)


def of_sqlite(connection: Connection) -> Iterator[Finding]:
    [first, *_] = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalars()
    if first != "ok":
        yield fail("database_damaged", reason=first)
        return
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if lost:
        tables = sorted({row[0] for row in lost})
        yield fail("database_orphans", count=len(lost), tables=", ".join(tables))
    else:
        yield ok("database_whole")


def of_postgresql(connection: Connection) -> Iterator[Finding]:
    told = dict.fromkeys(("server_version", "server_encoding", *FORGETS), "")
    for name in told:
        told[name] = str(connection.scalar(text(f"SHOW {name}")))
    for name in FORGETS:
        if told[name] == "off":
            yield fail("database_forgets", name=name)
    if told["server_encoding"] != "UTF8":
        yield fail("database_encoding", encoding=told["server_encoding"])
    unchecked = connection.scalar(text("SELECT count(*) FROM pg_constraint WHERE NOT convalidated"))
    if unchecked:
        yield fail("database_unchecked", count=unchecked)
    yield ok("database_postgresql", version=told["server_version"])


def of_schema(connection: Connection) -> Iterator[Finding]:
    known = ScriptDirectory.from_config(scripts())
    current = MigrationContext.configure(connection).get_current_revision()
    head = known.get_current_head()
    if current == head:
        yield ok("schema_ok", revision=current)
        return
    if current is None:
        yield ok("schema_none")
        return
    try:
        known.get_revision(current)
    except CommandError:
        yield fail("schema_newer", revision=current)
    else:
        yield warn("schema_older", revision=current, head=head)


def database_clock(at: Surroundings) -> Iterator[Finding]:
    """Whether the database agrees with this machine on the time."""
    url = at.settings.database
    if url.startswith("sqlite") and not Path(make_url(url).database or "").exists():
        return
    try:
        with opened(url) as connection:
            if connection.dialect.name != "sqlite":
                yield from of_server_clock(connection)
            yield from of_newest_row(connection)
    except DBAPIError:
        return  # the check of the database says why


def of_server_clock(connection: Connection) -> Iterator[Finding]:
    before = datetime.now(UTC)
    there = connection.scalar(text("SELECT clock_timestamp()"))
    after = datetime.now(UTC)
    assert isinstance(there, datetime)
    middle = before + (after - before) / 2
    apart = round(abs((there - middle).total_seconds()), 1)
    if apart > FAR:
        yield fail("clock_apart", seconds=apart)
    elif apart > APART:
        yield warn("clock_apart", seconds=apart)
    else:
        yield ok("clock_agrees")


def of_newest_row(connection: Connection) -> Iterator[Finding]:
    with Session(connection) as session:
        newest = [
            session.scalar(select(func.max(FeedbackEvent.created_at))),
            session.scalar(select(func.max(Generation.finished_at))),
        ]
    ahead = max(
        ((moment - datetime.now(UTC)).total_seconds() for moment in newest if moment), default=0
    )
    if ahead > AHEAD:
        yield warn("clock_back", seconds=round(ahead))


# The copy


def copy(at: Surroundings) -> Iterator[Finding]:
    """Whether the copy that GENLOOP_REPLICA names is in reach, ours, and not far behind."""
    given = at.settings
    if not given.replica:
        lost = at.on_space and given.database.startswith("sqlite")
        yield warn("copy_none_on_space") if lost else ok("copy_none")
        return
    try:
        target = open_target(given.replica, given.hub_token.get_secret_value())
        newest = marks.last(target)
    except (UnusableTarget, TargetDown, Damaged, NewerReplica) as problem:
        yield fail("copy_unusable", reason=problem)
        return
    if same_disk(target, given.data_dir):
        yield warn("copy_same_disk", place=target.url)
    if newest is None:
        yield ok("copy_empty", place=target.url)
        return
    secret = given.secret.get_secret_value() or kept(given.data_dir)
    if secret and key_check(secret) != newest.mark.key_check:
        yield fail("copy_other_secret", place=target.url)
    yield from of_pending(given, newest.mark.copy_id)
    yield ok("copy_ok", place=target.url, at=newest.mark.at)


def same_disk(target: Target, folder: Path) -> bool:
    if not isinstance(target, FolderTarget) or not folder.is_dir():
        return False
    return target.folder.stat().st_dev == folder.stat().st_dev


def of_pending(given: Settings, copy_id: str) -> Iterator[Finding]:
    """What the database knows of its copy, if it is there."""
    url = make_url(given.database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        yield ok("copy_rebuilds")
        return
    try:
        with opened(given.database) as connection, Session(connection) as session:
            known, pending = state.current(session), journal.pending(session)
    except DBAPIError:
        return  # no tables yet, or the check of the database says why
    if known is not None and known.copy_id != copy_id:
        yield fail("copy_foreign")
    if pending.oldest is not None:
        waited = (datetime.now(UTC) - pending.oldest).total_seconds()
        if waited > LATE + 10 * given.replica_seconds:
            yield warn("copy_behind", rows=pending.rows, seconds=round(waited))
