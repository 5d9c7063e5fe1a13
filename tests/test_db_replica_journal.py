"""The journal: every write is noted in its own transaction, and no word of what was written."""

import shutil
import threading

import pytest
from sqlalchemy import JSON, Boolean, Float, Integer, String, delete, select, text, update

from db.engine import Database
from db.replica import journal
from db.tables import (
    Base,
    Change,
    Export,
    ExportRow,
    FeedbackEvent,
    Generation,
    UTCDateTime,
    Visitor,
)
from feedback.erase import erase
from tests.factories import make_generation, make_visitor, rate


@pytest.fixture
def noted(migrated_sqlite, quick_path):
    """A SQLite database whose writes are noted."""
    shutil.copyfile(migrated_sqlite, quick_path / "app.db")
    database = Database(f"sqlite:///{quick_path / 'app.db'}")
    journal.install(database)
    yield database
    database.close()


@pytest.fixture
def noted_by_both(database):
    assert journal.install(database) is False
    yield database
    journal.uninstall(database)  # the next test may have the same PostgreSQL database


def read(database: Database) -> journal.Changes:
    with database.snapshot() as session:
        return journal.read(session)


def pending(database: Database) -> journal.Pending:
    with database.read() as session:
        return journal.pending(session)


def rated(session) -> str:
    ann = make_visitor(session)
    poem = make_generation(session, ann)
    rate(session, ann, poem, "comment", "canary")
    return poem


def test_every_table_is_copied_or_known_to_be_of_this_database_alone():
    copied = {table.name for table in journal.TABLES}
    assert copied.isdisjoint(journal.LOCAL)
    assert copied | journal.LOCAL.keys() == set(Base.metadata.tables)
    assert journal.LOCAL.keys() == {"changes", "replica", "leases"}, "say why, and here too"
    assert all(len(reason) > 20 for reason in journal.LOCAL.values())


def test_every_copied_table_is_one_that_can_be_copied():
    """A new table is copied by itself; this fails for one whose keys or values cannot be noted."""
    columns = Change.__table__.columns
    for table in journal.TABLES:
        assert len(table.name) <= columns["table_name"].type.length
        assert 0 < sum(map(longest_as_json, table.primary_key)) <= columns["row_key"].type.length
        for column in table.columns:
            known = (Integer, String, Boolean, Float, JSON, UTCDateTime)
            assert isinstance(column.type, known), f"{column}: let db/replica/rows.py write it"


def longest_as_json(column) -> int:
    """Characters of a value of a key, at most, with what stands around it; keys are ASCII."""
    if isinstance(column.type, Integer):
        return len(str(-(2**63))) + 4
    assert isinstance(column.type, String), f"{column}: a key is a number or a text"
    return column.type.length + 4


def test_what_is_written_is_noted_by_its_key_and_not_by_its_words(noted_by_both):
    poem = noted_by_both.write(rated)

    keys = read(noted_by_both).keys
    assert keys["generations"] == [(poem,)]
    assert {"visitors", "consents", "model_versions", "feedback_events"} <= keys.keys()
    with noted_by_both.read() as session:
        assert not [row for row in session.scalars(select(Change.row_key)) if "canary" in row]


def test_changes_and_deletions_are_noted_too(noted_by_both):
    poem = noted_by_both.write(rated)
    journal.forget(noted_by_both, read(noted_by_both).ids)
    assert not read(noted_by_both)

    noted_by_both.write(
        lambda session: session.execute(update(Generation).values(parent_id=None)).close()
    )
    noted_by_both.write(lambda session: session.execute(delete(FeedbackEvent)).close())

    keys = read(noted_by_both).keys
    assert keys.keys() == {"generations", "feedback_events"}
    assert keys["generations"] == [(poem,)]


