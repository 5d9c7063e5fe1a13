"""FastChat's logs: likes of one model's answers, votes of the arena, and the cleaned battles.

A vote of the arena is a choice between two drafts; a tie ranks both first, and "both are bad" is a
thumb down for each. It judges two conversations; it is taken only where these differ in nothing but
the last answer, for otherwise it is no judgement of that answer. Addresses are never stored.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feedback.importers.chat import Messages, answer, plain, turns
from feedback.importers.reading import at, json_rows, moment
from feedback.importers.shape import BadRow, Draft, Found, Reading, Request, Row, Said, digest, each
from feedback.rate import Value

SINGLE: dict[str, tuple[str, Value]] = {
    "upvote": ("thumb", 1),
    "downvote": ("thumb", -1),
    "flag": ("report", ""),
}
ARENA = {"leftvote": "left", "rightvote": "right", "tievote": "tie", "bothbad_vote": "both_bad"}
WINNERS = {"model_a": "left", "model_b": "right", "tie": "tie", "tie (bothbad)": "both_bad"}
KEPT_OPTIONS = ("temperature", "top_p", "max_new_tokens", "repetition_penalty")

Sides = list[tuple[str, Messages]]  # of both conversations the model and the turns


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """One request a vote; how an answer was made comes from the log's own lines about chats."""
    options: dict[str, Row] = {}

    def requests(number: int, row: Row) -> Iterator[Request]:
        if "winner" in row:
            yield cleaned(number, row, reading)
            return
        kind = at(row, "type", str)
        if kind == "chat":
            note_options(row, options)
        if kind in SINGLE:
            yield single(number, row, reading, options)
        elif kind in ARENA:
            yield arena(number, row, reading)
        else:
            raise BadRow("no_feedback")

    return each(json_rows(path, reading.encoding), requests)


def note_options(row: Row, options: dict[str, Row]) -> None:
    made = row.get("gen_params")
    state = row.get("state")
    if isinstance(made, dict) and isinstance(state, dict):
        kept = {name: made[name] for name in KEPT_OPTIONS if name in made}
        options[str(state.get("conv_id"))] = kept


def conversation(state: Row) -> Messages:
    """The turns of a state, the system message before them if there is one."""
    roles = [str(role) for role in at(state, "roles", list)]
    names = dict(zip(roles, ("user", "assistant"), strict=False))
    found: Messages = []
    for entry in at(state, "messages", list)[at(state, "offset", int, 0) :]:
        if not isinstance(entry, list) or len(entry) != 2 or str(entry[0]) not in names:
            raise BadRow("bad_field", field="a message", expected="a role and a text")
        if isinstance(entry[1], list):  # a text and its pictures
            raise BadRow("needs_picture")
        if entry[1] is None:  # not answered yet
            raise BadRow("no_output")
        found.append({"role": names[str(entry[0])], "content": plain(entry[1])})
    system = state.get("system_message") or state.get("system")
    if isinstance(system, str) and system.strip():
        found.insert(0, {"role": "system", "content": system})
    return found


def single(number: int, row: Row, reading: Reading, options: dict[str, Row]) -> Request:
    state = at(row, "state", dict)
    messages = conversation(state)
    inputs, output = answer(messages, len(messages) - 1)
    kind, value = SINGLE[row["type"]]
    chat = str(state.get("conv_id") or "")
    draft = digest(chat, inputs, output)
    said = Said(
        identity=digest(draft, row["type"], row.get("tstamp")),
        kind=kind,
        value=value,
        rater=rater(row.get("ip")),
        at=moment(row.get("tstamp"), reading.zone),
    )
    model = str(state.get("model_name") or row.get("model") or "")
    return Request(
        row=number,
        identity=digest(draft, "request"),
        inputs=inputs,
        drafts=(Draft(draft, output, model, (said,), options.get(chat, {})),),
        author=said.rater,
        conversation=chat,
        seen_at=said.at,
    )


def arena(number: int, row: Row, reading: Reading) -> Request:
    states = at(row, "states", list)
    shown = at(row, "models", list, [])
    if len(states) != 2 or not all(isinstance(state, dict) for state in states):
        raise BadRow("bad_field", field="states", expected="two conversations")
    sides: Sides = []
    for place, state in enumerate(states):
        # While the vote is blind the page shows no names; the state knows them.
        name = state.get("model_name") or (shown[place] if len(shown) == 2 else "")
        sides.append((str(name or ""), conversation(state)))
    ids = [state.get("conv_id") for state in states]
    return battle(number, sides, ARENA[row["type"]], ids, row.get("ip"), row.get("tstamp"), reading)


def cleaned(number: int, row: Row, reading: Reading) -> Request:
    """A row of the published battles, whose raters have pseudonyms already."""
    if "conversation_a" not in row:
        raise BadRow("no_conversation")
    result = WINNERS.get(str(row.get("winner")))
    if result is None:
        raise BadRow("bad_value", kind="winner", value=str(row.get("winner"))[:40])
    sides = [
        (str(row.get(f"model_{side}") or ""), turns(row.get(f"conversation_{side}")))
        for side in "ab"
    ]
    chat = row.get("question_id")
    return battle(number, sides, result, [chat], row.get("judge"), row.get("tstamp"), reading)


def battle(
    number: int,
    sides: Sides,
    result: str,
    ids: list[Any],
    by: object,
    time: object,
    reading: Reading,
) -> Request:
    """Two drafts of one request, and what one rater said of both."""
    (left, left_output), (right, right_output) = (
        answer(messages, len(messages) - 1) for _, messages in sides
    )
    if left != right:
        raise BadRow("different_contexts")
    request = digest(ids, left, left_output, right_output)
    drafts = [digest(request, place) for place in (0, 1)]
    said_at, name = moment(time, reading.zone), rater(by)

    def said(place: int) -> tuple[Said, ...]:
        kind, value, over = spoken(result, place, drafts)
        if not kind:
            return ()
        return (Said(digest(drafts[place], result, name, time), kind, value, name, said_at, over),)

    outputs = (left_output, right_output)
    return Request(
        row=number,
        identity=request,
        inputs=left,
        drafts=tuple(
            Draft(drafts[place], outputs[place], sides[place][0], said(place)) for place in (0, 1)
        ),
        author=name,
        conversation=request,
        seen_at=said_at,
    )


def spoken(result: str, place: int, drafts: list[str]) -> tuple[str, Any, tuple[str, ...]]:
    """What the result says of the draft at this place."""
    if result == "tie":
        return "rank", 1, ()
    if result == "both_bad":
        return "thumb", -1, ()
    if result == ("left", "right")[place]:
        return "choice", True, (drafts[1 - place],)
    return "", None, ()


def rater(name: object) -> str | None:
    return str(name) if name else None
