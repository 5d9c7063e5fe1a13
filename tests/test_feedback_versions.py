"""Versions of a dataset: made again, gone on from, cleaned of what was withdrawn, compared."""

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from db.media import MediaStore
from db.tables import Export, FeedbackEvent, TrainingRun
from feedback.dataset import export
from feedback.erase import erase
from feedback.former import read_former
from feedback.history import NoVersion, difference, find, withdrawn
from feedback.ledger import enter
from feedback.remake import clean, go_on, rebuild
from feedback.spec import InvalidSpec, Recipe, Splits
from feedback.versions import app
from feedback.whole_export import DamagedExport
from tests.exporting import bare, exported, fill, read_rows, rows_of
from tests.factories import drawn, make_pictures, make_version, make_visitor, rate
from tests.test_feedback_export import told

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def media(tmp_path):
    return MediaStore(tmp_path / "media")


def withdraw(database, name):
    database.write(lambda session: make_visitor(session, name, train=False).visitor_id)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def compared(database, older, newer):
    with database.read() as session:
        return difference(session, find(session, older), find(session, newer))


def shas(folder, config=None):
    splits = ("train", "validation", "test")
    return {row["genloop_row_sha256"] for one in splits for row in rows_of(folder, config, one)}


# Made again


def test_an_export_is_made_again_from_the_ledger_byte_for_byte(database, tmp_path):
    fill(database)
    exported(database, tmp_path / "a", "sft", "dpo", name="poems", splits=Splits(0.3))
    fill(database)
    told(database, ("thumb", -1), prompt="题1", output="ann甲1", name="late")

    found = rebuild(database, "poems@1", tmp_path / "b")

    assert found.different == []
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with database.read() as session:
        assert len(session.scalars(select(Export)).all()) == 1


@sqlite
def test_what_was_withdrawn_does_not_come_back_when_an_export_is_made_again(database, tmp_path):
    fill(database)
    exported(database, tmp_path / "a", "kto", name="poems")
    withdraw(database, "bob")
    fill(database)  # bob allows it again, for what comes then
    withdraw(database, "bob")

    found = rebuild(database, "poems", tmp_path / "b")

    assert found.missing_rows == 6
    assert "train.jsonl" in found.different
    assert shas(tmp_path / "b") < shas(tmp_path / "a")


@sqlite
def test_consent_that_came_later_brings_nothing_into_an_export_made_again(database, tmp_path):
    fill(database)
    withdraw(database, "bob")
    exported(database, tmp_path / "a", "kto", name="poems")
    database.write(lambda session: make_visitor(session, "bob").visitor_id)

    assert rebuild(database, "poems", tmp_path / "b").different == []


# Withdrawal


def test_the_owner_sees_what_holds_something_withdrawn_and_cleans_it(database, tmp_path):
    fill(database)
    told(database, ("thumb", 1), name="cyd")
    exported(database, tmp_path / "kto", "kto", name="labels")
    exported(database, tmp_path / "cyd", "kto", name="cyds")
    train(database, "labels", "poet-2")
    with database.read() as session:
        assert withdrawn(session) == []

    withdraw(database, "bob")
    erased = database.write(lambda session: erase(session, "ann"))
    assert erased == set()

    with database.read() as session:
        last, first = withdrawn(session)
    assert (first.export, first.rows, first.of, first.events) == ("labels@1", 12, 13, 12)
    assert (first.runs, first.models) == ([1], ["poet-2"])
    assert (last.export, last.rows, last.of) == ("cyds@1", 12, 13)
    manifest = clean(database, "labels", tmp_path / "clean")
    assert (manifest["name"], manifest["version"], manifest["rows"]) == ("labels", 2, 1)
    assert manifest["goes_on_from"]["export"] == "labels@1"
    found = compared(database, "labels@1", "labels@2")
    assert (found.same, found.added, found.removed, found.withdrawn) == (1, 0, 12, 12)
    for path in (tmp_path / "clean").rglob("*"):
        assert path.is_dir() or "ann甲" not in path.read_text("utf-8")
    with database.read() as session:
        assert [one.export for one in withdrawn(session)] == ["cyds@1", "labels@1"]


def train(database, name, result):
    def work(session):
        export = find(session, name)
        base, made = (
            make_version(session, each, digit * 64)
            for each, digit in (("poet", "0"), (result, "1"))
        )
        session.add(
            TrainingRun(
                export_id=export.id,
                base_version_id=base,
                method="kto",
                config={},
                state="finished",
                version_id=made,
            )
        )

    database.write(work)


