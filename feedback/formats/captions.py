"""Pictures with what they show, for fine-tuning a text-to-image model: an ImageFolder.

A picture that its visitor likes, chose among its drafts, or ranked first is worth learning with
its prompt. Where the visitor corrected the caption, the caption says what is really there: then
the picture is worth learning too, whether it is liked or not, unless its visitor does not like it
and names a fault that no caption mends.
"""

from collections.abc import Iterator

from feedback.formats.candidate import (
    Candidate,
    Row,
    Says,
    finished_problem,
    key,
    prompt_key,
)
from feedback.formats.format import Format, Rules, Schema, pictures_layout
from feedback.formats.judged import Judged, Opinion, Standing, verdict
from feedback.formats.pairs import last_choices, rankings
from feedback.formats.pictures import Pictures, picture_name
from feedback.formats.reader import Reader
from feedback.formats.shapes import plain_prompt
from feedback.near_duplicates import normalised
from feedback.spec import Recipe

# Reasons that speak of the picture, not of how it fits its prompt.
FAULTS = {"ugly", "artefacts", "unclear", "unsafe"}

Best = dict[tuple[str, int], tuple[str, Standing]]  # by generation and visitor: rule and event


def schema(_recipe: Recipe) -> Schema:
    return {"image": "image", "text": "string"}


def candidates(reader: Reader, _recipe: Recipe, _rules: Rules) -> Iterator[Candidate]:
    """One row for each visitor who likes, prefers or edited a picture; a dislike counts against."""
    for group in reader.prompts("image"):
        best = {**ranked_first(group), **chosen(group)}
        for judged in group:
            for opinion in judged.opinions:
                found = captioned(judged, opinion, best)
                if found is not None:
                    yield found


def chosen(group: list[Judged]) -> Best:
    """The best of its drafts, as its visitor said last."""
    events = [(judged, opinion["choice"]) for judged, opinion in last_choices(group)]
    return {(judged.id, event.visitor_id): ("chosen", event) for judged, event in events}


def ranked_first(group: list[Judged]) -> Best:
    """The drafts in the first place, where another one is behind."""
    found: Best = {}
    for ranked in rankings(group):
        events = [(judged.id, opinion["rank"]) for judged, opinion in ranked]
        somebody_is_behind = events[-1][1].score != 1
        for generation_id, event in events:
            if event.score == 1 and somebody_is_behind:
                found[generation_id, event.visitor_id] = "ranked", event
    return found


def captioned(judged: Judged, opinion: Opinion, best: Best) -> Candidate | None:
    found = verdict(opinion)
    if "edit" in opinion:
        return edited(judged, opinion, is_liked=found is not None and found.liked)
    if found is not None:
        one = praised("liked", judged, found.ratings, found.problem)
        one.only_counts = not found.liked
        return one
    for event in opinion.values():
        if (judged.id, event.visitor_id) in best:
            rule, why = best[judged.id, event.visitor_id]
            return praised(rule, judged, (why,))
    return None


def edited(judged: Judged, opinion: Opinion, *, is_liked: bool) -> Candidate:
    edit, reasons = opinion["edit"], opinion.get("reasons")
    spoilt = not is_liked and reasons is not None and not FAULTS.isdisjoint(reasons.items or ())
    return Candidate(
        "edited",
        judged.inputs,
        {"text": edit.text or ""},
        (judged,),
        judged,
        (edit,),
        problem="faulty_picture" if spoilt else None,
    )


def praised(
    source: str, judged: Judged, events: tuple[Standing, ...], problem: str | None = None
) -> Candidate:
    return Candidate(source, judged.inputs, {}, (judged,), judged, events, problem=problem)


def says(candidate: Candidate) -> Says:
    """The picture, and its caption as it is compared."""
    [judged] = candidate.made
    caption = candidate.texts.get("text") or str(candidate.inputs.get("prompt"))
    about = key(judged.media_sha256 or judged.id, normalised(caption))
    return Says(about, about, -1 if candidate.only_counts else 1, prompt_key(candidate.inputs))


def row(candidate: Candidate, _recipe: Recipe, pictures: Pictures) -> Row:
    [judged] = candidate.made
    text = candidate.texts.get("text") or plain_prompt(candidate.inputs)
    picture = pictures.of(judged)
    return Row({"image": picture, "text": text}, {picture_name(picture): picture})


FORMAT = Format(
    "captions",
    "fine-tuning a text-to-image model on pictures with captions",
    "image",
    schema,
    candidates,
    finished_problem,
    says,
    row,
    takes_edits=True,
    layout=pictures_layout,
)
