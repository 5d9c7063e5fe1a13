from datetime import timedelta

import pytest

from db.tables import Review, now
from feedback import browse
from feedback.browse import Filter
from tests.factories import make_generation, make_version, make_visitor, rate


@pytest.fixture
def spoken(session):
    """Ann rates two poems of two versions; she changes her mind on the first."""
    ann = make_visitor(session)
    old, new = make_version(session, "poet"), make_version(session, "newer", "1" * 64)
    first = make_generation(session, ann, prompt="五绝《静夜思》", output="床前", version_id=old)
    second = make_generation(
        session,
        ann,
        messages=[{"role": "user", "content": "A poem, 100% rhymed"}],
        output="Roses",
        version_id=new,
    )
    rate(session, ann, first, "thumb", 1)
    rate(session, ann, first, "thumb", -1)
    rate(session, ann, first, "stars", 2)
    rate(session, ann, second, "stars", 5)
    rate(session, ann, second, "comment", "很好 good_one")
    rate(session, ann, second, "comment", None)
    return {"ann": ann, "old": old, "new": new, "first": first, "second": second}


def said(rows):
    return [(row["kind"], row["value"]) for row in rows]


def test_feedback_comes_newest_first_with_what_it_is_about(session, spoken):
    newest, *_, oldest = browse.events(session)

    assert (newest["kind"], newest["value"], newest["retracted"]) == ("comment", None, True)
    assert oldest == {
        "id": oldest["id"],
        "created_at": oldest["created_at"],
        "kind": "thumb",
        "value": 1,
        "retracted": False,
        "standing": False,
        "visitor": spoken["ann"].visitor_id,
        "train": True,
        "import_id": None,
        "verdict": None,
        "generation_id": spoken["first"],
        "draft": 0,
        "task": "text",
        "model": "poet",
        "version_id": spoken["old"],
        "prompt": "五绝《静夜思》",
        "messages": None,
        "output": "床前",
    }


def test_pages_follow_one_another_without_gap(session, spoken):
    first = browse.events(session, limit=4)
    second = browse.events(session, limit=4, before=first[-1]["id"])

    ids = [row["id"] for row in first + second]
    assert ids == sorted(ids, reverse=True)
    assert (len(first), len(second)) == (4, 2)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(kind="stars"), [("stars", 5), ("stars", 2)]),
        (Filter(kind="thumb", score=-1), [("thumb", -1)]),
        (Filter(standing=True), [("stars", 5), ("stars", 2), ("thumb", -1)]),
        (Filter(task="image"), []),
        (Filter(text="静夜"), [("stars", 2), ("thumb", -1), ("thumb", 1)]),
        (Filter(text="床前", kind="stars"), [("stars", 2)]),
        (Filter(text="ROSES", kind="stars"), [("stars", 5)]),
        (Filter(text="100% RHYMED", kind="stars"), [("stars", 5)]),
        (Filter(text="1%0"), []),
        (Filter(text="good_o"), [("comment", "很好 good_one")]),
        (Filter(text="goodxo"), []),
        (Filter(text="'; DROP TABLE visitors; --"), []),
    ],
)
def test_filters_narrow(session, spoken, wanted, expected):
    assert said(browse.events(session, wanted)) == expected


def test_a_version_and_a_time_narrow(session, spoken):
    hour = timedelta(hours=1)

    assert len(browse.events(session, Filter(version_id=spoken["new"]))) == 3
    assert len(browse.events(session, Filter(since=now() - hour, until=now() + hour))) == 6
    assert browse.events(session, Filter(since=now() + hour)) == []
    assert browse.events(session, Filter(until=now() - hour)) == []


def test_the_owners_last_judgement_is_shown(session, spoken):
    [event] = browse.events(session, Filter(kind="thumb", score=-1))
    for verdict in ("approved", "rejected"):
        session.add(Review(event_id=event["id"], verdict=verdict))
        session.flush()

    [event] = browse.events(session, Filter(kind="thumb", score=-1))
    assert event["verdict"] == "rejected"


def test_generations_come_in_pages_too(session, spoken):
    [newer] = browse.generations(session, limit=1)
    [older] = browse.generations(session, limit=1, before=newer["id"])

    assert (newer["id"], older["id"]) == (spoken["second"], spoken["first"])
    assert tuple(older) == browse.GENERATION_COLUMNS
    assert (older["model"], older["prompt"], older["output"]) == ("poet", "五绝《静夜思》", "床前")
    assert [row["id"] for row in browse.generations(session, Filter(text="静夜"))] == [older["id"]]


def test_what_was_said_is_counted_by_kind_and_by_model(session, spoken):
    kinds = {(row["kind"], row["score"]): row["events"] for row in browse.events_per_kind(session)}
    newer, older = sorted(browse.events_per_model(session), key=lambda row: row["model"])

    assert kinds == {
        ("comment", None): 2,
        ("stars", 2): 1,
        ("stars", 5): 1,
        ("thumb", -1): 1,
        ("thumb", 1): 1,
    }
    assert older == {
        "version_id": spoken["old"],
        "model": "poet",
        "task": "text",
        "events": 3,
        "visitors": 1,
        "up": 1,
        "down": 1,
        "stars": 2.0,
        "edits": 0,
    }
    assert (newer["events"], newer["stars"]) == (3, 5.0)
    [standing] = browse.events_per_model(session, Filter(standing=True, kind="thumb"))
    assert (standing["up"], standing["down"]) == (0, 1)


def test_versions_and_totals(session, spoken):
    assert [row["name"] for row in browse.versions(session)] == ["poet", "newer"]
    assert browse.totals(session) == {"visitors": 1, "generations": 2, "events": 6}