@sqlite
@pytest.mark.parametrize("files", ["jsonl", "csv", "parquet"])
def test_files_without_a_withdrawn_row_are_taken_over_as_they_are(database, tmp_path, files):
    fill(database)
    options = {"files": files, "shard_mb": 1}
    exported(database, tmp_path / "a", "sft", "dpo", name="x", reuse="allow", **options)
    withdraw(database, "bob")

    clean(database, "x@1", tmp_path / "b")

    one, other = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert other.keys() <= one.keys()
    if files == "jsonl":
        for name in other:
            if name.startswith(("sft/", "dpo/")):
                lines = one[name].splitlines()
                assert set(other[name].splitlines()) < set(lines)
        for config in ("sft", "dpo"):
            kept = {row["genloop_row_sha256"] for row in rows_of(tmp_path / "b", config)}
            assert kept < shas(tmp_path / "a", config)
    assert compared(database, "x@1", "x@2").moved == {}
    assert rebuild(database, "x@2", tmp_path / "c").different == []


@sqlite
@pytest.mark.parametrize("format", ["captions", "kohya", "image-preferences"])
def test_pictures_of_withdrawn_rows_are_gone_from_the_successor(database, tmp_path, media, format):
    for name, colours in (("ann", ("red", "blue")), ("bob", ("green", "black"))):

        def work(session, name=name, colours=colours):
            visitor = make_visitor(session, name)
            pictures = tuple(map(drawn, colours))
            better, _ = make_pictures(session, media, visitor, prompt=name, pictures=pictures)
            rate(session, visitor, better, "thumb", 1)
            rate(session, visitor, better, "choice", True)

        database.write(work)
    exported(database, tmp_path / "a", format, name="x", media=media)
    withdraw(database, "bob")

    manifest = clean(database, "x", tmp_path / "b", media=media)

    assert manifest["rows"] == 1
    before, after = contents(tmp_path / "a"), contents(tmp_path / "b")
    pictures = [name for name in after if name.endswith(".png")]
    assert len(pictures) * 2 == len([name for name in before if name.endswith(".png")])
    assert all(after[name] == before[name] for name in pictures)
    if "files.jsonl" in after:
        listed = {row["name"] for row in read_rows(tmp_path / "b" / "files.jsonl")}
        assert listed == {name for name in after if name.endswith((".png", ".txt"))}
    assert b"bob" not in after.get("train/metadata.jsonl", b"")


# Gone on from


@sqlite
@pytest.mark.parametrize(
    "recipe", [Recipe("kto"), Recipe("kto", "alpaca"), Recipe("sft", "openai"), Recipe("dpo")]
)
def test_what_was_said_since_is_appended(database, tmp_path, recipe):
    told(database, ("thumb", 1), ("edit", "银"), prompt="雪", output="白", name="ann")
    told(database, ("thumb", 1), ("edit", "涝"), prompt="雨", output="湿", name="bob")
    first = exported(database, tmp_path / "a", recipe, name="x")
    told(database, ("thumb", -1), ("edit", "凉"), prompt="风", output="冷", name="cyd")
    withdraw(database, "bob")

    again = export(database, go_on(database, "x"), tmp_path / "b", name="x")

    assert (first["rows"], again["rows"]) == (2, 2)
    found = compared(database, "x@1", "x@2")
    assert (found.same, found.added, found.removed, found.withdrawn) == (1, 1, 1, 1)
    names = [file["path"] for file in again["configs"][0]["splits"]["train"]]
    single = recipe.shape in ("alpaca", "openai")
    assert names == (["train.jsonl"] if single else ["train.jsonl", "train-v2.jsonl"])
    if not single:
        [line] = (tmp_path / "b" / "train.jsonl").read_bytes().splitlines()
        assert line in (tmp_path / "a" / "train.jsonl").read_bytes().splitlines()
    assert rebuild(database, "x@2", tmp_path / "c").different == []
    assert again["checked"].get("openai", {"problems": []})["problems"] == []


@sqlite
def test_whoever_changed_their_mind_is_not_there_with_both_opinions(database, tmp_path):
    poem = told(database, ("thumb", 1), prompt="雪", output="白")
    told(database, ("thumb", 1), prompt="雨", output="湿")
    exported(database, tmp_path / "a", "kto", name="x")

    def change(session):
        rate(session, make_visitor(session), poem, "thumb", -1)

    database.write(change)

    again = export(database, go_on(database, "x@1"), tmp_path / "b", name="x")

    labels = [(row["completion"], row["label"]) for row in rows_of(tmp_path / "b")]
    assert labels == [("湿", True), ("白", False)]
    assert again["rows"] == 2


