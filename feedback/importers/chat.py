"""Conversations as other tools keep them, as turns with plain text; and one answer out of them."""

from typing import Any

from feedback.importers.shape import BadRow, Row

ROLES = ("system", "user", "assistant")
Messages = list[dict[str, str]]


def turns(value: object) -> Messages:
    """Messages with role and content, or pairs of user and assistant, as plain turns.

    Raises BadRow where they are neither, or hold files.
    """
    if not isinstance(value, list):
        raise BadRow("bad_field", field="the conversation", expected="a list")
    found: Messages = []
    for entry in value:
        if isinstance(entry, dict):
            role = entry.get("role")
            if role not in ROLES:
                raise BadRow("bad_field", field="role", expected=" or ".join(ROLES))
            found.append({"role": role, "content": plain(entry.get("content"))})
        elif isinstance(entry, list) and len(entry) == 2:
            for role, content in zip(("user", "assistant"), entry, strict=True):
                if content is not None:
                    found.append({"role": role, "content": plain(content)})
        else:
            raise BadRow("bad_field", field="a message", expected="an object with a role")
    return found


def plain(content: object) -> str:
    """The text of a message that is text and nothing else."""
    if isinstance(content, str):
        if content.startswith("data:image/"):
            raise BadRow("needs_picture")
        return content
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        return str(content["text"])
    if isinstance(content, list) and content:
        return "".join(plain(part) for part in content)
    raise BadRow("needs_picture" if content else "empty", what="a message")


def answer(messages: Messages, index: int) -> tuple[Row, str]:
    """What was asked before the message at the index, as inputs of a generation; and its text.

    A chat of one turn is a prompt. Raises BadRow where that message is not an answer.
    """
    if not 0 <= index < len(messages) or messages[index]["role"] != "assistant":
        raise BadRow("bad_index", index=index, messages=len(messages))
    return inputs_of(messages[:index]), messages[index]["content"]


def inputs_of(before: Messages) -> Row:
    if not before or before[-1]["role"] != "user":
        raise BadRow("bad_messages")
    if len(before) == 1:
        return {"prompt": before[0]["content"]}
    return {"messages": before}


def joined(messages: Messages, index: int, said_aside: Any) -> Messages:
    """The messages with the group of answers that begins at the index as one of them.

    A page shows answers that follow each other as one, and calls them by the first. said_aside(i)
    tells whether a message is a thought or a tool's, which is left out if the group has others.
    """
    end = index
    while end < len(messages) and messages[end]["role"] == "assistant":
        end += 1
    group = [i for i in range(index, end) if not said_aside(i)] or list(range(index, end))
    text = "\n\n".join(messages[i]["content"] for i in group)
    return [*messages[:index], {"role": "assistant", "content": text}]
