"""What copying costs visitors, and how long a rebuild takes: `python -m benchmarks.replica`.

The whole of GenLoop over HTTP on a real SQLite file, three times in turn: without a copy, with one
in a folder every 10 seconds (the default), and with one every second.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.feedback import Turn, ask_genloop, many, set_stage, settings, turn
from benchmarks.machine import description
from benchmarks.processes import Worker, free_port, served
from benchmarks.tables import number, table, times
from config import ROOT
from db.engine import Database
from db.media import MediaStore
from db.migrate import migrate
from db.replica.folder_target import FolderTarget
from db.replica.replay import Report, replay

WRITERS = (1, 8, 32)
CONTESTANTS = {"no copy": None, "every 10 s": 10, "every second": 1}
Turns = dict[tuple[str, int], list[Turn]]


def measure(runs: int, seconds: float) -> tuple[Turns, Report, float]:
    """The turns of each contestant, and what a rebuild brought back in how many seconds."""
    turns: Turns = {}
    data = ROOT / "data"  # a disk, where the usual temporary folder may be memory
    data.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data) as place:
        folder = Path(place)
        with ExitStack() as stack:
            client = stack.enter_context(Worker("writers"))
            asks = {}
            for name, every in CONTESTANTS.items():
                stage, port = set_stage(folder / name, 10_000), free_port()
                given = settings(stage, port)
                if every is not None:
                    (folder / f"copy {name}").mkdir()
                    given["GENLOOP_REPLICA"] = str(folder / f"copy {name}")
                    given["GENLOOP_REPLICA_SECONDS"] = str(every)
                stack.enter_context(served("app.py", port=port, **given))
                asks[name] = ask_genloop(client, port, stage)
                asks[name](0, 2, 1.0)  # not counted: imports, caches, connections
            for run in range(runs):
                names = list(asks)
                for writers in WRITERS:
                    for name in names[run % 3 :] + names[: run % 3]:
                        done = turn(asks[name](0, writers, seconds))
                        turns.setdefault((name, writers), []).append(done)
        return turns, *rebuild(folder / "rebuilt", FolderTarget(folder / "copy every 10 s"))


def rebuild(folder: Path, target: FolderTarget) -> tuple[Report, float]:
    folder.mkdir()
    database = Database(f"sqlite:///{folder / 'app.db'}")
    migrate(database)
    began = time.perf_counter()
    report = replay(database, MediaStore(folder / "media"), target)
    took = time.perf_counter() - began
    database.close()
    assert report is not None
    return report, took


def report(turns: Turns, rebuilt: Report, took: float) -> str:
    """The tables in Markdown, ratios first."""

    def rate(name: str, writers: int) -> float:
        return median(turn.rate for turn in turns[name, writers])

    def p99(name: str, writers: int) -> str:
        return f"{number(1000 * median(turn.p99 for turn in turns[name, writers]))} ms"

    ratios = [
        [
            many(writers, "writer"),
            *(times(rate(name, writers) / rate("no copy", writers)) for name in CONTESTANTS),
        ]
        for writers in WRITERS
    ]
    rates = [
        [
            many(writers, "writer"),
            *(number(rate(name, writers)) for name in CONTESTANTS),
            *(p99(name, writers) for name in CONTESTANTS),
        ]
        for writers in WRITERS
    ]
    rows = sum(rebuilt.rows.values())
    return "\n\n".join(
        (
            table(["ratings/s against no copy", *CONTESTANTS], ratios),
            table(
                ["acknowledged ratings/s", *CONTESTANTS, *(f"p99, {name}" for name in CONTESTANTS)],
                rates,
            ),
            f"An empty database was rebuilt from {many(rebuilt.marks, 'mark')} with "
            f"{many(rows, 'row')} in {number(took)} s, {number(rows / took)} rows/s.",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5, help="runs of each case")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a run")
    asked = parser.parse_args()
    print(description(), report(*measure(asked.runs, asked.seconds)), sep="\n\n")


if __name__ == "__main__":
    main()
