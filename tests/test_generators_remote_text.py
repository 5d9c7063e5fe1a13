"""Text from engines that behave, and from engines that do not."""

import asyncio
import logging
import threading
import time
from contextlib import aclosing, contextmanager

import pytest
from pydantic import SecretStr

from db.tables import TEXT_LIMIT
from generators.batching import QueueFull
from generators.endpoints import Breaker, Pool
from generators.engines import open_engine
from generators.openai_engine import OpenAIEngine
from generators.remote import RemoteQueue, engine_health
from generators.remote_text import RemoteText
from generators.text import TextOptions
from generators.wire import EngineLimits
from models.engines import parse_engine
from tests.engine_server import WORDS, engine_server, well
from tests.serving import free_port

PATIENT = EngineLimits(pause=0.01)
HASTY = EngineLimits(connect=2, first=0.3, silence=0.3, pause=0.01)
ALL = "".join(WORDS)


@pytest.fixture(scope="module")
def server():
    with engine_server() as server:
        yield server


@contextmanager
def opened(entry, *, limits=PATIENT, key=None, waiting=8):
    queue = open_engine("text", limits, waiting, lambda name: key, entry)
    queue.start()
    assert queue.wait_until_loaded(20) == "ready"
    yield queue
    queue.close()


@contextmanager
def pooled(model, *endpoints, cool_down=0.2, **options):
    """A queue over several endpoints, whose breakers cool down in so many seconds."""
    engine = parse_engine(f"openai:{'|'.join(endpoints)}#{model}", "text")
    pool = Pool(engine.endpoints, lambda: Breaker(cool_down))
    spoken = OpenAIEngine(engine, None, PATIENT)
    queue = RemoteQueue(RemoteText(engine, spoken, PATIENT, pool), 8, 4, **options)
    queue.start()
    assert queue.wait_until_loaded(20) == "ready"
    yield queue
    queue.close()


async def follow(queue, prompt="hi", inputs=None, **options):
    ticket = queue.submit(inputs or {"prompt": prompt}, TextOptions(**options))
    return [snapshot async for snapshot in ticket.follow(queue.ahead)]


def write(queue, prompt="hi", inputs=None, **options):
    return asyncio.run(follow(queue, prompt, inputs, **options))[-1]


def answer(server, entry, limits=PATIENT, **options):
    with opened(entry, limits=limits) as queue:
        return write(queue, **options)


# Engines that behave


def test_each_draft_is_a_request_with_its_own_seed(server):
    done = answer(server, server.setting("well"), drafts=3, seed=2**32 - 1)

    assert done.texts == [f"{ALL} {seed}" for seed in (2**32 - 1, 0, 1)]
    assert done.finish_reasons == ["end"] * 3
    assert (done.tokens, done.input_tokens) == ([6] * 3, 7)
    assert all("n" not in asked.body for asked in server.of("well"))


def test_a_text_grows_while_it_is_written(server):
    async def slowly(asked):
        await asked.stream()
        for word in WORDS:
            await asked.token(word)
            await asyncio.sleep(0.15)
        await asked.token("", end="length")

    server.behave["slowly"] = slowly
    with opened(server.setting("slowly")) as queue:
        states = asyncio.run(follow(queue))

    shown = [state.texts[0] for state in states if state.phase == "running"]
    assert len(set(shown)) > 2
    assert all(ALL.startswith(text) for text in shown)
    assert states[-1].finish_reasons == ["length"]


def test_a_chat_sends_its_messages_and_a_base_model_its_prompt(server):
    talk = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "snow?"},
    ]
    server.behave["paths"] = well
    answer(server, server.setting("paths"), inputs={"messages": talk})
    answer(server, server.setting("paths", api="completions"), inputs={"prompt": "snow"})
    answer(
        server,
        server.setting("paths", api="completions"),
        inputs={"prompt": "snow", "prefix": " falls"},
    )

    chat, base, continued = server.of("paths")
    assert (chat.path, chat.body["messages"]) == ("/v1/chat/completions", talk)
    assert (base.path, base.body["prompt"]) == ("/v1/completions", "snow")
    assert continued.body["prompt"] == "snow falls"
    assert chat.body["logprobs"] is True and base.body["logprobs"] == 1


