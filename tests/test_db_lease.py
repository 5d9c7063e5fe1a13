"""Leases: one holder at a time, whoever dies, whatever the clocks say."""

import threading
import time
from datetime import timedelta

import pytest

import db.lease
from db.engine import Database
from db.lease import (
    LeaseLost,
    LeaseTaken,
    clock,
    confirm,
    give_back,
    holding,
    in_force,
    renew,
    take,
)
from db.tables import now


def test_one_has_it_at_a_time_and_each_holder_has_a_higher_fence(session):
    assert take(session, "export", "ann", 60) == 1
    assert take(session, "export", "bob", 60) is None
    assert take(session, "another", "bob", 60) == 1
    give_back(session, "export", 1)

    assert take(session, "export", "bob", 60) == 2
    assert in_force(session, "export").holder == "bob"


def test_a_lease_that_ran_out_may_be_taken_and_then_the_first_has_nothing_more(session):
    first = take(session, "export", "ann", 0.000_001)
    second = take(session, "export", "bob", 60)

    assert renew(session, "export", first) is False
    assert give_back(session, "export", first) is False
    with pytest.raises(LeaseLost):
        confirm(session, "export", first)
    confirm(session, "export", second)
    assert in_force(session, "export").fence == second


def test_a_lease_that_ran_out_and_that_nobody_took_can_be_renewed(session):
    fence = take(session, "export", "ann", 0.000_001)
    with pytest.raises(LeaseLost):
        confirm(session, "export", fence)
    session.get(db.lease.Lease, "export").lifetime = 60

    assert renew(session, "export", fence) is True
    confirm(session, "export", fence)


def test_the_clock_of_a_machine_does_not_count_where_the_database_has_one(session, monkeypatch):
    take(session, "export", "ann", 60)
    monkeypatch.setattr(db.lease, "now", lambda: now() + timedelta(hours=1))  # a wrong clock

    taken = take(session, "export", "bob", 60)
    if session.get_bind().dialect.name == "postgresql":
        assert taken is None
        assert abs(clock(session) - now()) < timedelta(minutes=1)
    else:  # there is no other clock; the fence tells them apart
        assert taken == 2
        with pytest.raises(LeaseLost):
            confirm(session, "export", 1)


def test_it_is_renewed_while_the_block_runs_and_given_back_at_its_end(database):
    def expires():
        with database.read() as session:
            return in_force(session, "export").expires_at

    with holding(database, "export", lifetime=3) as held:
        first = expires()
        while expires() == first:
            time.sleep(0.02)
        with pytest.raises(LeaseTaken), holding(database, "export"):
            pass
        database.write(held.confirm)
        assert not held.lost.is_set()
    with holding(database, "export") as next_one:
        assert next_one.fence == held.fence + 1


def test_a_holder_that_was_overtaken_is_told(database):
    lost = threading.Event()
    with holding(database, "export", lifetime=0.3, lost=lost) as held:
        database.write(lambda session: give_back(session, "export", held.fence))
        with holding(database, "export"):
            assert lost.wait(10)
            with pytest.raises(LeaseLost):
                database.write(held.confirm)


def test_a_holder_whose_database_does_not_answer_gives_up_when_its_time_is_over(database):
    lost, free = threading.Event(), threading.Event()

    def keep_everybody_waiting(session):
        session.connection()
        assert free.wait(20)

    with holding(database, "export", lifetime=0.3, lost=lost):
        if database.is_sqlite:
            waiting = threading.Thread(target=database.write, args=(keep_everybody_waiting,))
            waiting.start()
        else:
            reader = database.sessions()
            reader.get(db.lease.Lease, "export", with_for_update=True)
        assert lost.wait(10)
        free.set()
        if database.is_sqlite:
            waiting.join()
        else:
            reader.close()


def test_of_many_who_try_at_once_one_has_it_at_a_time(database):
    """Threads, each with its own connections; test_feedback_scheduler.py has processes."""
    url = database.url.render_as_string(hide_password=False)
    turns = []

    def work():
        own = Database(url)
        taken = 0
        while taken < 5:
            try:
                with holding(own, "export") as held:
                    began = time.monotonic_ns()
                    time.sleep(0.002)
                    turns.append((held.fence, began, time.monotonic_ns()))
                    taken += 1
            except LeaseTaken:
                time.sleep(0.001)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    turns.sort()
    assert [fence for fence, _, _ in turns] == list(range(1, 16))
    for (_, _, ended), (_, began, _) in zip(turns, turns[1:], strict=False):
        assert ended <= began
