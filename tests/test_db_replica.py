"""A database and its copy: what was written there comes back, once, whole, or with a sentence."""

import json
import random
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import delete, func, insert, select, text, update

from db import migrations
from db.migrate import migrate
from db.replica import journal, marks, older, rows, segments, serials, state
from db.replica.folder_target import FolderTarget
from db.replica.keys import key_check
from db.replica.marks import NewerReplica
from db.replica.replay import NotEmpty, ReplicaDamaged, replay
from db.replica.rows import OtherSchema
from db.replica.ship import Fenced, Foreign
from db.replica.state import Superseded
from db.replica.targets import TargetDown
from db.tables import (
    Consent,
    Decision,
    ErasedRater,
    Export,
    ExportRow,
    FeedbackEvent,
    Generation,
    Import,
    ModelVersion,
    Replica,
    Review,
    ScheduledRun,
    TrainingRun,
    Visitor,
    now,
)
from feedback.erase import erase
from tests.factories import (
    cast_vote,
    drawn,
    make_generation,
    make_generations,
    make_samples,
    make_visitor,
    rate,
)
from tests.replicas import (
    CANARY,
    all_bytes,
    contents,
    folder_target,
    new_database,
    newest,
    open_copied,
    pictures_of,
)


@pytest.fixture
def target(quick_path) -> FolderTarget:
    return folder_target(quick_path / "target")


@pytest.fixture
def copied(quick_path, target):
    copied = open_copied(quick_path / "first", target)
    yield copied
    copied.close()


@pytest.fixture
def rebuild(quick_path, target):
    """Rebuild an empty database from the target; `rebuild()` gives it with its pictures."""
    opened = []

    def rebuild(**given):
        database, media = new_database(quick_path / f"rebuilt {len(opened)}", given.pop("url", ""))
        opened.append(database)
        report = replay(database, media, given.pop("target", target), **given)
        return database, media, report

    yield rebuild
    for database in opened:
        database.close()


def everything(session) -> None:
    """A row in every table, with the values that are easily lost on the way."""
    ann = make_visitor(session)
    left, right = make_generations(
        session, ann, prompt="“雪”\t\x7f\u2028 🀄", outputs=("白", "é\r\n")
    )
    make_samples(session, ann, latents=({"z": [0.1, -1e-300, 1 / 3]}, {"z": [float("nan")]}))
    child = make_generation(session, ann, messages=[{"role": "user", "content": "再来"}])
    session.get_one(Generation, child).parent_id = left
    cast_vote(session, ann, left, right, "left")
    event = rate(session, ann, right, "edit", "é́ \\u0041 \\n")
    rate(session, ann, left, "thumb", 1)
    rate(session, ann, left, "thumb", None)
    session.execute(
        text(
            "INSERT INTO signals (key, generation_id, visitor_id, consent_id, kind, created_at) "
            "VALUES ('k', :generation, :visitor, :consent, 'copy', '2026-01-01 00:00:00.000001')"
        ),
        {"generation": left, "visitor": ann.visitor_id, "consent": ann.consent_id},
    )
    session.add(Review(event_id=event.id, verdict="approved"))
    session.add(Export(name="poems", version=1, format="sft", manifest_sha256="0" * 64, rows=1))
    session.flush()
    row = {"export_id": 1, "row": 0, "event_id": event.id, "row_sha256": "1" * 64}
    session.execute(insert(ExportRow), [row, row | {"event_id": -7}])
    session.add(Import(source="a", format="feel", file_name="雪.jsonl", file_sha256="2" * 64))
    session.add(ErasedRater(rater_hash="3" * 64))
    session.flush()
    consent = session.get_one(Consent, ann.consent_id)
    consent.import_id = 1
    version = session.scalars(select(ModelVersion)).first()
    version.verified, version.says = False, {"id": "雪", "owned_by": None}
    run = {"job": "export", "holder": "x", "fence": 1, "state": "finished", "started_at": now()}
    session.add(ScheduledRun(**run, last_event_id=1, last_vote_id=1, finished_at=now()))
    training = {"export_id": 1, "base_version_id": version.id, "method": "dpo", "state": "finished"}
    session.add(TrainingRun(**training, config={"beta": 0.1}, metrics={"loss": 1e-300}))
    decision = {"version_id": version.id, "outcome": "keep", "rule": "赢", "decided_by": "owner"}
    session.add(Decision(**decision, numbers={"wins": [1, 2.5]}))


