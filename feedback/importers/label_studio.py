"""Label Studio's JSON: tasks with their annotations, and JSON_MIN, which is flat.

The task's data are the prompt and the outputs, the controls of its page are kinds of feedback.
Predictions are a model's, and are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feedback.importers import questions
from feedback.importers.argilla import inputs_of_field, output_of
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
    each,
)

# Where the value of a control stands, by the control's type.
VALUES = {
    "rating": "rating",
    "choices": "choices",
    "textarea": "text",
    "pairwise": "selected",
    "number": "number",
    "ranker": "ranker",
}
# Of JSON_MIN, what is neither data nor an answer.
FRAME = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")


def read(path: Path, reading: Reading) -> Iterator[Found]:
    """One request a task, and a refusal for each annotation or answer that cannot be taken."""
    return each(
        json_rows(path, reading.encoding), lambda number, row: requests(number, row, reading)
    )


def requests(number: int, row: Row, reading: Reading) -> Iterator[Found]:
    flat = "data" not in row
    data = {name: row[name] for name in row if name not in FRAME} if flat else at(row, "data", dict)
    inputs = inputs_of_field(data[questions.prompt_field(data, reading)])
    names = questions.output_fields(data, reading)
    task = f"{row.get('project', '')}:{row.get('id')}"
    ids = [f"{task}:{name}" for name in names]
    said: list[list[Said]] = [[] for _ in names]
    annotations = [flat_annotation(row, names, reading)] if flat else at(row, "annotations", list)
    if not annotations:
        raise BadRow("no_feedback")
    for annotation in annotations:
        try:
            for control, answered in answers(annotation):
                for place, one in opinions(annotation, control, answered, names, ids, reading):
                    said[place].append(one)
        except BadRow as problem:
            yield RefusedRow(number, problem.code, problem.details)
    yield Request(
        row=number,
        identity=digest(task, names),
        inputs=inputs,
        drafts=tuple(
            Draft(
                ids[place], output_of(data[name]), str(data.get("model") or ""), tuple(said[place])
            )
            for place, name in enumerate(names)
        ),
        conversation=task,
        made_at=moment(row.get("created_at"), reading.zone) if not flat else None,
    )


def flat_annotation(row: Row, names: list[str], reading: Reading) -> Row:
    """The one annotation of a row of JSON_MIN, as the full JSON has it."""
    asked = {questions.prompt_field(row, reading), *names, *FRAME, "model"}
    return {
        "id": row.get("annotation_id"),
        "completed_by": row.get("annotator"),
        "created_at": row.get("created_at"),
        "updated_at": row.get("updated_at"),
        "result": [
            {"from_name": name, "type": "flat", "value": value}
            for name, value in row.items()
            if name not in asked
        ],
    }


def answers(annotation: Any) -> Iterator[tuple[str, Any]]:
    """The controls of the page with what was answered."""
    if not isinstance(annotation, dict):
        raise BadRow("bad_field", field="an annotation", expected="an object")
    if annotation.get("was_cancelled"):
        raise BadRow("skipped")
    for result in at(annotation, "result", list, []):
        if not isinstance(result, dict):
            raise BadRow("bad_field", field="a result", expected="an object")
        control, kind = str(result.get("from_name") or ""), str(result.get("type") or "")
        if kind == "flat":
            yield control, result["value"]
            continue
        if kind not in VALUES:
            raise BadRow("unmapped", question=f"{control} ({kind})")
        value = at(result, "value", dict).get(VALUES[kind])
        if kind == "ranker" and isinstance(value, dict):  # buckets of ids; "_" is the unnamed one
            value = next(iter(value.values()), [])
        yield control, value


def opinions(
    annotation: Row, control: str, answered: Any, names: list[str], ids: list[str], reading: Reading
) -> Iterator[tuple[int, Said]]:
    kind = questions.meaning(control, reading)
    identity = annotation.get("unique_id") or annotation.get("id")
    time = annotation.get("updated_at") or annotation.get("created_at")
    for place, value, over in questions.opinions(kind, answered, names, reading):
        yield (
            place,
            Said(
                # An annotation that was changed has a later time, and is a further event.
                questions.answer_identity(ids[place], identity, time, control, answered),
                questions.kind_of(kind, value),
                value,
                annotator(annotation.get("completed_by")),
                moment(time, reading.zone),
                tuple(ids[other] for other in over),
            ),
        )


def annotator(by: Any) -> str | None:
    if isinstance(by, dict):
        by = by.get("id") or by.get("email")
    return str(by) if by is not None else None
