"""Acknowledged ratings a second of each way to set up the app: `python -m benchmarks.setups`.

The whole of GenLoop over HTTP, three times in turn on one machine: on SQLite; on a PostgreSQL whose
commits wait for the disk; and twice on such a one, behind the nginx of deploy/nginx.conf. The
server of the database, the proxy and the writers share the machine with the app.
"""

import argparse
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks.feedback import Ask, Turn, ask_genloop, many, set_stage, settings, turn
from benchmarks.machine import description
from benchmarks.processes import Worker, free_port, served
from benchmarks.tables import number, table, times
from config import ROOT
from tests.postgres_server import own_postgres, postgres_database
from tests.reliability.proxy import nginx

WRITERS = (1, 8, 32)
ROWS = 10_000
SQLITE, POSTGRES, REPLICAS = "SQLite", "PostgreSQL", "2 replicas, PostgreSQL"
SETUPS = (SQLITE, POSTGRES, REPLICAS)
Turns = dict[tuple[str, int], list[Turn]]


def measure(runs: int, seconds: float) -> Turns:
    turns: Turns = defaultdict(list)
    data = ROOT / "data"  # a disk, where the usual temporary folder may be memory
    data.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=data)))
        server = stack.enter_context(own_postgres(durable=True))
        client = stack.enter_context(Worker("writers"))
        databases = {
            POSTGRES: stack.enter_context(postgres_database(server)),
            REPLICAS: stack.enter_context(postgres_database(server)),
        }
        asks = {
            SQLITE: set_up(stack, client, folder / "sqlite"),
            POSTGRES: set_up(stack, client, folder / "postgres", databases[POSTGRES]),
            REPLICAS: set_up(stack, client, folder / "replicas", databases[REPLICAS], replicas=2),
        }
        for ask in asks.values():  # not counted: imports, caches, connections
            ask(0, 4, 1.0)
        for run in range(runs):
            for writers in WRITERS:
                for name in SETUPS[run % 3 :] + SETUPS[: run % 3]:
                    turns[name, writers].append(turn(asks[name](0, writers, seconds)))
    return turns


def set_up(stack: ExitStack, client: Worker, folder: Path, url: str = "", replicas: int = 1) -> Ask:
    """How to ask the app, which runs until the stack is unwound."""
    stage, ports = set_stage(folder, ROWS, url), [free_port() for _ in range(replicas)]
    for port in ports:
        given = {**settings(stage, port), **({"DATABASE_URL": url} if url else {})}
        given["GENLOOP_TRUSTED_PROXIES"] = str(int(replicas > 1))
        stack.enter_context(served("app.py", port=port, **given))
    if replicas == 1:
        return ask_genloop(client, ports[0], stage)
    proxy = stack.enter_context(nginx(folder / "nginx", ports))
    return ask_genloop(client, urlsplit(proxy).port or 0, stage)


def report(turns: Turns) -> str:
    """The tables in Markdown, ratios first."""

    def rate(name: str, writers: int) -> float:
        return median(turn.rate for turn in turns[name, writers])

    def p99(name: str, writers: int) -> str:
        return f"{number(1000 * median(turn.p99 for turn in turns[name, writers]))} ms"

    ratios, rates = [], []
    for writers in WRITERS:
        case = many(writers, "writer")
        of = {name: rate(name, writers) for name in SETUPS}
        ratios.append([case, *(times(of[name] / of[SQLITE]) for name in SETUPS)])
        slow = (p99(name, writers) for name in SETUPS)
        rates.append([case, *(number(of[name]) for name in SETUPS), *slow])
    head = ["acknowledged ratings/s", *SETUPS, *(f"p99, {name}" for name in SETUPS)]
    return "\n\n".join((table(["ratings/s against SQLite", *SETUPS], ratios), table(head, rates)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5, help="runs of each case")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a run")
    asked = parser.parse_args()
    print(description(), report(measure(asked.runs, asked.seconds)), sep="\n\n")


if __name__ == "__main__":
    main()
