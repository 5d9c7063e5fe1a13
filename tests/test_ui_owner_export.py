"""What the fields of the owner's Export tab ask for, and how it shows what came of it."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from feedback.export_jobs import Job
from feedback.spec import InvalidSpec, Recipe, as_json, from_json
from ui.language import Language
from ui.owner_export import BadOrder, Fields, spec_of
from ui.owner_export_view import shown
from ui.owner_words import OWNER_WORDS

FIRST = {
    "name": "feedback",
    "text": ["sft"],
    "image": [],
    "vae": [],
    "plain": [],
    "shape": "standard",
    "medium": "pictures",
    "files": "auto",
    "languages": [],
    "versions": [],
    "since": "",
    "until": None,
    "topics": "",
    "stars": [],
    "raters": 1,
    "agreement": 0,
    "conflicts": "majority",
    "review": "not_rejected",
    "cap": 20,
    "near": 1,
    "test": 0.1,
    "validation": 0,
    "redact": "auto",
}


def asked(**fields):
    return spec_of(Fields(**FIRST | fields))


def test_every_field_is_in_what_is_asked_for():
    spec = asked(
        text=["sft", "kto"],
        vae=["vae-samples"],
        plain=["events"],
        shape="conversational",
        medium="vectors",
        files="parquet",
        languages=["zh"],
        versions=[3],
        since="2026-01-02",
        until="2026-01-03",
        topics="山水, 月，moon",
        stars=[4, 5],
        raters=2,
        agreement=0.6,
        conflicts="drop",
        review="approved",
        cap=0,
        near=0.8,
        test=0.2,
        validation=0.1,
        redact="drop_row",
    )

    assert spec.configs == (
        Recipe("sft", "conversational"),
        Recipe("kto", "conversational"),
        Recipe("vae-samples", medium="vectors"),
        Recipe("events"),
    )
    selection = spec.selection
    assert selection.since == datetime(2026, 1, 2, tzinfo=UTC)
    assert selection.until == datetime(2026, 1, 4, tzinfo=UTC)  # the last day is part of it
    assert (selection.languages, selection.versions) == (("zh",), (3,))
    assert selection.topics == ("山水", "月", "moon")
    assert (selection.stars, selection.raters, selection.agreement) == ((4, 5), 2, 0.6)
    assert (selection.conflicts, selection.review) == ("drop", "approved")
    assert (selection.cap_rows, selection.near_duplicates) == (None, 0.8)
    assert (spec.splits.test, spec.splits.validation) == (0.2, 0.1)
    assert (spec.redaction.mode, spec.files) == ("drop_row", "parquet")
    assert from_json(as_json(spec)) == spec


def test_the_fields_as_they_are_ask_for_what_the_command_asks_for_by_itself():
    selection = asked().selection

    assert (selection.cap_rows, selection.near_duplicates, selection.since) == (20, None, None)


def test_a_format_takes_only_the_spelling_that_it_has():
    [captions] = asked(text=[], image=["captions"], shape="openai").configs

    assert captions == Recipe("captions")


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"text": []}, "export_no_format"),
        ({"since": "yesterday"}, "export_bad_date"),
        ({"until": "2026-02-30"}, "export_bad_date"),
    ],
)
def test_what_cannot_be_understood_is_named(fields, key):
    with pytest.raises(BadOrder) as caught:
        asked(**fields)

    assert caught.value.args == (key,)
    assert {key} <= OWNER_WORDS["en"].keys()


def test_what_contradicts_itself_is_refused():
    with pytest.raises((InvalidSpec, ValidationError)):
        asked(text=["sft"], files="parquet", shape="openai", test=0.9, validation=0.9)


@pytest.mark.parametrize("language", [Language("en"), Language("zh")], ids=["en", "zh"])
def test_nothing_of_what_is_shown_is_html(language):
    evil = "<img src=x onerror=alert(1)>"
    job = Job({"action": "preview"})
    config = {
        "name": evil,
        "rows": 1,
        "rows_by_split": {"train": 1},
        "rows_by_source": {evil: 1},
        "quarantined_by_reason": {evil: 1},
        "warnings": [evil],
    }
    job.done = {
        "rows": 1,
        "quarantined": 0,
        "configs": [config],
        "checked": {evil: {"checked": False, "because": evil}},
        "rows_shown": {evil: [{evil: evil}]},
        "personal_data": [{"before": evil, "found": evil, "behind": evil, "kind": evil}],
    }
    job.ended_at = job.started_at
    failed = Job({"action": "export"}, ended_at=job.started_at, problem=evil)

    for one in (job, failed):
        html = shown(one, language)
        assert "<img" not in html and "&lt;img" in html
