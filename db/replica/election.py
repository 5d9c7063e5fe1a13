"""Of several processes on one PostgreSQL database one copies; on SQLite there is only one."""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from db.engine import Database

LOCK = 0x67656E6C6F6F72  # held by the process that copies, as long as its connection lives


class Election:
    """A lock that is let go of by itself when the process dies."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection: Connection | None = None

    def won(self) -> bool:
        """Whether this process is the one; raises OperationalError when the database is away."""
        if self.database.is_sqlite:
            return True
        if self.connection is not None:
            try:
                self.connection.execute(text("SELECT 1"))
                return True
            except DBAPIError:
                self.lose()
        connection = self.database.write_engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        )
        if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}):
            self.connection = connection
            return True
        connection.close()
        return False

    def lose(self) -> None:
        if self.connection is not None:
            self.connection.invalidate()  # the server lets go of the lock with the connection
            self.connection.close()
            self.connection = None
