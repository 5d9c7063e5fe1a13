import asyncio
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest
import torch
from sqlalchemy import select

from db.media import MediaStore
from db.tables import Generation, ModelVersion
from feedback import consent
from feedback.answer import Ask, answer, first_difference, origin
from feedback.consent import NoConsent
from feedback.mine import everything
from feedback.rate import UnknownGeneration
from generators.batching import ModelQueue
from generators.engines import open_engine
from generators.text import TextOptions, load_text_generator
from generators.wire import EngineLimits
from models.device import Placement
from tests.engine_server import engine_server, well
from tests.factories import make_visitor
from tests.tiny_models import save_text_model

NO_MEDIA = MediaStore(Path("nowhere"))  # texts put nothing there


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    folder = save_text_model(tmp_path_factory.mktemp("models") / "tiny")
    cpu = Placement(torch.device("cpu"), torch.float32)
    queue = ModelQueue("tiny", lambda: load_text_generator(str(folder), cpu), 8)
    queue.start()
    assert queue.wait_until_loaded(60) == "ready"
    yield queue
    queue.close()


def ask(prompt="snow", key_hash="ann", **kwargs):
    options = TextOptions(max_new_tokens=kwargs.pop("length", 12), seed=3, drafts=2)
    return Ask(kwargs.pop("inputs", {"prompt": prompt}), options, key_hash, **kwargs)


def finish(database, queue, asked):
    async def run():
        states = answer(database, NO_MEDIA, queue, asked, {}, "page")
        return [state async for state in states][-1]

    return asyncio.run(run())


def agree(database, name="ann", **kwargs):
    return database.write(lambda session: make_visitor(session, name, **kwargs))


def test_the_drafts_of_a_consenting_visitor_are_kept_whole(database, queue):
    agree(database)
    done = finish(database, queue, ask())

    with database.read() as session:
        rows = session.scalars(select(Generation).order_by(Generation.draft)).all()
        version = session.scalars(select(ModelVersion)).one()
    assert [row.id for row in rows] == done.ids
    assert [row.output_text for row in rows] == done.snapshot.texts
    assert len({row.request_id for row in rows}) == 1
    assert rows[0].options["seed"] == 3
    assert rows[0].queued_at <= rows[0].started_at <= rows[0].finished_at
    assert version.weights_sha256 == queue.model.weights.sha256


@pytest.mark.parametrize("key_hash", [None, "stranger"])
def test_nothing_of_a_stranger_is_kept(database, queue, key_hash):
    done = finish(database, queue, ask(key_hash=key_hash))

    assert done.snapshot.texts[0]
    assert done.ids == []
    with database.read() as session:
        assert session.scalars(select(Generation)).all() == []


def test_nothing_is_kept_for_a_visitor_who_has_withdrawn(database, queue):
    agree(database)
    database.write(
        lambda session: consent.give(
            session, "ann", keep=False, train=False, language="en", version=consent.TERMS_VERSION
        )
    )

    assert finish(database, queue, ask()).ids == []


def test_a_request_that_is_refused_keeps_nothing(database, queue):
    agree(database)
    done = finish(database, queue, ask(prompt=""))

    assert done.snapshot.error.code == "empty"
    assert done.ids == []


def test_a_reader_who_leaves_keeps_nothing(database, queue):
    agree(database)

    async def leave():
        states = answer(database, NO_MEDIA, queue, ask(length=400), {}, "page")
        async with aclosing(states):
            async for state in states:
                if state.snapshot.phase == "running":
                    return

    asyncio.run(leave())
    with database.read() as session:
        assert session.scalars(select(Generation)).all() == []


def test_a_stopped_request_keeps_what_is_there_and_says_so(database, queue):
    agree(database)
    tickets = {}

    async def stop():
        states = answer(database, NO_MEDIA, queue, ask(length=400), tickets, "page")
        async with aclosing(states):
            async for state in states:
                if state.snapshot.phase == "running":
                    tickets["page"].stop()
        return state

    done = asyncio.run(stop())
    with database.read() as session:
        rows = session.scalars(select(Generation)).all()
    assert {row.status for row in rows} <= {"stopped", "complete"}
    assert "stop" in done.snapshot.finish_reasons
    assert tickets == {}


