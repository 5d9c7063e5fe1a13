"""Several processes read the rows of an export: the same rows, as of one moment, or none."""

import json
import os
import subprocess
import sys
import threading

import pytest

from config import ROOT
from db.engine import Database
from db.erasure import erase_visitor
from db.migrate import migrate
from feedback.crew import Alone, Processes, WorkerGone, crew_of
from feedback.dataset import export, preview
from feedback.formats import FORMATS
from feedback.formats.pictures import Pictures
from feedback.on_ray import OnRay
from feedback.plan import plan
from feedback.priority import NICE
from feedback.reading import Reading
from feedback.snapshot import last_moment, snapshot
from feedback.spec import InvalidSpec, Lint, Recipe, Redaction, Selection, Splits
from feedback.watch import Cancelled
from tests.exporting import bare, fill, rows_of
from tests.factories import make_generation, make_visitor, rate

postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

SPECS = {
    "texts": bare(
        *(name for name, form in FORMATS.items() if form.task == "text"),
        "events",
        splits=Splits(0.3),
        redaction=Redaction("replace"),
        selection=Selection(cap_rows=4),
    ),
    "near-duplicates": bare(
        "sft", selection=Selection(near_duplicates=0.85, cap_rows=None), splits=Splits(0.4)
    ),
    "reasons": bare("sft", "rubric", selection=Selection(reasons=("beautiful",))),
    "some events": bare(
        "events",
        redaction=Redaction("drop_row"),
        selection=Selection(sources=("thumb", "edit"), exclude_visitors=(2,)),
        files="csv",
    ),
    "turns": bare(Recipe("dpo", "conversational"), files="parquet"),
}


@pytest.fixture
def feedback(database):
    fill(database)

    def work(session):
        ann = make_visitor(session)
        for number in range(40):
            poem = make_generation(
                session, ann, prompt=f"call +86 138 0013 80{number % 7}0", output=f"poem {number}"
            )
            rate(session, ann, poem, "thumb", 1)
            rate(session, make_visitor(session), poem, "thumb", -1 if number % 5 else 1)

    database.write(work)


@pytest.fixture
def crew():
    workers = Processes(3)
    yield workers
    workers.close()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_several_write_the_same_bytes_as_one(database, feedback, tmp_path, spec):
    alone = export(database, spec, tmp_path / "a", name="x", version=1)
    several = export(database, spec, tmp_path / "b", name="x", version=1, crew=Processes(3))

    assert alone["rows"] > 0
    assert several["files"] == alone["files"]
    assert several["configs"] == alone["configs"]
    assert several["splits"] == alone["splits"]


def test_a_preview_shows_the_same_whoever_reads(database, feedback):
    alone, several = (
        preview(database, SPECS["texts"], crew=crew) for crew in (Alone(), Processes(2))
    )

    assert alone.personal_data
    assert several.rows == alone.rows
    assert several.personal_data == alone.personal_data
    assert several.summary["configs"] == alone.summary["configs"]


def test_parts_hold_every_generation_once_and_groups_whole(database, feedback, tmp_path):
    spec = bare("dpo").at(last_moment(database))
    with snapshot(database) as session:
        [config] = plan(spec)
        reading = Reading(session, spec, Pictures(None), None)
        parts = reading.parts(config, 5)
        whole = [one.id for group in reading.of(config).prompts("text") for one in group]
        groups = [
            [one.id for one in group]
            for part in parts
            for group in reading.of(config, part).prompts("text")
        ]

    assert len(parts) == 5
    assert [one for group in groups for one in group] == whole


def test_all_see_the_moment_at_which_the_export_began(database, feedback, tmp_path, crew):
    """What is said and erased once it has begun changes nothing; not even what is erased."""
    expected = export(database, SPECS["texts"], tmp_path / "a", name="x", version=1)
    begin = crew.begin

    def and_then_much_happens(*asked):
        begin(*asked)
        fill(database)
        database.write(lambda session: erase_visitor(session, 1))

    crew.begin = and_then_much_happens
    seen = export(database, SPECS["texts"], tmp_path / "b", name="x", version=1, crew=crew)

    assert {name: seen["files"][name] for name in seen["files"] if name != "README.md"} == {
        name: expected["files"][name] for name in expected["files"] if name != "README.md"
    }


def test_a_worker_that_is_killed_ends_the_export_and_leaves_nothing(
    database, feedback, tmp_path, crew
):
    begin = crew.begin

    def and_one_is_killed(*asked):
        begin(*asked)
        crew.workers[0].process.kill()

    crew.begin = and_one_is_killed
    with pytest.raises(WorkerGone):
        export(database, bare("sft"), tmp_path / "out", crew=crew)

    assert not (tmp_path / "out").exists()
    assert crew.workers == []


