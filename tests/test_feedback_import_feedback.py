"""Imported feedback: once, marked, trained on only on a stated basis, and gone when it must."""

import json
from typing import get_args

import pytest
import typer
from sqlalchemy import func, select
from typer.testing import CliRunner

from db.engine import Database
from db.ids import derived_uuid7
from db.migrate import migrate
from db.tables import (
    Consent,
    ErasedRater,
    FeedbackEvent,
    Generation,
    Import,
    ModelVersion,
    Visitor,
    now,
)
from feedback import browse, import_feedback
from feedback import imports as managing
from feedback.erase import erase
from feedback.events_csv import csv_chunks, event_rows
from feedback.export import NothingToExport, export
from feedback.identity import Signer
from feedback.import_feedback import FORMATS, FormatName, imported, tried
from feedback.importers import keep as keeping
from feedback.importers.shape import BadFile, Reading
from feedback.importers.sort import Origin
from feedback.importers.undo import (
    NoImport,
    NotImported,
    erase_rater,
    imported_key,
    take_back,
)
from feedback.manifest import Recipe
from feedback.trainable import count_events
from tests.factories import count, make_generation, make_generations, make_visitor, rate, say
from tests.importer_files import (
    argilla_record,
    fastchat_battle,
    fastchat_state,
    fastchat_vote,
    json_lines,
    webui_chat,
    webui_feedback,
)

SIGNER = Signer("a secret of the tests")
BASIS = "section 4 of the survey's terms of March 2025"
CANARY = "canary-5d1e"


def written(path, content):
    path.write_text(content)
    return path


def take(database, path, format="csv", *, basis=None, source="elsewhere", **reading):
    """Import a file; the tally of the try before it."""
    origin = Origin(source, format, basis, SIGNER)
    how = Reading(**reading)
    origin, file, tally = tried(database, origin, path, how)
    if tally.events.total():
        imported(database, origin, file, path, how, tally)
    return tally


def rated(*rows):
    """A CSV of (prompt, output, thumb, rater)."""
    lines = [",".join(row) for row in rows]
    return "\n".join(["prompt,output,thumb,rater", *lines]) + "\n"


@pytest.fixture
def votes(tmp_path):
    return written(
        tmp_path / "votes.csv",
        rated(("snow", "white", "up", "ann"), ("rain", "dry", "down", "bob"), ("x", "y", "up", "")),
    )


# Once, and marked


def test_the_same_file_twice_is_the_same_events(database, votes):
    first, second = take(database, votes), take(database, votes)

    assert (first.generations, dict(first.events), len(first.raters)) == (3, {"thumb": 3}, 3)
    assert (second.generations, second.events.total(), second.known) == (0, 0, 3)
    with database.read() as session:
        assert [count(session, table) for table in (Generation, FeedbackEvent, Import)] == [3, 3, 1]


def test_a_file_that_has_grown_brings_what_is_new_and_a_try_brings_nothing(database, votes):
    origin = Origin("elsewhere", "csv", None, SIGNER)
    tried(database, origin, votes, Reading())
    with database.read() as session:
        assert count(session, Generation) == count(session, Visitor) == count(session, Import) == 0
    take(database, votes)
    votes.write_text(votes.read_text() + "hail,hard,up,ann\nsnow,white,up,ann\n")
    tally = take(database, votes)

    assert (tally.events.total(), tally.known, tally.repeated) == (1, 3, 1)
    with database.read() as session:
        assert count(session, Import) == 2
        assert count(session, Visitor) == 3  # ann is one person


def test_what_was_imported_says_from_where_and_can_be_browsed(database, votes):
    take(database, votes, basis=BASIS)
    with database.read() as session:
        [done] = browse.imports(session)
        page = browse.events(session)
        [version] = session.scalars(select(ModelVersion))

    assert (done["source"], done["format"], done["file_name"]) == ("elsewhere", "csv", "votes.csv")
    assert (done["basis"], done["finished_at"] is not None) == (BASIS, True)
    assert (done["generations"], done["events"]) == (3, 3)
    assert [row["output"] for row in page] == ["y", "dry", "white"]
    assert {row["import_id"] for row in page} == {done["id"]}
    assert (version.name, version.state, version.verified) == ("unknown", "retired", False)