# There and back


def test_everything_comes_back_as_it_was(copied, rebuild):
    copied.copy()
    copied.write(everything)
    copied.fill(colour="blue")
    copied.copy()
    copied.fill("bob")
    copied.copy()
    database, media, report = rebuild()

    assert contents(database) == contents(copied.database)
    empty = {name for name, (rows, _) in contents(database).items() if not rows}
    assert empty == set(), "a table is new: let everything() write a row of it"
    assert pictures_of(media) == pictures_of(copied.media)
    assert report.marks == 3 and report.pictures == 2 and not report.missing_pictures
    assert copied.pending().rows == 0


@pytest.mark.postgres
def test_everything_goes_to_postgresql_and_back(quick_path, copied, rebuild, postgres_url):
    """From SQLite to PostgreSQL by one target, and from there to SQLite by another."""
    copied.write(everything)
    copied.write(lambda session: session.execute(delete(Generation).where(is_nan)).close())
    copied.fill()
    copied.copy()
    before = contents(copied.database)

    other = folder_target(quick_path / "other")
    database, media, _report = rebuild(url=postgres_url)
    assert contents(database) == before

    journal.install(database)
    second = open_copied(quick_path / "second", other, postgres_url)
    second.copy()
    second.fill("bob", colour="blue")
    second.write(lambda session: erase(session, "ann"))
    second.copy()
    again, _media, _report = rebuild(target=other)
    assert contents(again) == contents(database) != before
    second.close()


is_nan = Generation.latent.cast(type_=Generation.output_text.type).contains("NaN")


def test_what_was_never_written_is_nothing_to_rebuild(rebuild):
    _database, _media, report = rebuild()

    assert report is None


def test_a_second_replay_is_refused_and_changes_nothing(copied, rebuild, target):
    copied.fill()
    copied.copy()
    database, media, _report = rebuild()
    before = contents(database)

    with pytest.raises(NotEmpty):
        replay(database, media, target)
    assert contents(database) == before


def test_a_replay_that_dies_on_the_way_leaves_an_empty_database(copied, rebuild, target):
    copied.fill()
    copied.copy()
    read, left = target.read, [2]  # the mark and the segment, but not the picture

    def dies(name):
        left[0] -= 1
        if left[0] < 0:
            raise TargetDown("away")
        return read(name)

    target.read = dies
    with pytest.raises(TargetDown):
        rebuild()
    target.read = read
    database, media = new_database(target.folder.parent / "rebuilt 0")
    with database.read() as session:
        assert session.scalars(select(Visitor)).all() == []
    assert replay(database, media, target) is not None
    assert contents(database) == contents(copied.database)
    database.close()


def test_models_that_an_empty_app_has_noted_are_no_obstacle(copied, rebuild, target, quick_path):
    copied.fill()
    copied.copy()
    database, media = new_database(quick_path / "noted")
    values = {"task": "text", "name": "x", "source": "x", "weights_sha256": "f" * 64}
    database.write(lambda session: session.execute(insert(ModelVersion), values).close())

    assert replay(database, media, target) is not None
    assert contents(database) == contents(copied.database)
    database.close()


