"""Prompt, completion and which reasons a visitor named, for classifiers of what is good or wrong.

`labels` has one number a reason, in the order of LABELS: 1.0 where it was named, the way
multi-label classification takes it.
"""

from collections.abc import Iterator

from feedback.formats.candidate import Candidate, Row, Says, common_problem, key, says_text
from feedback.formats.format import Format, Rules, Schema
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.formats.shapes import schema as shaped
from feedback.formats.shapes import text_row
from feedback.rate import REASONS
from feedback.spec import Recipe

LABELS = (*REASONS["text"]["good"], *REASONS["text"]["bad"])


def schema(recipe: Recipe) -> Schema:
    columns = {"reasons": "list<string>", "labels": "list<double>"}
    return shaped("completion", recipe.shape) | columns


def candidates(reader: Reader, _recipe: Recipe, _rules: Rules) -> Iterator[Candidate]:
    """One row for each visitor who named reasons."""
    for judged in reader.generations("text"):
        for opinion in judged.opinions:
            if "reasons" in opinion:
                yield Candidate(
                    "reasons",
                    judged.inputs,
                    {"completion": judged.output},
                    (judged,),
                    None,
                    (opinion["reasons"],),
                )


def says(candidate: Candidate) -> Says:
    """Two visitors who name different reasons do not contradict each other."""
    found = says_text(candidate)
    same = key(found.about, *sorted(named(candidate)))
    return Says(same, same, 1, found.prompt)


def named(candidate: Candidate) -> list[str]:
    return [reason for reason in LABELS if reason in (candidate.events[0].items or ())]


def row(candidate: Candidate, recipe: Recipe, _pictures: Pictures) -> Row:
    found, reasons = text_row(candidate, recipe.shape), named(candidate)
    found.columns["reasons"] = reasons
    found.columns["labels"] = [float(one in reasons) for one in LABELS]
    return found


FORMAT = Format(
    "rubric",
    f"classifying what is good or wrong; the numbers of `labels` are {', '.join(LABELS)}",
    "text",
    schema,
    candidates,
    common_problem,
    says,
    row,
    shapes=("standard", "conversational"),
    kinds=("reasons",),
)
