"""Bring a database to the schema of this version: `python -m db.migrate`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from config import Settings
from db.engine import Database

LOCK = 0x67656E6C6F6F70  # "genloop", the key of PostgreSQL's advisory lock


class NewerDatabase(RuntimeError):
    """A later version of GenLoop has been here; this one would not understand its tables."""


def migrate(database: Database) -> None:
    """Create or upgrade the tables, in one transaction that only one process at a time runs."""
    config = scripts()
    with database.write_engine.begin() as connection:
        if not database.is_sqlite:  # on SQLite BEGIN IMMEDIATE already keeps others out
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        refuse_newer(connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def scripts() -> Config:
    """What alembic needs to find the migrations."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        return
    try:
        scripts.get_revision(current)
    except CommandError as error:
        raise NewerDatabase(
            f"this database is at revision {current}, which this version of GenLoop does not know; "
            "install the newer version that made it, or restore a backup"
        ) from error


def main() -> None:
    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    migrate(database)
    database.close()
    print(f"The database {database.url.render_as_string(hide_password=True)} is up to date.")


if __name__ == "__main__":
    main()
