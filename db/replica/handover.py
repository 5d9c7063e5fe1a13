"""One app goes, the next comes: the old one copies its last rows before the new one rebuilds them.

The new one leaves a wish in the log. An app that still runs sees it, takes no more writes, copies
what is left, and says with its last mark that it is done. One that was killed answers nothing.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from db.ids import uuid7
from db.replica import marks
from db.replica.marks import FOLDER
from db.replica.targets import Target, TargetDown

log = logging.getLogger(__name__)

WISH = f"{FOLDER}/wanted-"
PATIENCE = 3  # times as long as the other one takes to look
LEAST, MOST = 1.0, 120.0  # seconds
RENEWED = 15.0  # seconds after which a wish is written again, so that it is not taken for old


def wishes(names: list[str]) -> list[str]:
    """Those of the names in the log that ask for a handover."""
    return [name for name in names if name.startswith(WISH)]


@contextmanager
def wish(target: Target) -> Iterator[None]:
    """Ask whoever writes there to end, and wait until that is so, or nobody answers.

    The wish stands, and is renewed, until the block ends: a rebuild may take its time.
    """
    newest = marks.last(target)
    if newest is None or newest.mark.released:
        yield
        return
    name, done = f"{WISH}{uuid7()}.json", threading.Event()
    target.put({name: b"0"})
    renewal = threading.Thread(target=renew, args=[target, name, done], daemon=True)
    renewal.start()
    try:
        wait(target, min(max(PATIENCE * newest.mark.looks_every, LEAST), MOST))
        yield
    finally:
        done.set()
        renewal.join()
        with suppress(TargetDown):
            target.remove([name])


def renew(target: Target, name: str, done: threading.Event) -> None:
    count = 0
    while not done.wait(RENEWED):
        count += 1
        with suppress(TargetDown):
            target.put({name: str(count).encode()})


def wait(target: Target, patience: float) -> None:
    log.info("an app may still write to %s: giving it %.0f s to end", target.url, patience)
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        newest = marks.last(target)
        if newest is not None and newest.mark.released:
            return
        time.sleep(min(1.0, patience / 20))
    log.info("no answer: it is taken for dead")
