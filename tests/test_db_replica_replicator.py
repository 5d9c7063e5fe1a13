"""The thread that copies: when it does, what it does when it cannot, and how it ends."""

import errno
import logging
import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import select, text

from db.replica import boot, handover, replicator
from db.replica import folder_target as folder_target_module
from db.replica.boot import CannotRebuild, open_replicator
from db.replica.replay import ReplicaDamaged
from db.replica.replicator import Replicator
from db.replica.safety import safety
from db.replica.ship import Foreign
from db.replica.targets import TargetDown
from db.tables import Change, Visitor
from db.writer import Paused
from feedback.erase import erase
from tests.factories import make_generation, make_visitor, rate
from tests.replicas import (
    CANARY,
    all_bytes,
    contents,
    folder_target,
    new_database,
    newest,
    wait_until,
)

OFTEN = 0.05  # seconds
SELDOM = 1_000.0


@pytest.fixture
def target(quick_path):
    return folder_target(quick_path / "target")


class Running:
    """An app as far as its data goes: database, pictures, replicator."""

    def __init__(self, folder, target, seconds=OFTEN, events=10_000, url="", secret="a secret"):
        self.database, self.media = new_database(folder, url)
        self.replicator = open_replicator(
            self.database,
            self.media,
            target.url,
            token="",
            secret=secret,
            spool=folder / "spool",
            seconds=seconds,
            events=events,
        )
        self.target = self.replicator.target

    def fill(self, name="ann", text="a poem"):
        def work(session):
            visitor = make_visitor(session, name)
            rate(session, visitor, make_generation(session, visitor, prompt=text), "thumb", 1)

        self.database.write(work)

    @property
    def safety(self):
        return safety(self.database, self.replicator)

    def stop(self, patience=20.0):
        self.replicator.stop(patience)
        self.database.close()


@contextmanager
def running(*args, **given):
    app = Running(*args, **given)
    try:
        yield app
    finally:
        app.stop()


def visitors(folder, target):
    with running(folder, target, SELDOM) as app, app.database.read() as session:
        return set(session.scalars(select(Visitor.key_hash)))


def test_what_is_said_is_soon_safe_and_the_count_says_so(quick_path, target):
    with running(quick_path / "app", target, SELDOM) as app:
        wait_until(lambda: app.safety.safe_at)
        assert (app.safety.state, app.safety.events, app.safety.rows) == ("copying", 0, 0)
        app.fill()
        app.fill()
        assert app.safety.events == 2
        assert app.safety.rows > 2
        assert app.safety.oldest_seconds >= 0

        app.replicator.hurry()
        wait_until(lambda: not app.safety.rows)
        assert app.safety.events == 0
        assert app.safety.oldest_seconds is None
        assert app.safety.safe_at.isoformat() == newest(target).mark.at


def test_a_clock_that_is_set_back_makes_nothing_safe_that_waits(quick_path, target):
    with running(quick_path / "app", target, SELDOM) as app:
        wait_until(lambda: app.safety.safe_at)
        app.fill()
        back = text("UPDATE changes SET changed_at = '2020-01-01 00:00:00.000000'")
        app.database.write(lambda session: session.execute(back).close())
        assert app.safety.safe_at.year == 2020
        ahead = text("UPDATE changes SET changed_at = '2099-01-01 00:00:00.000000'")
        app.database.write(lambda session: session.execute(ahead).close())
        assert app.safety.oldest_seconds == 0


def test_many_rows_are_copied_without_waiting(quick_path, target):
    with running(quick_path / "app", target, SELDOM, events=5) as app:
        wait_until(lambda: app.safety.safe_at)
        app.fill()
        app.fill("bob")

        wait_until(lambda: not app.safety.rows)


def test_the_end_copies_what_is_left_and_the_next_start_brings_it_back(quick_path, target):
    app = Running(quick_path / "first", target, SELDOM)
    app.fill()
    before = contents(app.database)
    app.stop()
    assert newest(target).mark.released is True

    with running(quick_path / "second", target) as second:
        assert contents(second.database) == before
        second.fill("bob")
    assert visitors(quick_path / "third", target) == {"ann", "bob"}


def test_a_target_that_is_away_is_tried_again_and_caught_up_with(quick_path, target, caplog):
    target.folder.rmdir()
    database, _ = new_database(quick_path / "app")
    database.write(lambda session: make_visitor(session, "early"))
    database.close()
    with running(quick_path / "app", target) as app:
        app.fill()
        wait_until(lambda: app.replicator.failures >= 3)
        assert app.safety.state == "failing"
        assert "is its disk mounted" in app.safety.problem
        assert app.safety.events == 1, "visitors are served meanwhile"
        pause = app.replicator.next_at - app.replicator.last_at
        assert pause > 2 * OFTEN

        target.folder.mkdir()
        wait_until(lambda: app.safety.state == "copying" and not app.safety.rows)
        wait_until(lambda: app.replicator.failures == 0)
    assert visitors(quick_path / "second", target) == {"early", "ann"}
    assert "attempt 1 to copy failed" in caplog.text


