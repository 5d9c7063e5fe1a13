"""The commands that bring a database back: they say what they find, and change nothing unasked."""

import threading

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner

import db.restore
from db.replica.drill import drill
from db.replica.repair import repair
from db.replica.replay import ReplicaDamaged
from tests.replicas import (
    contents,
    folder_target,
    new_database,
    newest,
    open_copied,
)

SECRET = "a secret"  # of tests/replicas.py


@pytest.fixture
def target(quick_path):
    return folder_target(quick_path / "target")


@pytest.fixture
def copied(quick_path, target):
    copied = open_copied(quick_path / "data", target)
    copied.fill()
    copied.copy()
    copied.fill("bob", colour="blue")
    copied.copy()
    yield copied
    copied.close()


@pytest.fixture
def run(quick_path, target, monkeypatch):
    """The command with the settings of a data folder."""
    app = typer.Typer()
    app.command()(db.restore.main)

    def run(*words, data="data", secret=SECRET):
        monkeypatch.setenv("GENLOOP_DATA_DIR", str(quick_path / data))
        monkeypatch.setenv("GENLOOP_REPLICA", target.url)
        monkeypatch.setenv("GENLOOP_SECRET", secret)
        return CliRunner().invoke(app, list(words))

    return run


def test_a_drill_compares_the_copy_with_the_database(run, copied):
    copied.fill("eve")  # not yet copied, and no reason to complain
    answer = run("--verify")

    assert answer.exit_code == 0, answer.output
    assert "The copy is right" in answer.output
    assert "1 not yet copied" in answer.output
    lines = {line.split()[0]: line for line in answer.output.splitlines()}
    assert "2 rows" in lines["visitors"] and "the same here" in lines["visitors"]


def test_a_drill_finds_what_is_not_the_same(run, copied):
    copied.write(lambda session: session.execute(text("DROP TRIGGER genloop_note_consents_update")))
    copied.write(lambda session: session.execute(text("UPDATE consents SET train = 0")))
    answer = run("--verify")

    assert answer.exit_code == 1
    assert "The copy is NOT right" in answer.output
    lines = {line.split()[0]: line for line in answer.output.splitlines()}
    assert "NOT the same" in lines["consents"] and "the same here" in lines["visitors"]


def test_a_drill_goes_on_while_the_app_copies(copied, target):
    reader = folder_target(target.folder)
    read, one_at_a_time = reader.read, threading.Lock()

    def busy(name):
        with one_at_a_time:
            copied.fill("while it reads")
            copied.copy()
        return read(name)

    reader.read = busy
    found = drill(reader, copied.database)

    assert all(one.same for one in found.tables)
    assert sum(one.there[0] for one in found.tables) > 0


def test_a_drill_without_a_database_only_rebuilds(run, copied):
    answer = run("--verify", data="nowhere")

    assert answer.exit_code == 0, answer.output
    assert "nothing here to compare with" in answer.output


def test_a_drill_notices_another_secret(run, copied):
    answer = run("--verify", secret="another")

    assert answer.exit_code == 1
    assert "not the one that signed the tokens" in answer.output


def test_an_empty_database_is_rebuilt_and_a_full_one_is_not(run, copied, quick_path):
    answer = run(data="fresh")
    assert answer.exit_code == 0, answer.output
    database, _media = new_database(quick_path / "fresh")
    assert contents(database) == contents(copied.database)
    database.close()

    answer = run(data="fresh")
    assert answer.exit_code == 1
    assert "not empty" in answer.output


def test_what_cannot_be_is_said_in_a_sentence(run, quick_path, monkeypatch):
    assert "There is no copy" in run("--verify").output
    monkeypatch.setenv("GENLOOP_REPLICA", "hf://nowhere")
    app = typer.Typer()
    app.command()(db.restore.main)
    answer = CliRunner().invoke(app, ["--verify"])
    assert (answer.exit_code, "no place for a copy" in answer.output) == (1, True)
    monkeypatch.setenv("GENLOOP_REPLICA", "")
    answer = CliRunner().invoke(app, [])
    assert (answer.exit_code, "names no copy" in answer.output) == (1, True)


def test_a_damaged_copy_is_repaired_only_when_asked_to(run, copied, target, quick_path):
    """The last segment is damaged: bob is lost, ann is not."""
    [*_, last] = target.names("data")
    path = target.folder / last
    path.write_bytes(path.read_bytes()[:-1])
    answer = run("--verify")
    assert answer.exit_code == 1
    assert "--repair" in answer.output

    before = target.names("")
    answer = run("--repair")
    assert answer.exit_code == 0, answer.output
    assert last in answer.output and "left out" in answer.output
    assert target.names("") == before

    answer = run("--repair", "--yes")
    assert answer.exit_code == 0, answer.output
    database, _media = new_database(quick_path / "fresh")
    database.close()
    again = open_copied(quick_path / "fresh", target)
    assert contents(again.database)["visitors"][0] == 1
    again.close()


def test_a_torn_last_mark_is_repaired_as_well(copied, target, quick_path):
    mark = newest(target).mark
    path = target.folder / mark.name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ReplicaDamaged, match="not as it was written"):
        open_copied(quick_path / "fresh", target)
    report = repair(target, write=True)

    assert any(mark.name in one for one in report.damages)
    again = open_copied(quick_path / "fresh again", target)
    assert newest(target).mark.seq > mark.seq
    assert contents(again.database)["visitors"][0] == 1
    again.close()


def test_a_whole_copy_needs_no_repair(run, copied):
    assert "Nothing is damaged" in run("--repair").output
