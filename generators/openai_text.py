"""Texts in the OpenAI protocol: what an engine is asked, and what its answers say.

https://platform.openai.com/docs/api-reference/chat and /completions, with the fields that vLLM,
SGLang, TGI and llama.cpp add.
"""

import math
from collections.abc import AsyncGenerator, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from generators.endpoints import Endpoint
from generators.text import TextOptions
from generators.wire import (
    JSON,
    EngineFault,
    EngineRefusal,
    Unreadable,
    as_faults,
    brief,
    check_status,
    content_type,
    fault_in,
    read_json,
)
from models.engines import CONTINUES, SAMPLING, Engine

USUAL = TextOptions()
# Why an output ended, in our words; anything else is an end.
ENDS = {"length": "length", "content_filter": "filtered"}
BROKEN_ENDS = ("abort", "error")  # of SGLang, and of routers whose provider failed
CONTINUING = ("vllm", "sglang")  # engines whose chats can be told to go on from a text


@dataclass(frozen=True)
class TextAsk:
    """One request to a text engine."""

    inputs: dict[str, Any]  # {"prompt"} or {"messages"}, and perhaps {"prefix"}
    options: TextOptions
    seed: int
    choices: int  # how many outputs at once
    told: frozenset[str]  # the fields of TEXT_FIELDS that the engine is told


@dataclass(frozen=True)
class Piece:
    """A part of an output, or what an engine says of it."""

    choice: int = 0
    text: str = ""
    end: str | None = None  # end, length, filtered
    logprob: float | None = None  # nats, of all tokens in this part together
    logprob_tokens: int = 0
    input_tokens: int | None = None  # of the prompt
    output_tokens: int | None = None  # of all choices together
    model: str | None = None  # as the engine calls what it served
    fingerprint: str | None = None
    request_id: str | None = None  # by which the engine's own log knows it


# Asking for text


