"""Personal data on its way into a dataset: replaced, dropped, reported, counted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from feedback.dataset import preview
from feedback.personal_data.quick_look import may_hold_personal_data
from feedback.redaction import findings
from feedback.spec import Recipe, Redaction
from tests.exporting import bare, columns, counted, exported, held, read_rows, rows_of
from tests.test_feedback_export import told
from tests.test_feedback_redaction import LABELLED

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MAIL = "ann@example.org"


@pytest.fixture
def poems(database):
    told(database, ("thumb", 1), prompt=f"给{MAIL}写一首诗", output="白")
    told(database, ("edit", "请拨打13800138000。"), prompt="雨", output=f"湿, {MAIL}")
    told(database, ("thumb", 1), prompt="风", output="冷")


@sqlite
def test_personal_data_is_replaced_in_everything_a_trainer_reads(database, poems, tmp_path):
    manifest = exported(
        database, tmp_path / "out", "sft", "dpo", redaction=Redaction(), reuse="allow"
    )

    assert [columns(row) for row in rows_of(tmp_path / "out", "sft")] == [
        {"prompt": "给[EMAIL]写一首诗", "completion": "白"},
        {"prompt": "雨", "completion": "请拨打[PHONE]。"},
        {"prompt": "风", "completion": "冷"},
    ]
    sft, dpo = manifest["configs"]
    assert sft["personal_data"] == {"email": 1, "phone": 1}
    assert dpo["personal_data"] == {}  # its only edit is used in sft
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or MAIL not in path.read_text("utf-8")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "| email | 1 |\n| phone | 1 |" in card


@sqlite
def test_rows_with_personal_data_are_dropped_on_request(database, poems, tmp_path):
    redaction = Redaction("drop_row", ("email",))
    exported(database, tmp_path / "out", "sft", redaction=redaction)

    assert held(tmp_path / "out") == ["personal_data"]
    assert [row["completion"] for row in rows_of(tmp_path / "out")] == [
        "请拨打13800138000。",
        "冷",
    ]


@sqlite
@pytest.mark.parametrize(("mode", "counts"), [("report", {"email": 1, "phone": 1}), ("off", {})])
def test_texts_stay_as_they_are_on_request(database, poems, tmp_path, mode, counts):
    manifest = exported(database, tmp_path / "out", "sft", redaction=Redaction(mode))

    assert manifest["configs"][0]["personal_data"] == counts
    assert rows_of(tmp_path / "out")[0]["prompt"] == f"给{MAIL}写一首诗"


@sqlite
def test_plain_events_are_counted_and_stay_unless_told_otherwise(database, poems, tmp_path):
    plain = exported(database, tmp_path / "a", "events", redaction=Redaction())
    exported(database, tmp_path / "b", "events", redaction=Redaction("replace"))
    exported(database, tmp_path / "c", "events", redaction=Redaction("drop_row"))

    assert plain["configs"][0]["personal_data"] == {"email": 2, "phone": 1}
    assert MAIL in (tmp_path / "a" / "feedback.jsonl").read_text("utf-8")
    assert MAIL not in (tmp_path / "b" / "feedback.jsonl").read_text("utf-8")
    assert len(read_rows(tmp_path / "c" / "feedback.jsonl")) == 1
    assert held(tmp_path / "c") == ["personal_data"] * 2


@sqlite
def test_conversations_are_redacted_turn_by_turn(database, tmp_path):
    messages = [{"role": "system", "content": f"我是{MAIL}"}, {"role": "user", "content": "雪"}]
    told(database, ("thumb", 1), messages=messages, output="白")

    exported(database, tmp_path / "out", Recipe("sft", "conversational"), redaction=Redaction())

    [row] = rows_of(tmp_path / "out")
    assert [turn["content"] for turn in row["prompt"]] == ["我是[EMAIL]", "雪"]


@sqlite
def test_rows_that_differ_in_personal_data_alone_say_the_same(database):
    told(database, ("thumb", 1), prompt=f"给{MAIL}", output="白")
    told(database, ("thumb", 1), prompt="给bob@example.org", output="白")

    found = counted(database, "sft", redaction=Redaction())
    assert found["quarantined_by_reason"] == {"duplicate": 1}


@sqlite
def test_the_owner_sees_samples_beforehand_and_no_dataset_holds_them(database, poems):
    found = preview(database, bare("sft", redaction=Redaction()))

    assert [(one.kind, one.before, one.found, one.behind) for one in found.personal_data] == [
        ("email", "给", MAIL, "写一首诗"),
        ("phone", "请拨打", "13800138000", "。"),
    ]


# The quick look


def test_the_quick_look_lets_nothing_through_that_the_rules_find():
    found = [text for text, _ in LABELLED if findings(text)]

    assert len(found) > 200
    assert all(map(may_hold_personal_data, found))


parts = some.sampled_from([word for text, _ in LABELLED for word in text.split()]) | some.text(
    max_size=6
)


@settings(deadline=None, max_examples=150)
@given(some.lists(parts, max_size=8), some.sampled_from(["", " ", "，"]))
def test_the_quick_look_lets_nothing_through_whatever_the_text(words, between):
    text = between.join(words)

    assert may_hold_personal_data(text) or not findings(text)


@settings(deadline=None, max_examples=150)
@given(some.lists(some.lists(parts, max_size=4).map(" ".join), max_size=6))
def test_a_look_at_several_texts_at_once_lets_none_of_them_through(texts):
    assert may_hold_personal_data("\n".join(texts)) or not any(map(may_hold_personal_data, texts))


@sqlite
@pytest.mark.parametrize("recipe", ["sft", "events"])
def test_one_among_many_is_found(database, tmp_path, recipe):
    for number in range(70):
        mail = f" {MAIL}" if number in (0, 40, 69) else ""
        told(database, ("thumb", 1), prompt=f"snow {number}", output=f"white{mail}")

    manifest = exported(database, tmp_path / "out", recipe, redaction=Redaction("replace"))

    assert manifest["configs"][0]["personal_data"] == {"email": 3}
    text = next((tmp_path / "out").glob("*.jsonl")).read_text("utf-8")
    assert (text.count("[EMAIL]"), text.count(MAIL)) == (3, 0)


def test_the_quick_look_lets_poems_and_prose_through():
    poems = (
        "床前明月光，疑是地上霜。",
        "五绝《静夜思》",
        "A bright night\nsighs at the right light.",
        "",
    )
    for text in poems:
        assert not may_hold_personal_data(text)