def test_random_writes_come_back_whatever_the_turns(copied, rebuild):
    """Ratings, retries, erasures and copies in any order."""
    chance = random.Random(5)
    for turn in range(40):
        name = chance.choice("abcd")
        what = chance.random()
        if what < 0.6:
            copied.fill(name, f"poem {turn}", colour=chance.choice(["red", "blue", "green"]))
        elif what < 0.75:
            hashes = copied.write(lambda session, name=name: erase(session, name))
            copied.write(lambda session, some=hashes: copied.media.drop_unused(session, some))
        else:
            copied.copy()
    copied.copy()
    database, media, _report = rebuild()

    assert contents(database) == contents(copied.database)
    assert pictures_of(media) == pictures_of(copied.media)


def test_a_copy_made_while_visitors_write_is_of_one_moment(copied, rebuild):
    """Every event that comes back has its generation, its visitor and its consent."""
    copied.fill()
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            copied.fill(f"visitor {number}", f"poem {number}")

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        copied.copy()
    stop.set()
    for thread in threads:
        thread.join()
    half, _media, _report = rebuild()  # the references are checked by the database
    copied.copy()
    whole, _media, _report = rebuild()

    with half.read() as session:
        assert session.scalar(select(func.count()).select_from(FeedbackEvent)) > 0
    assert contents(whole) == contents(copied.database)


def test_many_rows_make_several_segments(copied, rebuild, monkeypatch):
    monkeypatch.setattr(segments, "LONGEST", 4_000)
    for number in range(6):
        copied.fill(f"visitor {number}")
    copied.copy()

    assert len(newest(copied.shipper.target).mark.segments) > 3
    database, *_ = rebuild()
    assert contents(database) == contents(copied.database)


# Numbers, secrets


def numbers(session) -> list[int]:
    """The number that the next visitor, consent and event get."""
    bob = make_visitor(session, "bob")
    event = rate(session, bob, make_generation(session, bob), "thumb", 1)
    return [bob.visitor_id, bob.consent_id, event.id]


def test_numbers_that_were_lost_are_not_given_away_again(copied, rebuild):
    copied.fill()
    copied.copy()
    lost = copied.write(numbers)
    database, *_ = rebuild()

    for new, old in zip(database.write(numbers), lost, strict=True):
        assert new >= old + serials.JUMP


@pytest.mark.postgres
def test_numbers_go_on_after_an_end_in_order(copied, rebuild, postgres_url):
    copied.fill()
    copied.copy()
    copied.write(lambda session: erase(session, "ann"))
    copied.shipper.ship_changes(released=True)
    before = copied.write(numbers)
    for url in ("", postgres_url):
        database, *_ = rebuild(url=url)
        assert database.write(numbers) == before


def test_another_secret_is_noticed_and_none_is_copied(copied, target):
    secret = "a secret that nobody guesses"
    copied.shipper.key_check = key_check(secret)
    copied.fill()
    copied.copy()

    assert newest(target).mark.key_check == key_check(secret) != key_check("another")
    assert secret.encode() not in all_bytes(target)


# Erasure


def test_no_byte_of_what_was_erased_is_left_at_the_target(copied, target, rebuild):
    copied.fill("ann", CANARY, "red")
    copied.fill("bob", "a poem of bob's", "blue")
    copied.copy()
    with copied.database.read() as session:
        key = session.scalar(select(FeedbackEvent.key).where(FeedbackEvent.kind == "edit"))
    [red] = [name for name, data in pictures_of(copied.media).items() if data == drawn("red")]
    for word in (CANARY, key, red):
        assert word.encode() in all_bytes(target)

    hashes = copied.write(lambda session: erase(session, "ann"))
    copied.write(lambda session: copied.media.drop_unused(session, hashes))
    copied.copy()

    left = all_bytes(target)
    for word in (CANARY, key, red, "ann"):
        assert word.encode() not in left
    assert drawn("red") not in left and drawn("blue") in left
    assert b"a poem of bob's" in left
    assert newest(target).mark.erases is False
    database, media, _report = rebuild()
    assert contents(database) == contents(copied.database)
    assert pictures_of(media) == pictures_of(copied.media)


