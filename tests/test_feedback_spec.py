"""What can be asked for, as data."""

import json

import pytest

from feedback.plan import plan
from feedback.spec import InvalidSpec, Recipe, Redaction, Selection, Spec, as_json, from_json, of


def test_a_spec_survives_json():
    spec = of(
        "sft",
        Recipe("dpo", "conversational", name="pairs"),
        selection=Selection(stars=(4, 5), topics=("雪",), cap_rows=None, near_duplicates=0.9),
        redaction=Redaction("drop_row", ("email",)),
    )

    assert from_json(json.loads(json.dumps(as_json(spec)))) == spec


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "configs: Field required"),
        ({"configs": []}, "a dataset needs at least one format"),
        ({"configs": [{"format": "sft"}, {"format": "sft"}]}, "two configs have the same name"),
        ({"configs": [{"format": "sft", "shape": "round"}]}, "configs.0.shape: Input should be"),
        ({"configs": [{"format": "sft"}], "consent": False}, "consent: Unexpected keyword"),
        (
            {"configs": [{"format": "sft"}], "selection": {"since": "2026-01-01T00:00:00"}},
            "selection.since: Input should have timezone info",
        ),
        (
            {"configs": [{"format": "sft"}], "splits": {"test": 0.6, "validation": 0.4}},
            "test and validation leave nothing for training",
        ),
    ],
)
def test_what_is_no_spec_is_refused_with_a_sentence(content, sentence):
    with pytest.raises(InvalidSpec, match=sentence):
        from_json(content)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (of("poems"), "there is no format poems: sft, dpo"),
        (of(Recipe("sft", name="My Data")), "is no name"),
        (of(Recipe("rewards", "alpaca")), "rewards has no shape alpaca: standard, conversational"),
        (of(Recipe("kto", "openai")), "kto has no shape openai"),
        (of(Recipe("captions", "conversational")), "captions has no shape"),
        (of(Recipe("sft", medium="vectors")), "the medium is for vae-samples"),
        (of(Recipe("sft", bom=True)), "what spreadsheets need is for events"),
        (of("kohya", "captions"), "kohya is a folder for itself"),
        (of(Recipe("sft", "openai"), "image-preferences"), "no kind of file in common"),
        (of("image-preferences", files="jsonl"), "cannot be written as jsonl here: parquet"),
        (of(Recipe("sft", "conversational"), files="csv"), "cannot be written as csv"),
        (of("sft", edits="dpo"), "there is no config dpo"),
        (of("rewards", edits="rewards"), "rewards uses no edits"),
        (of("sft", redaction=Redaction(kinds=("shoe_size",))), "no kind of personal data"),
        (of("sft", selection=Selection(tasks=("image",))), "sft is of the task text"),
        (of("events", selection=Selection(raters=2)), "raters cannot be asked for in plain events"),
    ],
)
def test_what_contradicts_itself_is_refused_with_a_sentence(spec, sentence):
    with pytest.raises(InvalidSpec, match=sentence):
        plan(spec)


def files(*recipes, **options):
    return {config.name: config.files for config in plan(of(*recipes, **options))}


def test_a_folder_has_files_of_one_kind():
    assert files("sft", "dpo") == {"sft": "jsonl", "dpo": "jsonl"}
    assert files("sft", "captions") == {"sft": "parquet", "captions": "parquet"}
    assert files("captions") == {"captions": "jsonl"}
    assert files("kto", "events", files="csv") == {"kto": "csv", "events": "csv"}
    assert files(Recipe("events", bom=True)) == {"events": "csv"}


def test_edits_have_one_use():
    def who(*recipes, **options):
        return [config.name for config in plan(of(*recipes, **options)) if config.rules.edits]

    assert who("sft", "dpo") == ["sft"]
    assert who("dpo", "sft") == ["dpo"]
    assert who("rewards", "dpo", "kto") == ["dpo"]
    assert who("kto") == []
    assert who("sft", "kto", edits="kto") == ["kto"]


def test_a_spec_of_python_refuses_what_a_spec_of_json_refuses():
    with pytest.raises(ValueError, match="at least one format"):
        Spec(())