def test_a_key_of_several_columns_is_noted_whole(noted_by_both):
    export = Export(id=1, name="x", version=1, format="sft", manifest_sha256="0" * 64, rows=1)
    row = {"export_id": 1, "row": 7, "event_id": 9, "row_sha256": "0" * 64}

    def work(session):
        session.add(export)
        session.flush()
        session.add(ExportRow(**row))

    noted_by_both.write(work)

    assert read(noted_by_both).keys["export_rows"] == [(1, 7, 9)]


def test_what_is_rolled_back_is_not_noted(noted):
    def fail(session):
        rated(session)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        noted.write(fail)

    assert not read(noted)


@pytest.mark.postgres
def test_who_commits_late_with_an_early_number_is_not_passed_over(postgres_url):
    """Two transactions at once: the one that began first, with the lower ids, ends last."""
    from db.migrate import migrate

    database = Database(postgres_url)
    migrate(database)
    journal.install(database)
    began, may_end = threading.Event(), threading.Event()

    def slow(session):
        session.add(Visitor(key_hash="slow"))
        session.flush()
        began.set()
        assert may_end.wait(20)

    thread = threading.Thread(target=database.write, args=[slow])
    thread.start()
    assert began.wait(20)
    database.write(lambda session: session.add(Visitor(key_hash="fast")))

    first = read(database)
    assert len(first.keys["visitors"]) == 1
    journal.forget(database, first.ids)
    may_end.set()
    thread.join(20)

    second = read(database)
    assert second.keys["visitors"] < first.keys["visitors"], "the late one has the lower id"
    journal.forget(database, second.ids)
    assert not read(database)
    database.close()


def test_the_count_of_what_is_said_leaves_out_what_is_erased_again(noted_by_both):
    noted_by_both.write(rated)
    assert pending(noted_by_both).said == 1
    assert pending(noted_by_both).oldest is not None

    noted_by_both.write(lambda session: erase(session, "ann"))

    assert pending(noted_by_both).said == 0
    assert pending(noted_by_both).rows > 0


def test_nothing_pending_is_nothing(noted):
    assert pending(noted) == journal.Pending(0, 0, None)
    with noted.read() as session:
        assert journal.at_least(session, 1) is False


def test_many_are_at_least_some(noted):
    noted.write(rated)
    with noted.read() as session:
        assert journal.at_least(session, 3) is True
        assert journal.at_least(session, 300) is False


@pytest.mark.parametrize(
    ("ids", "runs"),
    [
        ([], []),
        ([4], [(4, 4)]),
        ([1, 2, 3, 7, 9, 10], [(1, 3), (7, 7), (9, 10)]),
    ],
)
def test_ids_are_told_as_runs(ids, runs):
    assert journal.runs(ids) == runs


def test_runs_are_forgotten_in_small_portions():
    runs = [(1, 5_000), (6_000, 6_000), *((number, number) for number in range(7_000, 9_000, 2))]
    portions = list(journal.portions(runs))

    flat = [id for portion in portions for a, b in portion for id in range(a, b + 1)]
    assert flat == [id for a, b in runs for id in range(a, b + 1)]
    sizes = [sum(b - a + 1 for a, b in portion) for portion in portions]
    assert max(sizes) <= journal.FORGET_AT_ONCE
    assert max(map(len, portions)) <= 200


def test_triggers_are_found_again_and_a_missing_one_is_noticed(noted_by_both):
    assert journal.install(noted_by_both) is True
    with noted_by_both.write_engine.begin() as connection:
        if noted_by_both.is_sqlite:
            connection.execute(text("DROP TRIGGER genloop_note_visitors_insert"))
        else:
            connection.execute(text("DROP TRIGGER genloop_note_visitors ON visitors"))

    assert journal.install(noted_by_both) is False
    assert journal.install(noted_by_both) is True


def test_without_a_copy_nothing_is_noted(noted):
    noted.write(rated)
    journal.uninstall(noted)
    noted.write(lambda session: rate_again(session))

    assert not read(noted)
    journal.uninstall(noted)


def rate_again(session):
    ann = make_visitor(session)
    rate(session, ann, make_generation(session, ann), "thumb", 1)