def text_request(engine: Engine, ask: TextAsk, endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    """The path and the body; raises EngineRefusal for what this engine cannot do."""
    body = {"model": engine.model, **text_fields(ask, endpoint, engine.api == "chat")}
    prefix = ask.inputs.get("prefix", "")
    if engine.api == "completions":
        return "/completions", {**body, "prompt": ask.inputs["prompt"] + prefix}
    messages = talk_of(ask.inputs)
    if prefix:
        if CONTINUES not in engine.takes and endpoint.says.get("owned_by") not in CONTINUING:
            raise EngineRefusal("engine_no_continue")
        messages = [*messages, {"role": "assistant", "content": prefix}]
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return "/chat/completions", {**body, "messages": messages}


def talk_of(inputs: dict[str, Any]) -> list[dict[str, str]]:
    """The messages of a chat; a prompt alone is one of the user's."""
    if "messages" in inputs:
        messages: list[dict[str, str]] = inputs["messages"]
        return messages
    return [{"role": "user", "content": inputs["prompt"]}]


def text_fields(ask: TextAsk, endpoint: Endpoint, chat: bool) -> dict[str, Any]:
    """What shapes the output, under the names of the protocol.

    What a visitor changed and the engine is not told is refused, for the row says that it was so.
    """
    options, told = ask.options, ask.told
    for name in SAMPLING:
        if getattr(options, name) != getattr(USUAL, name) and name not in told:
            raise EngineRefusal("engine_option", option=name)
    fields: dict[str, Any] = {"stream": True}
    fields["max_tokens" if "max_tokens" in told else "max_completion_tokens"] = (
        options.max_new_tokens
    )
    if "temperature" in told:
        fields["temperature"] = options.temperature
    if "top_p" in told and options.top_p < 1:
        fields["top_p"] = options.top_p
    if options.top_k:
        fields["top_k"] = options.top_k
    if options.repetition_penalty != 1:
        name = "repeat" if endpoint.says.get("owned_by") == "llamacpp" else "repetition"
        fields[f"{name}_penalty"] = options.repetition_penalty
    if "seed" in told:
        fields["seed"] = ask.seed
    if "logprobs" in told:
        fields["logprobs"] = True if chat else 1
    if "stream_options" in told:
        fields["stream_options"] = {"include_usage": True}
    if ask.choices > 1:
        fields["n"] = ask.choices
    return fields


async def text_pieces(
    client: httpx2.AsyncClient,
    address: str,
    path: str,
    body: dict[str, Any],
    headers: dict[str, str],
) -> AsyncGenerator[Piece]:
    """What the engine sends, until it says that it is done or all outputs have ended.

    Raises EngineFault, EngineRefusal and FieldsRefused (see generators/wire.py).
    """
    with as_faults():
        async with client.stream("POST", address + path, json=body, headers=headers) as response:
            check_status(response, body.keys())
            yield Piece(request_id=brief(response.headers.get("x-request-id")))
            if content_type(response) == JSON:
                for piece in pieces_of(read_json(await response.aread()), body.keys()):
                    yield piece
                return
            unended: set[int] = {0}
            async for event in httpx2.EventSource(response):
                if event.data.strip() == "[DONE]":
                    return
                if event.data:
                    for piece in pieces_of(read_json(event.data), body.keys()):
                        note_end(piece, unended)
                        yield piece
            if unended:
                raise EngineFault("engine_broken", again=True)


def note_end(piece: Piece, unended: set[int]) -> None:
    """Keep the numbers of the outputs that have not ended yet."""
    if piece.end:
        unended.discard(piece.choice)
    elif piece.text:
        unended.add(piece.choice)


def pieces_of(said: dict[str, Any], sent: Collection[str]) -> Iterator[Piece]:
    """The pieces in one chunk of a stream, or in an answer that came whole; raises Unreadable."""
    if said.get("error"):
        raise fault_in(said["error"], sent)
    model, fingerprint = said.get("model"), said.get("system_fingerprint")
    usage = said.get("usage")
    if isinstance(usage, dict):
        yield Piece(
            input_tokens=whole(usage.get("prompt_tokens")),
            output_tokens=whole(usage.get("completion_tokens")),
            model=brief(model),
            fingerprint=brief(fingerprint),
        )
    choices = said.get("choices") or []
    if not isinstance(choices, list):
        raise Unreadable("choices are no list")
    for place, choice in enumerate(choices):
        if not isinstance(choice, dict):
            raise Unreadable("a choice is no object")
        index = choice.get("index", place)
        end = choice.get("finish_reason")
        if type(index) is not int or not isinstance(end, str | None):
            raise Unreadable("a choice is not numbered, or ends oddly")
        if end in BROKEN_ENDS:
            raise EngineFault("engine_broken", again=True)
        logprob, tokens = logprobs_of(choice.get("logprobs"))
        yield Piece(
            choice=index,
            text=text_of(choice),
            end=ENDS.get(end, "end") if end else None,
            logprob=logprob,
            logprob_tokens=tokens,
            model=brief(model),
            fingerprint=brief(fingerprint),
        )


def text_of(choice: dict[str, Any]) -> str:
    """The new text of a choice: in a chunk or whole, of a chat or not; thinking is left out."""
    message = choice.get("delta", choice.get("message"))
    content = choice.get("text") if message is None else message
    if isinstance(content, dict):
        content = content.get("content")
    if isinstance(content, list):  # parts: texts, thoughts, pictures
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str | None):
        raise Unreadable("a text is none")
    return content or ""


def logprobs_of(said: Any) -> tuple[float | None, int]:
    """The sum of the tokens' log probabilities (nats) and their number; (None, 0) without them."""
    if not isinstance(said, dict):
        return None, 0
    content = said.get("content")
    if isinstance(content, list):
        found = [token.get("logprob") for token in content if isinstance(token, dict)]
    else:
        listed = said.get("token_logprobs")
        found = listed if isinstance(listed, list) else []
    values = [float(one) for one in found if isinstance(one, int | float) and math.isfinite(one)]
    return (sum(values), len(values)) if values else (None, 0)


def whole(number: Any) -> int | None:
    return number if type(number) is int and 0 <= number < 2**31 else None