def test_an_erasure_is_carried_out_after_a_crash_as_well(copied, target, quick_path):
    """The tombstones are copied, then the process dies: the next one makes the new base."""
    copied.fill("ann", CANARY)
    copied.copy()
    copied.write(lambda session: erase(session, "ann"))
    copied.shipper.ship_changes()
    assert CANARY.encode() in all_bytes(target)
    assert newest(target).mark.erases is True
    copied.close()

    again = open_copied(quick_path / "first", target)
    again.copy()
    assert CANARY.encode() not in all_bytes(target)
    again.close()


def test_a_crash_between_the_new_base_and_the_cleaning_is_made_up_for(copied, target, quick_path):
    copied.fill("ann", CANARY)
    copied.copy()
    copied.write(lambda session: erase(session, "ann"))
    copied.shipper.ship_changes()
    copied.shipper.ship_everything()
    assert CANARY.encode() in all_bytes(target)
    assert copied.shipper.state.erases is True
    copied.close()

    again = open_copied(quick_path / "first", target)
    again.copy()
    assert CANARY.encode() not in all_bytes(target)
    assert again.shipper.state.erases is False
    again.close()


def test_what_is_erased_before_it_was_copied_is_never_copied(copied, target):
    copied.copy()
    copied.fill("ann", CANARY)
    hashes = copied.write(lambda session: erase(session, "ann"))
    copied.write(lambda session: copied.media.drop_unused(session, hashes))
    seen = []
    commit = target.commit
    target.commit = lambda files, mark, content: (
        commit(files, mark, content),
        seen.append(all_bytes(target)),
    )
    copied.copy()

    assert seen and not any(CANARY.encode() in one for one in seen)


def test_a_picture_that_is_drawn_again_while_it_is_being_removed_is_sent_again(
    copied, target, rebuild
):
    copied.fill()
    copied.copy()
    copied.shipper.ship_everything()
    hashes = copied.write(lambda session: erase(session, "ann"))
    copied.write(lambda session: copied.media.drop_unused(session, hashes))
    copied.shipper.clean()
    assert target.names("media") == []
    copied.fill("bob")
    copied.copy()

    _database, media, report = rebuild()
    assert report.missing_pictures == []
    assert list(pictures_of(media).values()) == [drawn("red")]


def test_erasures_of_a_large_database_wait_for_each_other(copied):
    copied.fill()
    copied.copy()
    copied.shipper.base_took = 1_000.0  # seconds
    copied.write(lambda session: erase(session, "ann"))
    copied.copy()

    assert copied.shipper.newest.mark.base is False
    assert copied.shipper.newest.mark.erases is True


# Marks and segments


def test_many_changes_are_copied_anew_as_one(copied, rebuild, target, monkeypatch):
    monkeypatch.setattr("db.replica.ship.MANY_MARKS", 5)
    for number in range(8):
        copied.fill(f"visitor {number}")
        copied.copy()

    assert len(target.names("log")) == len(target.names("data")) <= 6
    database, *_ = rebuild()
    assert contents(database) == contents(copied.database)


def test_nothing_new_writes_nothing(copied, target):
    copied.fill()
    copied.copy()
    before = target.names("")
    copied.copy()

    assert target.names("") == before


def test_a_segment_without_a_mark_counts_for_nothing(copied, rebuild, target):
    """A crash between the data and its mark; the same rows then come with the next one."""
    copied.fill()
    copied.copy()
    copied.fill("bob")

    def dies(files, mark, content):
        target.put(files)
        raise TargetDown("away")

    commit, target.commit = target.commit, dies
    with pytest.raises(TargetDown):
        copied.copy()
    target.commit = commit
    database, *_ = rebuild()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Visitor)) == 1

    copied.fill("eve")
    copied.copy()
    database, *_ = rebuild()
    assert contents(database) == contents(copied.database)


