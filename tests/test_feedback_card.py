"""What the card of a dataset says, and what it is opened by."""

import pytest
import yaml

from config import ROOT
from feedback.consumers import by_datasets, tried
from feedback.formats import FORMATS
from feedback.formats.candidate import CODES, QUARANTINE
from feedback.lint import LintFailed, by_rules, lint
from feedback.plan import ORIGIN
from feedback.spec import Recipe, Splits
from tests.exporting import bare, exported, fill
from tests.test_feedback_export import told

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def card(database, tmp_path):
    """The head and the body of the card of an export."""

    def run(*recipes, **options):
        manifest = exported(database, tmp_path / "out", *recipes, name="poems", **options)
        _, head, body = (tmp_path / "out" / "README.md").read_text("utf-8").split("---\n", 2)
        return manifest, yaml.safe_load(head), body

    return run


@sqlite
def test_the_head_names_the_configs_with_their_files(database, card):
    fill(database)
    told(database, ("thumb", 1), prompt="静夜思", output="床前明月光，疑是地上霜。举头望明月。")

    _, head, _ = card("sft", Recipe("dpo", name="pairs"), splits=Splits(0.3, largest=1))

    assert [config["config_name"] for config in head["configs"]] == ["sft", "pairs"]
    assert [config["default"] for config in head["configs"]] == [True, False]
    assert {"split": "train", "path": ["sft/train.jsonl"]} in head["configs"][0]["data_files"]
    assert (head["license"], head["size_categories"]) == ("other", ["n<1K"])
    assert (head["language"], head["task_categories"]) == (["zh"], ["text-generation"])


@sqlite
def test_a_config_without_rows_is_in_the_manifest_and_not_in_the_head(database, card):
    told(database, ("thumb", 1))

    manifest, head, body = card("sft", "rubric")

    assert [config["config_name"] for config in head["configs"]] == ["sft"]
    assert [config["rows"] for config in manifest["configs"]] == [1, 0]
    assert "`rubric`" not in body


@sqlite
def test_the_body_tells_what_a_trainer_must_know(database, card):
    fill(database)
    told(database, ("thumb", 1), prompt="题1", output="ann甲1", name="eve")

    manifest, _, body = card("kto", splits=Splits(0.3))

    assert body.startswith("\n# poems@1\n")
    [config] = manifest["configs"]
    labels = config["rows_by_label"]
    assert f"Labels: false {labels['false']}, true {labels['true']}." in body
    assert 'KTO: `{"desirable_weight":' in body
    assert "visitors stand behind the rows; 1 things were judged by several" in body
    for kind in ("visitor", "prompt", "cluster"):
        assert f"| {kind} | 0 |" in body
    assert f"{config['selected']} rows were selected: {config['rows']} are here" in body
    assert "| `duplicate` | 1 | another row already says it |" in body
    assert "| poet | text |  | `000000000000` |" in body
    assert "Terms agreed to: 2026-11 (en)." in body
    assert '"completion": "' in body


@sqlite
def test_weights_for_kto_let_both_labels_count_the_same(database, card):
    for number, thumb in enumerate((1, 1, 1, -1)):
        told(database, ("thumb", thumb), output=str(number))

    manifest, _, _ = card("kto")

    weights = manifest["configs"][0]["kto_weights"]
    assert weights == {"desirable_weight": 1.0, "undesirable_weight": 3.0}


@sqlite
def test_a_rare_label_is_warned_of(database, card):
    for number in range(11):
        told(database, ("thumb", 1 if number else -1), output=str(number))

    manifest, _, body = card("kto")

    assert manifest["configs"][0]["warnings"] == ["only 1 of 11 labels are false"]
    assert "**Mind:** only 1 of 11 labels are false." in body


# Its consumers


@sqlite
def test_what_is_not_what_was_written_is_found_by_datasets(database, tmp_path):
    fill(database)
    manifest = exported(database, tmp_path / "out", "sft")
    [config] = manifest["configs"]
    asked = {"configs": [config | {"may_be_empty": False}]}
    assert by_datasets(tmp_path / "out", asked, tmp_path / "cache")["problems"] == []

    config["columns"].append("score")
    config["splits"]["train"][0]["rows"] += 1

    assert by_datasets(tmp_path / "out", asked, tmp_path / "cache")["problems"] == [
        "sft/train has 18 rows and not 19",
        "sft/train has no column score",
    ]


def test_a_library_that_is_not_there_passes_for_nothing():
    assert tried("no_such_library", None) == {
        "checked": False,
        "because": "no_such_library is not installed",
    }


def test_what_breaks_the_rules_of_a_consumer_is_counted(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "?"}]}\n' * 2)
    entry = {"shape": "openai", "format": "sft", "name": "sft", "rows": 2}
    entry["splits"] = {"train": [{"path": "train.jsonl", "rows": 2}]}

    found = by_rules(tmp_path, [entry], ("openai",), lambda *_: "no answer")
    assert found == {"checked": True, "rows_tried": 2, "problems": ["2 rows: no answer"]}
    with pytest.raises(LintFailed, match="openai: 2 rows: the last turn is not the assistant's"):
        lint(tmp_path, bare("sft"), [], [entry])


# Its documents


def test_every_reason_column_and_format_is_documented():
    page = (ROOT / "docs" / "data-formats.md").read_text("utf-8")

    for word in [*QUARANTINE, *ORIGIN, *FORMATS]:
        assert f"`{word}`" in page, word
    assert len(CODES) == len(QUARANTINE) < 256