def test_only_engines_that_can_are_told_to_go_on_from_a_text(server):
    inputs = {"messages": [{"role": "user", "content": "hi"}], "prefix": "It"}
    server.behave["chatty"] = well
    server.models = [{"id": "chatty", "owned_by": "vllm", "max_model_len": 4096}]
    with opened(server.setting("chatty")) as queue:
        done = write(queue, inputs=inputs, seed=1)
    server.models = None
    refused = answer(server, server.setting("chatty"), inputs=inputs)

    [asked] = server.of("chatty")
    assert done.texts == [f"It{ALL} 1"]
    assert asked.body["continue_final_message"] is True
    assert asked.body["add_generation_prompt"] is False
    assert asked.body["messages"][-1] == {"role": "assistant", "content": "It"}
    assert refused.error.code == "engine_no_continue"


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ("stop", "end"),
        ("eos_token", "end"),
        ("length", "length"),
        ("content_filter", "filtered"),
        ("tool_calls", "end"),
    ],
)
def test_why_a_text_ended_is_said_in_our_words(server, said, ours):
    async def ending(asked):
        await asked.stream()
        await asked.token("snow", end=said)

    server.behave["ending"] = ending

    assert answer(server, server.setting("ending")).finish_reasons == [ours]


def test_log_probabilities_are_added_up_and_count_the_tokens_where_nothing_else_does(server):
    async def probable(asked):
        await asked.stream()
        one = {"content": [{"token": "s", "logprob": -0.5}, {"token": "now", "logprob": -1.5}]}
        await asked.token("snow", logprobs=one)
        odd = {"content": [{"token": "!", "logprob": None}, {"token": "!", "logprob": -0.25}]}
        await asked.token("!!", end="stop", logprobs=odd)

    server.behave["probable"] = probable
    done = answer(server, server.setting("probable"))

    [served] = done.served
    assert (served["logprob"], served["logprob_tokens"]) == (-2.25, 3)
    assert done.tokens == [3]


def test_an_engine_that_does_not_stream_is_read_as_well(server):
    async def whole(asked):
        message = {"role": "assistant", "content": "snow"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await asked.json({"choices": [choice], "usage": {"completion_tokens": 1}})

    server.behave["whole"] = whole

    assert answer(server, server.setting("whole")).texts == ["snow"]


def test_what_cannot_be_kept_is_replaced_and_halves_of_a_character_are_joined(server):
    async def odd(asked):
        await asked.stream()
        for text in ('"a\\u0000"', '"\\ud83d"', '"\\ude00"', '"b\\udc00c"'):
            await asked.event(f'{{"choices":[{{"delta":{{"content":{text}}}}}]}}')
        await asked.token("", end="stop")

    server.behave["odd"] = odd

    assert answer(server, server.setting("odd")).texts == ["a\ufffd😀b\ufffdc"]


def test_thinking_is_not_part_of_the_text(server):
    async def thinking(asked):
        await asked.stream()
        await asked.event({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]})
        await asked.event({"choices": [{"index": 0, "delta": {"content": None}}]})
        parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "snow"}]
        await asked.event({"choices": [{"index": 0, "delta": {"content": parts}}]})
        await asked.token("", end="stop")

    server.behave["thinking"] = thinking

    assert answer(server, server.setting("thinking")).texts == ["snow"]


# Fields that an engine does not know


def refusing(*names, field="detail"):
    """Refuses requests with these fields, one at a time, as strict servers do."""

    async def behave(asked):
        for name in names:
            if name in asked.body:
                await asked.json({field: f"Unexpected fields in the request: {{'{name}'}}"}, 422)
                return
        await well(asked)

    return behave