def test_a_target_that_is_full_is_caught_up_with_when_there_is_room(
    quick_path, target, monkeypatch
):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with running(quick_path / "app", target) as app:
        wait_until(lambda: app.safety.safe_at)
        with monkeypatch.context() as patch:
            patch.setattr(folder_target_module.os, "fsync", full)
            app.fill()
            wait_until(lambda: app.safety.state == "failing")
            assert "No space left" in app.safety.problem
            assert app.safety.events == 1
        wait_until(lambda: not app.safety.rows)
        assert not list(target.folder.rglob("*.partial"))
    assert visitors(quick_path / "second", target) == {"ann"}


def test_the_pauses_between_attempts_grow_to_a_limit(quick_path, target):
    with running(quick_path / "app", target) as app:
        pauses = []
        for _ in range(20):
            app.replicator._failed(TargetDown("away"))
            pauses.append(app.replicator.next_at - time.monotonic())

    assert pauses[4] > 4 * pauses[0]
    assert max(pauses) <= 1.2 * replicator.LONGEST_PAUSE


def test_an_empty_database_does_not_start_without_knowing_what_is_at_the_target(
    quick_path, target, monkeypatch
):
    monkeypatch.setattr(boot, "TRIES", 2)
    monkeypatch.setattr(boot, "PAUSE", 0.01)
    target.folder.rmdir()

    with pytest.raises(CannotRebuild, match="start again when it can"):
        Running(quick_path / "app", target)


def test_a_target_that_comes_back_while_the_app_starts_is_waited_for(
    quick_path, target, monkeypatch
):
    monkeypatch.setattr(boot, "PAUSE", 0.01)
    target.folder.rmdir()
    monkeypatch.setattr(boot.time, "sleep", lambda _: target.folder.mkdir())

    with running(quick_path / "app", target) as app:
        assert app.replicator.state == "copying"


def test_a_target_of_another_database_stops_the_start_with_advice(quick_path, target):
    with running(quick_path / "first", target) as app:
        app.fill()
    with running(quick_path / "second", folder_target(quick_path / "elsewhere")) as app:
        app.fill("bob")

    with pytest.raises(Foreign, match="name an empty place in GENLOOP_REPLICA"):
        Running(quick_path / "second", target)


def test_an_erasure_reaches_the_target_by_itself(quick_path, target):
    with running(quick_path / "app", target) as app:
        app.fill(text=CANARY)
        wait_until(lambda: not app.safety.rows)
        assert CANARY.encode() in all_bytes(target)
        app.replicator.shipper.base_took = 0.0
        app.database.write(lambda session: erase(session, "ann"))

        wait_until(lambda: not app.safety.rows and not app.safety.erasing)
        assert CANARY.encode() not in all_bytes(target)


def test_the_app_that_goes_copies_its_last_rows_before_the_next_one_rebuilds(quick_path, target):
    """As when a Space is built anew: the new one starts while the old one still serves."""
    with running(quick_path / "old", target, seconds=0.2) as old:
        wait_until(lambda: old.safety.safe_at)
        old.fill("last words")
        with running(quick_path / "new", target) as new:
            with new.database.read() as session:
                assert set(session.scalars(select(Visitor.key_hash))) == {"last words"}
            with pytest.raises(Paused):
                old.fill("too late")
            new.fill("next")
            wait_until(lambda: old.safety.state == "fenced")
            assert "another copy of the app" in old.safety.problem
    assert visitors(quick_path / "third", target) == {"last words", "next"}


def test_an_app_that_was_killed_is_not_waited_for_long(quick_path, target):
    app = Running(quick_path / "old", target, seconds=0.2)
    app.fill()
    wait_until(lambda: not app.safety.rows)
    app.replicator.ending = True
    app.replicator._last_words = lambda: None
    app.stop()
    assert newest(target).mark.released is False

    assert visitors(quick_path / "new", target) == {"ann"}


def test_who_asked_and_never_came_is_not_waited_for(quick_path, target, monkeypatch):
    with running(quick_path / "app", target) as app:
        wait_until(lambda: app.safety.safe_at)
        target.put({f"{handover.WISH}x.json": b"0"})

        wait_until(lambda: app.safety.state == "handed_over")
        monkeypatch.setattr(replicator, "RECLAIM", 0.0)
        wait_until(lambda: app.safety.state == "copying")
        app.fill("bob")
        wait_until(lambda: not app.safety.rows)
        assert handover.wishes(target.names("log")) == []


