"""One app goes, the next comes: the old one copies its last rows before the new one rebuilds them.

The new one leaves a wish in the log. An app that still runs sees it, takes no more writes, copies
what is left, and says with its last mark that it is done. One that was killed answers nothing.
"""

import json
import logging
import time

from db.ids import uuid7
from db.replica import marks
from db.replica.marks import FOLDER
from db.replica.targets import Target
from db.tables import now

log = logging.getLogger(__name__)

WISH = f"{FOLDER}/wanted-"
PATIENCE = 3  # times as long as the other one takes to look
LEAST, MOST = 1.0, 120.0  # seconds


def wishes(names: list[str]) -> list[str]:
    """Those of the names in the log that ask for a handover."""
    return [name for name in names if name.startswith(WISH)]


def ask_and_wait(target: Target) -> None:
    """Let an app that still writes there end in order; return when it has, or does not answer."""
    newest = marks.last(target)
    if newest is None or newest.mark.released:
        return
    patience = min(max(PATIENCE * newest.mark.looks_every, LEAST), MOST)
    log.info("an app may still write to %s: giving it %.0f s to end", target.url, patience)
    wish = f"{WISH}{uuid7()}.json"
    target.put({wish: json.dumps({"at": now().isoformat()}).encode()})
    ends = time.monotonic() + patience
    try:
        while time.monotonic() < ends:
            newest = marks.last(target)
            if newest is not None and newest.mark.released:
                return
            time.sleep(min(1.0, patience / 20))
        log.info("no answer: it is taken for dead")
    finally:
        target.remove([wish])