@sqlite
def test_rows_stay_on_their_side_when_a_dataset_goes_on(database, tmp_path):
    for number in range(40):
        told(database, ("thumb", 1), prompt=f"题{number}的诗", name=f"v{number}")
    splits = Splits(0.3, 0.2)
    exported(database, tmp_path / "a", "kto", name="x", splits=splits)
    for number in range(40, 60):
        told(database, ("thumb", 1), prompt=f"题{number}的诗", name=f"v{number}")
    told(database, ("thumb", 1), prompt="题3的诗", output="一", name="v5")  # ties two groups

    export(database, go_on(database, "x"), tmp_path / "b", name="x")

    found = compared(database, "x@1", "x@2")
    assert found.same + found.removed == 40
    assert not {"train to test", "train to validation", "validation to test"} & found.moved.keys()
    for split in ("train", "validation", "test"):
        assert len(rows_of(tmp_path / "a", split=split)) > 3


@sqlite
def test_a_dataset_goes_on_only_as_what_it_is(database, tmp_path):
    told(database, ("thumb", 1))
    exported(database, tmp_path / "a", "kto", name="x")

    with pytest.raises(InvalidSpec, match="x@1 has no config sft"):
        export(database, bare("sft", base="x@1"), tmp_path / "b")
    with pytest.raises(NoVersion, match="the ledger knows no x@2"):
        export(database, bare("kto", base="x@2"), tmp_path / "b")
    (tmp_path / "a" / "train.jsonl").write_text("{}")
    with pytest.raises(DamagedExport, match="train.jsonl is not the file"):
        export(database, bare("kto", base="x@1"), tmp_path / "b")


# The command


@pytest.fixture
def command(database_url, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path / "data"))
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@sqlite
def test_the_commands_tell_and_make_versions(database, tmp_path, command):
    fill(database)
    exported(database, tmp_path / "a", "kto", name="x")
    assert command("withdrawn").exit_code == 0

    withdraw(database, "bob")

    told_of = command("withdrawn")
    assert told_of.exit_code == 1
    assert "x@1: 6 of 12 rows, 6 events withdrawn; python -m" in told_of.stdout
    cleaned = command("clean", "x")
    assert cleaned.exit_code == 0, cleaned.output
    assert "Wrote 6 rows of kto" in cleaned.stdout and "It is x@2 in" in cleaned.stdout
    listed = command("list").stdout.splitlines()
    assert listed[0].startswith("x@1: 12 rows of kto, 20")
    assert "goes on from x@1" in listed[1]
    diff = command("diff", "x@1", "x@2").stdout
    assert "6 rows are the same.\n0 added, 6 removed, 6 of these withdrawn." in diff
    assert "kto, label true: 6 to 3." in diff
    assert (
        command("verify", tmp_path / "a").stdout
        == "x@1 is whole, and as its manifest describes it.\n"
    )
    assert command("verify", tmp_path).exit_code == 1
    again = command("rebuild", "x@2", "--out", tmp_path / "again")
    assert again.exit_code == 0 and "byte for byte" in again.stdout
    older = command("rebuild", "x@1", "--out", tmp_path / "older")
    assert older.exit_code == 1 and "6 rows are missing" in older.stdout
    assert command("diff", "x@1", "x@7").exit_code == 1


@sqlite
def test_a_dataset_that_was_moved_is_found_when_it_is_entered_again(database, tmp_path):
    told(database, ("thumb", 1))
    exported(database, tmp_path / "a", "kto", name="x")
    (tmp_path / "a").rename(tmp_path / "moved")

    enter(database, tmp_path / "moved")

    assert clean(database, "x", tmp_path / "b")["rows"] == 1
    assert read_former(tmp_path / "moved").label == "x@1"


@sqlite
def test_events_of_the_successor_are_those_that_may_still_leave(database, tmp_path):
    fill(database)
    exported(database, tmp_path / "a", "events", name="x")
    withdraw(database, "bob")

    manifest = clean(database, "x", tmp_path / "b")

    assert manifest["rows"] == 25
    visitors = {row["visitor"] for row in read_rows(tmp_path / "b" / "feedback.jsonl")}
    with database.read() as session:
        ann = session.scalar(select(FeedbackEvent.visitor_id).order_by(FeedbackEvent.id).limit(1))
    assert visitors == {ann}
