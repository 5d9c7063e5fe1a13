"""Read the rows of an export on a cluster of Ray, with Ray Data: on more than one machine.

The workers read parts of the same database, as of the same moment, with the same functions as a
single process, and send the rows back; they are weighed, split and written where the export was
asked for. Ray is an extra of its own: requirements-ray.txt.
"""

import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from config import ROOT
from db.engine import Database
from feedback.crew import WorkerGone, briefing, exported, reading_of, see, together, told_of
from feedback.plan import Config, plan
from feedback.reading import Found, Reading
from feedback.redact import Sample
from feedback.snapshot import snapshot
from feedback.spec import InvalidSpec
from feedback.watch import Watch

LOCAL = "local"  # a cluster of this machine alone, for as long as the export takes
EACH = 20_000  # generations of a part at most: some ten MB on their way back
SHARE = 4  # parts for each processor, so that none waits long for another
LEFT_HERE = [".git", ".venv", "data", "tests", "docs", "benchmarks", "**/__pycache__"]

Row = dict[str, Any]


class OnRay:
    """The workers of a cluster: `local`, or the address that `ray.init` takes."""

    def __init__(self, address: str = LOCAL) -> None:
        self.address = address
        self.ray: Any = None
        self.eyes: dict[str, Any] = {}

    def begin(self, database: Database, session: Session) -> None:
        """Raises InvalidSpec where several machines cannot read the database, or WorkerGone."""
        if database.is_sqlite:
            raise InvalidSpec(
                "a SQLite file can be read by this machine alone: give --processes instead of "
                "--ray, or move to PostgreSQL (python -m db.move)"
            )
        # Otherwise Ray reports to its makers that and how it is used.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        try:
            ray.init(
                self.address,
                runtime_env={
                    "working_dir": str(ROOT),
                    "excludes": LEFT_HERE,
                    "env_vars": {"TOKENIZERS_PARALLELISM": "false"},  # each has a processor
                },
                log_to_driver=False,
                include_dashboard=False if self.address == LOCAL else None,
            )
        except ConnectionError as problem:
            raise WorkerGone(f"no cluster of Ray answers at {self.address}: {problem}") from problem
        self.ray = ray
        ray.data.DataContext.get_current().enable_progress_bars = False
        url = database.url.render_as_string(hide_password=False)
        self.eyes = {"database": url, "snapshot": exported(session)}

    def gather(
        self, reading: Reading, config: Config, folder: Path, watch: Watch
    ) -> tuple[Found, list[Sample]]:
        from ray.exceptions import RayError

        ray, processors = self.ray, max(int(self.ray.cluster_resources().get("CPU", 1)), 1)
        number = max(SHARE * processors, -(-reading.count(config) // EACH))
        parts = reading.parts(config, number)
        folder.mkdir()
        orders = [{"number": number, "part": part} for number, part in enumerate(parts)]
        rows = ray.data.from_items(orders, override_num_blocks=len(orders)).map(
            PartReader,
            fn_constructor_args=(self.eyes, briefing(portable(reading)), config.number),
            concurrency=(1, processors),
        )
        told: dict[int, Row] = {}
        try:
            for row in rows.iter_rows():
                told[row["number"]] = json.loads(row["told"])
                keep(row, folder / str(row["number"]))
                watch.step(row["generations"])
        except RayError as problem:
            raise WorkerGone(f"Ray could not read the rows: {problem}") from problem
        nothing = reading.place_for(config, folder / "all")
        others = ((folder / str(each), told[each]) for each in sorted(told))
        return together(reading, config, nothing, [], others)

    def close(self) -> None:
        if self.ray is not None:
            self.ray.shutdown()
            self.ray = None


class PartReader:
    """Reads parts on a machine of the cluster: the rows of each as bytes."""

    def __init__(self, eyes: Row, brief: Row, config: int) -> None:
        self.stack = ExitStack()
        database = Database(eyes["database"])
        session = self.stack.enter_context(snapshot(database))
        see(session, eyes["snapshot"])
        self.reading = reading_of(session, brief)
        self.config = plan(self.reading.spec)[config]

    def __call__(self, order: Row) -> Row:
        watch = Watch()
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "rows"
            found, samples = self.reading.gather(self.config, order["part"], folder, watch)
            told = told_of(found, samples)
            files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
        return {
            "number": order["number"],
            "told": json.dumps(told),
            "generations": watch.done,
            **files,
        }


def keep(row: Row, folder: Path) -> None:
    """The files that a worker has sent."""
    folder.mkdir()
    for name, content in row.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)


def portable(reading: Reading) -> Reading:
    """With the tokenizer by its place in GenLoop's own folder, which the cluster is given."""
    lint = reading.spec.lint
    folder = Path(lint.tokenizer).absolute()
    if not lint.tokenizer or not folder.is_relative_to(ROOT):
        return reading
    here = replace(lint, tokenizer=str(folder.relative_to(ROOT)))
    return replace(reading, spec=replace(reading.spec, lint=here))