def test_fields_that_an_engine_does_not_know_are_left_out_from_then_on(server):
    server.behave["strict"] = refusing("stream_options", "logprobs", "seed", "max_tokens")
    with opened(server.setting("strict")) as queue:
        first, again = write(queue, seed=3), write(queue, seed=3)
        kept = queue.model.complete(TextOptions(seed=3)).as_json()

    *_, last = server.of("strict")
    assert first.texts == again.texts == [f"{ALL} "]
    assert len(server.of("strict")) == 6  # four refusals, then two answers
    assert last.body["max_completion_tokens"] == 128
    assert "seed" not in kept and "temperature" in kept


def test_a_refusal_that_merely_mentions_a_field_teaches_nothing(server):
    async def quoting(asked):
        if asked.body["messages"][0]["content"] == "bad":
            await asked.json({"error": {"message": "bad prompt: what is a seed?"}}, 400)
        else:
            await well(asked)

    server.behave["quoting"] = quoting
    with opened(server.setting("quoting")) as queue:
        bad, good = write(queue, "bad"), write(queue, "good", seed=4)

    assert bad.error.code == "engine_refused"
    assert good.texts == [f"{ALL} 4"]


def test_an_engine_that_wants_no_temperature_gets_none_and_the_row_says_so(server):
    server.behave["fixed"] = well
    entry = server.setting("fixed", without="temperature top_p seed")
    with opened(entry) as queue:
        done, changed = write(queue), write(queue, temperature=0.5)
        kept = queue.model.complete(TextOptions()).as_json()

    [asked] = server.of("fixed")
    assert done.finish_reasons == ["end"]
    assert not {"temperature", "top_p", "seed"} & asked.body.keys()
    assert not {"temperature", "top_p", "seed"} & kept.keys()
    assert changed.error.code == "engine_option"


@pytest.mark.parametrize(
    ("option", "value"), [("top_k", 5), ("repetition_penalty", 1.2), ("top_p", 0.5)]
)
def test_an_option_that_an_engine_does_not_take_is_named(server, option, value):
    server.behave["narrow"] = refusing("top_k", "repetition_penalty", "top_p")
    done = answer(server, server.setting("narrow"), **{"top_p": 1, option: value})

    assert (done.error.code, done.error.details["option"]) == ("engine_option", option)


def test_an_option_that_the_setting_rules_out_is_not_even_sent(server):
    server.behave["ruled"] = well
    done = answer(server, server.setting("ruled", without="top_k"), top_k=5)

    assert done.error.code == "engine_option"
    assert server.of("ruled") == []


def test_llama_cpp_is_spoken_to_in_its_own_words(server):
    server.behave["llama"] = well
    server.models = [{"id": "llama", "owned_by": "llamacpp"}]
    answer(server, server.setting("llama"), repetition_penalty=1.1)
    server.models = None

    [asked] = server.of("llama")
    assert asked.body["repeat_penalty"] == 1.1
    assert "repetition_penalty" not in asked.body


# Drafts of an engine without seeds


async def several(asked):
    """Sends as many outputs as are asked for, their parts mixed."""
    await asked.stream()
    for end in (None, "stop"):
        for index in range(asked.body.get("n", 1)):
            await asked.token(f"{index}", index=index, end=end)


async def single(asked):
    """Ignores n, as `transformers serve` does."""
    await asked.stream()
    await asked.token("one", end="stop")


def test_drafts_without_seeds_come_in_one_request(server):
    server.behave["several"] = several
    done = answer(server, server.setting("several", without="seed"), drafts=3)

    [asked] = server.of("several")
    assert (asked.body["n"], done.texts) == (3, ["00", "11", "22"])


def test_an_engine_that_ignores_n_is_asked_once_a_draft(server):
    server.behave["single"] = single
    with opened(server.setting("single", without="seed")) as queue:
        first, again = write(queue, drafts=3), write(queue, drafts=2)

    assert first.texts == ["one"] * 3 and again.texts == ["one"] * 2
    assert [asked.body.get("n") for asked in server.of("single")] == [3, None, None, None, None]


