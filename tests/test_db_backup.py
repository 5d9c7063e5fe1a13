"""Backups: whole, of one moment, also while visitors write; and back in their place."""

import shutil
import threading

import pytest
import typer
from sqlalchemy import func, select
from typer.testing import CliRunner

import db.backup
from db.backup import NoBackup, back_up, backups, check, pictures_in, sqlite_path
from db.former import InUse
from db.media import MediaStore
from db.put_back import put_back
from db.tables import Consent, ErasedRater, FeedbackEvent, Import, Visitor
from feedback.erase import erase
from feedback.importers.undo import erase_rater, take_back
from tests.factories import drawn, make_generation, make_pictures, make_visitor, rate
from tests.replicas import CANARY, contents, new_database, pictures_of, wait_until


@pytest.fixture
def app(quick_path):
    database, media = new_database(quick_path / "app")
    yield database, media
    database.close()


def fill(app, name="ann", text="poem", colour="red"):
    database, media = app

    def work(session):
        visitor = make_visitor(session, name)
        make_pictures(session, media, visitor, pictures=(drawn(colour),))
        poem = make_generation(session, visitor, output=text)
        rate(session, visitor, poem, "comment", text)

    database.write(work)


def file_of(app):
    return sqlite_path(str(app[0].url))


def test_a_backup_is_whole_and_is_put_back_with_its_pictures(app, quick_path):
    fill(app)
    made = back_up(file_of(app), app[1], quick_path / "backups", keep=7)
    before, pictures = contents(app[0]), pictures_of(app[1])
    fill(app, "bob", colour="blue")
    app[0].close()
    shutil.rmtree(app[1].folder)

    restored = put_back(made.path, file_of(app), app[1])
    database, media = new_database(quick_path / "app")
    assert contents(database) == before
    assert pictures_of(media) == pictures
    assert (made.rows, made.pictures, restored.pictures, restored.missing) == (1, 1, 1, 0)
    assert [path.name.split(".before-")[0] for path in restored.aside] == ["app.db"]
    database.close()


def test_backups_while_visitors_write_hold_every_event_of_before(app, quick_path):
    database, _media = app
    acknowledged, stop = [], threading.Event()

    def write():
        while not stop.is_set():
            name = f"visitor {len(acknowledged)} {threading.get_ident()}"
            acknowledged.append(database.write(lambda session, name=name: say(session, name)))

    def say(session, name):
        visitor = make_visitor(session, name)
        return rate(session, visitor, make_generation(session, visitor), "thumb", 1).key

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    held = []
    for turn in range(4):
        wait_until(lambda turn=turn: len(acknowledged) > 2 * turn)
        before = set(acknowledged)
        made = back_up(file_of(app), None, quick_path / "backups", keep=7)
        keys = {key for (key,) in db.backup.ask(made.path, "SELECT key FROM feedback_events")}
        held.append(before <= keys)
    stop.set()
    for thread in threads:
        thread.join()

    assert held == [True] * 4


def test_old_backups_go_and_pictures_that_none_of_them_names(app, quick_path):
    folder = quick_path / "backups"
    fill(app, "ann", colour="red")
    back_up(file_of(app), app[1], folder, keep=2)
    hashes = app[0].write(lambda session: erase(session, "ann"))
    app[0].write(lambda session: app[1].drop_unused(session, hashes))
    fill(app, "bob", colour="blue")
    for _ in range(2):
        made = back_up(file_of(app), app[1], folder, keep=2)

    assert len(made.removed) == 1
    assert backups(folder)[-1] == made.path and len(backups(folder)) == 2
    assert list(pictures_of(MediaStore(folder / "media")).values()) == [drawn("blue")]
    assert len(pictures_in(made.path)) == 1
    assert made.path.stat().st_mode & 0o777 == 0o600


def test_whoever_erased_herself_since_is_erased_from_the_backup_too(app, quick_path):
    fill(app, "ann", CANARY)
    fill(app, "bob", colour="blue")
    made = back_up(file_of(app), app[1], quick_path / "backups", keep=7)
    hashes = app[0].write(lambda session: erase(session, "ann"))
    app[0].write(lambda session: app[1].drop_unused(session, hashes))
    app[0].close()

    restored = put_back(made.path, file_of(app), app[1])
    assert len(restored.carried.erased) == 1 and restored.known
    assert list(pictures_of(app[1]).values()) == [drawn("blue")]
    database, _ = new_database(quick_path / "app")
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(FeedbackEvent)) == 1
        assert session.scalars(select(Visitor.key_hash).order_by(Visitor.id)).all() == [None, "bob"]
    database.close()
    assert CANARY.encode() not in file_of(app).read_bytes()


