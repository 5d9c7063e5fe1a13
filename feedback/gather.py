"""Read what one config asks for, try every row by itself, and remember it in files.

What a row says is redacted first, so that all that follows, keys and files included, rests on what
leaves. Nothing here looks at two rows at once: parts of the generations can be read apart.
"""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from feedback.blocks import blocks
from feedback.formats.candidate import (
    CODES,
    Candidate,
    HeldBack,
    Picture,
    Row,
    key,
)
from feedback.formats.format import Format
from feedback.formats.pictures import Pictures, picture_name
from feedback.formats.reader import Reader
from feedback.gathered import Gathered
from feedback.lengths import Lengths
from feedback.plan import Config
from feedback.redact import Redactor
from feedback.selection import prompt_text, wanted
from feedback.spec import Selection
from feedback.watch import Watch

BLOCK = 64  # candidates that are looked at together, where that is quicker
NONE = b"\0" * 8  # the keys of a row that says nothing


@dataclass
class Tools:
    """What rows are made and tried with."""

    pictures: Pictures
    redactor: Redactor
    lengths: Lengths | None = None
    watch: Watch = field(default_factory=Watch)


class Finished(NamedTuple):
    """A row as it will be written, but for what follows from other rows."""

    sha256: str
    line: bytes  # a JSON object: the columns of its trainer, then where it is from
    pictures: bytes  # {"columns": …, "files": …}: which pictures and texts go in; or nothing


def gather(
    config: Config, reader: Reader, selection: Selection, tools: Tools, found: Gathered
) -> None:
    """Add the rows of the config in their order."""
    form = config.format
    assert form is not None
    wish = wanted(selection)
    excluded = set(selection.exclude_visitors)
    for block in blocks(form.candidates(reader, config.recipe, config.rules), BLOCK):
        tools.watch.step(len(block))
        taken = []
        for candidate in block:
            if is_opinion(candidate):
                if counts(candidate, excluded):
                    taken.append(candidate)
            elif wish(candidate):
                taken.append(candidate)
            else:
                found.left_out += 1
        personal = tools.redactor.redact_all(taken)
        too_long = iter(lengths_of(form, tools, taken))
        for candidate, kinds in zip(taken, personal, strict=True):
            if is_opinion(candidate):
                remember_opinion(found, form, candidate)
            else:
                add(found, config, form, candidate, tools, kinds, next(too_long))


def is_opinion(candidate: Candidate) -> bool:
    """What is no row of its own may count against a row; without consent never for one."""
    return candidate.only_counts or not candidate.consented


def counts(opinion: Candidate, excluded: set[int]) -> bool:
    return opinion.problem is None and all(e.visitor_id not in excluded for e in opinion.events)


def remember_opinion(found: Gathered, form: Format, candidate: Candidate) -> None:
    says = form.says(candidate)
    for event in candidate.events[:1]:
        found.opinions.add(
            says.about, event.visitor_id, says.side, candidate.consented, candidate.value
        )


def lengths_of(form: Format, tools: Tools, candidates: list[Candidate]) -> list[bool]:
    """Whether each that may be a row is longer than the model takes, as far as that matters."""
    rows = [(one.inputs, one.texts) for one in candidates if not is_opinion(one)]
    if tools.lengths is None or form.task != "text":
        return [False] * len(rows)
    return tools.lengths.too_long(rows)


def add(
    found: Gathered,
    config: Config,
    form: Format,
    candidate: Candidate,
    tools: Tools,
    personal: int,
    is_long: bool,
) -> None:
    row = len(found)
    try:
        finished = finish(config, form, candidate, tools, personal, is_long)
        reason, says = 0, form.says(candidate)
    except HeldBack as problem:
        [why] = problem.args
        reason, says = CODES[why], None
        finished = Finished("0" * 64, quarantined(why, candidate), b"")
    label = -1 if candidate.label is None else int(candidate.label)
    others = [judged.version.id for judged in candidate.made[1:]]
    found.facts.add(
        says.same if says else NONE,
        says.about if says else NONE,
        says.prompt if says else NONE,
        bytes.fromhex(finished.sha256[:16]),
        says.side if says else 0,
        reason,
        found.source_code(candidate.source),
        label,
        candidate.value,
        candidate.made[0].version.id,
        others[0] if others else 0,
        personal,
        characters(candidate),
        len(finished.line),
        len(finished.pictures),
    )
    found.rows.add(finished.line)
    found.rows.add(finished.pictures)
    behind = {(judged.visitor_id, judged.consent_id): 0 for judged in candidate.made}
    for event in candidate.events:
        behind[event.visitor_id, event.consent_id] = 1
        found.evidence.add(row, event.entry)
    for (visitor, consent), speaks in behind.items():
        found.people.add(row, visitor, consent, speaks)
    if says is not None:
        tie(found, form, row, candidate, says.prompt)