def test_workers_go_with_an_export_that_is_cancelled(database, feedback, tmp_path, crew):
    begun = threading.Event()
    begin, ended = crew.begin, []

    def remembered(*asked):
        begin(*asked)
        ended.extend(worker.process for worker in crew.workers)
        begun.set()

    crew.begin = remembered
    with pytest.raises(Cancelled):
        export(database, bare("sft"), tmp_path / "out", crew=crew, cancelled=begun.is_set)

    assert [process.poll() is not None for process in ended] == [True] * 2
    assert not (tmp_path / "out").exists()


def test_workers_end_when_whoever_started_them_is_killed(database_url, tmp_path):
    code = (
        "import os, sys; from db.engine import Database; from feedback.crew import Processes;"
        "from feedback.snapshot import snapshot; database = Database(sys.argv[1]);"
        "crew = Processes(3); held = snapshot(database); crew.begin(database, held.__enter__());"
        "print(*[worker.process.pid for worker in crew.workers], flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, database_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )

    for worker in map(int, done.stdout.split()):
        wait_for_the_end(worker)


def wait_for_the_end(process):
    """Of a process that is nobody's child here; pytest's time limit ends the wait."""
    while os.path.exists(f"/proc/{process}/cmdline"):
        with open(f"/proc/{process}/cmdline", "rb") as file:
            if b"crew_worker" not in file.read():
                return  # ended, or its number is somebody else's


def test_the_command_reads_with_as_many_processes_as_it_is_told(
    database, database_url, feedback, tmp_path
):
    environment = {**os.environ, "DATABASE_URL": database_url}
    for processes, folder in (("1", "a"), ("2", "b")):
        command = [sys.executable, "-m", "feedback.export", "--format", "sft", "--name", "x"]
        subprocess.run(
            [*command, "--out", str(tmp_path / folder), "--processes", processes, "--no-lint"],
            cwd=ROOT,
            env=environment,
            check=True,
        )

    rows = [rows_of(tmp_path / folder) for folder in ("a", "b")]
    manifests = [json.loads((tmp_path / each / "manifest.json").read_bytes()) for each in "ab"]
    assert rows[0] == rows[1] != []
    assert manifests[0]["configs"] == manifests[1]["configs"]


def test_little_is_read_by_one(database, feedback):
    assert isinstance(crew_of(database, 0), Alone)
    assert isinstance(crew_of(database, 2), Processes)


# On a cluster


@pytest.fixture
def cluster(monkeypatch):
    """Two workers of Ray on this machine."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    init = ray.init
    monkeypatch.setattr(ray, "init", lambda *args, **kwargs: init(*args, num_cpus=2, **kwargs))
    crew = OnRay()
    yield crew
    crew.close()


@postgresql
@pytest.mark.slow
def test_a_cluster_reads_the_same_rows_as_one(database, feedback, tmp_path, cluster):
    names = ("sft", "dpo", "kto", "events")
    spec = bare(*names, splits=Splits(0.3), redaction=Redaction("replace"), lint=Lint(False))
    alone = export(database, spec, tmp_path / "a", name="x", version=1)
    several = export(database, spec, tmp_path / "b", name="x", version=1, crew=cluster)

    hashes = [
        [row["genloop_row_sha256"] for row in rows_of(folder, name)]
        for folder in (tmp_path / "a", tmp_path / "b")
        for name in ("sft", "dpo", "kto")
    ]
    assert all(hashes[:3])
    assert hashes[:3] == hashes[3:]
    assert several["files"] == alone["files"]


def test_a_sqlite_file_is_not_for_a_cluster(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'app.db'}")
    migrate(database)

    with pytest.raises(InvalidSpec, match="--processes instead of --ray"):
        export(database, bare("sft"), tmp_path / "out", crew=OnRay())

    database.close()
    assert not (tmp_path / "out").exists()


@postgresql
def test_a_cluster_that_is_not_there_is_told(database, feedback, tmp_path):
    with pytest.raises(WorkerGone, match="no cluster of Ray answers at auto"):
        export(database, bare("sft"), tmp_path / "out", crew=OnRay("auto"))

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("further", [0, 15])
def test_an_export_lets_others_go_first(further):
    code = (
        "import os; from feedback.priority import step_back;"
        f"before = os.nice({further}); step_back(); print(before, os.nice(0))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    before, after = map(int, said.stdout.split())

    assert before >= further  # whoever runs the tests may have stepped back already
    assert after == max(before, NICE)