def test_what_was_taken_back_since_stays_taken_back(app, quick_path):
    def gather(session):
        session.add(Import(source="feel", format="feel", file_name="a", file_sha256="0" * 64))
        return erase_rater(session, "somebody else")

    fill(app, "ann")
    fill(app, "bob", colour="blue")
    app[0].write(gather)
    made = back_up(file_of(app), app[1], quick_path / "backups", keep=7)
    app[0].write(lambda session: make_visitor(session, "ann", train=False))
    app[0].write(lambda session: erase_rater(session, "an imported rater"))
    app[0].write(lambda session: take_back(session, 1))
    fill(app, "cid", colour="green")
    with app[0].read() as session:
        last = session.scalar(select(func.max(FeedbackEvent.id)))
    app[0].close()

    carried = put_back(made.path, file_of(app), app[1]).carried
    assert (carried.erased, carried.withdrawn, carried.to_take_back) == ([], [1], ["1 (feel)"])
    database, _ = new_database(quick_path / "app")
    with database.read() as session:
        train = select(Consent.train).join(Visitor).where(Visitor.key_hash == "ann")
        assert session.scalars(train.order_by(Consent.id)).all() == [True, False]
        raters = set(session.scalars(select(ErasedRater.rater_hash)))
        assert raters == {"an imported rater", "somebody else"}
    fill((database, app[1]), "dan")
    with database.read() as session:
        assert session.scalar(select(func.max(FeedbackEvent.id))) == last + 1
    database.close()


def test_a_broken_database_gives_its_place_to_the_backup_and_is_kept(app, quick_path):
    fill(app)
    made = back_up(file_of(app), None, quick_path / "backups", keep=7)
    app[0].close()
    file_of(app).write_bytes(b"nonsense" * 1_000)

    restored = put_back(made.path, file_of(app), app[1])
    assert not restored.known
    assert [path.read_bytes()[:8] for path in restored.aside] == [b"nonsense"]
    check(file_of(app))


def test_a_database_in_use_is_not_replaced(app, quick_path):
    fill(app)
    made = back_up(file_of(app), None, quick_path / "backups", keep=7)
    before = contents(app[0])

    with pytest.raises(InUse, match="stop the app first"):
        put_back(made.path, file_of(app), app[1])
    assert contents(app[0]) == before
    assert [path.name for path in file_of(app).parent.glob(".*")] == []


def test_a_damaged_backup_is_not_put_back(app, quick_path):
    for number in range(30):
        fill(app, f"visitor {number}")
    made = back_up(file_of(app), None, quick_path / "backups", keep=7)
    app[0].close()
    data = bytearray(made.path.read_bytes())
    data[8_192:12_288] = b"\xff" * 4_096
    made.path.write_bytes(data)
    before = file_of(app).read_bytes()

    with pytest.raises(NoBackup, match="damaged|no whole database"):
        put_back(made.path, file_of(app), app[1])
    assert file_of(app).read_bytes() == before


def test_what_fails_leaves_no_half_backup(app, quick_path):
    fill(app)
    [picture] = [path for path in app[1].folder.rglob("*") if path.is_file()]
    picture.write_bytes(b"another picture")

    with pytest.raises(NoBackup, match="is damaged"):
        back_up(file_of(app), app[1], quick_path / "backups", keep=7)
    assert backups(quick_path / "backups") == []
    assert not [path for path in (quick_path / "backups").rglob("*") if path.is_file()]
    with pytest.raises(NoBackup, match="there is no database"):
        back_up(quick_path / "nothing.db", None, quick_path / "backups", keep=7)


def test_the_command_says_what_it_made(app, quick_path, monkeypatch):
    fill(app)
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(file_of(app).parent))
    command = typer_app(db.backup.main)
    answer = CliRunner().invoke(command, ["--to", str(quick_path / "backups"), "--keep", "1"])

    assert answer.exit_code == 0, answer.output
    assert "1 feedback events, whole" in answer.output and "1 pictures" in answer.output
    monkeypatch.setenv("DATABASE_URL", "postgresql://x/y")
    answer = CliRunner().invoke(command, ["--to", str(quick_path / "backups")])
    assert answer.exit_code == 1
    assert "pg_dump" in answer.output


def typer_app(main):
    app = typer.Typer()
    app.command()(main)
    return app