def test_a_target_that_goes_away_while_somebody_is_waited_for_changes_nothing(
    quick_path, target, monkeypatch
):
    """Nobody comes after all: in the end visitors are served again."""
    with running(quick_path / "app", target) as app:
        wait_until(lambda: app.safety.safe_at)
        target.put({f"{handover.WISH}x.json": b"0"})
        wait_until(lambda: app.safety.state == "handed_over")
        target.folder.rename(quick_path / "away")
        wait_until(lambda: app.safety.state == "failing")
        with pytest.raises(Paused):
            app.fill()
        for path in (quick_path / "away" / "log").glob("wanted-*"):
            path.unlink()
        (quick_path / "away").rename(target.folder)
        wait_until(lambda: app.safety.state == "handed_over")
        monkeypatch.setattr(replicator, "RECLAIM", 0.0)
        wait_until(lambda: app.safety.state == "copying")
        app.fill("bob")


def test_another_secret_after_a_rebuild_is_told(quick_path, target, caplog):
    with running(quick_path / "first", target) as app:
        app.fill()
    with running(quick_path / "second", target, secret="another"):
        pass

    assert "Set GENLOOP_SECRET to the old one" in caplog.text
    assert "another" not in [record.getMessage() for record in caplog.records]


def test_without_a_place_nothing_is_noted(quick_path, target):
    with running(quick_path / "app", target) as app:
        app.fill()
    database, media = new_database(quick_path / "app")
    given = {"token": "", "secret": "", "spool": quick_path, "seconds": 1.0, "events": 1}
    assert open_replicator(database, media, "", **given) is None
    database.write(lambda session: make_visitor(session, "bob"))
    with database.read() as session:
        assert session.scalars(select(Change)).all() == []
    assert safety(database, None).state == "off"
    database.close()

    with running(quick_path / "app", target):
        pass
    assert visitors(quick_path / "second", target) == {"ann", "bob"}


def test_an_end_does_not_wait_for_ever_for_a_target_that_hangs(quick_path, target, caplog):
    app = Running(quick_path / "app", target, SELDOM)
    wait_until(lambda: app.safety.safe_at)
    app.fill()
    answer = threading.Event()
    app.target.commit = lambda *_: answer.wait(30)
    app.replicator.stop(patience=0.1)

    assert app.replicator.thread.is_alive()
    assert "before everything is copied" in caplog.text
    answer.set()
    app.replicator.thread.join()
    app.database.close()


def test_a_fault_of_ours_is_told_and_not_swallowed(quick_path, target, caplog):
    with running(quick_path / "app", target) as app:
        app.replicator.shipper.needs_base = lambda: 1 / 0
        wait_until(lambda: app.safety.state == "stopped")

        assert "ZeroDivisionError" in app.safety.problem
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


@pytest.mark.postgres
def test_of_two_processes_on_postgresql_one_copies_and_the_other_takes_over(
    quick_path, target, postgres_url
):
    first = Running(quick_path / "first", target, url=postgres_url)
    assert isinstance(first.replicator, Replicator) and first.replicator.state == "copying"
    with running(quick_path / "second", target, url=postgres_url) as second:
        wait_until(lambda: second.replicator.state == "standby")
        first.fill()
        wait_until(lambda: not second.safety.rows)

        # The first is cut off from the database, as if it were dead.
        second.database.write(
            lambda session: session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                    "AND pid <> pg_backend_pid()"
                )
            ).close()
        )
        wait_until(lambda: "copying" in (first.replicator.state, second.replicator.state))
        first.stop()
        wait_until(lambda: second.replicator.state == "copying")
        second.fill("bob")
        wait_until(lambda: not second.safety.rows)
    assert visitors(quick_path / "third", target) == {"ann", "bob"}


def test_a_rebuild_that_takes_its_time_is_waited_for(quick_path, target, monkeypatch):
    monkeypatch.setattr(handover, "RENEWED", 0.05)
    with running(quick_path / "old", target) as old:
        old.fill()
        wait_until(lambda: old.safety.safe_at)
        with handover.wish(target):
            wait_until(lambda: old.safety.state == "handed_over")
            for _ in range(2):  # each time it is renewed, the waiting begins anew
                since = old.replicator.handed_over_at
                wait_until(lambda since=since: old.replicator.handed_over_at > since)
            assert old.safety.state == "handed_over"
        monkeypatch.setattr(replicator, "RECLAIM", 0.0)
        wait_until(lambda: old.safety.state == "copying")


def test_a_torn_last_mark_stops_the_start_with_advice(quick_path, target):
    with running(quick_path / "app", target) as app:
        app.fill()
    path = target.folder / newest(target).mark.name
    path.write_bytes(path.read_bytes()[:50])

    with pytest.raises(ReplicaDamaged, match="--repair"):
        Running(quick_path / "fresh", target)
    with running(quick_path / "app", target) as app:  # whose database is whole
        assert app.safety.state == "stuck"
        app.fill("bob")


def test_an_app_that_nobody_has_come_to_starts_again_at_once(quick_path, target, monkeypatch):
    with running(quick_path / "app", target, SELDOM) as app:
        wait_until(lambda: app.safety.safe_at)
        app.replicator._last_words = lambda: None  # it is killed
    monkeypatch.setattr(handover, "wish", None)

    with running(quick_path / "app", target, SELDOM) as app:
        assert app.replicator.state == "copying"
