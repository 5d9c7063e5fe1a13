"""Samples that visitors like or dislike, each with its latent z and a label.

A dataset holds one medium: pictures as an ImageFolder, vectors or sentences as rows alone.
"""

from collections.abc import Iterator

from feedback.formats.candidate import (
    Candidate,
    Row,
    Says,
    finished_problem,
    key,
)
from feedback.formats.format import Format, Layout, Rules, Schema
from feedback.formats.judged import Judged, Opinion, verdict
from feedback.formats.latents import latent
from feedback.formats.pictures import Pictures, picture_name
from feedback.formats.reader import Reader
from feedback.spec import Medium, Recipe

COMMON = {
    "z": "list<double>",
    "label": "bool",
    "model": "string",
    "model_sha256": "string",
    "action": "string",
}
SAMPLE: dict[Medium, Schema] = {
    "pictures": {"image": "image"},
    "vectors": {"x": "list<double>"},
    "sentences": {"text": "string"},
}


def schema(recipe: Recipe) -> Schema:
    return SAMPLE[recipe.medium] | COMMON


def layout(recipe: Recipe) -> Layout:
    return "pictures" if recipe.medium == "pictures" else "rows"


def candidates(reader: Reader, recipe: Recipe, _rules: Rules) -> Iterator[Candidate]:
    """One row for each visitor who likes (true) or dislikes (false) a sample."""
    for judged in reader.generations("vae"):
        if medium_of(judged) == recipe.medium:
            for opinion in judged.opinions:
                found = rated(judged, opinion, recipe.medium)
                if found is not None:
                    yield found


def medium_of(judged: Judged) -> Medium:
    if judged.media_sha256 is not None:
        return "pictures"
    return "vectors" if "x" in (judged.latent or {}) else "sentences"


def rated(judged: Judged, opinion: Opinion, medium: Medium) -> Candidate | None:
    found = verdict(opinion)
    if found is None:
        return None
    return Candidate(
        "rating",
        judged.inputs,
        {"text": judged.output} if medium == "sentences" else {},
        (judged,),
        judged if found.liked else None,
        found.ratings,
        label=found.liked,
        problem=found.problem,
    )


def says(candidate: Candidate) -> Says:
    """Every request to sample has the same inputs: what was shown together is a prompt."""
    [judged] = candidate.made
    about = key(judged.id)
    side = 1 if candidate.label else -1
    return Says(key(about, str(side)), about, side, key("request", judged.request_id))


def row(candidate: Candidate, recipe: Recipe, pictures: Pictures) -> Row:
    [judged] = candidate.made
    columns = {
        "z": latent(judged),
        "label": candidate.label,
        "model": judged.version.name,
        "model_sha256": judged.version.sha256,
        "action": str(judged.inputs.get("action", "")),  # sample, interpolate, reconstruct, …
    }
    if recipe.medium == "vectors":
        return Row({"x": latent(judged, "x"), **columns})
    if recipe.medium == "sentences":
        return Row({"text": candidate.texts["text"], **columns})
    picture = pictures.of(judged)
    return Row({"image": picture, **columns}, {picture_name(picture): picture})


FORMAT = Format(
    "vae-samples",
    "learning which points of a latent space are liked",
    "vae",
    schema,
    candidates,
    finished_problem,
    says,
    row,
    layout=layout,
    labels="a preference model",
    latent=True,
)
