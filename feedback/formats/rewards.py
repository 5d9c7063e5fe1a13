"""Prompt, completion and a score from 0 to 1, for models that learn to score."""

from collections.abc import Iterator

from feedback.formats.candidate import Candidate, Row, Says, common_problem, says_text
from feedback.formats.format import Format, Rules, Schema
from feedback.formats.judged import Judged, Opinion, strength
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.formats.shapes import schema as shaped
from feedback.formats.shapes import text_row
from feedback.spec import Recipe

SCORE = "score"


def schema(recipe: Recipe) -> Schema:
    return shaped("completion", recipe.shape) | {SCORE: "double"}


def candidates(reader: Reader, _recipe: Recipe, _rules: Rules) -> Iterator[Candidate]:
    """One row for each visitor who rated an output; the score is the mean of what all gave.

    Stars say more than a thumb, so they count where there are both: one star is 0, three are 0.5,
    five are 1. A thumb alone is 0 or 1.
    """
    for judged in reader.generations("text"):
        for opinion in judged.opinions:
            if "stars" in opinion or "thumb" in opinion:
                yield rated(judged, opinion)


def rated(judged: Judged, opinion: Opinion) -> Candidate:
    rating = opinion.get("stars") or opinion["thumb"]
    return Candidate(
        rating.kind,
        judged.inputs,
        {"completion": judged.output},
        (judged,),
        None,  # a low score praises nothing
        (rating,),
        value=(strength(rating) + 1) / 2,
    )


def check(candidate: Candidate) -> str | None:
    """What is reported must not get a good score."""
    problem = common_problem(candidate)
    if problem is None and candidate.value > 0.5 and candidate.made[0].reports:
        return "reported"
    return problem


def says(candidate: Candidate) -> Says:
    """All ratings of the same text are on one side, whatever the score."""
    found = says_text(candidate)
    return Says(found.about, found.about, 1, found.prompt)


def row(candidate: Candidate, recipe: Recipe, _pictures: Pictures) -> Row:
    return text_row(candidate, recipe.shape)


FORMAT = Format(
    "rewards",
    "learning the score that people would give",
    "text",
    schema,
    candidates,
    check,
    says,
    row,
    shapes=("standard", "conversational"),
    mean=SCORE,
)