def test_a_mark_whose_answer_was_lost_is_not_written_twice(copied, rebuild, target):
    copied.fill()
    copied.copy()
    commit = target.commit

    def loses_the_answer(files, mark, content):
        commit(files, mark, content)
        raise TargetDown("away")

    target.commit = loses_the_answer
    copied.fill("bob")
    with pytest.raises(TargetDown):
        copied.copy()
    target.commit = commit
    copied.shipper.watch()
    copied.copy()

    assert copied.pending().rows == 0
    database, *_ = rebuild()
    assert contents(database) == contents(copied.database)


def test_a_process_that_died_before_it_knew_goes_on(copied, rebuild, target, quick_path):
    """The mark is at the target, and the database does not know it yet."""
    copied.fill()
    copied.copy()
    commit = target.commit

    def dies(files, mark, content):
        commit(files, mark, content)
        raise KeyboardInterrupt

    target.commit = dies
    copied.fill("bob")
    with pytest.raises(KeyboardInterrupt):
        copied.copy()
    target.commit = commit
    copied.close()

    again = open_copied(quick_path / "first", target)
    again.fill("eve")
    again.copy()
    database, *_ = rebuild()
    assert contents(database) == contents(again.database)
    again.close()


def test_a_segment_that_is_there_twice_is_applied_with_the_same_end(copied, rebuild, target):
    copied.fill()
    copied.copy()
    copied.fill("bob")
    copied.shipper.ship_changes()
    twice = copied.shipper.newest
    mark = replace(twice.mark, seq=twice.mark.seq + 1, previous=twice.sha256)
    target.put({mark.name: mark.content()})
    database, *_ = rebuild()

    assert contents(database) == contents(copied.database)


def damage(target, name, how) -> None:
    path = target.folder / name
    data = bytearray(path.read_bytes())
    if how == "a flipped bit":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif how == "half of it":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["a flipped bit", "half of it", "it is gone"])
@pytest.mark.parametrize("where", ["log", "data"])
def test_what_is_damaged_stops_the_replay_with_advice(copied, rebuild, target, where, how):
    for name in ("ann", "bob", "eve"):
        copied.fill(name)
        copied.copy()
    damaged = target.names(where)[1]
    damage(target, damaged, how)

    with pytest.raises(ReplicaDamaged, match="--repair") as refusal:
        rebuild()
    assert damaged in str(refusal.value)
    database, _ = new_database(target.folder.parent / "rebuilt 0")
    with database.read() as session:
        assert session.scalars(select(Visitor)).all() == []
    database.close()


def test_a_picture_that_is_damaged_stops_the_replay_too(copied, rebuild, target):
    copied.fill()
    copied.copy()
    [picture] = target.names("media")
    damage(target, picture, "a flipped bit")

    with pytest.raises(ReplicaDamaged, match=picture):
        rebuild()


def test_a_picture_that_is_gone_is_reported(copied, rebuild, target):
    copied.fill()
    copied.copy()
    [picture] = target.names("media")
    damage(target, picture, "it is gone")
    database, _media, report = rebuild()

    assert report.missing_pictures == [picture.rpartition("/")[2]]
    assert contents(database) == contents(copied.database)


def test_a_picture_that_is_not_here_to_copy_is_named_in_the_mark(copied, target):
    copied.fill()
    [(sha256, _)] = pictures_of(copied.media).items()
    copied.media.path(sha256).unlink()
    copied.copy()

    assert newest(target).mark.missing_media == (sha256,)


def test_what_is_whole_can_be_rebuilt_without_the_rest(copied, rebuild, target):
    """The second mark is gone, with a visitor and all that she made."""
    copied.fill("ann")
    copied.copy()
    copied.fill("bob", colour="blue")
    copied.copy()
    bob = copied.write(
        lambda session: session.scalar(select(Visitor.id).where(Visitor.key_hash == "bob"))
    )
    copied.write(lambda session: make_generation(session, make_visitor(session, "bob")))
    copied.copy()
    damage(target, marks.name_of(2), "it is gone")
    database, _media, report = rebuild(skip_damaged=True)

    assert any("gap" in one for one in report.damages)
    assert any("without their visitors" in one for one in report.damages)
    with database.read() as session:
        assert session.scalars(select(Visitor.key_hash)).all() == ["ann"]
        assert bob not in session.scalars(select(Consent.visitor_id)).all()


