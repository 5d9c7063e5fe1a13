"""When a job of the app is due: every so many hours, or after so many new labels; and how it went.

Every run is a row, so that all replicas, and the owner's page, see the same. A label is a feedback
event or a vote that may be trained on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.lease import HeldLease, clock, in_force
from db.tables import FeedbackEvent, ScheduledRun, Vote
from feedback.trainable import count_since

FIRST_PAUSE = timedelta(minutes=10)  # after a failure; it doubles with every further one
LONGEST_PAUSE = timedelta(hours=6)
LOOKED_AT = 20  # runs; more failures than that pause no longer
TEXT_KEPT = 2_000  # characters of a result or an error
FAILURES = ("failed", "interrupted")


@dataclass(frozen=True)
class Schedule:
    """When a job runs. 0 means never for that reason; one reason is enough."""

    job: str
    every_hours: float = 0
    every_labels: int = 0

    @property
    def lease(self) -> str:
        """The name of the lease under which it runs."""
        return f"job {self.job}"


@dataclass(frozen=True)
class State:
    """How it stands with a job, for the owner's eyes."""

    running: ScheduledRun | None
    last: ScheduledRun | None  # the last that came to an end
    last_finished: ScheduledRun | None  # the last that came to a good end
    error: str | None  # of the last one
    next_run: datetime | None  # none: when there are enough labels, or never
    new_labels: int  # since the last that came to a good end
    due: bool


def state(session: Session, schedule: Schedule, *, enough: bool = False) -> State:
    """How it stands with the job now.

    enough: count new labels only as far as the schedule needs them, for who asks often.
    """
    moment = clock(session)
    runs = list(
        session.scalars(
            select(ScheduledRun)
            .where(ScheduledRun.job == schedule.job)
            .order_by(ScheduledRun.id.desc())
            .limit(LOOKED_AT)
        )
    )
    ended = [run for run in runs if run.finished_at is not None]
    last = ended[0] if ended else None
    good = last_finished(session, schedule.job)
    seen = (good.last_event_id, good.last_vote_id) if good else (0, 0)
    labels = count_since(session, *seen, schedule.every_labels if enough else None)
    due_at = next_run(schedule, ended, good, labels, moment)
    lease = in_force(session, schedule.lease)
    running = [
        run
        for run in runs
        if run.state == "running" and lease is not None and run.fence == lease.fence
    ]
    return State(
        running=running[0] if running else None,
        last=last,
        last_finished=good,
        error=last.error if last else None,
        next_run=due_at,
        new_labels=labels,
        due=due_at is not None and due_at <= moment and not running,
    )


def next_run(
    schedule: Schedule,
    ended: list[ScheduledRun],
    good: ScheduledRun | None,
    labels: int,
    moment: datetime,
) -> datetime | None:
    """When the job is next due; `ended` are the last runs, the newest first."""
    wishes = []
    if schedule.every_hours:
        wishes.append(
            good.started_at + timedelta(hours=schedule.every_hours) if good is not None else moment
        )
    if schedule.every_labels and labels >= schedule.every_labels:
        wishes.append(moment)
    if not wishes:
        return None
    return max(min(wishes), not_before(ended) or min(wishes))


def not_before(ended: list[ScheduledRun]) -> datetime | None:
    """After failures in a row, the end of the pause; a run that was stopped is no failure."""
    failures: list[datetime] = []
    for run in ended:
        if run.state == "finished":
            break
        if run.state in FAILURES and run.finished_at is not None:
            failures.append(run.finished_at)
    if not failures:
        return None
    pause = FIRST_PAUSE * 2 ** (len(failures) - 1)
    last: datetime = failures[0] + min(pause, LONGEST_PAUSE)
    return last


def last_finished(session: Session, job: str) -> ScheduledRun | None:
    return session.scalar(
        select(ScheduledRun)
        .where(ScheduledRun.job == job, ScheduledRun.state == "finished")
        .order_by(ScheduledRun.id.desc())
        .limit(1)
    )


def begin(session: Session, schedule: Schedule, holder: str, held: HeldLease) -> int:
    """Note that a run begins; its id. Runs of earlier holders of the lease have been interrupted.

    Raises LeaseLost.
    """
    held.confirm(session)
    moment = clock(session)
    session.execute(
        update(ScheduledRun)
        .where(ScheduledRun.job == schedule.job, ScheduledRun.state == "running")
        .values(state="interrupted", finished_at=moment, error="its process ended, or lost touch")
    )
    run = ScheduledRun(
        job=schedule.job,
        holder=holder,
        fence=held.fence,
        last_event_id=session.scalar(select(func.max(FeedbackEvent.id))) or 0,
        last_vote_id=session.scalar(select(func.max(Vote.id))) or 0,
        started_at=moment,
    )
    session.add(run)
    session.flush()
    return run.id


def end(
    session: Session, run_id: int, outcome: str, *, result: str | None, error: str | None
) -> None:
    """Note how a run ended, unless a later holder has said already that it was interrupted."""
    session.execute(
        update(ScheduledRun)
        .where(ScheduledRun.id == run_id, ScheduledRun.state == "running")
        .values(
            state=outcome,
            finished_at=clock(session),
            result=result and result[-TEXT_KEPT:],
            error=error and error[-TEXT_KEPT:],
        )
    )
