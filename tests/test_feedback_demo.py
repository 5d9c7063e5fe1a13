from dataclasses import asdict

import pytest
import typer
from sqlalchemy import select
from typer.testing import CliRunner

from db.engine import Database
from db.media import MediaStore
from db.migrate import migrate
from db.tables import ANSWERS, KINDS, Consent, FeedbackEvent, Generation, Visitor, Vote
from feedback.demo import THEMES, NotEmpty, fill, main
from feedback.formats import FORMATS
from feedback.spec import MEDIA, Recipe
from generators.image import ImageOptions
from generators.latent import LatentOptions
from generators.text import TextOptions
from tests.exporting import exported
from tests.factories import count, make_generation


@pytest.fixture
def media(tmp_path):
    return MediaStore(tmp_path / "media")


def said(database):
    """What was said about which text, without ids and moments."""
    with database.read() as session:
        query = (
            select(
                Generation.output_text,
                Generation.media_sha256,
                Generation.latent,
                FeedbackEvent.kind,
                FeedbackEvent.score,
                FeedbackEvent.text,
            )
            .join(FeedbackEvent.generation)
            .order_by(FeedbackEvent.id)
        )
        return [tuple(row) for row in session.execute(query)]


def test_the_invented_feedback_gives_every_dataset(database, media, tmp_path):
    fill(database, media)

    for format in FORMATS:
        manifest = exported(database, tmp_path / format, format, media=media)
        assert manifest["rows"] >= 10, format
    for medium in MEDIA:
        recipe = Recipe("vae-samples", medium=medium)
        manifest = exported(database, tmp_path / medium, recipe, media=media)
        [config] = manifest["configs"]
        assert config["rows_by_label"].keys() == {"true", "false"}
        assert config["warnings"] == []
    assert manifest["events_allowed_for_training"] < manifest["events"]
    assert manifest["votes_allowed_for_training"] < manifest["votes"]


def test_every_kind_but_a_report_is_said_and_something_is_taken_back(database, media):
    fill(database, media)

    with database.read() as session:
        kinds = set(session.scalars(select(FeedbackEvent.kind)))
        retracted = set(session.scalars(select(FeedbackEvent.retracted)))
        answers = set(session.scalars(select(Vote.answer)))
    assert kinds == set(KINDS) - {"report"}
    assert retracted == {True, False}
    assert answers == set(ANSWERS)


def test_the_tally_counts_what_is_there(database, media):
    tally = fill(database, media, visitors=9)

    with database.read() as session:
        assert tally.visitors == count(session, Visitor) == 9
        assert tally.generations == count(session, Generation)
        assert tally.events == count(session, FeedbackEvent)
        assert tally.votes == count(session, Vote)
        assert count(session, Consent) == 10  # one took training back


def test_the_same_seed_says_the_same_and_another_does_not(tmp_path, media):
    heard = []
    for number, seed in enumerate((1, 1, 2)):
        database = Database(f"sqlite:///{tmp_path / f'{number}.db'}")
        migrate(database)
        fill(database, media, visitors=4, seed=seed)
        heard.append(said(database))
        database.close()

    assert heard[0] == heard[1] != heard[2]


def test_a_database_with_generations_is_left_alone_unless_told_otherwise(database, media):
    database.write(make_generation)

    with pytest.raises(NotEmpty, match=r"generations \(1\)"):
        fill(database, media)
    assert fill(database, media, visitors=2, add=True).visitors == 2
    assert fill(database, media, visitors=2, add=True).visitors == 2

    with database.read() as session:
        assert count(session, Visitor) == 5


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_options_are_those_of_real_requests(database, media):
    real = {"text": TextOptions(), "image": ImageOptions(), "vae": LatentOptions()}
    fill(database, media, visitors=1)

    with database.read() as session:
        for task, options in session.execute(select(Generation.task, Generation.options)):
            kinds = {name: type(value) for name, value in asdict(real[task]).items()}
            assert {name: type(value) for name, value in options.items()} == kinds
            type(real[task])(**options)  # refuses what makes no sense


def test_every_edit_mends_something():
    for theme in THEMES:
        assert not set(theme.good) & set(theme.bad)
        for bad, mended in theme.bad.items():
            assert bad != mended


def test_the_command_says_what_it_added_and_refuses_the_second_time(tmp_path, monkeypatch):
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path / "new"))
    app = typer.Typer()
    app.command()(main)
    command = CliRunner()

    first = command.invoke(app, ["--visitors", "3"])
    second = command.invoke(app, ["--visitors", "3"])

    assert first.exit_code == 0, first.output
    assert "Added 3 invented visitors" in first.output
    assert second.exit_code == 1
    assert "--add" in second.output
