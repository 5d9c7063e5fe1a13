"""The command that makes datasets."""

import json

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner

from feedback import export as exporting
from feedback.spec import Recipe, as_json
from tests.exporting import bare, exported, fill, rows_of
from tests.test_feedback_export import told

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ALL = ("--test", 0, "--cap-rows", 0, "--no-lint")


@pytest.fixture
def command(database_url, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path / "data"))
    app = typer.Typer()
    app.command()(exporting.main)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def feedback(database):
    fill(database)


def test_the_command_writes_and_says_what(database, feedback, tmp_path, command):
    result = command("--format", "kto", "--out", tmp_path / "out", *ALL)

    assert result.exit_code == 0, result.output
    assert "Wrote 12 rows of kto: 12 thumb." in result.stdout
    assert "Held back 1: 1 empty_text." in result.stdout
    assert "Not checked with trl: nobody asked for it." in result.stderr
    assert f"It is out@1 in {tmp_path / 'out'}." in result.stdout.replace("\n", "")
    assert len(rows_of(tmp_path / "out")) == 12


@sqlite
def test_a_dataset_without_a_place_lies_among_the_exports_under_its_version(
    database, feedback, tmp_path, command
):
    for _ in range(2):
        command("--format", "sft", "--format", "dpo:conversational", *ALL)
    command("--format", "sft", "--name", "poems", *ALL)

    exports = tmp_path / "data" / "exports"
    assert {path.name for path in exports.iterdir()} == {"sft-dpo@1", "sft-dpo@2", "poems@1"}
    manifest = json.loads((exports / "sft-dpo@2" / "manifest.json").read_bytes())
    assert (manifest["name"], manifest["version"]) == ("sft-dpo", 2)
    assert [config["shape"] for config in manifest["configs"]] == ["standard", "conversational"]


@sqlite
def test_a_dry_run_shows_rows_and_writes_nothing(database, feedback, tmp_path, command):
    told(database, ("thumb", 1), prompt="ann@example.org", output="白", name="cyd")

    result = command("--format", "kto", "--out", tmp_path / "out", "--dry-run", *ALL)

    assert result.exit_code == 0
    shown = [line for line in result.stdout.splitlines() if line.startswith("kto: {")]
    assert len(shown) == 10
    assert "email: …»ann@example.org«…" in result.stdout
    assert "Would write 13 rows of kto: 13 thumb." in result.stdout
    assert not (tmp_path / "out").exists()


@sqlite
def test_every_option_ends_in_the_spec(database, feedback, tmp_path, command):
    result = command(
        *("--format", "kto:conversational", "--format", "events", "--out", tmp_path / "out"),
        *("--files", "jsonl", "--shard-mb", 7, "--license", "cc-by-4.0", "--name", "poems"),
        *("--since", "2020-01-01", "--until", "2100-01-01T12:00:00", "--language", "zh"),
        *("--source", "thumb", "--topic", "题", "--without-topic", "雪", "--exclude-visitor", 9),
        *("--conflicts", "soft", "--near-duplicates", 0.9, "--least-edit", 0.2),
        *("--cap-rows", 30, "--cap-share", 0.2, "--test", 0.2, "--validation", 0.1),
        *("--redact", "drop_row", "--redact-kind", "email", "--edits", "kto", "--reuse"),
        *("--no-lint", "--tokenizer", "", "--max-tokens", 99, "--version", 1, "--quiet"),
        *("--verified", "--task", "text"),
    )

    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    spec = manifest["spec"]
    assert [config["shape"] for config in spec["configs"]] == ["conversational", "standard"]
    assert spec["selection"] == {
        "since": "2020-01-01T00:00:00Z",
        "until": "2100-01-01T12:00:00Z",
        "tasks": ["text"],
        "versions": [1],
        "verified": True,
        "languages": ["zh"],
        "sources": ["thumb"],
        "stars": [],
        "reasons": [],
        "without_reasons": [],
        "topics": ["题"],
        "without_topics": ["雪"],
        "exclude_visitors": [9],
        "review": "not_rejected",
        "raters": 1,
        "agreement": 0.0,
        "conflicts": "soft",
        "near_duplicates": 0.9,
        "least_edit": 0.2,
        "cap_rows": 30,
        "cap_share": 0.2,
    }
    assert (spec["splits"]["test"], spec["splits"]["validation"]) == (0.2, 0.1)
    assert spec["redaction"] == {"mode": "drop_row", "kinds": ["email"]}
    assert (spec["reuse"], spec["edits"], spec["files"], spec["shard_mb"]) == (
        "allow",
        "kto",
        "jsonl",
        7,
    )
    assert "license: cc-by-4.0" in (tmp_path / "out" / "README.md").read_text()


