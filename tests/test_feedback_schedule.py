"""Jobs that the app starts by itself: when they are due, and how it is told how they went."""

from datetime import timedelta

import pytest

import feedback.schedule
from db.lease import LeaseLost, clock, give_back, holding
from db.tables import ScheduledRun
from feedback.schedule import Schedule, begin, end, state
from tests.factories import cast_vote, make_generation, make_generations, make_visitor, rate

HOURLY = Schedule("export", every_hours=1)
BY_LABELS = Schedule("export", every_labels=3)


def ran(session, outcome="finished", *, ago=timedelta(), labels=(0, 0)):
    """A run that began and ended some time ago, having seen these events and votes."""
    moment = clock(session) - ago
    run = ScheduledRun(
        job="export",
        holder="test",
        fence=1,
        state=outcome,
        last_event_id=labels[0],
        last_vote_id=labels[1],
        error="no disk" if outcome == "failed" else None,
        started_at=moment,
        finished_at=moment,
    )
    session.add(run)
    session.flush()
    return run


def label(session, visitor, times=1):
    for _ in range(times):
        rate(session, visitor, make_generation(session, visitor), "thumb", 1)


def test_without_a_reason_it_is_never_due(session):
    label(session, make_visitor(session), 5)
    now = state(session, Schedule("export"))

    assert (now.due, now.next_run) == (False, None)


def test_by_hours_it_is_due_at_first_and_then_an_hour_after_it_last_began(session):
    assert state(session, HOURLY).due
    run = ran(session, ago=timedelta(minutes=50))

    assert state(session, HOURLY).next_run == run.started_at + timedelta(hours=1)
    assert not state(session, HOURLY).due
    run.started_at -= timedelta(minutes=10)
    assert state(session, HOURLY).due


def test_by_labels_it_is_due_once_there_are_enough_that_may_train(session):
    ann, bob = make_visitor(session, "ann"), make_visitor(session, "bob", train=False)
    label(session, ann, 2)
    label(session, bob, 5)

    assert (state(session, BY_LABELS).new_labels, state(session, BY_LABELS).due) == (2, False)
    cast_vote(session, ann, *make_generations(session, ann, outputs=("a", "b")), "left")
    assert (state(session, BY_LABELS).new_labels, state(session, BY_LABELS).due) == (3, True)
    label(session, ann, 2)
    hurried = state(session, BY_LABELS, enough=True)
    assert (state(session, BY_LABELS).new_labels, hurried.new_labels, hurried.due) == (5, 3, True)


def test_only_labels_since_the_last_good_run_count(database):
    def work(session):
        ann = make_visitor(session)
        label(session, ann, 3)
        cast_vote(session, ann, *make_generations(session, ann, outputs=("a", "b")), "left")

    database.write(work)
    with holding(database, BY_LABELS.lease) as held:
        run_id = database.write(lambda session: begin(session, BY_LABELS, "me", held))
        database.write(lambda session: end(session, run_id, "finished", result="4", error=None))
    with database.read() as session:
        now = state(session, BY_LABELS)

    assert (now.new_labels, now.due, now.last_finished.result) == (0, False, "4")


def test_after_failures_it_waits_longer_and_longer_and_not_after_a_stop(session):
    first = ran(session, "failed")
    assert state(session, HOURLY).next_run == first.finished_at + timedelta(minutes=10)
    assert state(session, HOURLY).error == "no disk"

    second = ran(session, "interrupted")
    assert state(session, HOURLY).next_run == second.finished_at + timedelta(minutes=20)
    for _ in range(10):
        last = ran(session, "failed")
    assert state(session, HOURLY).next_run == last.finished_at + feedback.schedule.LONGEST_PAUSE

    ran(session, ago=timedelta(hours=2))  # a good one ends the row of failures
    ran(session, "stopped")
    assert state(session, HOURLY).due


def test_a_run_is_shown_while_its_lease_is_in_force(database):
    with holding(database, HOURLY.lease) as held:
        run_id = database.write(lambda session: begin(session, HOURLY, "me", held))
        with database.read() as session:
            now = state(session, HOURLY)
        assert (now.running.id, now.running.holder, now.due) == (run_id, "me", False)
    with database.read() as session:
        now = state(session, HOURLY)

    assert (now.running, now.due) == (None, True)


def test_who_comes_next_notes_that_a_run_was_interrupted(database):
    with holding(database, HOURLY.lease) as held:
        lost = database.write(lambda session: begin(session, HOURLY, "dead", held))
        database.write(lambda session: give_back(session, HOURLY.lease, held.fence))
        with pytest.raises(LeaseLost):
            database.write(lambda session: begin(session, HOURLY, "dead", held))
    with holding(database, HOURLY.lease) as held:
        database.write(lambda session: begin(session, HOURLY, "next", held))
    # The dead one comes back to life and tells its end: too late.
    database.write(lambda session: end(session, lost, "finished", result="x", error=None))
    with database.read() as session:
        run = session.get_one(ScheduledRun, lost)

    assert (run.state, run.result) == ("interrupted", None)
    assert "process ended" in run.error


def test_long_errors_keep_their_end(database):
    with holding(database, HOURLY.lease) as held:
        run_id = database.write(lambda session: begin(session, HOURLY, "me", held))
        words = "x" * 10_000 + "the disk is full"
        database.write(lambda session: end(session, run_id, "failed", result=None, error=words))
    with database.read() as session:
        error = state(session, HOURLY).error

    assert len(error) == feedback.schedule.TEXT_KEPT
    assert error.endswith("the disk is full")
