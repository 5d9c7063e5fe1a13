"""Pairs of latents, for a preference model over a latent space: the chosen and the rejected z."""

from collections.abc import Iterator
from itertools import chain

from feedback.formats.candidate import (
    Candidate,
    HeldBack,
    Row,
    Says,
    finished_problem,
    key,
    says_pair,
)
from feedback.formats.format import Format, Rules, Schema
from feedback.formats.latents import latent
from feedback.formats.pairs import choices, ranks, votes
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.spec import Recipe


def schema(_recipe: Recipe) -> Schema:
    return {
        "z_chosen": "list<double>",
        "z_rejected": "list<double>",
        "model": "string",
        "model_sha256": "string",
        "margin": "double",
    }


def candidates(reader: Reader, _recipe: Recipe, _rules: Rules) -> Iterator[Candidate]:
    """Pairs request by request, the chosen sample first.

    Two requests that gave the same samples count twice: here it matters how many agree.
    """
    for group in reader.requests("vae"):
        for preference in chain(choices(group), ranks(group), votes(group)):
            yield preference.candidate()


def says(candidate: Candidate) -> Says:
    """Every request to sample has the same inputs: what was shown together is a prompt."""
    chosen, rejected = candidate.made
    return says_pair(key("request", chosen.request_id), chosen.id, rejected.id)


def row(candidate: Candidate, _recipe: Recipe, _pictures: Pictures) -> Row:
    chosen, rejected = candidate.made
    z_chosen, z_rejected = latent(chosen), latent(rejected)
    if chosen.version != rejected.version or len(z_chosen) != len(z_rejected):
        raise HeldBack("different_latent_spaces")
    return Row(
        {
            "z_chosen": z_chosen,
            "z_rejected": z_rejected,
            "model": chosen.version.name,
            "model_sha256": chosen.version.sha256,
            "margin": round(candidate.value, 4),
        }
    )


FORMAT = Format(
    "vae-pairs",
    "learning which of two points of a latent space is better",
    "vae",
    schema,
    candidates,
    finished_problem,
    says,
    row,
    latent=True,
)
