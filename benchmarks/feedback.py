"""Acknowledged ratings a second and the slowest of a hundred: `python -m benchmarks.feedback`.

The whole of GenLoop over HTTP, on a real SQLite file, against Gradio's CSVLogger: once called by
threads of one process, without HTTP, which favours it, and once behind an unqueued Gradio event.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from sqlalchemy import insert
from sqlalchemy.orm import Session

from benchmarks.machine import description
from benchmarks.processes import Worker, free_port, served
from benchmarks.stock_flagging import POEM, PROMPT
from benchmarks.tables import number, table, times
from config import ROOT
from db.engine import Database
from db.migrate import migrate
from db.tables import FeedbackEvent, now
from feedback.consent import TERMS_VERSION, Permission, give
from feedback.identity import HEADER, Signer, kept_secret
from feedback.record import Output, Request, Times, record, register_version

COMMAND = "python -m benchmarks.feedback"
ROWS = (0, 10_000)
WRITERS = (1, 8, 32)
OUTPUTS = 64  # what the writers rate
SYNC_COUNTER = ROOT / "tests" / "reliability" / "powercut.c"
CONTESTANTS = ("GenLoop", "CSVLogger", "CSVLogger over HTTP")


@dataclass(frozen=True)
class Turn:
    """One measurement of one contestant."""

    rate: float  # acknowledged a second
    p99: float  # seconds
    acknowledged: int


Case = tuple[int, int]  # rows that were there, writers
Ask = Callable[[int, int, float], dict[str, Any]]  # rows, writers, seconds


@dataclass
class Figures:
    turns: dict[Case, dict[str, list[Turn]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    syncs: dict[tuple[str, int], float] = field(default_factory=dict)  # an acknowledgement

    def rate(self, case: Case, who: str) -> float:
        return median(turn.rate for turn in self.turns[case][who])

    def p99(self, case: Case, who: str) -> float:
        return median(turn.p99 for turn in self.turns[case][who])


@dataclass(frozen=True)
class Stage:
    """A data folder with outputs that one visitor may rate."""

    folder: Path
    token: str
    handles: list[str]


def set_stage(folder: Path, rows: int, url: str = "") -> Stage:
    """A database in which as many ratings are kept as are asked for; SQLite without a URL."""
    folder.mkdir()
    signer = Signer(kept_secret(folder / "secret"))
    token = signer.new_token()
    key_hash = signer.key_hash(token)
    assert key_hash is not None
    database = Database(url or f"sqlite:///{folder / 'app.db'}")
    migrate(database)
    made = database.write(lambda session: fill(session, key_hash, rows))
    database.close()
    return Stage(folder, token, [signer.handle(one, key_hash) for one in made])


def fill(session: Session, key_hash: str, rows: int) -> list[str]:
    """Ids of the visitor's outputs."""
    consent = give(session, key_hash, keep=True, train=True, language="en", version=TERMS_VERSION)
    assert consent is not None
    allowed = Permission(consent.visitor_id, consent.id, consent.train)
    version = register_version(
        session, task="text", name="poet", source="poet", revision=None, sha256="0" * 64
    )
    moment = now()
    moments = Times(moment, moment, moment, moment)
    output = Output(POEM, "complete", "end", 24)
    made: list[str] = []
    for _ in range(OUTPUTS):
        request = Request("text", version, {"prompt": PROMPT}, {"seed": 0}, input_tokens=8)
        made += record(session, allowed, request, [output], moments)
    ratings = [
        {
            "key": str(uuid.uuid4()),
            "generation_id": made[number % OUTPUTS],
            "visitor_id": allowed.visitor_id,
            "consent_id": allowed.consent_id,
            "kind": "thumb",
            "score": 1,
        }
        for number in range(rows)
    ]
    if ratings:
        session.execute(insert(FeedbackEvent), ratings)
    return made


def ask_genloop(client: Worker, port: int, stage: Stage) -> Ask:
    bodies = [
        json.dumps({"key": "KEY", "generation": handle, "kind": "thumb", "value": 1})
        for handle in stage.handles
    ]

    def ask(_rows: int, writers: int, seconds: float) -> dict[str, Any]:
        return client.ask(
            port=port,
            path="/api/feedback",
            headers={HEADER: stage.token},
            bodies=bodies,
            writers=writers,
            seconds=seconds,
        )

    return ask


def ask_flagging(client: Worker, port: int) -> Ask:
    bodies = [json.dumps({"data": [PROMPT, POEM]})]

    def ask(rows: int, writers: int, seconds: float) -> dict[str, Any]:
        begin = f"http://127.0.0.1:{port}/gradio_api/run/begin"
        httpx.post(begin, json={"data": [rows]}, timeout=60).raise_for_status()
        return client.ask(
            port=port,
            path="/gradio_api/run/flag",
            headers={},
            bodies=bodies,
            writers=writers,
            seconds=seconds,
        )

    return ask


def ask_logger(worker: Worker) -> Ask:
    def ask(rows: int, writers: int, seconds: float) -> dict[str, Any]:
        return worker.ask(rows=rows, writers=writers, seconds=seconds)

    return ask


def turn(answer: dict[str, Any]) -> Turn:
    if answer["refused"]:
        raise RuntimeError(f"{len(answer['refused'])} refused: {answer['refused'][0]}")
    latencies = answer["latencies"]
    slow = quantiles(latencies, n=100)[-1] if len(latencies) > 1 else latencies[0]
    return Turn(len(latencies) / answer["seconds"], min(slow, max(latencies)), len(latencies))


