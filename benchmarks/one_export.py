"""One contestant of benchmarks/export.py: `python -m benchmarks.one_export URL NAME FOLDER`.

Exports the database at the URL and prints seconds, rows and the peak of memory as JSON.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

JOINED = """
SELECT e.id, e.kind, e.score, e.text, e.items, e.retracted, e.created_at, e.visitor_id,
       g.id AS generation_id, g.inputs, g.options, g.output_text, g.finished_at, g.model_version_id
FROM feedback_events e JOIN generations g ON g.id = e.generation_id
ORDER BY e.id
"""


def genloop(url: str, name: str, folder: Path) -> int:
    """Export in a format, with everything that is done by itself; how many rows were tried."""
    from db.engine import Database
    from feedback.dataset import export
    from feedback.spec import Lint, of

    database = Database(url)
    # What opens the dataset at the end is measured by itself: it is the same for every size.
    manifest = export(database, of(name, lint=Lint(consumers=False)), folder / "out", name=name)
    database.close()
    return int(manifest["selected"])


def pandas(url: str, _name: str, folder: Path) -> int:
    import pandas
    from sqlalchemy import create_engine

    rows = pandas.read_sql(JOINED, create_engine(url))
    rows.to_json(folder / "events.jsonl", orient="records", lines=True, date_format="iso")
    return len(rows)


def bare() -> float:
    """MB that an interpreter needs at most which has done nothing."""
    code = "print(open('/proc/self/status').read())"
    return highest(subprocess.check_output([sys.executable, "-c", code], text=True))


def highest(status: str) -> float:
    """The peak of resident memory in /proc/PID/status, in MB; getrusage counts the parent's too."""
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(kilobytes) / 1024


def main() -> None:
    url, name, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    work = pandas if name == "pandas" else genloop
    began = time.perf_counter()
    rows = work(url, name, folder)
    seconds = time.perf_counter() - began
    peak = highest(Path("/proc/self/status").read_text()) - bare()
    print(json.dumps({"seconds": seconds, "rows": rows, "peak": peak}))


if __name__ == "__main__":
    main()