def test_names_of_raters_are_never_stored(database, tmp_path):
    path = written(tmp_path / "v.csv", rated(("snow", "white", "up", CANARY)))
    take(database, path)
    with database.read() as session:
        [visitor] = session.scalars(select(Visitor))
        words = [
            str(vars(row))
            for table in (Visitor, Consent, Generation, FeedbackEvent, Import)
            for row in session.scalars(select(table))
        ]

    assert CANARY not in "".join(words)
    assert visitor.key_hash == Origin("elsewhere", "csv", None, SIGNER).rater(CANARY)


def test_who_is_not_named_is_one_person_a_conversation(database, tmp_path):
    path = written(
        tmp_path / "v.csv",
        rated(("a", "b", "up", ""), ("a", "b", "down", ""), ("c", "d", "up", "")),
    )
    take(database, path)
    with database.read() as session:
        assert count(session, Visitor) == 2


def test_other_content_under_the_same_identity_is_refused(database, tmp_path):
    chat = webui_chat(a2="Cold.")
    path = written(tmp_path / "f.json", json.dumps([webui_feedback("a2", chat, rating=1)]))
    take(database, path, "open-webui")
    other = webui_chat(a2="Warm.")
    path.write_text(json.dumps([webui_feedback("a2", other, rating=-1, updated=1740000900)]))
    tally = take(database, path, "open-webui")

    assert dict(tally.refused) == {"changed": 1}
    with database.read() as session:
        assert session.scalars(select(Generation.output_text)).all() == ["Cold."]


def test_ratings_of_a_conversation_are_linked_and_the_last_one_stands(database, tmp_path):
    chat = webui_chat(a2="Cold.")
    rows = [
        webui_feedback("a1", chat, rating=1),
        webui_feedback("a2", chat, rating=1, updated=1740000100),
        webui_feedback("a2", chat, rating=-1, updated=1740000900),
    ]
    path = written(tmp_path / "f.json", json.dumps(rows))
    take(database, path, "open-webui")
    with database.read() as session:
        first, second = session.scalars(select(Generation).order_by(Generation.id))
        standing = [row for row in browse.events(session) if row["standing"]]

    assert (second.parent_id, second.relation) == (first.id, "turn")
    assert first.queued_at.timestamp() == 1740000001
    assert [(row["output"], row["value"]) for row in standing] == [("Cold.", -1), ("Hi!", 1)]


def test_battles_become_drafts_of_one_request(database, tmp_path):
    battle = fastchat_battle(
        "rightvote",
        fastchat_state("snow?", "White.", conv_id="l"),
        fastchat_state("snow?", "Frozen water.", model="koala-13b", conv_id="r"),
    )
    path = written(tmp_path / "log.json", json_lines(battle))
    take(database, path, "fastchat", basis=BASIS)
    folder = tmp_path / "out"
    export(database, folder, Recipe("dpo", shape="conversational"))
    [row] = map(json.loads, (folder / "train.jsonl").read_text().splitlines())

    assert row["chosen"][0]["content"] == "Frozen water."
    assert row["rejected"][0]["content"] == "White."


# Consent


def test_without_a_basis_nothing_leaves_and_with_one_it_says_so(database, votes, tmp_path):
    take(database, votes)
    with database.read() as session:
        assert count_events(session) == (3, 0)
    with pytest.raises(NothingToExport, match="of 3 feedback events 0 may be used"):
        export(database, tmp_path / "none", Recipe("kto"))

    other = written(tmp_path / "other.csv", rated(("hail", "hard", "up", "eve")))
    take(database, other, basis=BASIS)
    manifest = export(database, tmp_path / "out", Recipe("kto"))
    [terms] = manifest["terms"]
    assert (manifest["rows"], terms["version"]) == (1, "import")


def test_a_basis_does_not_reach_back_and_its_lack_takes_nothing_away(database, tmp_path):
    """Ann's rows come in three files; only those of the one with a basis may be trained on."""
    files = {
        name: written(tmp_path / f"{name}.csv", rated((name, "x", "up", "ann")))
        for name in ("before", "stated", "after")
    }
    take(database, files["before"])
    take(database, files["stated"], basis=BASIS)
    take(database, files["after"])
    with database.read() as session:
        allowed = [row["prompt"] for row in event_rows(session, training_only=True)]
        assert count(session, Visitor) == 1

    assert allowed == ["stated"]


def test_the_same_rows_again_with_a_basis_stay_what_they_were(database, votes):
    take(database, votes)
    tally = take(database, votes, basis=BASIS)

    assert (tally.events.total(), tally.known) == (0, 3)
    with database.read() as session:
        assert count_events(session) == (3, 0)