def test_a_kept_output_can_be_made_again_from_its_row(database, queue):
    agree(database)
    done = finish(database, queue, ask())
    with database.read() as session:
        begun = origin(session, "ann", done.ids[1])
    again = finish(database, queue, Ask(begun.inputs, TextOptions(**begun.options), None))

    assert again.snapshot.texts[begun.draft] == begun.output


def test_only_its_visitor_finds_a_generation(database, queue):
    agree(database)
    agree(database, "bob")
    done = finish(database, queue, ask())

    with database.read() as session:
        with pytest.raises(UnknownGeneration):
            origin(session, "bob", done.ids[0])
        with pytest.raises(NoConsent):
            origin(session, "stranger", done.ids[0])


@pytest.mark.parametrize(
    ("before", "again", "at"),
    [("雪", "雪", None), ("雪白", "雪黑", 1), ("雪", "雪白", 1), ("", "雪", 0)],
)
def test_the_first_difference_is_found(before, again, at):
    assert first_difference(before, again) == at


# Engines elsewhere


@pytest.fixture(scope="module")
def engine():
    """A server that serves "well", and a queue before it."""

    async def mixed(asked):
        await (torn if asked.body["seed"] == 4 else well)(asked)

    with engine_server() as server:
        server.behave["mixed"], server.behave["mute"] = mixed, mute
        server.models = [{"id": "well", "owned_by": "tests"}]
        yield server


async def torn(asked):
    await asked.stream()
    await asked.token("snow")
    asked.reset()


async def mute(asked):
    await asked.until_left()


@contextmanager
def remote(engine, model):
    entry = engine.setting(model, revision="7")
    queue = open_engine("text", EngineLimits(pause=0.01), 8, lambda name: None, entry)
    queue.start()
    assert queue.wait_until_loaded(20) == "ready"
    yield queue
    queue.close()


def test_what_an_engine_wrote_is_kept_as_such(database, engine):
    agree(database)
    with remote(engine, "well") as queue:
        done = finish(database, queue, ask())

    with database.read() as session:
        rows = session.scalars(select(Generation).order_by(Generation.draft)).all()
        version = session.scalars(select(ModelVersion)).one()
        kept = next(row for name, row in everything(database.read, "ann") if name == "generations")
    assert [row.output_text for row in rows] == done.snapshot.texts
    assert [row.output_tokens for row in rows] == [6, 6]
    assert rows[0].served == {"endpoint": engine.url, "request_id": "r1", "model": "well"}
    assert rows[0].queued_at <= rows[0].started_at <= rows[0].first_token_at <= rows[0].finished_at
    assert version.verified is False
    assert (version.name, version.revision) == ("well", "7")
    assert version.source == f"openai:{engine.url}#well"
    assert version.says[engine.url]["owned_by"] == "tests"
    assert kept["served"] == {"request_id": "r1", "model": "well"}  # not where the engine stands


def test_weights_that_were_loaded_here_are_verified(database, queue):
    agree(database)
    finish(database, queue, ask())

    with database.read() as session:
        version = session.scalars(select(ModelVersion)).one()
        generation = session.scalars(select(Generation)).first()
    assert (version.verified, version.says, generation.served) == (True, None, None)


def test_a_draft_that_an_engine_did_not_finish_is_not_kept(database, engine):
    agree(database)
    with remote(engine, "mixed") as queue:
        done = finish(database, queue, ask())  # seeds 3 and 4

    with database.read() as session:
        [row] = session.scalars(select(Generation)).all()
    assert done.ids == [row.id, None]
    assert done.snapshot.finish_reasons == ["end", "error"]


def test_nothing_is_kept_of_what_was_stopped_before_anything_came(database, engine):
    agree(database)
    tickets = {}

    async def stop(queue):
        states = answer(database, NO_MEDIA, queue, ask(), tickets, "page")
        async for state in states:
            if state.snapshot.phase == "running":
                tickets["page"].stop()
        return state

    with remote(engine, "mute") as queue:
        done = asyncio.run(stop(queue))

    assert (done.ids, done.snapshot.error.code) == ([], "stopped_early")
    with database.read() as session:
        assert session.scalars(select(Generation)).all() == []
