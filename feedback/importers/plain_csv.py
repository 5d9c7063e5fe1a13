"""Any CSV, with the owner's word on what its columns mean: `--map output=Answer --map thumb=Good?`.

A column that has our name needs no mapping: prompt or messages (JSON), output or chosen and
rejected, model, rater, time, id, and the kinds of feedback.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from feedback.importers import questions
from feedback.importers.chat import inputs_of, turns
from feedback.importers.reading import csv_rows, moment
from feedback.importers.shape import (
    BadFile,
    BadRow,
    Draft,
    Found,
    Reading,
    RefusedRow,
    Request,
    Row,
    Said,
    digest,
    each,
)
from feedback.rate import Value

KINDS = ("thumb", "stars", "edit", "comment", "report")
OTHERS = ("prompt", "messages", "output", "chosen", "rejected", "model", "rater", "time", "id")


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """One request a row."""
    names, rows = csv_rows(path, reading.encoding, delimiter=reading.delimiter)
    columns = {}
    for ours in (*OTHERS, *KINDS):
        [theirs] = reading.theirs(ours, ours)[:1]
        if theirs in names:
            columns[ours] = names.index(theirs)
        elif ours in reading.columns:
            raise BadFile(f"{path} has no column {theirs}; it has {', '.join(names)}")
    if not {"prompt", "messages"} & columns.keys():
        raise BadFile(f"{path} has no column prompt: say which it is (--map prompt=COLUMN)")
    if "output" not in columns and not {"chosen", "rejected"} <= columns.keys():
        raise BadFile(f"{path} has no column output: say which it is (--map output=COLUMN)")

    def requests(number: int, cells: list[str]) -> Iterator[Found]:
        row = {ours: cells[place] for ours, place in columns.items()}
        yield from of_row(number, row, reading)

    return each(rows, requests)


def of_row(number: int, row: dict[str, str], reading: Reading) -> Iterator[Found]:
    inputs = inputs_of_row(row)
    rater = row.get("rater") or None
    said_at = moment(row.get("time"), reading.zone)
    pair = "output" not in row
    outputs = [row["chosen"], row["rejected"]] if pair else [row["output"]]
    request = row.get("id") or digest(inputs, outputs, row.get("model"))
    ids = [digest(request, place) for place in range(len(outputs))]
    said: list[Said] = []

    def add(kind: str, value: Value, over: tuple[str, ...] = ()) -> None:
        identity = digest(ids[0], kind, value, rater, row.get("time"))
        said.append(Said(identity, kind, value, rater, said_at, over))

    if pair:
        add("choice", True, (ids[1],))
    answered = {} if pair else {kind: row[kind] for kind in KINDS if row.get(kind, "").strip()}
    for kind, cell in answered.items():
        try:
            add(kind, questions.single(kind, cell, reading))
        except BadRow as problem:
            yield RefusedRow(number, problem.code, problem.details)
    if not said and not answered:
        raise BadRow("no_feedback")
    yield Request(
        row=number,
        identity=digest(request),
        inputs=inputs,
        drafts=tuple(
            Draft(ids[place], output, row.get("model", ""), tuple(said) if place == 0 else ())
            for place, output in enumerate(outputs)
        ),
        author=rater,
        seen_at=said_at,
    )


def inputs_of_row(row: dict[str, str]) -> Row:
    if not row.get("messages"):
        return {"prompt": row.get("prompt", "")}
    try:
        return inputs_of(turns(json.loads(row["messages"])))
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, BadRow):
            raise
        raise BadRow("no_json", problem="messages") from problem
