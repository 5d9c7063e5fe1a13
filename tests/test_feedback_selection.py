"""Which rows are wanted."""

from datetime import UTC, datetime, timedelta

import pytest

from db.tables import FeedbackEvent, ModelVersion
from feedback.selection import language_of
from feedback.spec import Selection
from tests.exporting import counted, exported, new, rows_of
from tests.factories import make_version
from tests.test_feedback_export import told

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def wanted(database, tmp_path):
    def run(format="sft", **wishes):
        folder = new(tmp_path)
        exported(database, folder, format, selection=Selection(cap_rows=None, **wishes))
        return [row["completion"] for row in rows_of(folder)]

    return run


@pytest.fixture
def poems(database):
    """Five liked poems, a day apart."""
    other = database.write(lambda session: make_version(session, "novice", "1" * 64))
    database.write(lambda session: distrust(session, other))
    told(database, ("thumb", 1), prompt="写一首雪的诗", output="一")
    told(database, ("stars", 5), prompt="Write about the rain", output="二")
    told(database, ("stars", 4), ("reasons", ["original"]), prompt="雨", output="三")
    told(database, ("edit", "肆"), ("reasons", ["copied"]), prompt="ＳＮＯＷ 风", output="四")
    told(database, ("thumb", 1), prompt="云", output="五", version_id=other)

    def date(session):
        for event in session.query(FeedbackEvent).all():
            made = event.generation.output_text
            event.created_at = START + timedelta(days="一二三四五".index(made))

    database.write(date)


def distrust(session, version_id):
    """As if an engine had run the model, whose weights nobody saw."""
    session.get_one(ModelVersion, version_id).verified = False


@pytest.mark.parametrize(
    ("wishes", "found"),
    [
        ({}, "一二三肆五"),
        ({"since": START + timedelta(days=1)}, "二三肆五"),
        ({"until": START + timedelta(days=1)}, "一"),
        ({"since": START + timedelta(days=1), "until": START + timedelta(days=3)}, "二三"),
        ({"versions": (2,)}, "一二三肆"),
        ({"versions": (1,)}, "五"),
        ({"verified": True}, "一二三肆"),
        ({"sources": ("edited",)}, "肆"),
        ({"stars": (5,)}, "一二肆五"),
        ({"reasons": ("original", "beautiful")}, "三"),
        ({"without_reasons": ("copied",)}, "一二三五"),
        ({"topics": ("snow", "雨")}, "三肆"),
        ({"without_topics": ("RAIN", "云")}, "一三肆"),
    ],
    ids=lambda value: str(value)[:40],
)
@sqlite
def test_wishes_choose_rows(poems, wanted, wishes, found):
    assert "".join(wanted(**wishes)) == found


@sqlite
def test_languages_choose_rows_by_their_prompts(poems, wanted):
    assert wanted(languages=("en",)) == ["二"]
    assert "一" in wanted(languages=("zh",))


def test_languages_are_told():
    assert [language_of(text) for text in ("写一首诗", "Write a poem about snow", "")][:2] == [
        "zh",
        "en",
    ]


@sqlite
def test_plain_events_are_chosen_too(database, poems):
    def ids(**wishes):
        return counted(database, "events", selection=Selection(**wishes))["rows"]

    assert ids() == 7
    assert ids(since=START + timedelta(days=3)) == 3
    assert ids(sources=("edit", "stars")) == 3
    assert ids(versions=(1,)) == 1
    assert (ids(verified=True), ids(verified=True, versions=(1,))) == (6, 0)
    assert (ids(tasks=("text",)), ids(tasks=("image", "vae"))) == (7, 0)
    assert ids(topics=("snow",)) == 2
    assert ids(exclude_visitors=(1,)) == 0
    assert ids(languages=("en",)) >= 1
