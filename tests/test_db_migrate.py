"""Migrations: from nothing to today's tables, once, whoever else tries and whenever it dies."""

import os
import signal
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text

from config import ROOT
from db.engine import Database
from db.migrate import NewerDatabase, migrate
from db.tables import Base, ModelVersion
from tests.factories import make_visitor

# Migrates the database of argv[1], and is killed just before its statement number argv[2].
MIGRATE_AND_DIE = """
import os, signal, sys
from sqlalchemy import event
from db.engine import Database
from db.migrate import migrate

database = Database(sys.argv[1])
seen = []

@event.listens_for(database.write_engine, "before_cursor_execute")
def count(connection, cursor, statement, *rest):
    seen.append(statement)
    if len(seen) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

migrate(database)
database.close()
print(len(seen))
"""


def differences(database: Database) -> list:
    with database.write_engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, Base.metadata))


def migrate_and_die(url: str, at: int) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", MIGRATE_AND_DIE, url, str(at)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=60)


def test_migrating_from_nothing_gives_the_tables_of_today(database):
    assert differences(database) == []


def test_constraints_are_those_of_today(database):
    """Autogenerate does not compare checks: they must all be there by name."""
    wanted = {
        str(constraint.name)
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if constraint.name and type(constraint).__name__ == "CheckConstraint"
    }
    query = (
        "SELECT sql FROM sqlite_master"
        if database.is_sqlite
        else "SELECT conname FROM pg_constraint WHERE contype = 'c'"
    )
    with database.read() as session:
        there = "\n".join(str(row) for row in session.scalars(text(query)))

    assert {name for name in wanted if name not in there} == set()


def test_migrating_again_changes_nothing(database):
    database.write(lambda session: make_visitor(session, "ann"))

    migrate(database)

    assert differences(database) == []


def test_a_newer_database_is_refused_with_a_sentence(database):
    with database.write_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(NewerDatabase, match="revision 9999.*install the newer version"):
        migrate(database)


def test_two_processes_may_migrate_at_once(empty_database_url):
    environment = {**os.environ, "DATABASE_URL": empty_database_url}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "db.migrate"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=90) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], answers
    database = Database(empty_database_url)
    assert differences(database) == []
    database.close()


@pytest.mark.slow
def test_a_migration_that_is_killed_can_be_run_again(empty_database_url):
    for at in (1, 3, 12, 28):
        died = migrate_and_die(empty_database_url, at)
        assert died.returncode == -signal.SIGKILL

    database = Database(empty_database_url)
    migrate(database)
    assert differences(database) == []
    database.write(lambda session: make_visitor(session, "ann"))
    database.close()


def test_a_killed_migration_leaves_no_half_of_the_tables(empty_database_url):
    died = migrate_and_die(empty_database_url, 25)
    assert died.returncode == -signal.SIGKILL

    database = Database(empty_database_url)
    with database.write_engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() is None
        tables = database.write_engine.dialect.get_table_names(connection)
    assert tables == []
    database.close()


def test_models_from_before_there_were_engines_are_verified(empty_database_url):
    database = Database(empty_database_url)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    with database.write_engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text(
                "INSERT INTO model_versions (task, name, source, weights_sha256, state, created_at)"
                " VALUES ('text', 'poet', 'models/poet', '00', 'live', '2026-01-01 00:00:00')"
            )
        )
    migrate(database)

    with database.read() as session:
        [version] = session.scalars(select(ModelVersion)).all()
    assert (version.verified, version.says) == (True, None)
    database.close()
