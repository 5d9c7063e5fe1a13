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

from sqlalchemy.orm import Session

from db.engine import Database
from db.replica.targets import TargetDown
from feedback.child import ORPHANED
from feedback.crew import reading_of, see, told_of
from feedback.formats.pictures import NoMediaStore
from feedback.plan import plan
from feedback.snapshot import snapshot
from feedback.spec import InvalidSpec
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
        try:
            work(session, lines)
        except (TargetDown, InvalidSpec, NoMediaStore) as problem:
            say(problem=str(problem))


def listen(lines: "queue.Queue[Line]") -> None:
    for line in sys.stdin:
        lines.put(json.loads(line))
    os._exit(ORPHANED)


def work(session: Session, lines: "queue.Queue[Line]") -> None:
    reading = reading_of(session, lines.get())
    configs = plan(reading.spec)
    while True:
        order = lines.get()
        before = 0

        def report(now: Progress) -> None:
            nonlocal before
            say(rows=now.done - before)
            before = now.done

        found, samples = reading.gather(
            configs[order["config"]], order["part"], Path(order["folder"]), Watch(report)
        )
        say(done=told_of(found, samples))


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