@sqlite
def test_a_spec_can_be_handed_over_in_a_file(database, feedback, tmp_path, command):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(as_json(bare(Recipe("dpo", name="pairs")))))

    assert command("--spec", spec, "--out", tmp_path / "a").exit_code == 0
    manifest = tmp_path / "a" / "manifest.json"
    assert command("--spec", manifest, "--out", tmp_path / "b").exit_code == 0

    assert rows_of(tmp_path / "a", "pairs") == rows_of(tmp_path / "b", "pairs")
    spec.write_text("{")
    assert command("--spec", spec, "--out", tmp_path / "c").exit_code == 2


@sqlite
def test_what_was_said_since_is_appended_on_request(database, feedback, tmp_path, command):
    exported(database, tmp_path / "a", "kto", name="labels")
    told(database, ("thumb", 1), prompt="雪", output="白")

    result = command("--base", "labels@1", "--out", tmp_path / "b")

    assert "It is labels@2" in result.stdout
    assert (tmp_path / "b" / "train-v2.jsonl").exists()
    assert command("--base", "labels@9", "--out", tmp_path / "c").exit_code == 1


@sqlite
def test_the_command_warns_of_labels_of_one_kind(database, tmp_path, command):
    told(database, ("thumb", -1))

    result = command("--format", "kto", "--out", tmp_path / "out", *ALL)

    assert result.exit_code == 0
    assert "every label is false" in result.stderr


@sqlite
def test_the_command_says_why_there_is_nothing(database, tmp_path, command):
    result = command("--format", "sft", "--out", tmp_path / "out")

    assert result.exit_code == 1
    assert "there is nothing to export as sft: of 0 feedback events" in result.stderr
    assert not (tmp_path / "out").exists()


@sqlite
def test_the_command_refuses_a_folder_that_is_in_use(database, feedback, tmp_path, command):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")

    result = command("--format", "sft", "--out", tmp_path / "out", *ALL)

    assert result.exit_code == 1
    assert "exists and is not empty" in result.stderr


@sqlite
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "give --format"),
        (["--format", "poems"], "there is no format poems"),
        (["--format", "sft:round"], "there is no shape round"),
        (["--format", "sft", "--bom"], "for events"),
        (["--format", "sft", "--for", "spreadsheet"], "for events"),
        (["--format", "events", "--shape", "conversational"], "has no shape"),
        (["--format", "sft", "--medium", "vectors"], "for vae-samples"),
        (["--format", "sft", "--raters", "0"], "greater than or equal to 1"),
        (["--format", "sft", "--test", "0.7", "--validation", "0.3"], "nothing for training"),
        (["--resume"], "give --out"),
        (["--format", "sft", "--tokenizer", "/nowhere"], "there is no tokenizer"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused_with_a_sentence(
    database, feedback, command, options, sentence
):
    result = command(*options)

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


@sqlite
def test_a_finished_export_can_be_registered_later(database, feedback, tmp_path, command):
    exported(database, tmp_path / "out", "sft")

    assert command("--register", tmp_path / "out").exit_code == 0
    assert command("--register", tmp_path).exit_code == 1


@sqlite
def test_nothing_is_resumed_where_nothing_was_interrupted(database, tmp_path, command):
    result = command("--resume", "--out", tmp_path / "out")

    assert result.exit_code == 1
    assert "no export to" in result.stderr


def test_a_database_that_is_missing_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    app = typer.Typer()
    app.command()(exporting.main)

    result = CliRunner().invoke(app, ["--format", "sft", "--out", str(tmp_path / "out")])

    assert result.exit_code == 1
    assert "there is no database" in result.stderr
    assert not (tmp_path / "none.db").exists()


@sqlite
def test_a_database_of_another_schema_is_refused(database, tmp_path, command):
    change = text("UPDATE alembic_version SET version_num = 'x'")
    database.write(lambda session: session.execute(change).rowcount)

    result = command("--format", "sft", "--out", tmp_path / "out")

    assert result.exit_code == 1
    assert "python -m db.migrate" in result.stderr
