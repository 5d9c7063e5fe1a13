"""Argilla's records as JSON: `dataset.records.to_json(…)` of version 2, and feedback datasets of 1.

Fields are the prompt and one or several outputs, questions are kinds of feedback; where their names
are not the usual ones the owner says which is which. Suggestions are a model's, and are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from feedback.importers import questions
from feedback.importers.chat import inputs_of, turns
from feedback.importers.reading import at, json_rows
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
    each,
)


class Response(NamedTuple):
    question: str
    user: str | None
    value: Any
    status: str


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """One request a record, and a refusal for each answer that cannot be taken."""
    return each(
        json_rows(path, reading.encoding), lambda number, row: requests(number, row, reading)
    )


def requests(number: int, row: Row, reading: Reading) -> Iterator[Found]:
    fields = at(row, "fields", dict, {}) or flat_fields(row)
    prompt = questions.prompt_field(fields, reading)
    names = questions.output_fields(fields, reading)
    inputs = inputs_of_field(fields[prompt])
    outputs = [output_of(fields[name]) for name in names]
    # Without an id of its own a record is its content.
    record = str(row.get("id") or row.get("external_id") or digest(inputs, outputs))
    ids = [f"{record}:{name}" for name in names]
    said: list[list[Said]] = [[] for _ in names]
    answers = list(responses(row))
    if not answers:
        raise BadRow("no_feedback")
    for answer in answers:
        try:
            for place, one in opinions(record, answer, names, ids, reading):
                said[place].append(one)
        except BadRow as problem:
            yield RefusedRow(number, problem.code, problem.details)
    metadata = at(row, "metadata", dict, {})
    model = str(metadata.get("model") or metadata.get("model_name") or "")
    yield Request(
        row=number,
        identity=digest(record, names),
        inputs=inputs,
        drafts=tuple(
            Draft(ids[place], outputs[place], model, tuple(said[place]))
            for place in range(len(names))
        ),
        conversation=record,
    )


def opinions(
    record: str, answer: Response, names: list[str], ids: list[str], reading: Reading
) -> Iterator[tuple[int, Said]]:
    if answer.status not in ("submitted", "None", ""):
        raise BadRow("skipped")
    kind = questions.meaning(answer.question, reading)
    for place, value, over in questions.opinions(kind, answer.value, names, reading):
        yield (
            place,
            Said(
                questions.answer_identity(
                    record, answer.question, answer.user, answer.value, place
                ),
                questions.kind_of(kind, value),
                value,
                answer.user,
                over=tuple(ids[other] for other in over),
            ),
        )


def responses(row: Row) -> Iterator[Response]:
    """Nested as version 2 writes them, flattened, or by user as version 1 did."""
    nested = row.get("responses")
    if isinstance(nested, dict):
        for question, entries in nested.items():
            for entry in entries if isinstance(entries, list) else []:
                if not isinstance(entry, dict):
                    raise BadRow("bad_field", field=question, expected="a list of answers")
                yield Response(
                    question,
                    named(entry.get("user_id")),
                    entry.get("value"),
                    str(entry.get("status") or ""),
                )
    elif isinstance(nested, list):
        for entry in nested:
            if not isinstance(entry, dict):
                raise BadRow("bad_field", field="responses", expected="a list of answers")
            for question, answer in at(entry, "values", dict, {}).items():
                value = answer.get("value") if isinstance(answer, dict) else answer
                yield Response(
                    question, named(entry.get("user_id")), value, str(entry.get("status") or "")
                )
    for key, values in row.items():
        if key.endswith(".responses") and isinstance(values, list):
            users = row.get(f"{key}.users") or [None] * len(values)
            states = row.get(f"{key}.status") or [""] * len(values)
            for value, user, state in zip(values, users, states, strict=False):
                yield Response(key.removesuffix(".responses"), named(user), value, str(state))


def named(user: object) -> str | None:
    return str(user) if user not in (None, "None", "") else None


def flat_fields(row: Row) -> Row:
    """Of a flattened record all that is no part of an answer."""
    return {
        name: value
        for name, value in row.items()
        if "." not in name and name not in ("id", "status", "_server_id", "responses", "metadata")
    }


def inputs_of_field(value: Any) -> Row:
    if isinstance(value, list):
        return inputs_of(turns(value))
    if not isinstance(value, str):
        raise BadRow("no_prompt")
    return {"prompt": value}


def output_of(value: Any) -> str:
    if not isinstance(value, str):
        raise BadRow("no_output")
    return value
