"""How a dataset comes into the world: whole, the same each time, and with all it says of itself."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count as count_up

import pytest
from sqlalchemy import func, select

from config import ROOT
from db.engine import Database
from db.migrate import migrate
from db.tables import Export, ExportRow, FeedbackEvent
from feedback.dataset import export, preview
from feedback.dataset_folder import FolderInUse
from feedback.formats import FORMATS
from feedback.ledger import VersionTaken, enter
from feedback.snapshot import last_moment, lock, moment, snapshot
from feedback.spec import InvalidSpec, Recipe, Splits, as_json, from_json
from feedback.watch import Cancelled
from tests.exporting import bare, data_file, exported, fill, new, read_rows, rows_of
from tests.factories import make_generation, make_visitor, rate

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SPECS = {
    "sft": bare("sft"),
    "dpo conversational": bare(Recipe("dpo", "conversational")),
    "kto csv": bare("kto", files="csv"),
    "dpo parquet": bare(Recipe("dpo", "conversational"), files="parquet"),
    "rubric": bare("rubric"),
    "openai": bare(Recipe("sft", "openai")),
    "events": bare("events"),
    "events csv": bare("events", files="csv"),
    "events parquet": bare("events", files="parquet"),
    "spreadsheet": bare(Recipe("events", flavour="spreadsheet", bom=True)),
    "several": bare("sft", "dpo", "kto", "prompts", "events", splits=Splits(0.3)),
    "several in parquet": bare("sft", "rewards", files="parquet", splits=Splits(0.3), shard_mb=1),
}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


@pytest.fixture
def feedback(database):
    fill(database)


# The folder


@sqlite
@every_spec
def test_the_same_database_gives_the_same_bytes(database, feedback, tmp_path, spec):
    folders = tmp_path / "a", tmp_path / "b"
    first, second = (export(database, spec, folder, name="x") for folder in folders)

    assert (first["version"], second["version"]) == (1, 2)
    for name in {*first["files"], *second["files"]} - {"README.md"}:
        assert first["files"][name] == second["files"][name]
        assert len({(folder / name).read_bytes() for folder in folders}) == 1


@every_spec
def test_the_manifest_says_what_is_in_the_folder(database, feedback, tmp_path, spec):
    folder = tmp_path / "deep" / "out"

    export(database, spec, folder)

    manifest = json.loads((folder / "manifest.json").read_bytes())
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    named = manifest["files"] | manifest["for_the_owner"]
    assert files == {*named, "manifest.json"}
    assert ("assignments.jsonl" in files) == bool(spec.splits.test)
    for name, file in named.items():
        content = (folder / name).read_bytes()
        assert file == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert manifest["selected"] == manifest["rows"] + manifest["quarantined"]
    for config in manifest["configs"]:
        assert config["selected"] == config["rows"] + config["quarantined"]
        assert config["rows"] == sum(config["rows_by_source"].values())
        written = [file["rows"] for files in config["splits"].values() for file in files]
        assert config["rows"] == sum(written)
    assert manifest["spec"]["as_of"]["events"] == manifest["events"] == 49
    assert manifest["events_allowed_for_training"] == 49
    assert manifest["schema_revision"] and manifest["app_version"] and manifest["created_at"]
    [version] = manifest["model_versions"]
    assert (version["name"], version["weights_sha256"]) == ("poet", "0" * 64)
    [terms] = manifest["terms"]
    assert terms["version"] == "2026-11" and terms["language"] == "en"


@sqlite
def test_the_spec_in_the_manifest_asks_for_the_same_again(database, feedback, tmp_path):
    first = exported(database, tmp_path / "a", "dpo", splits=Splits(0.3))
    fill(database)

    again = export(database, from_json(first["spec"]), tmp_path / "b", name="a", version=1)

    assert again["events"] == first["events"]
    assert again["spec"] == first["spec"]
    for name in first["files"].keys() - {"README.md"}:
        assert again["files"][name] == first["files"][name]
    assert exported(database, tmp_path / "c", "dpo")["selected"] > first["selected"]


@sqlite
def test_a_large_dataset_is_written_in_several_files(database, tmp_path):
    def work(session):
        ann = make_visitor(session)
        for number in range(8):
            poem = make_generation(session, ann, prompt=f"题{number}", output="白" * 20_000)
            rate(session, ann, poem, "edit", f"{number}" + "银" * 19_000)

    database.write(work)

    for files in ("jsonl", "parquet"):
        folder = tmp_path / files
        exported(database, folder, "dpo", files=files, shard_mb=1)
        assert len(rows_of(folder)) == 8
    exported(database, tmp_path / "small", "dpo", shard_mb=1)
    # 8 rows of 120 kB are less than a MiB, 16 are more
    assert data_file(tmp_path / "small").name == "train.jsonl"
    database.write(work)
    database.write(lambda session: rename_edits(session))
    exported(database, tmp_path / "large", "dpo", shard_mb=1)
    names = sorted(path.name for path in (tmp_path / "large").glob("train*"))
    assert names == ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]
    assert len(rows_of(tmp_path / "large")) == 16


def rename_edits(session):
    """Make the second eight say something else than the first."""
    for event in session.scalars(select(FeedbackEvent).where(FeedbackEvent.id > 8)):
        event.text = "金" + event.text[1:] + str(event.id)


def test_every_row_names_what_it_rests_on(database, tmp_path):
    def work(session):
        ann = make_visitor(session)
        poem = make_generation(session, ann)
        rate(session, ann, poem, "thumb", 1)
        rate(session, ann, poem, "edit", "银")
        return poem

    generation = database.write(work)

    exported(database, tmp_path / "out", "sft")

    [row] = rows_of(tmp_path / "out")
    assert row["genloop_source"] == "edited"
    assert row["genloop_generation_ids"] == generation
    assert row["genloop_event_ids"] == "2"
    told = {name: value for name, value in row.items() if name not in LATER}
    content = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    assert row["genloop_row_sha256"] == hashlib.sha256(content).hexdigest()


LATER = ("genloop_row_sha256", "genloop_raters", "genloop_agreement")


@sqlite
def test_where_openais_rows_are_from_stands_beside_them(database, feedback, tmp_path):
    exported(database, tmp_path / "out", Recipe("sft", "openai"))

    rows = rows_of(tmp_path / "out")
    origins = read_rows(tmp_path / "out" / "train.origin.jsonl")
    assert len(rows) == len(origins)
    assert all(row.keys() == {"messages"} for row in rows)
    assert all(origin["genloop_event_ids"] for origin in origins)


def test_what_is_at_the_place_already_is_not_touched(database, feedback, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")

    with pytest.raises(FolderInUse, match="not empty"):
        exported(database, tmp_path / "out", "sft")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@sqlite
def test_an_empty_folder_is_filled(database, feedback, tmp_path):
    (tmp_path / "out").mkdir()

    exported(database, tmp_path / "out", "sft")

    assert (tmp_path / "out" / "manifest.json").exists()


@sqlite
def test_a_long_name_is_cut(database, feedback, tmp_path):
    assert exported(database, tmp_path / "out", "sft", name="x" * 300)["name"] == "x" * 200


# The ledger


@sqlite
@every_spec
def test_the_ledger_names_the_events_of_every_row(database, feedback, tmp_path, spec):
    manifest = export(database, spec, tmp_path / "out", name="poems")

    with database.read() as session:
        [entry] = session.scalars(select(Export)).all()
        rows = session.scalars(select(ExportRow)).all()
    content = (tmp_path / "out" / "manifest.json").read_bytes()
    assert (entry.name, entry.version, entry.rows) == ("poems", 1, manifest["rows"])
    assert entry.manifest_sha256 == hashlib.sha256(content).hexdigest()
    assert entry.manifest == json.loads(content) == manifest
    assert entry.folder == str(tmp_path / "out")
    assert {row.row for row in rows} == set(range(manifest["selected"]))
    kept = [row for row in rows if row.quarantine_reason is None]
    assert len({row.row for row in kept}) == manifest["rows"]
    for config in manifest["configs"]:
        mine = {row.row_sha256 for row in kept if row.config == config["name"]}
        assert len(mine) == config["rows"]
        if config["format"] != "events" and config["shape"] != "openai" != config["files"]:
            for split in config["splits"]:
                written = (
                    rows_of(tmp_path / "out", config["name"], split)
                    if (config["files"] != "csv")
                    else []
                )
                assert {row["genloop_row_sha256"] for row in written} <= mine
                in_ledger = {
                    row.row for row in kept if (row.config, row.split) == (config["name"], split)
                }
                assert len(in_ledger) == sum(file["rows"] for file in config["splits"][split])


@sqlite
def test_a_ledger_that_was_cut_short_can_be_completed(database, feedback, tmp_path):
    manifest = exported(database, tmp_path / "out", "dpo")
    database.write(lambda session: session.query(ExportRow).filter(ExportRow.row > 3).delete())

    enter(database, tmp_path / "out")

    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Export)) == 1
        assert session.scalar(select(func.count(ExportRow.row.distinct()))) == manifest["selected"]


@sqlite
def test_a_version_is_taken_once(database, feedback, tmp_path):
    manifest = exported(database, tmp_path / "out", "sft", name="poems")
    path = tmp_path / "out" / "manifest.json"
    path.write_text(json.dumps(manifest | {"id": "another"}))

    with pytest.raises(VersionTaken, match="poems@1"):
        enter(database, tmp_path / "out")


# Stopping, and going on


@sqlite
def test_whoever_cancels_finds_nothing_left_and_what_was_there_whole(database, feedback, tmp_path):
    exported(database, tmp_path / "before", "sft")
    stages = set()
    for looks in count_up():
        asked = iter(range(looks))
        try:
            export(
                database,
                bare("sft", "dpo", splits=Splits(0.3)),
                tmp_path / "out",
                report=lambda progress: stages.add(progress.stage),
                cancelled=lambda asked=asked: next(asked, None) is None,
            )
        except Cancelled:
            assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
            continue
        break

    assert stages >= {"reading", "comparing", "writing", "entering"}
    assert looks > 5
    assert (tmp_path / "before" / "manifest.json").exists()
    with database.read() as session:
        assert len(session.scalars(select(Export)).all()) == 2


@sqlite
def test_progress_counts_rows(database, feedback, tmp_path):
    seen = []

    export(database, bare("sft"), tmp_path / "out", report=seen.append)

    assert seen[0][:] == ("reading", "sft", 0, 25)
    assert [progress.stage for progress in seen][-1] == "entering"


@sqlite
def test_a_killed_export_leaves_nothing_and_is_made_as_it_would_have_been(
    database, database_url, tmp_path
):
    """Killed in the middle, then resumed when there is more feedback than there was."""

    def work(session):
        ann = make_visitor(session)
        for number in range(400):
            poem = make_generation(session, ann, prompt=f"题{number}", output="白" * 500)
            rate(session, ann, poem, "edit", f"银{number}" * 100)

    database.write(work)
    asked = tmp_path / "spec.json"
    asked.write_text(json.dumps(as_json(bare("dpo", splits=Splits(0.3)))))
    folder = tmp_path / "out"
    run = [sys.executable, "-m", "feedback.export", "--out", str(folder)]
    environment = {**os.environ, "DATABASE_URL": database_url}
    process = subprocess.Popen([*run, "--spec", str(asked)], cwd=ROOT, env=environment)
    while process.poll() is None and not list(tmp_path.glob(".out.*/work/dpo/rows")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not folder.exists()
    [left] = tmp_path.glob(".out.*.partial")
    spec = from_json(json.loads((left / "job.json").read_bytes())["spec"])
    whole = export(database, spec, tmp_path / "whole", name="out", version=1)
    fill(database)

    subprocess.run([*run, "--resume"], cwd=ROOT, env=environment, check=True)

    resumed = json.loads((folder / "manifest.json").read_bytes())
    assert resumed["files"] == whole["files"]
    assert not list(tmp_path.glob(".out.*.partial"))


# One moment


def test_one_export_sees_one_moment(database, feedback, tmp_path, monkeypatch):
    """What is said while an export runs is in none of its numbers."""
    sft = FORMATS["sft"]

    def interrupted(*asked):
        found = sft.candidates(*asked)
        yield next(found)
        fill(database)
        yield from found

    before = preview(database, bare("sft")).summary
    monkeypatch.setitem(FORMATS, "sft", replace(sft, candidates=interrupted))

    manifest = exported(database, tmp_path / "out", "sft")

    for key in ("spec", "events", "selected", "rows", "quarantined"):
        assert manifest[key] == before[key]


def test_a_moment_waits_for_whoever_is_writing(database, feedback):
    """An id that was given before and is committed after would be missing when made again."""
    if database.is_sqlite:
        with snapshot(database) as session:
            assert moment(session) == last_moment(database)
        return
    with database.sessions() as writing:
        make_visitor(writing, "late")
        with database.sessions() as session, pytest.raises(Exception, match="lock timeout"):
            session.connection()
            session.execute(select(func.set_config("lock_timeout", "50ms", False)))
            lock(session)
        writing.rollback()
    assert last_moment(database).events == 49


@pytest.mark.postgres
def test_both_databases_give_the_same_rows(postgres_url, tmp_path):
    """In the same order, whatever the ways in which they find them."""
    formats = ("sft", "dpo", "kto", "rewards", "rubric", "prompts", "events")
    found = []
    for url in (f"sqlite:///{tmp_path / 'test.db'}", postgres_url):
        database = Database(url)
        migrate(database)
        fill(database)
        folder = new(tmp_path)
        exported(database, folder, *formats, splits=Splits(0.3), reuse="allow")
        database.close()
        rows = [row for format in formats for row in rows_of(folder, format)]
        found.append([{name: row.get(name) for name in SAME} for row in rows])

    assert found[0] == found[1]
    assert len(found[0]) > 60


SAME = (
    "prompt",
    "completion",
    "chosen",
    "score",
    "genloop_source",
    "genloop_event_ids",
    "event_id",
)


@sqlite
def test_a_dry_run_counts_what_an_export_writes(database, feedback, tmp_path):
    for spec in SPECS.values():
        told = export(database, spec, new(tmp_path))
        found = preview(database, spec)
        counted = found.summary
        for key in counted.keys() - {"created_at", "configs"}:
            assert counted[key] == told[key], key
        for one, other in zip(counted["configs"], told["configs"], strict=False):
            for key in one.keys() - {"splits"}:
                assert one[key] == other[key], key
            assert len(found.rows[one["name"]]) == min(one["rows"], 10)


@sqlite
def test_what_makes_no_sense_is_refused_before_anything_is_read(database, tmp_path):
    with pytest.raises(InvalidSpec, match="there is no format poems: sft, dpo"):
        export(database, bare("poems"), tmp_path / "out")
