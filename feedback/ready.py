"""The database that a command works on: there, and at this version's schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import make_url

from config import ROOT
from db.engine import Database
from feedback.manifest import schema_revision


class NotReady(RuntimeError):
    """The database is missing, or not at this version's schema."""


@contextmanager
def ready_database(url: str) -> Iterator[Database]:
    """The database at the URL, when it is there and up to date; raises NotReady."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_file():
        raise NotReady(f"there is no database at {parts.database}")
    database = Database(url)
    try:
        with database.read() as session:
            at, wanted = schema_revision(session), newest_revision()
        if at != wanted:
            raise NotReady(
                f"the database is at schema {at}, this version of GenLoop needs {wanted}: run "
                "python -m db.migrate, or the version of GenLoop that made the database"
            )
        yield database
    finally:
        database.close()


def newest_revision() -> str | None:
    """The migration that this version of GenLoop was written for."""
    return ScriptDirectory(str(ROOT / "db" / "migrations")).get_current_head()
