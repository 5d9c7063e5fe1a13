"""The conversations of FEEL: JSON lines, each a whole chat with the ratings as they then were.

FEEL writes the chat anew at every click, so the same rating comes again and again; only what has
changed since the line before is an event. An edit comes as two lines, a like of the new text and
then a dislike of the old one: here that is an edit. An edited prompt comes in the same way, as
praise of an answer that nobody gave to it; that is refused.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from feedback.importers.chat import Messages, inputs_of, plain
from feedback.importers.reading import at, json_rows, moment
from feedback.importers.shape import (
    BadRow,
    Draft,
    Found,
    Reading,
    RefusedRow,
    Request,
    Row,
    Said,
    digest,
)


class Line(NamedTuple):
    """One line: a chat, and what each of its messages was rated."""

    number: int
    session: str
    chat: str
    time: str  # as it is written, for identities
    at: datetime | None
    messages: Messages
    ratings: list[int]
    edits: list[str]  # of each message the text before its edit, or nothing


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """What changed from line to line; a line is read together with the one behind it."""
    reader = Reader()
    waiting: Line | None = None
    for number, row in json_rows(path, reading.encoding):
        try:
            if isinstance(row, RefusedRow):
                yield row
                continue
            line = line_of(number, row, reading)
        except BadRow as problem:
            yield RefusedRow(number, problem.code, problem.details)
            continue
        if waiting is None:
            waiting = line
        elif is_edit(waiting, line):
            yield from reader.edit(waiting, line)
            waiting = None
        else:
            yield from reader.ratings(waiting)
            waiting = line
    if waiting is not None:
        yield from reader.ratings(waiting)


def line_of(number: int, row: Row, reading: Reading) -> Line:
    messages: Messages = []
    ratings, edits = [], []
    for entry in at(row, "conversation", list):
        if not isinstance(entry, dict) or entry.get("role") not in ("system", "user", "assistant"):
            raise BadRow("bad_field", field="a message", expected="an object with a role")
        text = plain(entry.get("content"))
        messages.append({"role": entry["role"], "content": text})
        rating = entry.get("rating") or 0
        if rating not in (-1, 0, 1):
            raise BadRow("bad_value", kind="rating", value=str(rating)[:40])
        ratings.append(rating if entry["role"] == "assistant" else 0)
        before = entry.get("rejected")
        edits.append(before if entry.get("chosen") == text and isinstance(before, str) else "")
    return Line(
        number,
        at(row, "session_id", str, ""),
        at(row, "conversation_id", str, ""),
        at(row, "timestamp", str, ""),
        moment(row.get("timestamp"), reading.zone),
        messages,
        ratings,
        [edit if edit != messages[i]["content"] else "" for i, edit in enumerate(edits)],
    )


def is_edit(first: Line, second: Line) -> bool:
    """The like of a new text, and behind it the dislike of the text that it replaces."""
    return (
        (first.session, first.chat) == (second.session, second.chat)
        and len(first.messages) == len(second.messages)
        and first.messages[:-1] == second.messages[:-1]
        and first.messages[-1] != second.messages[-1]
        and (first.ratings[-1], second.ratings[-1]) == (1, -1)
    )


class Reader:
    """What has been seen so far: each answer's last rating, and the prompts of each session."""

    def __init__(self) -> None:
        self.rated: dict[str, int] = {}
        self.prompts: dict[str, set[str]] = {}

    def ratings(self, line: Line, *, but_last: bool = False) -> Iterator[Found]:
        self.prompts.setdefault(line.session, set()).update(
            message["content"] for message in line.messages if message["role"] == "user"
        )
        follows = None
        for index, message in enumerate(line.messages[: -1 if but_last else None]):
            if message["role"] != "assistant":
                continue
            identity = self.identity(line, index, message["content"])
            before = self.rated.get(identity, 0)
            now = line.ratings[index]
            if before != now:
                self.rated[identity] = now
                said = self.said(line, identity, "thumb", now or None)
                yield from self.request(line, index, message["content"], said, follows)
            if line.edits[index]:
                yield from self.edited(line, index, line.edits[index], follows)
            follows = (identity, None)

    def edit(self, new: Line, old: Line) -> Iterator[Found]:
        yield from self.ratings(new, but_last=True)
        index = len(old.messages) - 1
        before = old.messages[index]["content"]
        if before in self.prompts.get(old.session, set()):
            yield RefusedRow(new.number, "edited_prompt")
            return
        edited = new._replace(edits=[*new.edits[:-1], before])
        yield from self.edited(edited, index, before, None)

    def edited(
        self, line: Line, index: int, before: str, follows: tuple[str, None] | None
    ) -> Iterator[Found]:
        """The edit of an answer; its identity is what was made of what, however it is told."""
        identity, text = self.identity(line, index, before), line.messages[index]["content"]
        said = Said(
            digest(identity, "edit", text),
            "edit",
            text,
            line.session or None,
            line.at,
        )
        yield from self.request(line, index, before, said, follows)

    def said(self, line: Line, identity: str, kind: str, value: int | None) -> Said:
        return Said(
            digest(identity, kind, value, line.time),
            kind,
            value,
            line.session or None,
            line.at,
        )

    def request(
        self, line: Line, index: int, output: str, said: Said, follows: tuple[str, None] | None
    ) -> Iterator[Found]:
        try:
            yield Request(
                row=line.number,
                identity=digest(self.identity(line, index, output), "request"),
                inputs=inputs_of(line.messages[:index]),
                drafts=(Draft(self.identity(line, index, output), output, said=(said,)),),
                author=line.session or None,
                conversation=digest(line.session, line.chat),
                seen_at=said.at,
                follows=follows,
            )
        except BadRow as problem:
            yield RefusedRow(line.number, problem.code, problem.details)

    def identity(self, line: Line, index: int, output: str) -> str:
        # By the words: FEEL gives the chats of all visitors of one start of the app the same id.
        return digest(line.session, line.chat, line.messages[:index], output)
