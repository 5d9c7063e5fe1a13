"""From SQLite to PostgreSQL: every row, compared, or none."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from config import ROOT
from db.engine import Database, sqlite_module
from db.media import MediaStore
from db.migrate import migrate
from db.move import CannotMove, move, tables
from db.tables import FeedbackEvent, Generation, Visitor
from feedback.demo import fill
from feedback.erase import erase
from tests.postgres_server import postgres_database

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def filled(tmp_path_factory, migrated_sqlite):
    """A SQLite file of a small busy app, as bytes."""
    folder = tmp_path_factory.mktemp("filled")
    path = folder / "app.db"
    path.write_bytes(Path(migrated_sqlite).read_bytes())
    database = Database(f"sqlite:///{path}")
    fill(database, MediaStore(folder / "media"), 30, 7)
    database.close()
    return path.read_bytes()


@pytest.fixture
def source(filled, tmp_path):
    path = tmp_path / "app.db"
    path.write_bytes(filled)
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def target(postgres_server):
    with postgres_database(postgres_server) as url:
        database = Database(url)
        yield database
        database.close()


def everything(database):
    with database.read() as session:
        return {
            table.name: [
                dict(row)
                for row in session.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in tables()
        }


def test_every_row_arrives_as_it_was(source, target):
    before = everything(source)
    moved = move(source, target)

    assert moved == {name: len(rows) for name, rows in before.items()}
    assert sum(count > 0 for count in moved.values()) >= 5
    after = everything(target)
    for name, rows in before.items():
        assert sorted(map(str, after[name])) == sorted(map(str, rows)), name
    assert everything(source) == before


def test_numbers_of_rows_that_are_gone_are_not_given_away_again(source, target):
    with source.read() as session:
        highest = session.scalar(select(func.max(FeedbackEvent.id)))
        last = session.get(FeedbackEvent, highest)
        key_hash = session.get(Visitor, last.visitor_id).key_hash
    source.write(lambda session: erase(session, key_hash))
    move(source, target)

    with target.sessions() as session:
        column = "pg_get_serial_sequence('feedback_events', 'id')"
        assert session.scalar(text(f"SELECT nextval({column})")) > highest


def test_a_child_that_sorts_before_its_parent_arrives(source, target):
    def turn_round(session):
        parent, child = session.scalars(select(Generation).order_by(Generation.id.desc()).limit(2))
        child.parent_id, child.relation = parent.id, "retry"
        return child.id, parent.id

    child, parent = source.write(turn_round)
    move(source, target)

    with target.read() as session:
        assert session.get(Generation, child).parent_id == parent


def test_nothing_is_mixed_with_rows_that_are_there(source, target):
    move(source, target)
    with pytest.raises(CannotMove, match="never mixed"):
        move(source, target)


def test_a_row_that_arrives_changed_undoes_the_whole_move(source, target):
    migrate(target)
    with target.write_engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION spoil() RETURNS trigger AS $$ BEGIN "
                "NEW.created_at := NEW.created_at + interval '1 second'; RETURN NEW; END $$ "
                "LANGUAGE plpgsql"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER spoil BEFORE INSERT ON feedback_events FOR EACH ROW "
                "WHEN (NEW.id = 3) EXECUTE FUNCTION spoil()"
            )
        )

    with pytest.raises(CannotMove, match=r"row \(3,\) of feedback_events"):
        move(source, target)
    assert not any(everything(target).values())


def test_who_still_writes_to_the_old_database_is_refused_meanwhile(source, target, monkeypatch):
    seen = []

    def during(_old):
        # The same library as the app's: two copies of SQLite in one process share no locks.
        module = sqlite_module()
        other = module.connect(source.url.database, timeout=0.1)
        with pytest.raises(module.OperationalError, match="locked"):
            other.execute("UPDATE visitors SET id = id")
        other.close()
        seen.append(True)

    monkeypatch.setattr("db.move.check_source", during)
    move(source, target)

    assert seen == [True]


def test_only_sqlite_is_moved_and_only_to_postgresql(source):
    with pytest.raises(CannotMove, match="DATABASE_URL"):
        move(source, source)


def test_the_command_says_what_it_did(filled, tmp_path, postgres_server):
    (tmp_path / "app.db").write_bytes(filled)
    with postgres_database(postgres_server) as url:
        words = [sys.executable, "-m", "db.move"]
        surroundings = {"GENLOOP_DATA_DIR": str(tmp_path), "DATABASE_URL": url, "PATH": "/usr/bin"}
        done = subprocess.run(words, cwd=ROOT, env=surroundings, capture_output=True, text=True)
        again = subprocess.run(words, cwd=ROOT, env=surroundings, capture_output=True, text=True)

    assert (done.returncode, "each was compared" in done.stdout) == (0, True), done.stderr
    assert again.returncode == 1
    assert again.stderr.startswith("Nothing was moved")
    assert (tmp_path / "app.db").is_file()
