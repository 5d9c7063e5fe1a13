"""Prompts alone, for trainers that write and score the answers themselves (GRPO, RLOO)."""

from collections.abc import Iterator

from feedback.formats.candidate import Candidate, Row, Says, common_problem, prompt_key
from feedback.formats.format import Format, Rules, Schema
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.formats.shapes import TURNS, conversation, plain_prompt
from feedback.spec import Recipe


def schema(recipe: Recipe) -> Schema:
    return {"prompt": TURNS if recipe.shape == "conversational" else "string"}


def candidates(reader: Reader, _recipe: Recipe, _rules: Rules) -> Iterator[Candidate]:
    """One row for each output that a visitor said something about, whatever it was.

    So every row rests on an event of somebody who allows training. Of the same prompt one row is
    enough, and all but the first are held back as duplicates.
    """
    for judged in reader.generations("text"):
        for opinion in judged.opinions:
            said = next((event for event in opinion.values() if event.may_train), None)
            if said is not None and said.kind != "report":
                yield Candidate("asked", judged.inputs, {}, (judged,), None, (said,))


def says(candidate: Candidate) -> Says:
    prompt = prompt_key(candidate.inputs)
    return Says(prompt, prompt, 1, prompt)


def row(candidate: Candidate, recipe: Recipe, _pictures: Pictures) -> Row:
    turns = recipe.shape == "conversational"
    prompt = conversation(candidate.inputs) if turns else plain_prompt(candidate.inputs)
    return Row({"prompt": prompt})


FORMAT = Format(
    "prompts",
    "prompts for trainers that score answers themselves (GRPO, RLOO)",
    "text",
    schema,
    candidates,
    common_problem,
    says,
    row,
    shapes=("standard", "conversational"),
    uses_events=False,  # a prompt is no evidence of what anybody likes
)
