"""Read parts of the rows of an export for another process: see crew.py, which starts this.

It is told, one object of JSON a line: the database; the moment to see; what is to be exported; and
then each part to read. It ends when there is no more to come, whatever it is doing.
"""

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.engine import Database
from db.media import MediaStore
from feedback.child import ORPHANED
from feedback.crew import told_of
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Part
from feedback.plan import plan
from feedback.reading import Reading, token_counts
from feedback.snapshot import moment, snapshot
from feedback.spec import from_json
from feedback.watch import Progress, Watch

Line = dict[str, Any]


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this ends it
    lines: queue.Queue[Line] = queue.Queue()
    threading.Thread(target=listen, args=(lines,), daemon=True).start()
    start = lines.get()
    os.chdir(start["folder"])
    database = Database(start["database"])
    say(ready=True)
    with snapshot(database) as session:
        see(session, lines.get()["snapshot"])
        say(begun=True)
        work(session, lines)


def listen(lines: "queue.Queue[Line]") -> None:
    for line in sys.stdin:
        lines.put(json.loads(line))
    os._exit(ORPHANED)


def see(session: Session, name: str | None) -> None:
    """What the other process sees: by the snapshot's name, or what there is now."""
    if name is not None:
        # Its name is of digits and hyphens; a parameter is not possible here.
        assert set(name) <= set("0123456789ABCDEF-"), name
        session.execute(text(f"SET TRANSACTION SNAPSHOT '{name}'"))
    moment(session)


def work(session: Session, lines: "queue.Queue[Line]") -> None:
    brief = lines.get()
    spec = from_json(brief["spec"])
    configs = plan(spec)
    pictures = Pictures(brief["media"] and MediaStore(Path(brief["media"])))
    reading = Reading(session, spec, pictures, token_counts(session, spec.lint, configs))
    while True:
        order = lines.get()
        before = 0

        def report(now: Progress) -> None:
            nonlocal before
            say(rows=now.done - before)
            before = now.done

        found, samples = reading.gather(
            configs[order["config"]], Part(*order["part"]), Path(order["folder"]), Watch(report)
        )
        say(done=told_of(found, samples))


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
