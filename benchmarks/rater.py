"""A visitor who rates while benchmarks/export.py measures, twenty times a second."""

import threading
import time
import uuid
from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from benchmarks.processes import questions, reply
from config import Settings
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
    database, stop = Database(Settings().database), threading.Event()
    waits: list[float] = []
    thread = threading.Thread(target=lambda: waits.extend(rate(database, stop)))

    def begin() -> dict[str, Any]:
        thread.start()
        return {}

    def end() -> dict[str, Any]:
        stop.set()
        thread.join()
        return {"waits": waits}

    for question in questions():
        reply(**(begin() if "start" in question else end()))
    database.close()


if __name__ == "__main__":
    main()