# Stop


async def endless(asked):
    await asked.stream()
    await asked.token("snow")
    await asked.until_left()


def test_stop_closes_the_connection_and_keeps_what_is_there(server):
    server.behave["endless"] = endless

    async def stop():
        ticket = queue.submit({"prompt": "hi"}, TextOptions(drafts=2))
        async with aclosing(ticket.follow(queue.ahead)) as states:
            async for snapshot in states:
                if snapshot.texts == ["snow", "snow"]:
                    ticket.stop()
        return snapshot

    with opened(server.setting("endless")) as queue:
        done = asyncio.run(stop())
        assert all(asked.left.wait(10) for asked in server.of("endless"))

    assert (done.texts, done.finish_reasons) == (["snow", "snow"], [None, None])
    assert done.error is None


def test_who_leaves_closes_the_connection(server):
    server.behave["left"] = endless

    async def leave():
        ticket = queue.submit({"prompt": "hi"}, TextOptions())
        async with aclosing(ticket.follow(queue.ahead)) as states:
            async for snapshot in states:
                if snapshot.texts == ["snow"]:
                    return

    with opened(server.setting("left")) as queue:
        asyncio.run(leave())
        assert all(asked.left.wait(10) for asked in server.of("left"))


def test_the_end_of_the_app_is_a_stop(server):
    server.behave["closing"] = endless

    async def close():
        ticket = queue.submit({"prompt": "hi"}, TextOptions())
        async with aclosing(ticket.follow(queue.ahead)) as states:
            async for snapshot in states:
                if snapshot.texts == ["snow"]:
                    await asyncio.to_thread(queue.close)
        return snapshot

    with opened(server.setting("closing")) as queue:
        done = asyncio.run(close())

    assert (done.phase, done.texts, done.failed) == ("done", ["snow"], False)


# The queue


def test_no_more_requests_run_at_once_than_allowed_and_the_others_keep_their_place(server):
    running, most, gate = 0, 0, threading.Event()

    async def counted(asked):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.to_thread(gate.wait, 30)
        running -= 1
        await well(asked)

    server.behave["counted"] = counted
    with opened(server.setting("counted", at_once="2")) as queue:
        tickets = [queue.submit({"prompt": "hi"}, TextOptions()) for _ in range(5)]

        async def ends():
            async def end(ticket):
                return [one async for one in ticket.follow(queue.ahead)][-1]

            following = asyncio.gather(*map(end, tickets))
            while len(server.of("counted")) < 2:
                await asyncio.sleep(0.01)
            while queue.ahead(tickets[4]) != 2:
                await asyncio.sleep(0.01)
            places = [queue.ahead(ticket) for ticket in tickets]
            gate.set()
            return places, await following

        places, done = asyncio.run(ends())

    assert most == 2
    assert places == [0, 0, 0, 1, 2]
    assert all(one.finish_reasons == ["end"] for one in done)


def test_a_full_queue_refuses_newcomers_at_once(server):
    server.behave["full"] = endless
    entry = server.setting("full", at_once="1")
    with opened(entry, waiting=2) as queue, pytest.raises(QueueFull):
        for _ in range(4):
            queue.submit({"prompt": "hi"}, TextOptions())


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"prompt": " "}, "empty"),
        ({"messages": [{"role": "user", "content": "x" * 20_001}]}, "too_long"),
    ],
)
def test_a_request_that_makes_no_sense_is_not_sent(server, inputs, code):
    server.behave["unsent"] = well

    assert answer(server, server.setting("unsent"), inputs=inputs).error.code == code
    assert server.of("unsent") == []


# Engines that misbehave


def says(status, said="", **headers):
    async def behave(asked):
        await asked.begin(status, **headers)
        await asked.send(said)

    return behave


def sends(*parts, **headers):
    async def behave(asked):
        await asked.begin(**{"content_type": "text/event-stream", **headers})
        for part in parts:
            await asked.send(part)

    return behave


async def torn(asked):
    await asked.stream()
    asked.reset()


