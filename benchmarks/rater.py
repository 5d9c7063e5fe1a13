"""A visitor who rates while benchmarks/export.py measures, twenty times a second."""

import threading
import time
import uuid
from itertools import count

from sqlalchemy.orm import Session

from benchmarks.processes import questions, reply
from db.engine import Database
from db.tables import FeedbackEvent, Generation

EVERY = 0.05  # seconds


def rate(database: Database, stop: threading.Event) -> list[float]:
    """Seconds until each rating was on the disk."""
    waits: list[float] = []
    for number in count():
        if stop.wait(EVERY):
            return waits

        def work(session: Session, number: int = number) -> None:
            made = session.get_one(Generation, f"00000000-0000-7000-8000-{number % 1000:012x}")
            session.add(
                FeedbackEvent(
                    key=str(uuid.uuid4()),
                    generation_id=made.id,
                    visitor_id=made.visitor_id,
                    consent_id=made.consent_id,
                    kind="comment",
                    text="still here",
                )
            )

        began = time.perf_counter()
        database.write(work)
        waits.append(time.perf_counter() - began)
    return waits


def main() -> None:
    stop, waits = threading.Event(), []
    asked = questions()
    database = Database(next(asked)["start"])
    thread = threading.Thread(target=lambda: waits.extend(rate(database, stop)))
    thread.start()
    reply()
    for _ in asked:  # there is one more
        stop.set()
        thread.join()
        reply(waits=waits)
    database.close()


if __name__ == "__main__":
    main()
