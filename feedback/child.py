"""Run a module in a process that ends with its parent: `python feedback/child.py MODULE ...`.

The parent keeps the other end of standard input. When it is gone, killed or not, input ends, and so
does this process: nobody else may think that the job is not running while it still is.
"""

import os
import runpy
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ORPHANED = 70  # exit code


def end_with_parent() -> None:
    while os.read(0, 1024):  # standard input itself: Python's buffer has a lock of its own
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.path[0] = str(ROOT)  # whatever folder the app was started in, which stays the current one
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