async def silent(asked):
    await asked.until_left()


async def dripping(asked):
    """Says that it is alive, and nothing else."""
    await asked.stream()
    while not asked.left.is_set():
        await asked.send(": ping\n\n")
        await asyncio.sleep(0.05)


async def never_ending_line(asked):
    await asked.stream()
    await asked.send("data: ")
    while not asked.left.is_set():
        await asked.send("x" * 65536)


async def huge(asked):
    await asked.begin(content_type="application/json")
    while not asked.left.is_set():
        await asked.send(" " * 1_000_000)


CONTEXT = "This model's maximum context length is 2048 tokens. However, you requested 2500 tokens"
ERROR = (
    '{"error": {"message": "The input is longer than the model\'s context length", "code": 400}}'
)

FAULTS = {
    "unauthorised": (says(401, "no"), "engine_key"),
    "forbidden": (says(403, "no"), "engine_key"),
    "unpaid": (says(402), "engine_unpaid"),
    "unknown": (says(404, "no such model"), "engine_unknown_model"),
    "pinned": (says(400, "Server is pinned to 'a'; requested 'b'."), "engine_unknown_model"),
    "context": (says(400, CONTEXT), "engine_too_long"),
    "too-large": (says(413), "engine_too_long"),
    "in-stream": (sends(f"data: {ERROR}\n\n"), "engine_too_long"),
    "other": (says(422, "no"), "engine_refused"),
    "failing": (says(500, "x" * 100_000), "engine_failed"),
    "gateway": (says(502, "<html>", content_type="text/html"), "engine_failed"),
    "page": (says(200, "<html>", content_type="text/html"), "engine_answer"),
    "garbage": (sends("data: {]\n\n"), "engine_answer"),
    "no-object": (sends("data: [1]\n\n"), "engine_answer"),
    "shapes": (sends('data: {"choices": [{"delta": {"content": 5}}]}\n\n'), "engine_answer"),
    "numbers": (sends('data: {"choices": [{"index": "0", "text": "a"}]}\n\n'), "engine_answer"),
    "deep": (sends("data: " + "[" * 100_000 + "\n\n"), "engine_answer"),
    "packed": (sends("data: {}\n\n", content_encoding="gzip"), "engine_answer"),
    "empty": (sends(), "engine_broken"),
    "done": (sends("data: [DONE]\n\n"), "engine_broken"),
    "nothing": (sends('{"choices": []}', content_type="application/json"), "engine_broken"),
    "half": (sends('data: {"choices": [{"ind'), "engine_broken"),
    "error": (sends('data: {"error": "boom"}\n\n'), "engine_broken"),
    "aborted": (sends('data: {"choices": [{"finish_reason": "abort"}]}\n\n'), "engine_broken"),
    "torn": (torn, "engine_broken"),
    "line": (never_ending_line, "engine_answer"),
    "huge": (huge, "engine_answer"),
}  # fmt: skip


@pytest.mark.parametrize("model", FAULTS)
def test_what_went_wrong_is_told_and_nothing_is_shown(server, model):
    server.behave[model], code = FAULTS[model]
    done = answer(server, server.setting(model))

    assert (done.phase, done.error.code) == ("done", code)
    assert done.error.details["model"] == model
    assert done.texts == [""]


@pytest.mark.parametrize("behave", [silent, dripping])
def test_an_engine_that_does_not_begin_is_left(server, behave):
    server.behave["slow"] = behave
    done = answer(server, server.setting("slow"), limits=HASTY)

    assert done.error.code == "engine_slow"
    assert server.of("slow")[-1].left.wait(10)


def test_an_engine_that_falls_silent_is_left(server):
    server.behave["mute"] = endless
    done = answer(server, server.setting("mute"), limits=HASTY)

    assert done.error.code == "engine_slow"
    assert server.of("mute")[-1].left.wait(10)


