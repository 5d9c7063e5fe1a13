"""Pictures that no row names are found and removed, and no other."""

import os
import time

import pytest
import typer
from sqlalchemy import select
from typer.testing import CliRunner

import db.sweep_pictures
from db.ids import uuid7
from db.media import MediaStore
from db.media_elsewhere import open_media
from db.replica.targets import TargetDown
from db.sweep_pictures import TORN, Doubtful, look, sweep
from db.tables import Generation
from tests.factories import drawn, make_pictures, make_visitor
from tests.replicas import new_database


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path):
    if request.param == "bucket":
        return open_media(request.getfixturevalue("bucket"))
    return MediaStore(tmp_path / "media")


@pytest.fixture
def named(database, store):
    """Two pictures that rows name."""

    def work(session):
        make_pictures(session, store, make_visitor(session), pictures=(drawn("red"), drawn("blue")))
        return set(session.scalars(select(Generation.media_sha256)))

    return database.write(work)


def test_what_no_row_names_goes_with_its_small_version(database, store, named):
    stray = store.put(drawn("green"))
    store.put_small(stray, b"small")
    for one in named:
        store.put_small(one, b"small")

    found = look(database, store)
    assert (found.named, found.stray, found.torn) == (2, [stray], 0)
    sweep(database, store, found)

    assert store.every() == named
    assert store.small(stray) is None
    assert all(store.small(one) == b"small" for one in named)
    assert look(database, store).stray == []


def test_a_picture_that_has_come_to_be_named_stays(database, store, named):
    stray = store.put(drawn("green"))
    found = look(database, store)
    database.write(lambda session: make_pictures(session, store, pictures=(drawn("green"),)))
    sweep(database, store, found)

    assert store.every() == named | {stray}


def test_nothing_goes_where_most_would(database, store, named):
    strays = {store.put(drawn(colour)) for colour in ("green", "white", "black")}
    found = look(database, store)
    with pytest.raises(Doubtful, match="3 of 5 pictures"):
        sweep(database, store, found)
    assert store.every() == named | strays

    sweep(database, store, found, even_most=True)
    assert store.every() == named


def test_storage_that_is_away_is_not_an_empty_one(database, bucket, s3):
    store = open_media(bucket)
    store.put(drawn("green"))
    s3.away = True
    with pytest.raises(TargetDown):
        look(database, store)


def test_files_that_were_never_finished_go_once_they_are_old(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    database, store = new_database(folder)
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(folder))
    stray = store.put(drawn("green"))
    old, new, other, hidden = (
        store.path(stray).with_name(name)
        for name in (f".{uuid7()}", f".{uuid7()}", "notes.txt", ".env")
    )
    for path in (old, new, other, hidden):
        path.write_bytes(b"half")
    for path in (old, other, hidden):
        os.utime(path, (time.time() - TORN - 60,) * 2)
    store.path(stray).with_name(".cache").mkdir()
    app = typer.Typer()
    app.command()(db.sweep_pictures.main)

    said = CliRunner().invoke(app, [])
    assert said.exit_code == 0
    assert "1 that none names and 1 unfinished files can be removed with --remove" in said.output
    assert old.exists() and store.has(stray)

    said = CliRunner().invoke(app, ["--remove"])
    assert (said.exit_code, said.output.count("--even-most")) == (1, 1)
    assert old.exists() and store.has(stray)

    said = CliRunner().invoke(app, ["--remove", "--even-most"])
    assert said.exit_code == 0 and "are gone" in said.output
    assert not old.exists() and not store.has(stray)
    assert all(path.exists() for path in (new, other, hidden))
    database.close()