def settings(stage: Stage, port: int) -> dict[str, str]:
    return {
        "GENLOOP_DATA_DIR": str(stage.folder),
        "GENLOOP_PORT": str(port),
        "GENLOOP_RATE_LIMITS": "false",  # one visitor stands for a crowd
        "GENLOOP_LOG_LEVEL": "warning",
    }


def measure(runs: int = 3, seconds: float = 2.0) -> Figures:
    figures = Figures()
    data = ROOT / "data"  # a disk, where the usual temporary folder may be memory
    data.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=data)))
        flagging = free_port()
        command = ("-m", "benchmarks.stock_flagging", str(folder / "http"), str(flagging))
        stack.enter_context(served(*command, port=flagging))
        client = stack.enter_context(Worker("writers"))
        logger = stack.enter_context(Worker("stock_flagging", str(folder / "threads")))
        for rows in ROWS:
            stage, port = set_stage(folder / f"rows-{rows}", rows), free_port()
            with served("app.py", port=port, **settings(stage, port)):
                contestants = {
                    "GenLoop": ask_genloop(client, port, stage),
                    "CSVLogger": ask_logger(logger),
                    "CSVLogger over HTTP": ask_flagging(client, flagging),
                }
                measure_rows(figures, rows, contestants, runs, seconds)
        count_syncs(figures, folder, client)
    return figures


def measure_rows(
    figures: Figures, rows: int, contestants: dict[str, Ask], runs: int, seconds: float
) -> None:
    for ask in contestants.values():  # not counted: imports, caches, connections
        ask(0, 2, 0.5)
    for run in range(runs):
        names = list(contestants)
        for writers in WRITERS:
            for name in names[run % 3 :] + names[: run % 3]:
                done = turn(contestants[name](rows, writers, seconds))
                figures.turns[rows, writers][name].append(done)


def count_syncs(figures: Figures, folder: Path, client: Worker) -> None:
    """Syncs of files in the data folder for each acknowledgement, where there is a C compiler."""
    if shutil.which("cc") is None or not SYNC_COUNTER.exists():
        return
    library = folder / "syncs.so"
    flags = ["-O2", "-shared", "-fPIC", "-o", str(library), str(SYNC_COUNTER), "-ldl", "-lpthread"]
    subprocess.run(["cc", *flags], check=True)
    stage, port, counter = set_stage(folder / "counted", 0), free_port(), folder / "syncs"
    preload = {"LD_PRELOAD": str(library), "POWERCUT_SYNCS": str(counter)}
    with served(
        "app.py", port=port, **settings(stage, port), **preload, POWERCUT_DIR=str(stage.folder)
    ):
        count(figures, "GenLoop", ask_genloop(client, port, stage), counter)
    flagged, counter = folder / "flagged", folder / "flag-syncs"
    preload = {"LD_PRELOAD": str(library), "POWERCUT_SYNCS": str(counter)}
    with Worker("stock_flagging", str(flagged), **preload, POWERCUT_DIR=str(flagged)) as worker:
        count(figures, "CSVLogger", ask_logger(worker), counter)


def count(figures: Figures, who: str, ask: Ask, counter: Path) -> None:
    ask(0, 2, 0.5)
    for writers in WRITERS:
        before = counted(counter)
        acknowledged = turn(ask(0, writers, 1)).acknowledged
        figures.syncs[who, writers] = (counted(counter) - before) / acknowledged


def counted(counter: Path) -> int:
    return int.from_bytes(counter.read_bytes()[:8], "little")


def report(figures: Figures) -> str:
    """The tables in Markdown, ratios first."""
    ratios, rates = [], []
    for case in figures.turns:
        rows, writers = case
        rate = {who: figures.rate(case, who) for who in CONTESTANTS}
        ratios.append(
            [
                case_name(rows, writers),
                times(rate["GenLoop"] / rate["CSVLogger"]),
                times(rate["GenLoop"] / rate["CSVLogger over HTTP"]),
            ]
        )
        rates.append(
            [
                case_name(rows, writers),
                *(number(rate[who]) for who in CONTESTANTS),
                *(f"{number(1000 * figures.p99(case, who))} ms" for who in CONTESTANTS),
            ]
        )
    head = [*CONTESTANTS, *(f"p99, {who}" for who in CONTESTANTS)]
    return "\n\n".join(
        (
            table(["GenLoop's ratings/s against", *CONTESTANTS[1:]], ratios),
            table(["acknowledged ratings/s", *head], rates),
            syncs_table(figures),
            f"Medians of {len(next(iter(figures.turns.values()))['GenLoop'])} runs. `CSVLogger` is "
            "called by threads of one process, without HTTP; over HTTP it stands behind an "
            "unqueued Gradio event. The writers are a process of their own and keep their "
            "connections. GenLoop is the whole app with its rate limits off, for one visitor "
            "stands for a crowd. Its database keeps growing while it is measured; CSVLogger "
            "begins each run with a new file of so many rows.",
        )
    )


def case_name(rows: int, writers: int) -> str:
    return f"{many(rows, 'row')}, {many(writers, 'writer')}"


def many(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def syncs_table(figures: Figures) -> str:
    if not figures.syncs:
        return "Syncs were not counted: there is no C compiler here."
    rows = [
        [
            many(writers, "writer"),
            *(f"{figures.syncs[who, writers]:.2f}" for who in CONTESTANTS[:2]),
        ]
        for writers in WRITERS
    ]
    return table(["syncs an acknowledgement", *CONTESTANTS[:2]], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3, help="runs of each case")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a run")
    asked = parser.parse_args()
    print(description(), report(measure(asked.runs, asked.seconds)), sep="\n\n")


if __name__ == "__main__":
    main()