# GenLoop's own exports


@pytest.fixture
def elsewhere(tmp_path):
    """Another GenLoop, with feedback of every kind that texts have."""
    there = Database(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    migrate(there)

    def work(session):
        ann = make_visitor(session, "ann")
        chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "snow?"}]
        first, second = make_generations(session, ann, messages=chat, outputs=("-1", "=white\r\n"))
        rate(session, ann, first, "thumb", -1)
        rate(session, ann, first, "thumb", None)
        rate(session, ann, second, "stars", 4)
        rate(session, ann, second, "edit", "'frozen'")
        rate(session, ann, second, "choice", True)
        rate(session, ann, second, "rank", 1)
        rate(session, ann, second, "reasons", ["beautiful"])
        rate(session, ann, second, "report", "")
        bob = make_visitor(session, "bob")
        his = make_generation(session, bob, output="rain")
        rate(session, bob, his, "thumb", 1)
        bob = make_visitor(session, "bob", train=False)  # from now on he does not want it
        rate(session, bob, his, "stars", 5)

    there.write(work)
    yield there
    there.close()


def owners_download(database, path, flavour):
    """All events, as the owner's area writes them."""
    with database.read() as session:
        rows = list(event_rows(session))
    if flavour == "jsonl":
        path = path / "events.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path = path / "events.csv"
        path.write_bytes(b"".join(csv_chunks(rows, flavour, bom=flavour == "spreadsheet")))
    return path, rows


COMPARED = ("created_at", "kind", "score", "text", "retracted", "standing", "draft", "model")
COMPARED += ("prompt", "messages", "output", "options", "queued_at")


@pytest.mark.parametrize("flavour", ["jsonl", "lossless", "spreadsheet"])
def test_another_genloops_events_come_over_as_they_were(elsewhere, tmp_path, flavour):
    path, rows = owners_download(elsewhere, tmp_path, flavour)
    here = Database(f"sqlite:///{tmp_path / 'here.db'}")
    migrate(here)
    tally = take(here, path, "genloop", basis=BASIS, spreadsheet=flavour == "spreadsheet")
    with here.read() as session:
        came = list(event_rows(session))
        allowed = [row["kind"] for row in event_rows(session, training_only=True)]
    here.close()

    assert dict(tally.refused) == {}
    assert [[row[name] for name in COMPARED] for row in came] == [
        [row[name] for name in COMPARED] for row in rows
    ]
    [choice] = [row for row in came if row["kind"] == "choice"]
    others = {row["generation_id"] for row in came if row["request_id"] == choice["request_id"]}
    assert set(choice["items"]) == others - {choice["generation_id"]}
    # Bob's last word was no: what the source says counts, whatever basis the owner states.
    assert allowed == ["thumb", "thumb", "stars", "edit", "choice", "rank", "reasons", "report"]


def test_what_was_erased_here_does_not_come_back_by_an_old_export(elsewhere, tmp_path):
    path, _ = owners_download(elsewhere, tmp_path, "jsonl")
    assert take(elsewhere, path, "genloop", basis=BASIS).known == 10
    elsewhere.write(lambda session: erase(session, "bob"))
    tally = take(elsewhere, path, "genloop", basis=BASIS)

    assert (tally.known, dict(tally.refused), tally.events.total()) == (8, {"erased_here": 2}, 0)


def test_a_last_word_counts_also_where_its_row_is_refused(elsewhere, database, tmp_path):
    path, rows = owners_download(elsewhere, tmp_path, "jsonl")
    of_ann = rows[0]
    picture = {**of_ann, "task": "image", "output": None, "consent_train": False}
    path.write_text(json_lines(*rows, picture))
    take(database, path, "genloop", basis=BASIS)
    with database.read() as session:
        assert count_events(session) == (10, 0)


def test_pictures_and_samples_are_refused_for_they_are_not_in_the_file(elsewhere, tmp_path):
    path, rows = owners_download(elsewhere, tmp_path, "jsonl")
    changed = [{**rows[0], "task": "image"}, {**rows[1], "task": "vae"}]
    path.write_text(json_lines(*changed))

    assert dict(take(elsewhere, path, "genloop").refused) == {"needs_picture": 1, "needs_latent": 1}


# Broken off, taken back, erased