def test_an_engine_that_knows_no_end_is_cut_off(server):
    async def babbling(asked):
        await asked.stream()
        while not asked.left.is_set():
            await asked.token("snow " * 500)

    server.behave["babbling"] = babbling
    inputs = {"prompt": "hi", "prefix": "so: "}
    done = answer(server, server.setting("babbling", api="completions"), inputs=inputs)

    assert len(done.texts[0]) == TEXT_LIMIT
    assert done.finish_reasons == ["length"]
    assert server.of("babbling")[0].left.wait(10)


def test_a_redirect_is_not_followed(server):
    with engine_server() as other:
        server.behave["moved"] = says(307, location=f"{other.url}/chat/completions")
        done = answer(server, server.setting("moved"))

        assert done.error.code == "engine_answer"
        assert other.asked == []


def failing_first(times, behave=well, failure=None):
    left = [failure or says(500)] * times

    async def one_after_another(asked):
        await (left.pop(0) if left else behave)(asked)

    return one_after_another


def test_what_fails_before_the_first_token_is_tried_again(server):
    server.behave["shaky"] = failing_first(2)
    done = answer(server, server.setting("shaky"), seed=1)

    assert done.texts == [f"{ALL} 1"]
    assert len(server.of("shaky")) == 3


def test_an_engine_that_names_a_time_is_waited_for(server):
    server.behave["soon"] = failing_first(1, failure=says(429, retry_after="1"))
    done = answer(server, server.setting("soon"), seed=1)

    assert done.texts == [f"{ALL} 1"]


def test_an_engine_that_names_a_long_time_is_not_asked_until_then(server):
    server.behave["later"] = says(503, retry_after="60")
    with opened(server.setting("later")) as queue:
        first, again = write(queue), write(queue)

    assert (first.error.code, first.error.details["seconds"]) == ("engine_busy", 60)
    assert again.error.code == "engine_busy"
    assert 50 <= again.error.details["seconds"] <= 60
    assert len(server.of("later")) == 1


async def breaking(asked):
    await asked.stream()
    await asked.token("snow")
    asked.reset()


def test_what_breaks_after_the_first_token_is_not_tried_again(server):
    server.behave["breaking"] = breaking
    done = answer(server, server.setting("breaking"))

    assert done.error.code == "engine_broken"
    assert len(server.of("breaking")) == 1


def test_the_other_drafts_are_kept_when_one_breaks_off(server):
    async def partly(asked):
        await (breaking if asked.body["seed"] == 1 else well)(asked)

    server.behave["partly"] = partly
    done = answer(server, server.setting("partly"), drafts=3, seed=0)

    assert done.error is None
    assert done.finish_reasons == ["end", "error", "end"]
    assert done.texts[2] == f"{ALL} 2"


# Several endpoints


def dead_end():
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}/v1"


def test_another_endpoint_takes_over_when_one_cannot_be_reached(server):
    server.behave["double"] = well
    with pooled("double", dead_end(), server.url) as queue:
        done = [write(queue, seed=1) for _ in range(4)]
        health = {one.endpoint: one for one in engine_health([queue, None])}
        error = queue.error

    assert [one.texts for one in done] == [[f"{ALL} 1"]] * 4
    assert {one["endpoint"] for state in done for one in state.served} == {server.url}
    assert health[server.url].state == "closed" and health[server.url].served == 4
    assert any(one.faults for one in health.values() if one.endpoint != server.url)
    assert error is None


def test_requests_are_shared_out_among_endpoints(server):
    with engine_server() as other:
        gate = threading.Event()

        async def waiting(asked):
            await asyncio.to_thread(gate.wait, 30)
            await well(asked)

        server.behave["shared"] = other.behave["shared"] = waiting

        async def four(queue):
            following = asyncio.gather(*(follow(queue) for _ in range(4)))
            while len(server.of("shared")) + len(other.of("shared")) < 4:
                await asyncio.sleep(0.01)
            gate.set()
            await following

        with pooled("shared", server.url, other.url) as queue:
            asyncio.run(four(queue))

        assert len(server.of("shared")) == len(other.of("shared")) == 2


