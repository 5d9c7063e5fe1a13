"""Prompt, completion and a label, for Kahneman-Tversky optimisation: every thumb is a row."""

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
    return shaped("labelled", recipe.shape)


def candidates(reader: Reader, _recipe: Recipe, rules: Rules) -> Iterator[Candidate]:
    """One row for each standing thumb: up is True, down is False.

    The thumb was given to the output as it was shown, so that is the completion. Where edits are
    used here, an edited output is two rows instead: the edit is desirable, the output is not.
    """
    for judged in reader.generations("text"):
        for opinion in judged.opinions:
            edit = opinion.get("edit")
            if edit is not None and rules.edits:
                trivial = is_trivial(judged, edit, rules.least_edit)
                yield from edited(judged, edit, "trivial_edit" if trivial else None)
                if not trivial:
                    continue
            rated = thumbed(judged, opinion)
            if rated is not None:
                yield rated


def edited(judged: Judged, edit: Standing, problem: str | None) -> Iterator[Candidate]:
    for text, label in ((edit.text or "", True), (judged.output, False)):
        yield Candidate(
            "edit",
            judged.inputs,
            {"completion": text},
            (judged,),
            judged if label else None,
            (edit,),
            label=label,
            problem=problem,
        )


def thumbed(judged: Judged, opinion: Opinion) -> Candidate | None:
    found = verdict(opinion)
    if found is None or "thumb" not in opinion:
        return None
    return Candidate(
        "thumb",
        judged.inputs,
        {"completion": judged.output},
        (judged,),
        judged if found.liked else None,
        found.ratings,
        label=found.liked,
        problem=found.problem,
    )


def row(candidate: Candidate, recipe: Recipe, _pictures: Pictures) -> Row:
    return text_row(candidate, recipe.shape)


FORMAT = Format(
    "kto",
    "learning from single outputs that are liked or disliked (KTO)",
    "text",
    schema,
    candidates,
    common_problem,
    says_text,
    row,
    shapes=tuple(shape for shape in SHAPES if shape != "openai"),
    labels="KTO",
    trainer="kto",
)
