"""What Gradio's flag buttons wrote: CSVLogger, ClassicCSVLogger, and SimpleCSVLogger's bare rows.

Gradio puts an apostrophe in front of what a spreadsheet could calculate, and writes text that is
JSON anew. The first is undone here, the second cannot be.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feedback.importers.chat import answer, turns
from feedback.importers.reading import csv_rows, moment
from feedback.importers.shape import (
    BadFile,
    BadRow,
    Draft,
    Found,
    Reading,
    Request,
    Row,
    Said,
    digest,
    each,
    thumb,
)

NOT_COMPONENTS = ("flag", "username", "timestamp")
# What gradio.utils.sanitize_value_for_csv guards.
GUARDED_STARTS = ("=", "+", "-", "@", "\t", "\n")
GUARDED_PARTS = (",=", ",+", ",-", ",@", ",\t", ",\n")


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """One request a row. The two columns of components are the prompt and the output; if there are
    more, the owner names them (`--map prompt=… --map output=…`)."""
    names, rows = csv_rows(path, reading.encoding)
    names = [unescaped(name) for name in names]
    components = [name for name in names if name not in NOT_COMPONENTS]
    prompt, output = columns(path, reading, components)
    rater = reading.theirs("rater", "username")[0]

    def requests(number: int, cells: list[str]) -> Iterator[Request]:
        row = {name: unescaped(cell) for name, cell in zip(names, cells, strict=True)}
        yield flagged(
            number,
            row[prompt],
            row[output],
            row.get("flag", ""),
            row.get(rater) or None,
            row.get("timestamp", ""),
            reading,
        )

    return each(rows, requests)


def read_simple(path: Path, reading: Reading) -> Iterator[Found]:
    """Rows without a header; columns are numbers from 1 (`--map prompt=1 --map output=3`)."""
    _, rows = csv_rows(path, reading.encoding, header=False)
    width: list[int] = []

    def requests(number: int, cells: list[str]) -> Iterator[Request]:
        width.append(len(cells))
        if len(cells) != width[0]:
            raise BadRow("ragged", found=len(cells), expected=width[0])
        prompt, output = columns(path, reading, [str(i + 1) for i in range(width[0])])
        yield flagged(
            number,
            unescaped(cells[int(prompt) - 1]),
            unescaped(cells[int(output) - 1]),
            "",
            None,
            "",
            reading,
        )

    return each(rows, requests)


def columns(path: Path, reading: Reading, components: list[str]) -> tuple[str, str]:
    usual = components if len(components) == 2 else ["", ""]
    named = [
        reading.theirs("prompt", usual[0])[0],
        reading.theirs("output", usual[1])[0],
    ]
    for ours, theirs in zip(("prompt", "output"), named, strict=True):
        if theirs not in components:
            raise BadFile(
                f"{path} has the columns {', '.join(components)}: say which is the {ours} "
                f"(--map {ours}=COLUMN)"
            )
    return named[0], named[1]


def flagged(
    number: int,
    prompt: str,
    output: str,
    flag: str,
    rater: str | None,
    time: str,
    reading: Reading,
) -> Request:
    """A flag that praises or blames is a thumb; any other is what flags are for: a report."""
    inputs: Row = {"prompt": prompt}
    if output.startswith("["):
        inputs, output = conversation(inputs, output)
    request, moment_said = digest(inputs), moment(time, reading.zone)
    liked = thumb(flag, reading)
    draft = digest(inputs, output)
    said = Said(
        identity=digest(draft, flag, rater, time),
        kind="thumb" if liked else "report",
        value=liked or flag,
        rater=rater,
        at=moment_said,
    )
    return Request(
        row=number,
        identity=digest(request, output),
        inputs=inputs,
        drafts=(Draft(draft, output, said=(said,)),),
        author=rater,
        seen_at=moment_said,
    )


def conversation(inputs: Row, output: str) -> tuple[Row, str]:
    """What a chatbot's value holds, where the output is one; else what was given."""
    try:
        value: Any = json.loads(output)
    except ValueError:
        return inputs, output
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value) or not value:
        return inputs, output
    messages = turns(value)
    return answer(messages, len(messages) - 1)


def unescaped(cell: str) -> str:
    """The cell without the apostrophe, if Gradio has put it there."""
    text = cell.removeprefix("'")
    if text != cell and (
        text.startswith(GUARDED_STARTS) or any(part in text for part in GUARDED_PARTS)
    ):
        return text
    return cell