# Versions


def rewritten(target, change) -> None:
    """The newest mark as another version would have written it."""
    mark = change(newest(target).mark)
    target.put({mark.name: mark.content()})


def test_a_newer_schema_is_refused_with_advice(copied, rebuild, target):
    copied.fill()
    copied.copy()
    rewritten(target, lambda mark: replace(mark, schema="9999"))

    with pytest.raises(NewerReplica, match="9999.*install the newer version"):
        rebuild()


def test_a_newer_format_is_refused_with_advice(copied, rebuild, target):
    copied.fill()
    copied.copy()
    rewritten(target, lambda mark: replace(mark, format=marks.FORMAT + 1))

    with pytest.raises(NewerReplica, match="install the newer version"):
        rebuild()


def test_another_schema_is_copied_anew_as_a_base(copied, target):
    copied.fill()
    copied.copy()
    copied.shipper.newest = replace(
        copied.shipper.newest, mark=replace(copied.shipper.newest.mark, schema="0001")
    )

    assert copied.shipper.needs_base()


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = 'next'
down_revision = '{head}'
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('feedback_events', sa.Column('mood', sa.Text()))
    op.execute("UPDATE feedback_events SET mood = 'was ' || kind")
    op.create_table('moods', sa.Column('id', sa.Integer(), primary_key=True))
