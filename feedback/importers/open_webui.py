"""Open WebUI's feedback, as its admin area exports it: one JSON list of ratings with their chats.

A rating that was changed has the same id and a later time; here it is a further event. What was
rated in an "arena" was seen alone, so a rating never becomes a comparison with its siblings.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    each,
)

THUMBS = {"1": 1, "-1": -1}


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """One request a rating, in the order in which they were given."""
    rows = sorted(json_rows(path, reading.encoding), key=lambda one: last_change(one[1]))
    return each(rows, lambda number, row: requests(number, row, reading))


def last_change(row: Row | RefusedRow) -> float:
    time = row.get("updated_at") if isinstance(row, dict) else None
    return time if isinstance(time, (int, float)) else 0


def requests(number: int, row: Row, reading: Reading) -> Iterator[Request]:
    if row.get("type") != "rating":
        raise BadRow("unknown_kind", kind=str(row.get("type"))[:40])
    data, meta = at(row, "data", dict, {}), at(row, "meta", dict, {})
    snapshot = at(row, "snapshot", dict, {})
    chat = at(at(snapshot, "chat", dict, {}), "chat", dict, {})
    if not chat:
        raise BadRow("no_conversation")
    chat_id, message_id = str(meta.get("chat_id") or ""), str(meta.get("message_id") or "")
    path = way_to(at(at(chat, "history", dict, {}), "messages", dict, {}), message_id)
    rated = path[-1]
    if rated.get("role") != "assistant":
        raise BadRow("bad_index", index=message_id, messages=len(path))
    said_at = moment(row.get("updated_at"), reading.zone)
    identity = f"{row.get('id')}:{row.get('updated_at')}"
    said = tuple(
        Said(f"{identity}:{kind}", kind, value, str(row.get("user_id") or "") or None, said_at)
        for kind, value in opinions(data)
    )
    if not said:
        raise BadRow("no_feedback")
    parents = [message for message in path[:-1] if message.get("role") == "assistant"]
    yield Request(
        row=number,
        identity=f"{chat_id}:{message_id}",
        inputs=inputs_of(system_of(chat) + [turn(message) for message in path[:-1]]),
        drafts=(
            Draft(
                f"{chat_id}:{message_id}",
                turn(rated)["content"],
                str(data.get("model_id") or rated.get("model") or ""),
                said,
            ),
        ),
        author=str(row.get("user_id") or "") or None,
        conversation=chat_id,
        made_at=moment(rated.get("timestamp"), reading.zone),
        seen_at=said_at,
        follows=(
            (
                f"{chat_id}:{parents[-1].get('id')}",
                moment(parents[-1].get("timestamp"), reading.zone),
            )
            if parents
            else None
        ),
    )


def way_to(messages: Row, message_id: str) -> list[Row]:
    """The messages from the first one down to this; a chat is a tree, for answers are retried."""
    path: list[Row] = []
    wanted: Any = message_id
    while wanted:
        message = messages.get(str(wanted))
        if not isinstance(message, dict) or len(path) > len(messages):
            raise BadRow("no_conversation")
        path.insert(0, message)
        wanted = message.get("parentId")
    if not path:
        raise BadRow("no_conversation")
    return path


def turn(message: Row) -> dict[str, str]:
    role = message.get("role")
    if role not in ("system", "user", "assistant"):
        raise BadRow("bad_field", field="role", expected="system, user or assistant")
    files = [file for file in at(message, "files", list, []) if isinstance(file, dict)]
    if any(file.get("type") == "image" for file in files):
        raise BadRow("needs_picture")
    return {"role": role, "content": plain(message.get("content"))}


def system_of(chat: Row) -> Messages:
    system = at(chat, "params", dict, {}).get("system") or chat.get("system")
    if isinstance(system, str) and system.strip():
        return [{"role": "system", "content": system}]
    return []


def opinions(data: Row) -> Iterator[tuple[str, Any]]:
    """A thumb; of 1 to 10 points half as many stars; and what the reason and the comment say."""
    thumb = THUMBS.get(str(data.get("rating")))
    if thumb is not None:
        yield "thumb", thumb
    points = at(data, "details", dict, {}).get("rating")
    if isinstance(points, int) and not isinstance(points, bool) and 1 <= points <= 10:
        yield "stars", (points + 1) // 2
    reason, comment = data.get("reason"), data.get("comment")
    words = [word for word in (reason, comment) if isinstance(word, str) and word.strip()]
    if words:  # Open WebUI's reasons are not GenLoop's: they stay words
        yield "comment", ": ".join(words)
