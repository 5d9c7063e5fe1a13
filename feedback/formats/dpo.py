"""Prompt, chosen and rejected, for direct preference optimisation and reward models.

Three things visitors do say that one text is better than another to the same prompt: they edit
an output, they choose one draft among several, or they like one output and dislike another. An
output that was edited is no longer anybody's favourite: wherever it would be chosen, its edit
stands for it, and its own text stands on the rejected side only. So one edit never pushes the
same text up in one row and down in another.
"""

from collections.abc import Iterator
from itertools import chain

from feedback.formats.candidate import (
    Candidate,
    Row,
    Says,
    common_problem,
    prompt_key,
    says_pair,
)
from feedback.formats.edits import changed, is_trivial
from feedback.formats.format import Format, Rules, Schema
from feedback.formats.judged import Judged
from feedback.formats.pairs import Preference, choices, ratings
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.formats.shapes import schema as shaped
from feedback.formats.shapes import text_row
from feedback.near_duplicates import normalised
from feedback.spec import SHAPES, Recipe


def schema(recipe: Recipe) -> Schema:
    """How much better the chosen text is stands in `margin`; OpenAI takes no further columns."""
    margin = {} if recipe.shape == "openai" else {"margin": "double"}
    return shaped("pair", recipe.shape) | margin


def candidates(reader: Reader, _recipe: Recipe, rules: Rules) -> Iterator[Candidate]:
    """Pairs prompt by prompt."""
    for group in reader.prompts("text"):
        found = chain(edits(group, rules), choices(group), ratings(group))
        for preference in found:
            one = pair(preference, rules)
            if one is not None:
                yield one


def edits(group: list[Judged], rules: Rules) -> Iterator[Preference]:
    """The visitor's edit over the output that they edited."""
    for judged in group if rules.edits else ():
        for opinion in judged.opinions:
            if "edit" in opinion:
                edit = opinion["edit"]
                trivial = is_trivial(judged, edit, rules.least_edit)
                strength = changed(judged.output, edit.text or "")
                problem = "trivial_edit" if trivial else None
                yield Preference("edit", judged, judged, (), opinion, problem, strength)


def pair(preference: Preference, rules: Rules) -> Candidate | None:
    """The better output, or its edit, over the worse output.

    None for an output that was edited where its edit must not be used.
    """
    better, worse = preference.better, preference.worse
    edit = preference.opinion.get("edit")
    if edit is not None and preference.source != "edit":
        if is_trivial(better, edit, rules.least_edit):
            edit = None
        elif not rules.edits:
            return None
    return Candidate(
        preference.source,
        better.inputs,
        {"chosen": (edit.text or "") if edit else better.output, "rejected": worse.output},
        (better,) if better is worse else (better, worse),
        better,
        preference.because if edit is None else (*preference.because, edit),
        problem=preference.problem,
        value=preference.strength,
    )


def check(candidate: Candidate) -> str | None:
    """Why it is no pair: a key of QUARANTINE, or None."""
    problem = common_problem(candidate)
    if problem is None and normalised(candidate.texts["chosen"]) == normalised(
        candidate.texts["rejected"]
    ):
        return "same_text"
    return problem


def says(candidate: Candidate) -> Says:
    return says_pair(
        prompt_key(candidate.inputs),
        normalised(candidate.texts["chosen"]),
        normalised(candidate.texts["rejected"]),
    )


def row(candidate: Candidate, recipe: Recipe, _pictures: Pictures) -> Row:
    found = text_row(candidate, recipe.shape)
    if recipe.shape != "openai":
        found.columns["margin"] = round(candidate.value, 4)
    return found


FORMAT = Format(
    "dpo",
    "learning which of two texts is better (DPO, ORPO, CPO, reward models)",
    "text",
    schema,
    candidates,
    check,
    says,
    row,
    shapes=SHAPES,
    takes_edits=True,
    trainer="dpo",
)