def finish(
    config: Config,
    form: Format,
    candidate: Candidate,
    tools: Tools,
    personal: int,
    is_long: bool,
) -> Finished:
    """The row as it is written; raises HeldBack."""
    problem = form.check(candidate)
    if problem is not None:
        raise HeldBack(problem)
    if personal and config.redact == "drop_row":
        raise HeldBack("personal_data")
    row = form.row(candidate, config.recipe, tools.pictures)
    if is_long:
        raise HeldBack("too_long")
    return encoded(config, row, origin(candidate))


def encoded(config: Config, row: Row, origin: dict[str, str]) -> Finished:
    """JSON in which the SHA-256 of a picture stands for the picture; raises HeldBack."""
    columns = row.columns
    if config.layout == "pictures":  # an ImageFolder names its files
        name = next(name for name, kind in config.columns.items() if kind == "image")
        columns = {"file_name": picture_name(columns[name]), **columns}
        del columns[name]
    try:
        line = orjson.dumps(columns | origin, default=content_of)
    except orjson.JSONEncodeError:
        raise HeldBack("not_unicode") from None
    sha256 = hashlib.sha256(line).hexdigest()
    whole = line[:-1] + b',"genloop_row_sha256":"' + sha256.encode() + b'"}'
    return Finished(sha256, whole, wants(config, row))


def content_of(value: object) -> str:
    if isinstance(value, Picture):
        return value.content
    raise TypeError(value)


def wants(config: Config, row: Row) -> bytes:
    """Where the bytes are that a row wants in its columns, and in files beside it."""
    within = {
        name: list(value)
        for name, value in row.columns.items()
        if isinstance(value, Picture) and config.layout == "rows"
    }
    beside = {
        name: list(content) if isinstance(content, Picture) else content
        for name, content in row.files.items()
        if config.layout != "rows"
    }
    if not within and not beside:
        return b""
    try:
        return orjson.dumps({"columns": within, "files": beside})
    except orjson.JSONEncodeError:
        raise HeldBack("not_unicode") from None


def origin(candidate: Candidate) -> dict[str, str]:
    events, votes = ids(candidate)
    return {
        "genloop_source": candidate.source,
        "genloop_generation_ids": " ".join([judged.id for judged in candidate.made]),
        "genloop_event_ids": " ".join(map(str, events)),
        "genloop_vote_ids": " ".join(map(str, votes)),
    }


def ids(candidate: Candidate) -> tuple[list[int], list[int]]:
    """The events and the votes that a row rests on."""
    said = candidate.events
    return (
        [event.id for event in said if event.kind != "vote"],
        [event.id for event in said if event.kind == "vote"],
    )


def quarantined(reason: str, candidate: Candidate) -> bytes:
    """Why, and where to look; no texts, since these may be the reason."""
    events, votes = ids(candidate)
    row = {
        "reason": reason,
        "source": candidate.source,
        "generation_ids": [judged.id for judged in candidate.made],
        "event_ids": events,
        "vote_ids": votes,
    }
    return orjson.dumps(row)


def characters(candidate: Candidate) -> int:
    """Of all texts that a trainer would read."""
    prompt = candidate.inputs.get("prompt")
    asked = len(prompt) if isinstance(prompt, str) else len(prompt_text(candidate.inputs))
    return asked + sum(map(len, candidate.texts.values()))


def tie(found: Gathered, form: Format, row: int, candidate: Candidate, prompt: bytes) -> None:
    """Remember the conversation that a row is a turn of, and its prompt once, for its likes."""
    messages = candidate.inputs.get("messages")
    if isinstance(messages, list):
        # All turns of a conversation begin with the same words, of the same visitor.
        opening = [one for one in messages if one.get("role") == "user"][:1]
        found.ties.add(row, key(orjson.dumps([candidate.made[0].visitor_id, opening])))
    if form.task != "vae" and found.prompts is not None:
        found.prompts.add(prompt, prompt_text(candidate.inputs))