def test_an_import_that_breaks_off_is_gone_on_with(database, tmp_path):
    rows = [(f"prompt {i}", "x", "up", f"rater {i % 7}") for i in range(250)]
    path = written(tmp_path / "many.csv", rated(*rows))
    origin = Origin("elsewhere", "csv", BASIS, SIGNER)
    origin, file, tally = tried(database, origin, path, Reading())
    whole = list(FORMATS["csv"](path, Reading()))

    def dying():
        yield from whole[:150]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keeping.keep(database, origin, file, dying(), tally.trains)
    with database.read() as session:
        [unfinished] = browse.imports(session)
        assert (unfinished["generations"], unfinished["finished_at"]) == (100, None)
    assert take(database, path, basis=BASIS).events.total() == 150

    with database.read() as session:
        [done] = browse.imports(session)
        assert (done["events"], done["finished_at"] is not None) == (250, True)
        assert count_events(session) == (250, 250)
        assert session.scalar(select(func.count()).select_from(Consent)) == 7


def test_a_file_that_changes_meanwhile_is_not_imported(database, votes):
    origin = Origin("elsewhere", "csv", None, SIGNER)
    origin, file, tally = tried(database, origin, votes, Reading())
    votes.write_text(votes.read_text() + "more,rows,up,ann\n")

    with pytest.raises(BadFile, match="still being written"):
        imported(database, origin, file, votes, Reading(), tally)


def test_a_file_that_contradicts_itself_writes_nothing_of_the_batch(elsewhere, tmp_path, database):
    path, rows = owners_download(elsewhere, tmp_path, "jsonl")
    twice = {**rows[2], "generation_id": rows[0]["generation_id"][:-1] + "0", "event_key": "k"}
    path.write_text(json_lines(rows[2], twice))

    with pytest.raises(BadFile, match="contradicts itself"):
        take(database, path, "genloop")
    with database.read() as session:
        assert count(session, Generation) == count(session, Visitor) == 0


def test_an_import_can_be_taken_back_and_brought_again(database, votes, tmp_path):
    ann = database.write(lambda session: make_visitor(session, "ann"))
    hers = database.write(lambda session: make_generation(session, ann))
    take(database, votes)
    other = written(tmp_path / "other.csv", rated(("snow", "white", "down", "eve")))
    take(database, other, basis=BASIS)  # about an output that the first import brought
    database.write(lambda session: take_back(session, 1))
    with database.read() as session:
        assert session.scalars(select(Generation.id)).all() == [hers]
        assert count(session, FeedbackEvent) == 0
        assert session.scalars(select(Visitor.id).where(Visitor.erased_at.is_(None))).all() == [
            ann.visitor_id,
            session.scalar(select(func.max(Visitor.id))),
        ]
    with pytest.raises(NoImport):
        database.write(lambda session: take_back(session, 1))

    assert take(database, votes, basis=BASIS).events.total() == 3
    with database.read() as session:
        assert count_events(session) == (3, 3)


def test_an_erased_rater_is_gone_and_no_later_import_brings_her_back(database, votes, tmp_path):
    take(database, votes, basis=BASIS)
    key = Origin("elsewhere", "csv", None, SIGNER).rater("ann")
    with database.read() as session:
        number = session.scalar(select(Visitor.id).where(Visitor.key_hash == key))
        assert imported_key(session, number) == key
    database.write(lambda session: erase_rater(session, key))
    database.write(lambda session: erase_rater(session, key))
    more = written(tmp_path / "more.csv", rated(("hail", "hard", "up", "ann")))
    tally = take(database, more, basis="another basis")

    assert dict(tally.refused) == {"erased": 1}
    assert dict(take(database, votes).refused) == {"erased": 1}
    with database.read() as session:
        outputs = session.scalars(select(Generation.output_text)).all()
        assert sorted(outputs) == ["dry", "y"]
        assert count(session, ErasedRater) == 1


def test_a_rater_of_somebody_elses_output_is_erased_alone(database, tmp_path):
    answers = {"rating": [{"value": 4, "user_id": "u-1"}, {"value": 2, "user_id": "u-2"}]}
    record = argilla_record({"prompt": "snow?", "response": "White."}, answers)
    path = written(tmp_path / "records.json", json.dumps([record]))
    take(database, path, "argilla")
    database.write(
        lambda session: erase_rater(session, Origin("elsewhere", "", None, SIGNER).rater("u-1"))
    )
    with database.read() as session:
        assert session.scalars(select(FeedbackEvent.score)).all() == [2]
        assert count(session, Generation) == 1
    assert take(database, path, "argilla").events.total() == 0


