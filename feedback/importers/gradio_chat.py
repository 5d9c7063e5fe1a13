"""The likes that gr.ChatInterface logs: five names in the header, four cells in every row.

ChatCSVLogger writes conversation, index, what was clicked and the time under the header
conversation, index, value, flag, timestamp. Read by its names, the click lands in `value` and the
time in `flag`. A row has no user; a conversation is taken for one person.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feedback.importers.chat import answer, joined, turns
from feedback.importers.gradio_flags import unescaped
from feedback.importers.reading import csv_rows, moment
from feedback.importers.shape import (
    BadFile,
    BadRow,
    Draft,
    Found,
    Reading,
    Request,
    Said,
    digest,
    each,
    thumb,
)

HEADER = ["conversation", "index", "value", "flag", "timestamp"]


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """One request a row."""
    _, rows = csv_rows(path, reading.encoding, header=False)
    first = next(rows, None)
    if first is None or first[1] != HEADER:
        raise BadFile(f"{path} is no log of gr.ChatInterface: it begins otherwise")
    return each(
        ((number - 1, cells) for number, cells in rows),
        lambda number, cells: requests(number, cells, reading),
    )


def requests(number: int, cells: list[str], reading: Reading) -> Iterator[Request]:
    if len(cells) == 5:  # a Gradio that fills all its columns
        cells = [*cells[:3], cells[4]]
    if len(cells) != 4:
        raise BadRow("ragged", found=len(cells), expected=4)
    shown, index, clicked, time = cells
    try:
        logged: Any = json.loads(unescaped(shown))
    except (ValueError, RecursionError) as problem:
        raise BadRow("no_json", problem="the conversation") from problem
    messages = turns(logged)
    place = index_of(index, logged)
    if place < len(messages) and messages[place]["role"] == "assistant":
        messages = joined(messages, place, lambda i: is_aside(logged[i]))
    inputs, output = answer(messages, place)
    said_at = moment(time, reading.zone)
    clicked = unescaped(clicked)
    liked = thumb(clicked, reading)
    draft = digest(inputs, output)
    said = Said(
        identity=digest(draft, clicked, time),
        # Clicking again takes a like back: that is logged as an empty click.
        kind="thumb" if liked or not clicked else "report",
        value=liked or clicked or None,
        at=said_at,
    )
    yield Request(
        row=number,
        identity=draft,
        inputs=inputs,
        drafts=(Draft(draft, output, said=(said,)),),
        conversation=digest(messages[:2]),
        seen_at=said_at,
    )


def index_of(cell: str, logged: Any) -> int:
    """3, or [3, 0]; of pairs of user and assistant the second number counts."""
    numbers = [int(number) for number in re.findall(r"\d{1,6}", cell)]
    if not numbers:
        raise BadRow("bad_field", field="index", expected="a number")
    if logged and isinstance(logged[0], list):
        return 2 * numbers[0] + (numbers[1] if len(numbers) > 1 else 1)
    return numbers[0]


def is_aside(message: Any) -> bool:
    """A thought or the use of a tool: Gradio shows it folded, under a title."""
    metadata = message.get("metadata") if isinstance(message, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("title"))
