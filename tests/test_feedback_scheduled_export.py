"""Exports that the app makes by itself, and brings where the owner wants them."""

import json

import pytest
from pydantic import ValidationError

import app
from config import Settings
from db.engine import Database
from db.migrate import migrate
from feedback.commands import CommandFailed
from feedback.scheduled_export import export_schedule, scheduled_export
from feedback.scheduler import Turn
from tests.factories import make_generation, make_visitor, rate


@pytest.fixture
def database(tmp_path, monkeypatch):
    """The database of the settings; the commands read these from the environment."""
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    database = Database(Settings().database)
    migrate(database)
    yield database
    database.close()


def like(database):
    def work(session):
        ann = make_visitor(session)
        rate(session, ann, make_generation(session, ann), "thumb", 1)

    database.write(work)


def test_each_format_becomes_a_dataset_and_is_pushed(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the app may be started anywhere
    like(database)
    settings = Settings(
        export_formats=("kto", "dpo"), export_push_to=str(tmp_path / "there" / "{format}")
    )
    said = scheduled_export(settings)(Turn(1))

    [folder] = (tmp_path / "data" / "exports").iterdir()
    [pushed] = (tmp_path / "there" / "kto").iterdir()
    assert (folder.name[:4], pushed.name) == ("kto-", "kto@1")
    assert json.loads((pushed / "manifest.json").read_text())["rows"] == 1
    assert said.startswith("kto: ")
    assert "Brought kto@1" in said
    assert "dpo: feedback.export ended with 1: there is nothing to export as dpo" in said


def test_without_any_row_the_run_has_failed(database):
    settings = Settings(export_formats=("kto",))

    with pytest.raises(CommandFailed, match="nothing to export as kto: of 0 feedback events"):
        scheduled_export(settings)(Turn(1))


def test_it_is_off_unless_the_owner_gives_a_reason(database):
    assert app.export_scheduler(Settings(), database) is None
    assert app.export_scheduler(Settings(export_every_labels=5), database).schedule == (
        export_schedule(Settings(export_every_labels=5))
    )


def test_empty_settings_are_off_and_repositories_hold_one_dataset_each(monkeypatch):
    monkeypatch.setenv("GENLOOP_EXPORT_EVERY_HOURS", "")
    monkeypatch.setenv("GENLOOP_EXPORT_EVERY_LABELS", "")
    assert (Settings().export_every_hours, Settings().export_every_labels) == (0, 0)

    with pytest.raises(ValidationError, match="holds one dataset"):
        Settings(export_push_to="hf://datasets/ann/poems")
    assert Settings(export_push_to="hf://datasets/ann/poems-{format}")
    assert Settings(export_push_to="hf://datasets/ann/poems", export_formats="kto")