"""


@pytest.fixture
def next_version(quick_path, monkeypatch):
    """From now on there is one more migration, which fills its new column from the rows."""
    folder = quick_path / "migrations"
    shutil.copytree(Path(migrations.__path__[0]), folder)
    (folder / "versions" / "next.py").write_text(NEXT.format(head=older.head()))
    config = Config()
    config.set_main_option("script_location", str(folder))
    monkeypatch.setattr("db.migrate.scripts", lambda: config)
    monkeypatch.setattr("db.replica.older.scripts", lambda: config)
    monkeypatch.setattr("db.replica.replay.scripts", lambda: config)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_an_older_copy_is_rebuilt_as_it_was_and_then_migrated(
    kind, copied, quick_path, target, request
):
    copied.write(everything)
    copied.write(lambda session: session.execute(delete(Generation).where(is_nan)).close())
    copied.fill()
    copied.copy()
    copied.fill("bob")
    copied.copy()
    before = contents(copied.database)
    url = "" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    request.getfixturevalue("next_version")
    database, media = new_database(quick_path / "new version", url)
    migrate(database)
    replay(database, media, target)

    assert contents(database) == before
    with database.read() as session:
        moods = set(session.execute(text("SELECT kind, mood FROM feedback_events")))
        assert moods == {(kind, f"was {kind}") for kind in ("edit", "thumb")}
        assert state.schema(session) == "next"
        assert session.scalar(text("SELECT count(*) FROM moods")) == 0
        assert journal.names_of(Visitor.__table__, database.is_sqlite) <= journal.triggers(
            session.connection()
        )
        assert not state.current(session).whole, "everything is copied anew"
        if database.is_sqlite:  # the rules are those of a database that was migrated
            query = text("SELECT sql FROM sqlite_master WHERE name = 'consents'")
            with copied.database.read() as other:
                assert session.scalar(query) == other.scalar(query)
    database.close()


def test_an_older_copy_of_which_a_part_is_damaged_leaves_nothing_behind(
    copied, quick_path, target, next_version
):
    copied.fill()
    copied.copy()
    [segment] = newest(target).mark.segments
    target.put({segment.name: b"damaged"})
    database, media = new_database(quick_path / "new version")
    migrate(database)
    with pytest.raises(ReplicaDamaged):
        replay(database, media, target)

    with database.read() as session:
        assert state.schema(session) == "next"
        assert session.scalar(text("SELECT count(mood) FROM feedback_events")) == 0
        assert session.scalar(text("SELECT count(*) FROM visitors")) == 0
    database.close()


def test_rows_that_are_not_of_their_schema_are_refused():
    table = ErasedRater.__table__
    row = {"rater_hash": "x", "erased_at": "2026-01-01T00:00:00+00:00"}

    assert rows.parameters(table, row)["erased_at"].year == 2026
    for other in (row | {"mood": "fine"}, {"rater_hash": "x"}):
        with pytest.raises(OtherSchema, match="do not agree on the columns of erased_raters"):
            rows.parameters(table, other)
    with pytest.raises(OtherSchema, match="a table moods"):
        rows.table_of({"table": "moods"}, journal.BY_NAME)


def test_a_migration_in_the_middle_of_a_copy_brings_a_base(copied, target):
    """The rows of one base and of what follows it are of one schema."""
    copied.fill()
    copied.copy()
    before = newest(target).mark
    copied.shipper.newest = replace(copied.shipper.newest, mark=replace(before, schema="0001"))
    copied.fill("bob")

    assert not copied.shipper.ship_changes()
    assert copied.pending().rows
    copied.copy()
    assert newest(target).mark.base


# One writer


def test_who_comes_later_goes_on_and_who_was_there_stops(copied, target, quick_path):
    copied.fill()
    copied.copy()
    second = open_copied(quick_path / "second", target)
    assert not second.shipper.needs_base(), "what is there is whole, and need not be copied again"
    copied.fill("lost")

    with pytest.raises(Fenced, match="another copy of the app"):
        copied.copy()
    assert copied.pending().rows > 0
    second.fill("eve")
    second.copy()
    with pytest.raises(Fenced):
        copied.copy()
    third = open_copied(quick_path / "third", target)
    with third.database.read() as session:
        assert set(session.scalars(select(Visitor.key_hash))) == {"ann", "eve"}
    second.close()
    third.close()


def test_of_two_that_start_at_once_one_goes_on(copied, target, quick_path):
    copied.fill()
    copied.copy()
    there = threading.Barrier(2)
    commit = target.commit
    outcomes = []

    def together(files, mark, content):
        there.wait(10)
        commit(files, mark, content)

    target.commit = together

    def start(name):
        try:
            outcomes.append(open_copied(quick_path / name, target))
        except Fenced as problem:
            outcomes.append(problem)

    threads = [threading.Thread(target=start, args=[name]) for name in ("second", "third")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fenced = [one for one in outcomes if isinstance(one, Fenced)]
    [winner] = [one for one in outcomes if not isinstance(one, Fenced)]

    assert len(fenced) == 1
    target.commit = commit
    winner.fill("eve")
    winner.copy()
    assert newest(target).mark.copy_id == winner.shipper.state.copy_id
    winner.close()


def test_who_takes_over_has_not_done_so_before_its_mark_is_there(copied, target, quick_path):
    copied.fill()
    copied.copy()
    commit, target.commit = target.commit, away
    with pytest.raises(TargetDown):
        open_copied(quick_path / "second", target)
    target.commit = commit
    second = open_copied(quick_path / "second", target)

    assert newest(target).mark.copy_id == second.shipper.state.copy_id
    second.close()


def away(*_):
    raise TargetDown("away")


def test_two_that_start_at_an_empty_place_do_not_mix(copied, target, quick_path):
    second = open_copied(quick_path / "second", target)
    copied.fill()
    second.fill("bob")
    copied.copy()

    with pytest.raises(Fenced):
        second.copy()
    second.close()


def test_a_stray_mark_of_one_that_slept_is_noticed(copied, target, quick_path):
    """It slept while another took over, and that one has removed the marks from before its base."""
    copied.fill()
    copied.copy()
    second = open_copied(quick_path / "second", target)
    for name in ("bob", "eve"):
        second.fill(name)
        second.shipper.ship_everything()
        second.shipper.clean()
    copied.fill("lost")

    with pytest.raises(Fenced):
        copied.copy()
    third = open_copied(quick_path / "third", target)
    assert contents(third.database) == contents(second.database)
    second.close()
    third.close()


def test_a_place_of_another_database_is_refused_with_advice(copied, target, quick_path):
    copied.fill()
    copied.copy()
    other = open_copied(quick_path / "other", folder_target(quick_path / "elsewhere"))
    other.fill("bob")
    other.close()

    with pytest.raises(Foreign, match="name an empty place in GENLOOP_REPLICA"):
        open_copied(quick_path / "other", target)


def test_an_older_copy_of_the_database_is_refused_with_advice(copied, target, quick_path):
    """As from a backup: another has gone on at the target meanwhile."""
    copied.fill()
    copied.copy()
    copied.close()
    open_copied(quick_path / "second", target).close()

    with pytest.raises(Foreign, match="move this database aside"):
        open_copied(quick_path / "first", target)


def test_a_place_that_was_emptied_is_filled_again(copied, target, rebuild, quick_path):
    copied.fill()
    copied.copy()
    target.remove(target.names(""))
    copied.close()
    again = open_copied(quick_path / "first", target)
    again.copy()

    database, *_ = rebuild()
    assert contents(database) == contents(again.database)
    again.close()


@pytest.mark.parametrize("gone", ["everything", "a mark", "the last mark"])
def test_marks_that_somebody_removes_while_the_app_runs_are_made_up_for(
    copied, target, rebuild, gone
):
    for name in ("ann", "bob", "cid"):
        copied.fill(name)
        copied.copy()
    names = {"everything": target.names(""), "a mark": [marks.name_of(2)]}
    target.remove(names.get(gone, [marks.name_of(3)]))
    copied.fill("dan")
    copied.shipper.watch()
    copied.copy()

    assert newest(target).mark.base
    database, media, _report = rebuild()
    assert contents(database) == contents(copied.database)
    assert pictures_of(media) == pictures_of(copied.media)


def test_changes_that_were_not_noted_are_copied_with_a_new_base(
    copied, target, rebuild, quick_path
):
    """For a while the app ran without GENLOOP_REPLICA."""
    copied.fill()
    copied.copy()
    journal.uninstall(copied.database)
    copied.fill("bob")
    copied.close()
    again = open_copied(quick_path / "first", target)
    again.copy()

    assert newest(target).mark.base
    database, *_ = rebuild()
    assert contents(database) == contents(again.database)
    again.close()


def test_of_two_processes_on_one_database_the_later_one_copies(copied, target, quick_path):
    copied.fill()
    copied.copy()
    second = open_copied(quick_path / "first", target)
    second.fill("bob")

    with pytest.raises(Superseded):
        copied.copy()
    second.copy()
    assert second.pending().rows == 0
    second.close()


def test_the_database_remembers_since_when_it_is_safe(copied, target):
    copied.fill()
    copied.copy()
    with copied.database.read() as session:
        known = state.current(session)

    assert known.safe_at.isoformat() == newest(target).mark.at
    assert known.whole and known.seq == newest(target).mark.seq


def test_a_line_is_plain_json(copied):
    copied.fill(text="雪")
    with copied.database.read() as session:
        [row] = rows.all_rows(session, Visitor.__table__)
    line = rows.line(Visitor.__table__, row)

    assert json.loads(line)["row"]["created_at"].endswith("+00:00")
    assert line.isascii()


def test_a_change_of_a_visitor_is_copied(copied, rebuild):
    copied.fill()
    copied.copy()
    copied.write(lambda session: session.execute(update(Replica).values(run_id=None)).close())
    copied.shipper.attach()
    copied.write(lambda session: session.execute(update(Consent).values(train=False)).close())
    copied.copy()
    database, *_ = rebuild()

    assert contents(database) == contents(copied.database)
