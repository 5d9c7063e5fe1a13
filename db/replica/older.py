"""A copy of an older version: its rows go into the tables of then, which are then migrated.

What a migration does with rows, such as filling a new column, is thus done with these as well.
"""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import JSON as AnyJson
from sqlalchemy import DateTime, MetaData, Table
from sqlalchemy.orm import Session

from db.migrate import scripts
from db.tables import Json, UTCDateTime


def head() -> str:
    """The schema of this version."""
    return str(ScriptDirectory.from_config(scripts()).get_current_head())


def lay_out(session: Session, schema: str) -> dict[str, Table]:
    """Make the tables of that schema, by name, in a database that holds nothing.

    From nothing, and not by going back: what SQLite rebuilds to take a column away loses its rules.
    """
    connection = session.connection()
    present = MetaData()
    present.reflect(connection)
    present.drop_all(connection)
    command.upgrade(on(session), schema)
    past = MetaData()
    past.reflect(connection)
    for table in past.tables.values():
        for column in table.columns:
            if isinstance(column.type, DateTime):
                column.type = UTCDateTime()
            elif isinstance(column.type, AnyJson):
                column.type = Json
    return {table.name: table for table in past.sorted_tables}


def bring_up_to_date(session: Session) -> None:
    command.upgrade(on(session), "head")


def on(session: Session) -> Config:
    """alembic, in the transaction of the session."""
    config = scripts()
    config.attributes["connection"] = session.connection()
    return config