def test_an_endpoint_that_keeps_failing_is_left_alone(server):
    server.behave["ill"] = says(500)
    with pooled("ill", server.url, cool_down=3600) as queue:
        first = write(queue)
        before = len(server.of("ill"))
        refused = write(queue)  # the breaker is open: nobody is asked
        after, error = len(server.of("ill")), queue.error
        [health] = queue.health()

    assert first.error.code == refused.error.code == error.code == "engine_failed"
    assert before == after == 3
    assert (health.state, health.faults, health.last_fault) == ("open", 3, "engine_failed")
    assert health.retry_in > 3500


def test_one_request_probes_an_endpoint_that_has_cooled_down(server):
    server.behave["recovering"] = failing_first(3)
    with pooled("recovering", server.url, cool_down=0.2) as queue:
        first = write(queue)
        while (done := write(queue)).error is not None:
            pass
        [health] = queue.health()
        error = queue.error

    assert first.error.code == "engine_failed"
    assert done.finish_reasons == ["end"]
    assert len(server.of("recovering")) == 4
    assert (health.state, error) == ("closed", None)


def test_an_engine_that_was_away_is_found_again_by_its_health():
    port = free_port()
    address = f"http://127.0.0.1:{port}/v1"
    with pooled("well", address, cool_down=3600, check_every=0.05) as queue:
        away, error = write(queue), queue.error
        with engine_server(port) as back:
            while (done := write(queue)).error is not None:
                time.sleep(0.02)

    assert away.error.code == error.code == "engine_unreachable"
    assert done.served[0]["endpoint"] == back.url == address


def test_what_an_engine_says_of_itself_is_known(server):
    server.behave["known"] = well
    server.models = [
        {"id": "other", "owned_by": "x"},
        {"id": "known", "owned_by": "vllm", "created": 7, "root": "org/known", "permission": []},
    ]
    with opened(server.setting("known")) as queue:
        [health] = queue.health()
        says = queue.model.says()
    server.models = None

    expected = {
        "listed": True,
        "id": "known",
        "owned_by": "vllm",
        "created": 7,
        "root": "org/known",
        "headers": {"server": "tests"},
    }
    assert (health.check, health.says) == ("ok", expected)
    assert says == {server.url: expected}


@pytest.mark.parametrize(
    ("models", "healthy", "check"),
    [
        (None, True, "ok"),
        (None, False, "engine_failed"),
        (401, True, "engine_key"),
        ([{"id": "other"}], True, "ok"),
        ("nonsense", True, "ok"),
    ],
)
def test_the_health_tells_what_is_wrong(models, healthy, check):
    with engine_server() as server:
        server.models, server.healthy = models, healthy
        with opened(server.setting("well")) as queue:
            [health] = queue.health()

    assert (health.check, health.state) == (check, "closed")
    assert health.checked_at is not None and health.milliseconds is not None


# Keys


def test_the_key_goes_into_a_header_and_nowhere_else(server, caplog):
    caplog.set_level(logging.DEBUG)
    server.behave["keyed"] = failing_first(1, behave=well)
    key = SecretStr("canary-5f3a")
    with opened(server.setting("keyed", key="ENGINE_KEY"), key=key) as queue:
        done = write(queue)
        seen = f"{done} {queue.health()} {vars(queue.model.engine)} {queue.model.weights}"

    first, second = server.of("keyed")
    assert first.headers["authorization"] == second.headers["authorization"] == "Bearer canary-5f3a"
    assert "canary" not in seen
    assert "canary" not in caplog.text
    assert "canary" not in str(second.body)


def test_a_refusal_of_the_engine_is_not_logged(server, caplog):
    caplog.set_level(logging.DEBUG)
    server.behave["telling"] = says(400, "the prompt was: canary-prompt")
    done = answer(server, server.setting("telling"), prompt="canary-prompt")

    assert done.error.code == "engine_refused"
    assert "canary-prompt" not in caplog.text
    assert "canary-prompt" not in str(done.error)
