"""What every importer makes of its file: requests with drafts, and what raters said about these.

An identity is whatever makes a thing that thing and no other within its source: an id of the tool,
or a hash of the content where there is none. The same identity is the same row for ever, so a file
can be imported twice, or again when it has grown.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from feedback.rate import Value

Row = dict[str, Any]

UP = frozenset(
    [
        "like",
        "liked",
        "up",
        "upvote",
        "thumbs up",
        "thumbs_up",
        "good",
        "yes",
        "correct",
        "positive",
    ]
    + ["helpful", "true", "1", "+1", "1.0", "👍", "赞", "喜欢", "好", "有用"]
)
DOWN = frozenset(
    ["dislike", "disliked", "down", "downvote", "thumbs down", "thumbs_down", "bad", "no"]
    + ["incorrect", "negative", "unhelpful", "false", "-1", "-1.0", "0", "👎", "踩", "不喜欢", "差"]
)


@dataclass(frozen=True)
class Reading:
    """How the owner wants a file to be read."""

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # ours: theirs
    up: frozenset[str] = UP  # words for a thumb up, in lower case
    down: frozenset[str] = DOWN
    zone: tzinfo = UTC  # of times that do not name theirs
    encoding: str = "utf-8"
    delimiter: str = ","  # of CSV
    spreadsheet: bool = False  # of GenLoop's own CSV: the flavour with apostrophes

    def theirs(self, ours: str, *usual: str) -> tuple[str, ...]:
        """What the file calls this column or question: as the owner says, else as is usual."""
        return self.columns.get(ours, usual)


@dataclass(frozen=True)
class Said:
    """One thing that one rater said about one draft.

    value: as `feedback.keep.keep_event` takes it; None takes back what was said.
    """

    identity: str
    kind: str
    value: Value
    rater: str | None = None  # what the source calls them; none where it does not tell
    at: datetime | None = None
    over: tuple[str, ...] = ()  # of a choice: the drafts that it passed over
    trains: bool = True  # False where the source itself says that it may not be trained on


@dataclass(frozen=True)
class Draft:
    """One output."""

    identity: str
    output: str
    model: str = ""
    said: tuple[Said, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    number: int | None = None  # where it is not the place among the drafts of the request


@dataclass(frozen=True)
class Request:
    """What was asked, and the drafts that came."""

    row: int
    identity: str
    inputs: Row  # {"prompt": …} or {"messages": […]}
    drafts: tuple[Draft, ...]
    author: str | None = None  # who asked; none where the source does not tell
    conversation: str = ""  # who is not named is one person a conversation, or a request
    made_at: datetime | None = None  # only if the source knows; it is a part of the ids
    seen_at: datetime | None = None  # when something was said, for want of better
    follows: tuple[str, datetime | None] | None = None  # identity and moment of an earlier draft
    trains: bool = True


REFUSALS = {
    "ragged": "it has {found} cells, not {expected}",
    "huge_cell": "a cell has {length} characters",
    "no_json": "it is not JSON: {problem}",
    "bad_field": "{field} is not {expected}",
    "no_feedback": "it says nothing about an output",
    "no_output": "there is no output",
    "no_prompt": "there is no prompt",
    "no_conversation": "the conversation is not in the file",
    "bad_messages": "what stands before the output is no conversation that ends with the user",
    "bad_index": "it is about message {index} of {messages}, which is not the assistant's",
    "needs_picture": "it is about a picture or a file, which is not in this file",
    "needs_latent": "it is about a sample whose latent is not in this file",
    "too_long": "{what} has {length} characters; {limit} are kept",
    "not_text": "{what} holds NUL or half of a surrogate pair",
    "empty": "{what} is empty",
    "too_many_drafts": "it has {drafts} outputs; {limit} are kept",
    "bad_value": "{kind} cannot be {value}",
    "unknown_kind": "there is no feedback of the kind {kind}",
    "bad_time": "the time {value} cannot be read",
    "unmapped": "{question} has no meaning here: --map KIND={question} gives it one",
    "skipped": "its rater skipped or discarded it",
    "different_contexts": "the two conversations differ before the last answer",
    "edited_prompt": "the prompt was edited, and the tool noted that as feedback on an answer",
    "changed": "it was imported before, with other content",
    "erased": "it is by somebody who was erased",
    "erased_here": "the file is from this database, where it was erased since",
}


class BadRow(ValueError):
    """The row cannot be taken; `code` names the sentence in REFUSALS."""

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


class BadFile(ValueError):
    """The file cannot be read at all; the message is the sentence."""


@dataclass(frozen=True)
class RefusedRow:
    """A row, or a part of one, that is not imported, and why."""

    row: int
    code: str
    details: Mapping[str, object] = field(default_factory=dict)
    # What the row says of training all the same, where its source knows: whose word, and which.
    rater: str | None = None
    trains: bool = True

    @property
    def sentence(self) -> str:
        return REFUSALS[self.code].format(**self.details)


Found = Request | RefusedRow


def each(rows: Iterable[tuple[int, Any]], make: Any) -> Iterator[Found]:
    """What `make(number, row)` yields for each row; a refusal where it raises BadRow."""
    for number, row in rows:
        if isinstance(row, RefusedRow):
            yield row
            continue
        try:
            yield from make(number, row)
        except BadRow as problem:
            yield RefusedRow(number, problem.code, problem.details)


def digest(*parts: Any) -> str:
    """An identity made of content: 40 hexadecimal digits of SHA-256."""
    text = json.dumps(parts, ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def thumb(word: str, reading: Reading) -> int | None:
    """1 or -1 for a word that praises or blames; None for any other."""
    plain = word.strip().lower()
    if plain in reading.up:
        return 1
    return -1 if plain in reading.down else None