# Bounds


def test_what_is_too_long_or_no_text_is_refused_by_its_row(database, tmp_path):
    state = fastchat_state("snow?", "x" * 20_001)
    nul, half = fastchat_state("a\x00", "b"), fastchat_state("a", "\ud800")
    empty, long = fastchat_state("a", "  "), fastchat_state("y" * 20_001, "b")
    votes = [fastchat_vote("upvote", one) for one in (state, nul, half, empty, long)]
    path = written(tmp_path / "log.json", json_lines(*votes))
    tally = take(database, path, "fastchat")

    assert {one.row: one.sentence for one in tally.refusals} == {
        1: "the output has 20001 characters; 20000 are kept",
        2: "the conversation holds NUL or half of a surrogate pair",
        3: "the output holds NUL or half of a surrogate pair",
        4: "the output is empty",
        5: "the conversation has 20048 characters; 20000 are kept",
    }
    assert tally.generations == 0


def test_ids_are_always_the_same_and_sort_by_their_moment():
    early, late = now(), now().replace(year=2099)
    assert derived_uuid7("a", early) == derived_uuid7("a", early) != derived_uuid7("b", early)
    assert derived_uuid7("a", None) < derived_uuid7("a", early) < derived_uuid7("a", late)
    assert derived_uuid7("a", early)[14] == "7"


def test_native_visitors_are_not_erased_as_imported_ones(session):
    ann = make_visitor(session, "ann")
    say(
        session,
        ann,
        key="7c1d4e02-93a5-4a41-a47d-5d9f0c2f2b6e",
        generation_id=make_generation(session, ann),
        kind="thumb",
        value=1,
    )

    with pytest.raises(NotImported):
        imported_key(session, ann.visitor_id)


# The commands


def run(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def settled(tmp_path, monkeypatch):
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def test_the_command_tries_first_and_imports_when_told(settled, votes):
    votes.write_text(votes.read_text() + "only,three,cells\n")
    arguments = (votes, "--format", "csv", "--source", "survey")
    tried_first = run(import_feedback.main, *arguments)
    assert tried_first.exit_code == 0
    assert "4 rows read: 3 outputs and 3\n  events are new (3 thumb), by 3 raters." in (
        tried_first.output
    )
    assert "row 4: it has 3 cells, not 4" in tried_first.output
    assert "Nothing was written" in tried_first.output

    applied = run(import_feedback.main, *arguments, "--apply", "--basis", BASIS)
    assert "Imported as number 1. It may be trained on" in applied.output
    again = run(import_feedback.main, *arguments, "--apply")
    assert "3 events are here already" in again.output
    assert "nothing new" in again.output
    listed = CliRunner().invoke(managing.app, ["list"])
    assert f"csv  survey  votes.csv  3 outputs, 3 events  basis: {BASIS}" in listed.output

    assert (
        CliRunner().invoke(managing.app, ["erase", "--rater", "ann", "--source", "survey"]).output
    )
    assert CliRunner().invoke(managing.app, ["erase", "--visitor", "99"]).exit_code == 1
    assert CliRunner().invoke(managing.app, ["erase", "--rater", "ann"]).exit_code == 2
    assert CliRunner().invoke(managing.app, ["take-back", "1"]).exit_code == 0
    assert CliRunner().invoke(managing.app, ["take-back", "1"]).exit_code == 1
    assert "taken back" in CliRunner().invoke(managing.app, ["list"]).output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--map", "question=Frage"], "OURS is one of"),
        (["--timezone", "Middle/Earth"], "no time zone"),
        (["--delimiter", ";;"], "too long"),
    ],
)
def test_options_that_make_no_sense_are_told(settled, votes, options, sentence):
    outcome = run(import_feedback.main, votes, "--format", "csv", *options)

    assert outcome.exit_code == 2
    assert sentence in outcome.output.replace("\n", " ")


def test_a_file_that_cannot_be_read_ends_in_a_sentence(settled):
    outcome = run(import_feedback.main, settled / "missing.csv", "--format", "csv")

    assert outcome.exit_code == 1
    assert "cannot be read: No such file or directory." in outcome.output


def test_every_format_has_a_reader():
    assert set(FORMATS) == set(get_args(FormatName))
