"""Many rows into a table at once, as fast as each database takes them."""

from collections.abc import Sequence

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

Value = str | int | None


def insert_many(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Sequence[tuple[Value, ...]],
) -> None:
    """Insert rows of texts and whole numbers, which are in the order of the columns.

    Constraints, triggers and the server's defaults hold as ever; SQLAlchemy's own defaults and
    types do not. Raises what SQLAlchemy raises. Rows reach SQLite by one prepared statement and
    PostgreSQL by COPY; SQLAlchemy's way of executing costs some twice as much a row.
    """
    quote = connection.dialect.identifier_preparer.quote
    named = ", ".join(quote(table.columns[name].name) for name in columns)
    into = f"{connection.dialect.identifier_preparer.format_table(table)} ({named})"
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        places = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {into} VALUES ({places})", list(rows))
        return
    driver, errors = connection.connection.driver_connection, connection.dialect.loaded_dbapi.Error
    assert driver is not None
    statement = f"COPY {into} FROM STDIN"
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except errors as problem:  # which does not come by way of SQLAlchemy, and has to look so
        raise DBAPIError.instance(
            statement, None, problem, errors, hide_parameters=True, dialect=connection.dialect
        ) from problem
