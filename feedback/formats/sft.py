"""Prompt and completion, for supervised fine-tuning: what visitors liked or wrote themselves."""

from collections.abc import Iterator

from feedback.formats.candidate import Candidate, Row, common_problem, says_text
from feedback.formats.edits import is_trivial
from feedback.formats.format import Format, Rules, Schema
from feedback.formats.judged import Judged, Opinion, Standing, verdict
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.formats.shapes import schema as shaped
from feedback.formats.shapes import text_row
from feedback.spec import SHAPES, Recipe


def schema(recipe: Recipe) -> Schema:
    return shaped("completion", recipe.shape)


def candidates(reader: Reader, _recipe: Recipe, rules: Rules) -> Iterator[Candidate]:
    """One row for each visitor who likes or edited an output; a dislike counts against it.

    An edit wins over the output, whatever the rating: it is what the visitor wanted to read. A
    trivial one changes nothing about the rating.
    """
    for judged in reader.generations("text"):
        for opinion in judged.opinions:
            edit = opinion.get("edit")
            if edit is not None:
                trivial = is_trivial(judged, edit, rules.least_edit)
                if rules.edits:
                    yield edited(judged, edit, "trivial_edit" if trivial else None)
                if not trivial:
                    continue
            rated = liked(judged, opinion)
            if rated is not None:
                yield rated


def edited(judged: Judged, edit: Standing, problem: str | None) -> Candidate:
    texts = {"completion": edit.text or ""}
    return Candidate("edited", judged.inputs, texts, (judged,), judged, (edit,), problem=problem)


def liked(judged: Judged, opinion: Opinion) -> Candidate | None:
    found = verdict(opinion)
    if found is None:
        return None
    return Candidate(
        "liked",
        judged.inputs,
        {"completion": judged.output},
        (judged,),
        judged,
        found.ratings,
        problem=found.problem,
        only_counts=not found.liked,
    )


def row(candidate: Candidate, recipe: Recipe, _pictures: Pictures) -> Row:
    return text_row(candidate, recipe.shape)


FORMAT = Format(
    "sft",
    "supervised fine-tuning on what was liked or edited",
    "text",
    schema,
    candidates,
    common_problem,
    says_text,
    row,
    shapes=SHAPES,
    takes_edits=True,
    trainer="sft",
)
